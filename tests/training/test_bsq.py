"""The paper's own tokenizer: its nested codes, regulariser, shapes, and one run end to end."""

import argparse
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from torch import Tensor

from bsqcodec.models.transform.quantizer import binary_spherical_quantize, entropy_penalty
from bsqcodec.training import __main__, bsq, speed
from bsqcodec.training.bsq import (
    BsqConfig,
    PlainBsq,
    draw_depths,
    evaluate,
    nested_code,
    regulariser,
    validation_depths,
)
from bsqcodec.training.checkpoints import averaged
from bsqcodec.training.distributed import World

from ..tiny_models import seeded, shake

MakeScene = Callable[[int, int, int], npt.NDArray[np.uint8]]
CPU = torch.device("cpu")


def tiny(patch: int = 16, bits: int = 16, scale: str = "fixed") -> PlainBsq:
    """A random model whose every part matters."""
    with seeded(0):
        model = PlainBsq(BsqConfig(patch, bits, scale, 64, encoder_blocks=1, decoder_blocks=1))
        shake(model, 0.05)
    return model


def projections(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("scale", "values"), [("fixed", [1.0, 1.0]), ("sqrt", [2.0, 1.0])])
def test_a_prefix_keeps_its_signs_and_nothing_after_them(scale: str, values: list[float]) -> None:
    v = projections(2, 3, 4, 16)
    code = nested_code(v, torch.tensor([4.0, 16.0]), scale)
    for picture, (kept, value) in enumerate(zip([4, 16], values, strict=True)):
        signs = torch.where(v[picture, ..., :kept] >= 0, value, -value)
        torch.testing.assert_close(code[picture, ..., :kept], signs)
        assert not code[picture, ..., kept:].any()


@pytest.mark.parametrize("scale", ["fixed", "sqrt"])
def test_a_prefix_is_a_code_on_its_own_sphere(scale: str) -> None:
    v = projections(1, 2, 2, 16)
    weights = projections(1, 2, 2, 16)
    for kept in (4, 16):
        length = math.sqrt(kept if scale == "fixed" else 16)
        whole, prefix = (x.clone().requires_grad_() for x in (v, v[..., :kept]))
        code = nested_code(whole, torch.tensor([float(kept)]), scale)
        expected, _ = binary_spherical_quantize(prefix)
        torch.testing.assert_close(code[..., :kept], length * expected)
        (code * weights).sum().backward()
        (length * expected * weights[..., :kept]).sum().backward()
        assert whole.grad is not None and prefix.grad is not None
        torch.testing.assert_close(whole.grad[..., :kept], prefix.grad)
        assert prefix.grad.abs().max() > 0 and not whole.grad[..., kept:].any()


def test_later_bits_do_not_change_a_prefix() -> None:
    v = projections(1, 8, 8, 16)
    other = v.clone()
    other[..., 5:] *= -3
    kept = torch.tensor([5.0])
    assert torch.equal(nested_code(v, kept, "sqrt"), nested_code(other, kept, "sqrt"))


def test_depths_are_drawn_evenly_by_octave() -> None:
    depths = draw_depths(20_000, 64, np.random.default_rng(0))
    assert torch.equal(depths, depths.round())
    assert depths.min() == 8 and depths.max() == 64
    assert float((depths < 22.6).float().mean()) == pytest.approx(0.5, abs=0.02)
    assert draw_depths(100, 2, np.random.default_rng(0)).min() == 1


def test_validation_depths() -> None:
    assert validation_depths(64, nested=True) == [64, 32, 16, 8]
    assert validation_depths(2, nested=True) == [2, 1]
    assert validation_depths(64, nested=False) == [64]


@pytest.mark.parametrize("patch", [8, 16])
def test_shapes_and_gradients(patch: int) -> None:
    model = tiny(patch)
    pixels = 255 * torch.rand(2, 3, 128, 256, generator=torch.Generator().manual_seed(2))
    decoded, v = model(pixels, torch.tensor([3.0, 16.0]))
    assert decoded.shape == pixels.shape
    assert v.shape == (2, 128 // patch, 256 // patch, 16) and v.dtype == torch.float32
    decoded.square().mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all() and parameter.grad.abs().max() > 0, name


def test_a_token_is_its_patch() -> None:
    """Without the mixing of blocks, what one token says stays in its patch."""
    model = PlainBsq(BsqConfig(8, 16, "fixed", 64, encoder_blocks=0, decoder_blocks=0))
    pixels = torch.full((1, 3, 64, 64), 100.0)
    changed = pixels.clone()
    changed[..., 8:16, 24:32] += 90 * torch.linspace(-1, 1, 8)
    v, other = model.project_to_bits(pixels), model.project_to_bits(changed)
    moved = (v != other).any(-1)[0]
    assert moved.nonzero().tolist() == [[1, 3]]
    all_bits = torch.tensor([16.0])
    a, b = (model.decode(nested_code(x, all_bits, "fixed")) for x in (v, -v))
    mixed = model.decode(nested_code(torch.where(moved[None, ..., None], -v, v), all_bits, "fixed"))
    assert torch.equal(mixed[..., 8:16, 24:32], b[..., 8:16, 24:32])
    mixed[..., 8:16, 24:32] = a[..., 8:16, 24:32]
    assert torch.equal(mixed, a)


def test_the_regulariser_is_the_papers_for_each_bit() -> None:
    v = projections(2, 3, 4, 8)
    u = (v / v.norm(dim=-1, keepdim=True)).reshape(-1, 8)
    expected = entropy_penalty(u, temperature=4.0, group=2) / 8
    torch.testing.assert_close(regulariser(v, 0.5, 2), expected)


def test_the_regulariser_wants_sure_and_balanced_bits() -> None:
    sure = torch.ones(1, 8, 8, 16)
    balanced = torch.where(projections(1, 8, 8, 16) > 0, 1.0, -1.0)
    assert regulariser(balanced, 8.0, 4) < regulariser(sure, 8.0, 4) - 0.5
    assert regulariser(balanced, 8.0, 4) < regulariser(balanced, 0.1, 4) - 0.5


def test_evaluate_reports_each_depth(make_scene: MakeScene) -> None:
    """A model that knows each token's mean colour, one sign a channel."""
    model = PlainBsq(BsqConfig(16, 3, "fixed", 64, encoder_blocks=0, decoder_blocks=0))
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)
    with torch.no_grad():
        model.project.bias.copy_(torch.tensor([1.0, 1.0, -1.0]))
    pictures = [torch.full((1, 3, 256, 256), 128, dtype=torch.uint8)]
    figures = evaluate(model, pictures, [3, 1], CPU)
    # the decoder says 127.5, which rounds to 128 (to even): no error at all
    assert figures == {
        "k3": f"{3 / 256:.4f}bpp/infdB/1.0000",
        "k1": f"{1 / 256:.4f}bpp/infdB/1.0000",
        "bit_entropy": 0.0,
    }
    assert evaluate(model, [], [3, 1], CPU) == {}
    scene = torch.from_numpy(make_scene(256, 256, 1)).permute(2, 0, 1)[None]
    figures = evaluate(tiny(bits=12), [scene], [12, 6], CPU)
    assert figures["k12"] != figures["k6"] and 0 < figures["bit_entropy"] <= 1


@pytest.mark.parametrize("wrong", [{"scale": "other"}, {"width": 100}])
def test_impossible_configurations_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="other|100"):
        BsqConfig(**wrong)  # type: ignore[arg-type]


@pytest.fixture
def train(
    tmp_path: Path, make_scene: MakeScene, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., dict[str, Any]]:
    """Run the trainer on three pictures, and return its checkpoint."""
    monkeypatch.setattr(speed, "MEASURED_SECONDS", 0.01)
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    for number in range(3):
        Image.fromarray(make_scene(260, 290, number)).save(f"data/{number}.png")

    def run(*more: str, out: str = "run") -> dict[str, Any]:
        parser = argparse.ArgumentParser()
        bsq.add_arguments(parser)
        arguments = ["--data", "data", "--cache", "cache", "--out", out, "--no-compile"]
        shape = ["--bits", "8", "--width", "64", "--encoder-blocks", "1", "--decoder-blocks", "1"]
        size = ["--batch", "2", "--minutes", "0.005"]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            bsq.train(parser.parse_args([*arguments, *shape, *size, *more]), World())
        return torch.load(Path(out, "checkpoint.pt"), weights_only=True)

    return run


def log_of(run: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(run, "log.jsonl").read_text().splitlines()]


def test_a_nested_run_learns_resumes_and_can_be_started_from(
    train: Callable[..., dict[str, Any]],
) -> None:
    options = ["--nested", "--scale", "sqrt", "--patch", "8", "--crop", "128"]
    options += ["--validation", "data", "--validation-limit", "1"]
    first = train(*options)
    last = log_of("run")[-1]
    assert last["step"] == first["count"] >= 1
    assert {"loss", "rmse", "penalty", "k8", "k4", "k2", "k1", "bit_entropy"} <= last.keys()
    assert last["k4"].startswith("0.0625bpp/")
    config, _ = averaged(Path("run"))
    assert BsqConfig(**config) == BsqConfig(8, 8, "sqrt", 64, 1, 1)

    second = train(*options, "--minutes", str(first["seconds"] / 60 + 0.003))
    assert second["count"] > first["count"] and second["seconds"] > first["seconds"]
    still = [k for k, v in second["module"].items() if torch.equal(v, first["module"][k])]
    assert still == []

    warm = train(*options, "--init", "run", "--rate", "0", out="warm")
    for name, value in second["average"].items():
        assert torch.equal(warm["module"][name], value)


def test_losses_and_their_parts(train: Callable[..., dict[str, Any]]) -> None:
    """One step each, on the same crops with the same weights."""
    one = ["--minutes", "10", "--stop-after", "0"]
    logs = {}
    for name, more in {
        "log": [],
        "mse": ["--loss", "mse"],
        "mixed": ["--ms-ssim", "0.5"],
        "bare": ["--entropy", "0"],
        "small": ["--crop", "128"],
    }.items():
        train(*one, *more, out=name)
        (logs[name],) = log_of(name)
        assert logs[name]["step"] == 1
    assert logs["log"]["penalty"] == logs["mse"]["penalty"] != 0 == logs["bare"]["penalty"]
    assert logs["log"]["rmse"] == logs["mse"]["rmse"] == logs["bare"]["rmse"]
    parts = logs["bare"]["loss"] + 0.1 * logs["log"]["penalty"]
    assert logs["log"]["loss"] == pytest.approx(parts, abs=1e-4)
    assert len({log["loss"] for log in logs.values()}) == len(logs)
    assert len({logs[name]["rmse"] for name in ("log", "mixed", "small")}) == 3


def test_the_command_is_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bsqcodec.training", "bsq", "--help"])
    with pytest.raises(SystemExit, match="0"):
        __main__.main()
    assert "--nested" in capsys.readouterr().out
