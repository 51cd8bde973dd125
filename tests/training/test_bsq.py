"""The trainer of the BSQ tokenizer: nested codes, regulariser, figures, and runs end to end."""

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
from safetensors.torch import save_file
from torch import Tensor

from bsqcodec.models.bsq.network import BsqConfig, BsqTokenizer
from bsqcodec.models.bsq.spherical_quantizer import binary_spherical_quantize, entropy_penalty
from bsqcodec.training import __main__, bsq, export_bsq, speed
from bsqcodec.training.bsq import (
    depth,
    depths_of,
    evaluate,
    nested_signs,
    regulariser,
    sub_code_entropy,
)
from bsqcodec.training.checkpoints import averaged
from bsqcodec.training.distributed import World

from ..encoder.test_lpips import random_weights
from ..tiny_models import seeded, shake

MakeScene = Callable[[int, int, int], npt.NDArray[np.uint8]]
CPU = torch.device("cpu")


def tiny(bits: int = 16) -> BsqTokenizer:
    """A random model whose every part matters."""
    with seeded(0):
        model = BsqTokenizer(BsqConfig(8, bits, 64, 1, 1, fine_width=8, fine_convs=1))
        shake(model, 0.05)
    return model


def projections(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def test_a_prefix_keeps_its_signs_and_nothing_after_them() -> None:
    v = projections(2, 3, 4, 16)
    code = nested_signs(v, torch.tensor([4.0, 16.0]))
    for picture, kept in enumerate([4, 16]):
        signs = torch.where(v[picture, ..., :kept] >= 0, 1.0, -1.0)
        torch.testing.assert_close(code[picture, ..., :kept], signs)
        assert not code[picture, ..., kept:].any()


def test_a_prefix_is_a_code_on_its_own_sphere() -> None:
    v = projections(1, 2, 2, 16)
    weights = projections(1, 2, 2, 16)
    for kept in (4, 16):
        length = math.sqrt(kept)
        whole, prefix = (x.clone().requires_grad_() for x in (v, v[..., :kept]))
        code = nested_signs(whole, torch.tensor([float(kept)]))
        expected, _ = binary_spherical_quantize(prefix)
        torch.testing.assert_close(code[..., :kept], length * expected)
        (code * weights).sum().backward()
        (length * expected * weights[..., :kept]).sum().backward()
        assert whole.grad is not None and prefix.grad is not None
        torch.testing.assert_close(whole.grad[..., :kept], prefix.grad)
        assert prefix.grad.abs().max() > 0 and not whole.grad[..., kept:].any()


def test_depths() -> None:
    assert depths_of(36, []) == [(36, 1.0)]
    assert depths_of(36, [depth("36:2"), depth("6"), depth("18:.5")]) == [
        (6, 1),
        (18, 0.5),
        (36, 2),
    ]
    for wrong in (["40"], ["6"], ["36", "6", "6"]):
        with pytest.raises(ValueError, match="codes of 36 bits cannot be cut to"):
            depths_of(36, list(map(depth, wrong)))
    for text in ("", "0", "6:0", "6:nan", "x"):
        with pytest.raises(ValueError):
            depth(text)


def test_the_regulariser_is_the_papers_for_each_bit() -> None:
    v = projections(2, 3, 4, 8)
    u = v / v.norm(dim=-1, keepdim=True)
    expected = entropy_penalty(u.reshape(-1, 8), temperature=4.0, group=2) / 8
    torch.testing.assert_close(regulariser(u, 0.5, 2), expected)


def test_the_regulariser_wants_sure_and_balanced_bits() -> None:
    sure = torch.ones(1, 8, 8, 16) / 4
    balanced = torch.where(projections(1, 8, 8, 16) > 0, 0.25, -0.25)
    assert regulariser(balanced, 8.0, 4) < regulariser(sure, 8.0, 4) - 0.5
    assert regulariser(balanced, 8.0, 4) < regulariser(balanced, 0.1, 4) - 0.5


def test_the_entropy_of_sub_codes() -> None:
    every = (torch.arange(64)[:, None] >> torch.arange(6)) & 1
    assert sub_code_entropy(every.bool()) == pytest.approx(1)
    assert sub_code_entropy(torch.cat([every, every], 1).bool()) == pytest.approx(1)
    assert sub_code_entropy(every[:1].expand(10, 6).bool()) == 0
    # two codes, alike often, of 8 bits: a bit in six, and a bit in the other two
    two = torch.tensor([[False], [True]]).expand(2, 8)
    assert sub_code_entropy(two) == pytest.approx(2 / 8)


def test_evaluate_reports_each_depth(make_scene: MakeScene) -> None:
    """A model that says grey whatever it sees, by bits that are always the same."""
    model = BsqTokenizer(BsqConfig(8, 12, 64, 0, 0, 8, 0))
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)
    pictures = [torch.full((1, 3, 256, 256), 128, dtype=torch.uint8)]
    figures = evaluate(model, pictures, (6, 12), CPU)
    # the decoder says 127.5, which rounds to 128 (to even): no error at all
    assert figures == {
        "k6": f"{6 / 64:.4f}bpp/infdB/1.0000/nan",
        "k12": f"{12 / 64:.4f}bpp/infdB/1.0000/nan",
        "bit_entropy": "0.0000/0.0000",
        "sub_code_entropy": 0.0,
    }
    assert evaluate(model, [], (6, 12), CPU) == {}
    scene = torch.from_numpy(make_scene(256, 256, 1)).permute(2, 0, 1)[None]
    figures = evaluate(tiny(bits=12), [scene], (6, 12), CPU)
    assert figures["k12"] != figures["k6"] and 0 < figures["sub_code_entropy"] <= 1


@pytest.fixture
def train(
    tmp_path: Path, make_scene: MakeScene, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., dict[str, Any]]:
    """Run the trainer on three pictures, and return its checkpoint."""
    monkeypatch.setattr(speed, "MEASURED_SECONDS", 0.01)
    monkeypatch.setattr(bsq, "START_CROPS", 60)
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    for number in range(3):
        Image.fromarray(make_scene(260, 290, number)).save(f"data/{number}.png")
    save_file(random_weights(), "lpips.safetensors")

    def run(*more: str, out: str = "run") -> dict[str, Any]:
        parser = argparse.ArgumentParser()
        bsq.add_arguments(parser)
        arguments = ["--data", "data", "--cache", "cache", "--out", out, "--no-compile"]
        shape = ["--bits", "12", "--width", "64", "--encoder-blocks", "1", "--decoder-blocks", "1"]
        size = ["--batch", "2", "--crop", "128", "--minutes", "0.005"]
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
    options = ["--depths", "6", "12:3", "--lpips", "lpips.safetensors"]
    options += ["--validation", "data", "--validation-limit", "1"]
    first = train(*options)
    last = log_of("run")[-1]
    assert last["step"] == first["count"] >= 1
    assert {"loss", "rmse", "lpips", "penalty", "k12", "k6", "bit_entropy"} <= last.keys()
    assert last["k6"].startswith(f"{6 / 64:.4f}bpp/") and "nan" not in last["k6"]
    config, _ = averaged(Path("run"))
    assert BsqConfig(**config) == BsqConfig(8, 12, 64, 1, 1, depths=(6, 12))

    second = train(*options, "--minutes", str(first["seconds"] / 60 + 0.003))
    assert second["count"] > first["count"] and second["seconds"] > first["seconds"]
    still = [k for k, v in second["module"].items() if torch.equal(v, first["module"][k])]
    assert still == []

    warm = train(*options, "--init", "run", "--rate", "0", out="warm")
    for name, value in second["average"].items():
        assert torch.equal(warm["module"][name], value)


def test_an_exported_file_is_a_start(train: Callable[..., dict[str, Any]]) -> None:
    first = train("--adversarial", "0.1")
    parser = argparse.ArgumentParser()
    export_bsq.add_arguments(parser)
    export_bsq.main(parser.parse_args(["--tokenizer", "run", "--out", "out/bsq.safetensors"]))
    warm = train("--init", "out/bsq.safetensors", "--rate", "0", out="warm")
    for name, value in first["average"].items():
        if name.startswith("tokenizer."):
            assert torch.equal(warm["module"][name], value.half().float())


def test_a_longer_code_starts_from_a_shorter_one(train: Callable[..., dict[str, Any]]) -> None:
    first = train()["average"]
    longer = train("--init", "run", "--bits", "24", "--rate", "0", out="longer")["module"]
    for name, value in first.items():
        inside = tuple(map(slice, value.shape))
        assert torch.equal(longer[name][inside], value), name
    assert longer["tokenizer.encoder.project.weight"].shape == (24, 64)
    with pytest.raises(ValueError, match="do not fit each other"):
        train("--init", "run", "--bits", "24", "--decoder-blocks", "2", out="deeper")


def test_a_frozen_encoder_keeps_its_codes(train: Callable[..., dict[str, Any]]) -> None:
    first = train()["average"]
    second = train("--init", "run", "--freeze-encoder", out="decoder")["average"]
    for name, value in first.items():
        kept = torch.equal(second[name], value)
        assert kept == name.startswith("tokenizer.encoder.") or not value.any(), name


def test_the_mean_of_runs_is_exported(train: Callable[..., dict[str, Any]]) -> None:
    first = train()["average"]
    second = train("--init", "run", "--freeze-encoder", out="decoder")["average"]
    parser = argparse.ArgumentParser()
    export_bsq.add_arguments(parser)
    made = ["--tokenizer", "run", "decoder", "--out", "out/mean.safetensors"]
    export_bsq.main(parser.parse_args(made))
    mean = train("--init", "out/mean.safetensors", "--rate", "0", out="warm")["module"]
    for name, value in first.items():
        torch.testing.assert_close(
            mean[name], (value + second[name]).half().float() / 2, rtol=2e-3, atol=1e-4
        )


def test_losses_and_their_parts(train: Callable[..., dict[str, Any]]) -> None:
    """One step each, on the same crops with the same weights."""
    one = ["--minutes", "10", "--stop-after", "0"]
    logs = {}
    for name, more in {
        "plain": [],
        "mixed": ["--ms-ssim", "0.5"],
        "bare": ["--entropy", "0"],
        "seen": ["--lpips", "lpips.safetensors", "--perceptual", "2"],
        "small": ["--crop", "64"],
    }.items():
        train(*one, *more, out=name)
        (logs[name],) = log_of(name)
        assert logs[name]["step"] == 1
    assert "penalty" not in logs["bare"] and "lpips" not in logs["bare"]
    assert logs["plain"]["rmse"] == logs["seen"]["rmse"] == logs["bare"]["rmse"]
    parts = logs["bare"]["loss"] + 0.1 * logs["plain"]["penalty"]
    assert logs["plain"]["loss"] == pytest.approx(parts, abs=1e-4)
    parts = logs["plain"]["loss"] + 2 * logs["seen"]["lpips"]
    assert logs["seen"]["loss"] == pytest.approx(parts, abs=1e-3)
    assert len({log["loss"] for log in logs.values()}) == len(logs)


def test_an_adversary_joins_and_resumes(
    train: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bsq, "ADVERSARIAL_ALONE", 0.0)
    monkeypatch.setattr(bsq, "ADVERSARIAL_RAMP", 1e-6)
    options = ["--adversarial", "0.1"]
    first = train(*options)
    last = log_of("run")[-1]
    assert last["adversary"] > 0 and 0 <= last["told_apart"] <= 1
    second = train(*options, "--minutes", str(first["seconds"] / 60 + 0.003))
    for name in ("tokenizer.decoder.out.weight", "adversary.out.weight"):
        assert not torch.equal(second["module"][name], first["module"][name])
    plain = train("--init", "run", "--rate", "0", out="plain")
    assert not any(name.startswith("adversary") for name in plain["module"])
    late = train(*options, "--adversarial-after", "100", "--stop-after", "0", out="late")
    assert "adversary" not in log_of("late")[-1] and late["count"] == 1


def test_the_adversary_begins_alone_and_its_weight_rises() -> None:
    fractions = [bsq.adversarial_fraction(m, 5) for m in (0, 4.9, 5, 7, 12, 17, 100)]
    assert fractions == pytest.approx([-1, -1, 0, 0, 0.5, 1, 1])


def test_the_linear_start_is_better_than_none(train: Callable[..., dict[str, Any]]) -> None:
    """The first step's error is that of the linear paths, far below the pictures' variance."""
    train("--minutes", "10", "--stop-after", "0")
    (line,) = log_of("run")
    pictures = [np.asarray(Image.open(path)) for path in sorted(Path("data").iterdir())]
    spread = float(np.std(np.concatenate([p.reshape(-1, 3) for p in pictures])))
    assert line["rmse"] < 0.7 * spread


def test_the_command_is_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bsqcodec.training", "bsq", "--help"])
    with pytest.raises(SystemExit, match="0"):
        __main__.main()
    assert "--depths" in capsys.readouterr().out
