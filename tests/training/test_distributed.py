"""Two processes under torchrun: one model, crops of their own, one clock; and they go on."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bsqcodec.training import loop as loop_module
from bsqcodec.training.distributed import World, buckets, join
from bsqcodec.training.loop import Loop
from bsqcodec.training.optim import make_optimizers

from .distributed_worker import CONFIG, STEPS, Clock, Tiny, rows

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where two processes left what they ended with."""
    folder = tmp_path_factory.mktemp("distributed")
    run = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [sys.executable, "-m", *run, "-m", "tests.training.distributed_worker", str(folder)],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def ends(folder: Path) -> list[dict[str, Any]]:
    return [torch.load(folder / f"rank{rank}.pt") for rank in range(2)]


def assert_same_weights(a: dict[str, Any], b: dict[str, Any]) -> None:
    assert a["count"] == b["count"] and a["seconds"] == b["seconds"]
    assert a["module"].keys() == b["module"].keys()
    for name, value in a["module"].items():
        assert torch.equal(value, b["module"][name]), name


def test_gradients_are_averaged_and_missing_ones_count_as_zero(ends: list[dict[str, Any]]) -> None:
    for end in ends:
        *found, never = end["average"]
        assert never is None
        for gradient, expected in zip(found, [(1 + 11) / 2, 2 / 2, 13 / 2], strict=True):
            assert torch.equal(gradient, torch.full((3, 2), expected))


def test_two_processes_equal_one_with_twice_the_batch(
    ends: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with torch.random.fork_rng(devices=[]), monkeypatch.context() as patch:
        model = Tiny(seed=0)
        alone = Loop(model, make_optimizers(model, 0.01), CONFIG, tmp_path)
        patch.setattr(loop_module.time, "monotonic", Clock(1.0))
        patch.setattr(loop_module, "matmul_rate", lambda device: 1e6)

        def step(generator: np.random.Generator) -> tuple[Tensor, dict[str, Tensor]]:
            return model.loss(*rows(alone.count)), {}

        alone.run(step, lambda state: {})
    assert_same_weights(ends[0]["halves"], ends[1]["halves"])
    assert ends[0]["halves"]["count"] == alone.count == STEPS
    start = Tiny(seed=0).state_dict()
    for name, value in alone.module.state_dict().items():
        torch.testing.assert_close(ends[0]["halves"]["module"][name], value, atol=1e-4, rtol=1e-3)
        moved = (value - start[name]).abs().max() > 0.005
        assert moved != name.startswith("unused")


def test_only_the_first_process_validates_and_logs(folder: Path) -> None:
    lines = (folder / "halves" / "log.jsonl").read_text().splitlines()
    figures = [json.loads(line) for line in lines]
    assert [f["step"] for f in figures] == [1, STEPS]
    assert all(f["valid"] == 0 for f in figures)
    assert figures[0]["minutes"] == pytest.approx(1 / 60, abs=0.01)


def test_all_processes_stop_together_and_go_on_exactly(
    ends: list[dict[str, Any]], folder: Path
) -> None:
    for end in ends:
        assert end["stopped"]["count"] == 3
        assert_same_weights(end["cut"], end["straight"])
        assert end["cut"]["numpy"] == end["straight"]["numpy"]
    assert_same_weights(ends[0]["cut"], ends[1]["cut"])
    assert ends[0]["cut"]["numpy"] != ends[1]["cut"]["numpy"]
    assert len(torch.load(folder / "cut" / "checkpoint.pt")["random"]) == 2


@pytest.mark.parametrize("name", ["tokenizer", "resumed", "prior"])
def test_trainers_keep_one_model(ends: list[dict[str, Any]], name: str) -> None:
    assert_same_weights(ends[0][name], ends[1][name])
    assert ends[0][name]["numpy"] != ends[1][name]["numpy"]
    assert ends[0]["resumed"]["count"] > ends[0]["tokenizer"]["count"] >= 1


def test_trainers_report_the_speed_of_both(folder: Path) -> None:
    for name in ("tokenizer", "prior"):
        lines = (folder / name / "log.jsonl").read_text().splitlines()
        for figures in map(json.loads, lines):
            assert figures["tflops"] > 0 and 0 < figures["utilisation"] < 1.5


def test_buckets_keep_the_order_and_the_size() -> None:
    tensors = [torch.zeros(n, dtype=torch.uint8) for n in (3, 3, 9, 1, 2, 2, 1)]
    sizes = [[len(t) for t in bucket] for bucket in buckets(tensors, 6)]
    assert sizes == [[3, 3], [9], [1, 2, 2, 1]]
    assert list(buckets([], 6)) == []


def test_without_torchrun_there_is_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    with join("cpu") as world:
        assert world == World() and world.first
        world.wait()
        assert world.agree(1.5, True) == (1.5, True)
        assert world.gather("x") == ["x"]
