"""Weights to go on from: of runs, averaged, and of shipped files, back from integers."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from bsqcodec.models import weight_files as weights
from bsqcodec.models.prior.integer import quantize_prior
from bsqcodec.models.prior.neighbour_context import features
from bsqcodec.models.prior.order import stage_kinds
from bsqcodec.models.transform.tokenizer import Tokenizer
from bsqcodec.training.checkpoints import (
    averaged,
    mean_tokenizer,
    prior_of,
    tokenizer_of,
    with_shape,
)
from bsqcodec.training.tokenizer import Trained, start_from
from bsqcodec.training.video import inter_network_of

from ..golden_files import model_path
from ..tiny_models import (
    PRIOR,
    TOKENIZER,
    linear_tokenizer,
    random_prior,
    random_tokenizer,
    random_values,
    some_planes,
)


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
    model = Trained(TOKENIZER)
    model.tokenizer = random_tokenizer()
    run = run_folder(tmp_path / "run", model, asdict(TOKENIZER))
    config, state = averaged(run)
    assert config == asdict(TOKENIZER) and state.keys() == model.state_dict().keys()
    tokenizer = tokenizer_of(run)
    assert tokenizer.config == TOKENIZER and not tokenizer.training
    assert not any(p.requires_grad for p in tokenizer.parameters())
    for name, value in random_tokenizer().state_dict().items():
        assert torch.equal(tokenizer.state_dict()[name], value)


def test_the_mean_of_tokenizers(tmp_path: Path) -> None:
    """Of runs and of a shipped file, which has half precision."""
    models = [Trained(TOKENIZER) for _ in range(2)]
    for seed, model in enumerate(models):
        model.tokenizer = random_tokenizer(seed)
    sources = [
        run_folder(tmp_path / str(i), model, asdict(TOKENIZER)) for i, model in enumerate(models)
    ]
    tensors = quantize_prior(random_prior())
    sources.append(weights.save(tmp_path / "out", random_tokenizer(2), PRIOR, tensors))
    mean = mean_tokenizer(sources)
    assert not mean.training and not any(p.requires_grad for p in mean.parameters())
    each = [random_tokenizer(seed).state_dict() for seed in range(3)]
    for name, value in mean.state_dict().items():
        expected = sum(state[name] for state in each) / 3
        torch.testing.assert_close(value, expected, atol=1e-4, rtol=1e-3)
    alone = mean_tokenizer(sources[:1]).state_dict()
    assert all(torch.equal(value, each[0][name]) for name, value in alone.items())


def test_tokenizers_of_other_shapes_have_no_mean(tmp_path: Path) -> None:
    sources = []
    for name, shape in (("small", TOKENIZER), ("large", replace(TOKENIZER, decoder_blocks=3))):
        model = Trained(shape)
        model.tokenizer = random_tokenizer(config=shape)
        sources.append(run_folder(tmp_path / name, model, asdict(shape)))
    with pytest.raises(ValueError, match="large has another shape than .*small"):
        mean_tokenizer(sources)


def test_other_tensors_of_a_tokenizers_run_are_ignored(tmp_path: Path) -> None:
    """Earlier runs had a rate model beside the tokenizer."""
    model = Trained(TOKENIZER)
    model.tokenizer = random_tokenizer()
    model.rate = torch.nn.Linear(2, 2)
    tokenizer = tokenizer_of(run_folder(tmp_path / "run", model, asdict(TOKENIZER)))
    assert tokenizer.state_dict().keys() == random_tokenizer().state_dict().keys()


def test_an_encoder_whose_networks_add_nothing_comes_back_linear(tmp_path: Path) -> None:
    model = Trained(TOKENIZER)
    model.tokenizer = linear_tokenizer()
    run = run_folder(tmp_path / "run", model, asdict(TOKENIZER))
    tokenizer = tokenizer_of(run)
    assert tokenizer.config == replace(TOKENIZER, encoder_blocks=0) and tokenizer.encoder.linear
    x = 255 * torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    step = torch.tensor([90.0])
    assert torch.equal(tokenizer.encode(x, step), model.tokenizer.encode(x, step))
    tensors = quantize_prior(random_prior())
    path = weights.save(tmp_path / "weights", tokenizer, PRIOR, tensors)
    assert weights.load(path, torch.device("cpu")).tokenizer.encoder.linear
    assert tokenizer_of(path).config == tokenizer.config


def test_networks_can_be_added_to_a_linear_encoder() -> None:
    linear = linear_tokenizer(replace(TOKENIZER, encoder_blocks=0))
    target = Tokenizer(TOKENIZER)
    before = {k: v.clone() for k, v in target.state_dict().items()}
    start_from(target, linear)
    for name, value in target.state_dict().items():
        source = linear.state_dict().get(name)
        assert torch.equal(value, before[name] if source is None else source), name


def test_weights_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        start_from(Tokenizer(replace(TOKENIZER, width=64)), random_tokenizer())


def test_further_blocks_begin_as_if_they_were_not_there() -> None:
    source = random_tokenizer()
    larger = replace(
        TOKENIZER,
        encoder_blocks=TOKENIZER.encoder_blocks + 1,
        decoder_blocks=TOKENIZER.decoder_blocks + 2,
        encoder_convs=TOKENIZER.encoder_convs + 1,
    )
    target = Tokenizer(larger)
    start_from(target, source)
    assert len(target.decoder.blocks) == len(source.decoder.blocks) + 2
    pixels = 255 * torch.rand(1, 3, 128, 256, generator=torch.Generator().manual_seed(0))
    step = torch.tensor([150.0])
    with torch.inference_mode():
        z = source.encode(pixels, step)
        assert torch.equal(target.encode(pixels, step), z)
        assert torch.equal(target.decode(z.round(), step), source.decode(z.round(), step))
    with pytest.raises(ValueError, match="do not fit"):
        start_from(random_tokenizer(), target)


@pytest.mark.parametrize("higher", [0, 2])
def test_a_prior_learns_to_code_more_digits(higher: int) -> None:
    prior = random_prior()
    planes = some_planes()
    planes[:, 0] += higher
    grown = with_shape(prior, planes)
    assert torch.equal(grown.planes, planes)
    old = stage_kinds(PRIOR, prior.top_plane)
    kinds = stage_kinds(PRIOR, grown.top_plane)
    assert len(kinds) == len(old) + higher
    for index, (plane, band) in enumerate(kinds):
        source = old.index((min(plane, prior.top_plane), band))
        for name in ("embed_pass", "table", "shared_table", "stop_table"):
            rows = getattr(grown, name).weight.view(len(kinds), -1)
            assert torch.equal(rows[index], getattr(prior, name).weight.view(len(old), -1)[source])
    for name in ("head.weight", "blocks.1.mlp.up.weight"):
        assert torch.equal(grown.state_dict()[name], prior.state_dict()[name])


def test_a_prior_of_another_shape_keeps_what_fits() -> None:
    """Bands are merged channel by channel, and a block more changes nothing at first."""
    prior = random_prior()
    config = replace(PRIOR, bands=((16,), (8, 16), (16,)), blocks=3, attention=False)
    other = with_shape(prior, prior.planes, config)
    old, new = (stage_kinds(c, prior.top_plane) for c in (PRIOR, config))
    before = prior.table.weight.view(len(old), 16, -1)
    after = other.table.weight.view(len(new), 16, -1)
    for index, (plane, band) in enumerate(new):
        for channel in range(16):
            source = (plane, band) if plane else (0, 0 if channel < 4 else 1)
            assert torch.equal(after[index, channel], before[old.index(source), channel])
    assert torch.equal(
        other.stop_table.weight.view(len(new), -1)[-1],
        prior.stop_table.weight.view(len(old), -1)[old.index((0, 0))],
    )
    state = other.state_dict()
    for name in ("embed.weight", "blocks.1.mlp.up.weight", "head.bias"):
        assert torch.equal(state[name], prior.state_dict()[name])
    assert not any("attention" in name for name in state)
    assert not state["blocks.2.mlp.down.weight"].any()


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


@pytest.fixture(params=["pictures", "video"])
def any_shipped(request: pytest.FixtureRequest, shipped: Path, video_weights: Path) -> Path:
    return shipped if request.param == "pictures" else video_weights


def test_a_shipped_prior_quantizes_to_what_was_shipped(any_shipped: Path) -> None:
    again = quantize_prior(prior_of(any_shipped))
    tensors = load_file(any_shipped)
    assert {f"prior.{name}" for name in again} == {
        name for name in tensors if name.startswith("prior.")
    }
    for name, tensor in again.items():
        expected = tensors[f"prior.{name}"]
        assert tensor.dtype == expected.dtype
        if tensor.is_floating_point():
            torch.testing.assert_close(tensor, expected, rtol=1e-5, atol=0)
        else:
            assert torch.equal(tensor, expected), name


def test_a_shipped_video_decoder_is_loaded_as_it_is(video_weights: Path) -> None:
    tokenizer = tokenizer_of(model_path())
    state = inter_network_of(video_weights, tokenizer).decoder.state_dict()
    tensors = load_file(video_weights)
    assert {f"decoder.{name}" for name in state} == {n for n in tensors if n.startswith("decoder.")}
    for name, value in state.items():
        assert torch.equal(value, tensors[f"decoder.{name}"].float())


def test_a_shipped_prior_is_its_float_parent_up_to_rounding(shipped: Path) -> None:
    v = torch.from_numpy(random_values(some_planes(), 0, 16, 16))[None].float()
    arguments = (
        features(v, torch.tensor(1.0)),
        torch.tensor([5]),
        torch.tensor([0]),
        torch.zeros(1, 16, 16, dtype=torch.int64),
        False,
    )
    parent, again = random_prior()(*arguments), prior_of(shipped)(*arguments)
    assert parent.std() > 0.2
    assert (parent - again).abs().mean() < 0.02
