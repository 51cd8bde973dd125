"""The decoder's loss, the steps it is trained at, and the tokenizer's validation."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from torch import Tensor

from bsqcodec.encoder.distortion import distortion
from bsqcodec.encoder.masking import dead_zones_of
from bsqcodec.models.transform.quantizer import quantize_beyond
from bsqcodec.models.transform.tokenizer import Tokenizer
from bsqcodec.training.tokenizer import (
    Objective,
    draw_steps,
    evaluate,
    validation_pictures,
)

from ..tiny_models import TOKENIZER, random_tokenizer

MakeScene = Callable[[int, int, int], npt.NDArray[np.uint8]]
CPU = torch.device("cpu")
STEPS = torch.tensor([60.0, 200.0])


@pytest.fixture
def pixels(make_scene: MakeScene) -> Tensor:
    scenes = np.stack([make_scene(128, 128, seed) for seed in (1, 2)])
    return torch.from_numpy(scenes).permute(0, 3, 1, 2).float()


def test_decoder_loss_trains_the_decoder_on_fixed_integers(pixels: Tensor) -> None:
    tokenizer = random_tokenizer().requires_grad_(True)
    wider = torch.tensor([0.0, 0.2])
    loss, d, _ = Objective(0.0).of_pixels(tokenizer, pixels, STEPS, wider)
    z = tokenizer.encode(pixels, STEPS)
    n = quantize_beyond(z, dead_zones_of(pixels, 16) + wider[:, None, None, None])
    expected = distortion(tokenizer.decode(n, STEPS), pixels, 0.0)
    torch.testing.assert_close(d, expected)
    torch.testing.assert_close(loss, expected / (2 * 2 ** (STEPS / 32) + 24))
    loss.sum().backward()
    for name, parameter in tokenizer.named_parameters():
        learns = parameter.grad is not None and bool(parameter.grad.abs().max() > 0)
        assert learns == (name.startswith("decoder.") or name == "log_gain.table"), name


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
    tokenizer = Tokenizer(replace(TOKENIZER, channels=768)).eval().requires_grad_(False)
    tokenizer.set_transform(torch.eye(768), torch.full((768,), 50.0))
    pictures = [torch.from_numpy(make_scene(256, 256, 1)).permute(2, 0, 1)[None]]
    figures = evaluate(tokenizer, pictures, (0, 200), CPU)
    assert figures.keys() == {"s0", "s200"}
    found = {}
    for name, text in figures.items():
        psnr, similarity = text.split("/")
        assert psnr.endswith("dB")
        found[name] = float(psnr[:-2]), float(similarity)
    assert 48 < found["s0"][0] < 54  # a step of 2 and its dead zone
    assert found["s0"][1] > 0.999 > found["s200"][1] > 0


def test_evaluate_asks_what_integers_cost(make_scene: MakeScene) -> None:
    asked = []

    def bits(n: Tensor, step: int) -> float:
        asked.append((step, n))
        return 128.0 * step

    shapes = [(128, 128), (128, 256)]
    pictures = [torch.from_numpy(make_scene(*s, 1)).permute(2, 0, 1)[None] for s in shapes]
    tokenizer = random_tokenizer()
    figures = evaluate(tokenizer, pictures, (200,), CPU, bits)
    mean = 0.5 * (200 / 128 + 200 / 256)
    assert figures["s200"] == f"{mean:.4f}bpp/" + evaluate(tokenizer, pictures, (200,), CPU)["s200"]
    assert [(step, tuple(n.shape)) for step, n in asked] == [
        (200, (1, 8, 8, 16)),
        (200, (1, 8, 16, 16)),
    ]
    assert all(torch.equal(n, n.round()) and n.any() for _, n in asked)


def test_without_pictures_there_is_nothing_to_evaluate() -> None:
    assert evaluate(random_tokenizer(), [], (0, 200), CPU) == {}
