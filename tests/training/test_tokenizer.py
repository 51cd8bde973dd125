"""The tokenizer's losses, the steps it is trained at, and its validation."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from torch import Tensor

from bsqcodec.distortion import distortion
from bsqcodec.tokenizer.quantizer import quantize_beyond
from bsqcodec.training.tokenizer import (
    TokenizerWithRate,
    draw_steps,
    evaluate,
    validation_pictures,
)

from ..models import TOKENIZER, random_tokenizer, seeded, shake

MakeScene = Callable[[int, int, int], npt.NDArray[np.uint8]]
STEPS = torch.tensor([60.0, 200.0])


@pytest.fixture
def model() -> TokenizerWithRate:
    with seeded(0):
        model = TokenizerWithRate(TOKENIZER)
        shake(model.rate, 0.05)
    model.tokenizer = random_tokenizer().requires_grad_(True)
    return model


@pytest.fixture
def pixels(make_scene: MakeScene) -> Tensor:
    scenes = np.stack([make_scene(128, 128, seed) for seed in (1, 2)])
    return torch.from_numpy(scenes).permute(0, 3, 1, 2).float()


def noise(seed: int) -> Tensor:
    return torch.rand(2, 8, 8, 16, generator=torch.Generator().manual_seed(seed)) - 0.5


def test_loss_weighs_rate_and_distortion_by_the_step(
    model: TokenizerWithRate, pixels: Tensor
) -> None:
    loss, bpp, d = model(pixels, STEPS, noise(0), 0.0)
    z = model.tokenizer.encode(pixels, STEPS)
    n = quantize_beyond(z, model.dead_zone(pixels)).detach()
    torch.testing.assert_close(d, distortion(model.tokenizer.decode(n, STEPS), pixels, 0.0))
    bits = model.rate(n, z + noise(0), STEPS).sum((1, 2, 3))
    torch.testing.assert_close(bpp, bits / 128**2)
    size = 2 * 2 ** (STEPS / 32)
    expected = (bpp + 3 * d / (0.134 * size**2)) / (0.02 + 30 / size)
    torch.testing.assert_close(loss, expected)


def test_loss_reaches_every_parameter(model: TokenizerWithRate, pixels: Tensor) -> None:
    loss, _, _ = model(pixels, STEPS, noise(0), 0.0)
    loss.sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all() and parameter.grad.abs().max() > 0, name


def test_noise_changes_the_rate_only(model: TokenizerWithRate, pixels: Tensor) -> None:
    _, bpp, d = model(pixels, STEPS, noise(0), 0.0)
    _, other_bpp, other_d = model(pixels, STEPS, noise(1), 0.0)
    assert torch.equal(d, other_d)
    assert ((bpp - other_bpp).abs() > 1e-6).all()


def test_decoder_loss_trains_the_decoder_on_fixed_integers(
    model: TokenizerWithRate, pixels: Tensor
) -> None:
    wider = torch.tensor([0.0, 0.2])
    loss, d = model.decoder_loss(pixels, STEPS, wider, 0.0)
    z = model.tokenizer.encode(pixels, STEPS)
    n = quantize_beyond(z, model.dead_zone(pixels) + wider[:, None, None, None])
    expected = distortion(model.tokenizer.decode(n, STEPS), pixels, 0.0)
    torch.testing.assert_close(d, expected)
    torch.testing.assert_close(loss, expected / (2 * 2 ** (STEPS / 32) + 24))
    loss.sum().backward()
    for name, parameter in model.tokenizer.named_parameters():
        learns = parameter.grad is not None and bool(parameter.grad.abs().max() > 0)
        assert learns == (name.startswith("decoder.") or name == "log_gain.table"), name
    assert all(parameter.grad is None for parameter in model.rate.parameters())


def test_steps_are_drawn_mostly_where_files_are_small() -> None:
    steps = draw_steps(20_000, np.random.default_rng(0))
    assert steps.dtype == torch.float32
    assert 10 <= steps.min() < 12 and 238 < steps.max() <= 240
    assert float((steps > 135).float().mean()) == pytest.approx(0.75, abs=0.02)


def test_validation_pictures_are_cut_to_windows(tmp_path: Path, make_scene: MakeScene) -> None:
    for number, shape in enumerate([(130, 300), (260, 128), (128, 128)]):
        Image.fromarray(make_scene(*shape, number)).save(tmp_path / f"{number}.png")
    found = validation_pictures(tmp_path, 2)
    assert [tuple(p.shape) for p in found] == [(1, 3, 128, 256), (1, 3, 256, 128)]
    expected = make_scene(130, 300, 0)[:128, :256].transpose(2, 0, 1)
    assert np.array_equal(found[0][0].numpy(), expected)


def test_evaluate_reports_each_step(make_scene: MakeScene) -> None:
    model = TokenizerWithRate(replace(TOKENIZER, channels=768)).eval().requires_grad_(False)
    basis = torch.eye(768)
    model.tokenizer.set_transform(basis, torch.full((768,), 50.0))
    pictures = [torch.from_numpy(make_scene(256, 256, 1)).permute(2, 0, 1)[None]]
    figures = evaluate(model, pictures, (0, 200), torch.device("cpu"))
    assert figures.keys() == {"s0", "s200"}
    found = {}
    for name, text in figures.items():
        bpp, psnr, similarity = text.split("/")
        assert bpp.endswith("bpp") and psnr.endswith("dB")
        found[name] = float(bpp[:-3]), float(psnr[:-2]), float(similarity)
    assert found["s0"][0] > found["s200"][0] > 0
    assert 48 < found["s0"][1] < 54  # a step of 2 and its dead zone
    assert found["s0"][2] > 0.999 > found["s200"][2] > 0


def test_without_pictures_there_is_nothing_to_evaluate(model: TokenizerWithRate) -> None:
    assert evaluate(model, [], (0, 200), torch.device("cpu")) == {}
