"""Exact inter frames: near the networks that they are made of; predictions are in whole 64ths."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from bsqcodec.errors import WeightsError
from bsqcodec.models.transform.compensation import SAMPLE_UNITS
from bsqcodec.models.transform.exact_decoder import LATENT_BITS
from bsqcodec.models.transform.exact_inter_decoder import ExactInterDecoder
from bsqcodec.models.transform.frame_networks import ExactFrames, FloatFrames
from bsqcodec.models.transform.inter_network import InterNetwork

from ...conftest import use_loops
from ...exact_pixels import STEP, integers
from ...tiny_models import TOKENIZER, random_inter_network, random_tokenizer


@pytest.fixture(scope="module", params=[0.0, 0.3], ids=["plain", "companded"])
def network(request: pytest.FixtureRequest) -> InterNetwork:
    tokenizer = random_tokenizer(config=replace(TOKENIZER, companding=request.param))
    return random_inter_network(tokenizer)


@pytest.fixture(scope="module")
def prediction() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    noise = torch.rand(1, 3, 128, 256, generator=generator) * 255
    smooth = torch.nn.functional.avg_pool2d(noise, 17, 1, 8)
    return torch.round(smooth * SAMPLE_UNITS) / SAMPLE_UNITS


@torch.inference_mode()
def test_it_is_near_the_network(network: InterNetwork, prediction: Tensor) -> None:
    tokenizer = network.tokenizer[0]
    exact, floating = ExactFrames(tokenizer, network), FloatFrames(tokenizer, network)
    assert exact.are_exact and not floating.are_exact
    n = integers(TOKENIZER.channels, 8, 16)[None].float() // 8
    found, expected = (
        frames.inter(prediction, frames.latents(prediction), n, STEP)
        for frames in (exact, floating)
    )
    change = (expected - prediction).abs().mean()
    assert found.shape == expected.shape == prediction.shape and change > 3
    assert (found - expected).abs().mean() < 0.02 * change
    intra = [frames.intra(n, STEP) for frames in (exact, floating)]
    assert (intra[0] - intra[1]).abs().mean() < 0.3
    assert intra[1].std() > 10


@torch.inference_mode()
def test_latents_are_those_of_the_transform(network: InterNetwork, prediction: Tensor) -> None:
    found = ExactInterDecoder(network).latents(prediction)
    assert found.dtype == torch.int32
    expected = network.latents(prediction - 127.5)
    assert (found * 2.0**-LATENT_BITS - expected).abs().max() < 0.03


@torch.inference_mode()
def test_products_of_int16_make_the_same_frames(
    network: InterNetwork, prediction: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = ExactFrames(network.tokenizer[0], network)
    n = integers(TOKENIZER.channels, 8, 16)[None].float() // 8
    found = []
    for shorts in (False, True):
        use_loops(monkeypatch, shorts, shorts=shorts)
        found.append(frames.inter(prediction, frames.latents(prediction), n, STEP))
    assert torch.equal(found[0], found[1])


def test_a_caller_changes_nothing(network: InterNetwork, prediction: Tensor) -> None:
    """Neither autocast nor gradients that a caller has switched on."""
    frames = ExactFrames(network.tokenizer[0], network)
    n = integers(TOKENIZER.channels, 8, 16)[None].float() // 8

    def made() -> Tensor:
        return frames.inter(prediction, frames.latents(prediction), n, STEP)

    with torch.inference_mode():
        expected = made()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(made(), expected)
    assert torch.equal(made(), expected)


def test_weights_that_are_not_finite_are_an_error() -> None:
    broken = random_inter_network(random_tokenizer())
    with torch.no_grad():
        broken.decoder.stem_change.weight[0, 0, 0, 0] = float("inf")
    with pytest.raises(WeightsError, match="not finite in stem_change.weight"):
        ExactInterDecoder(broken)


def test_the_file_is_where_the_documents_say() -> None:
    page = Path(__file__).parents[3] / "docs" / "BITSTREAM_FRAMES.md"
    assert "bsqcodec/models/transform/exact_inter_decoder.py" in page.read_text(encoding="utf-8")
