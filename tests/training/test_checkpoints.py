"""Weights to go on from: of runs, averaged, and of shipped files, back from integers."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from bsqcodec import weights
from bsqcodec.prior.context import features
from bsqcodec.prior.integer import quantize_prior
from bsqcodec.training.checkpoints import averaged, prior_of, tokenizer_of
from bsqcodec.training.tokenizer import TokenizerWithRate

from ..models import PRIOR, TOKENIZER, random_prior, random_tokenizer, random_values, some_planes


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    tensors = quantize_prior(random_prior())
    return weights.save(tmp_path / "weights", random_tokenizer(), PRIOR, tensors)


def run_folder(folder: Path, module: torch.nn.Module, config: object) -> Path:
    """A run whose averaged weights are the module's; the last ones are other."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model": config, "args": {}}))
    other = {k: torch.zeros_like(v) for k, v in module.state_dict().items()}
    torch.save({"module": other, "average": module.state_dict()}, folder / "checkpoint.pt")
    return folder


def test_the_averaged_weights_of_a_run_are_taken(tmp_path: Path) -> None:
    model = TokenizerWithRate(TOKENIZER)
    model.tokenizer = random_tokenizer()
    run = run_folder(tmp_path / "run", model, asdict(TOKENIZER))
    config, state = averaged(run)
    assert config == asdict(TOKENIZER) and state.keys() == model.state_dict().keys()
    tokenizer = tokenizer_of(run)
    assert tokenizer.config == TOKENIZER and not tokenizer.training
    assert not any(p.requires_grad for p in tokenizer.parameters())
    for name, value in random_tokenizer().state_dict().items():
        assert torch.equal(tokenizer.state_dict()[name], value)


def test_the_prior_of_a_run_comes_back_as_it_was(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "run", random_prior(), PRIOR.to_dict())
    prior = prior_of(run)
    assert prior.config == PRIOR
    for name, value in random_prior().state_dict().items():
        assert torch.equal(prior.state_dict()[name], value)


def test_a_shipped_tokenizer_is_the_saved_one_in_half_precision(shipped: Path) -> None:
    tokenizer = tokenizer_of(shipped)
    loaded = weights.load(shipped, torch.device("cpu")).tokenizer
    assert tokenizer.config == TOKENIZER
    for name, value in loaded.state_dict().items():
        assert torch.equal(tokenizer.state_dict()[name], value)


def test_a_shipped_prior_quantizes_to_what_was_shipped(shipped: Path) -> None:
    again = quantize_prior(prior_of(shipped))
    tensors = load_file(shipped)
    assert {f"prior.{name}" for name in again} | {
        name for name in tensors if name.startswith("tokenizer.")
    } == tensors.keys()
    for name, tensor in again.items():
        expected = tensors[f"prior.{name}"]
        assert tensor.dtype == expected.dtype
        if tensor.is_floating_point():
            torch.testing.assert_close(tensor, expected, rtol=1e-5, atol=0)
        else:
            assert torch.equal(tensor, expected), name


def test_a_shipped_prior_is_its_float_parent_up_to_rounding(shipped: Path) -> None:
    v = torch.from_numpy(random_values(some_planes(), 0, 16, 16))[None].float()
    arguments = (
        features(v, torch.tensor(1.0)),
        torch.tensor([5]),
        torch.tensor([0]),
        torch.zeros(1, 16, 16, dtype=torch.int64),
        False,
    )
    parent, again = random_prior().trunk(*arguments), prior_of(shipped).trunk(*arguments)
    assert parent.std() > 0.2
    assert (parent - again).abs().mean() < 0.02
