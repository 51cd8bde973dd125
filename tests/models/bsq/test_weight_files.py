"""Files of BSQ weights: they come back as they were, and nothing passes for what it is not."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from bsqcodec.errors import WeightsError
from bsqcodec.models import weight_store
from bsqcodec.models.bsq import weight_files
from bsqcodec.models.bsq.bit_order import BitPriorConfig
from bsqcodec.models.bsq.integer_bit_prior import quantize_bit_prior, tensor_shapes

from ...tiny_models import (
    BSQ_PRIOR,
    random_bit_prior,
    random_bsq_tokenizer,
    save_bsq_weights,
)

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_bsq_weights(tmp_path_factory.mktemp("weights"))


def test_what_is_loaded_is_what_was_saved(saved: Path) -> None:
    loaded = weight_files.load(saved, CPU)
    assert saved.name == f"bsq-{loaded.id.hex()}.safetensors"
    assert loaded.tokenizer.config == random_bsq_tokenizer().config
    assert loaded.prior.config == BSQ_PRIOR
    assert not loaded.tokenizer.training
    for name, value in random_bsq_tokenizer().state_dict().items():
        found = loaded.tokenizer.state_dict()[name]
        assert found.dtype == torch.float32
        assert torch.equal(found, value if value.ndim < 2 else value.half().float()), name
    pixels = torch.rand(1, 3, 64, 64) * 255
    assert loaded.tokenizer(pixels)[0].shape == pixels.shape


def test_the_index_names_the_default(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weight_store, "folders", lambda: [saved.parent])
    assert weight_files.find_default() == saved
    monkeypatch.setattr(weight_store, "folders", lambda: [saved.parent / "none"])
    with pytest.raises(WeightsError, match="no weights of the BSQ family found"):
        weight_files.find_default()


def test_other_contents_than_the_name_says_are_damage(saved: Path, tmp_path: Path) -> None:
    other = tmp_path / "bsq-0102030405060708.safetensors"
    other.write_bytes(saved.read_bytes())
    with pytest.raises(WeightsError, match="is damaged: its contents are"):
        weight_files.load(other, CPU)


def test_what_is_no_file_of_the_family_is_an_error(tmp_path: Path) -> None:
    other = BitPriorConfig(**{**vars(BSQ_PRIOR), "bits": 12, "lattices": (4, 4)})
    tensors = quantize_bit_prior(random_bit_prior())
    path = weight_files.save(tmp_path, random_bsq_tokenizer(), other, tensors)
    with pytest.raises(WeightsError, match="its codes have 18 bits, its prior 12"):
        weight_files.load(path, CPU)
    text = tmp_path / "text.safetensors"
    text.write_text("no weights")
    with pytest.raises(WeightsError, match="is not a file of bsqcodec weights of the BSQ family"):
        weight_files.load(text, CPU)


def test_a_file_without_a_tensor_does_not_fit(tmp_path: Path) -> None:
    tensors = quantize_bit_prior(random_bit_prior())
    del tensors["head.weight"]
    path = weight_files.save(tmp_path, random_bsq_tokenizer(), BSQ_PRIOR, tensors)
    with pytest.raises(WeightsError, match="does not fit this version"):
        weight_files.load(path, CPU)


@pytest.mark.parametrize("attention", [True, False])
def test_shapes_are_those_of_a_trained_prior(attention: bool) -> None:
    config = BitPriorConfig(12, 4, (4, 2, 1), 16, 2, 2, 24, attention)
    tensors = quantize_bit_prior(random_bit_prior(0, config))
    found = {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()}
    assert found == tensor_shapes(config)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("head.bias", lambda t: t[:-8], "head.bias of the prior is torch.int32 \\(184,\\), not"),
        ("embed.weight", lambda t: t.T.contiguous(), "embed.weight of the prior is"),
        ("blocks.0.slope", lambda t: t.double(), "blocks.0.slope of the prior is torch.float64"),
        ("embed_pass", lambda t: t[:-1], "embed_pass of the prior is"),
        ("probability", lambda t: t - 1, "probability outside of 1..65535"),
        ("probability", lambda t: t * 2, "probability outside of 1..65535"),
    ],
)
def test_tensors_that_do_not_fit_are_found_when_they_are_loaded(
    tmp_path: Path, name: str, change: Callable[[torch.Tensor], torch.Tensor], message: str
) -> None:
    tensors = quantize_bit_prior(random_bit_prior())
    tensors[name] = change(tensors[name])
    path = weight_files.save(tmp_path, random_bsq_tokenizer(), BSQ_PRIOR, tensors)
    with pytest.raises(WeightsError, match=message):
        weight_files.load(path, CPU)
