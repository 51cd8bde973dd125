"""The training loop: interrupted and resumed, it ends exactly where it would have ended."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bsqcodec.training import loop as loop_module
from bsqcodec.training.loop import Loop, LoopConfig
from bsqcodec.training.optim import make_optimizers

from ..models import seeded

STEPS = 12
CONFIG = LoopConfig(minutes=STEPS / 60, validate_every=2.5 / 60, save_every=0.0, seed=5)


class Tiny(nn.Module):
    """A matrix for Muon, others for AdamW, and a buffer of integers as the prior has."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 8)
        self.blocks = nn.Sequential(nn.Linear(8, 8))
        self.register_buffer("planes", torch.tensor([1, 2], dtype=torch.uint8))

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(torch.relu(self.first(x)))


class Interrupted(Exception):
    pass


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step takes a second, whatever the machine does."""
    ticks = iter(range(10**6))
    monkeypatch.setattr(loop_module.time, "monotonic", lambda: float(next(ticks)))


@pytest.fixture(autouse=True)
def random_state() -> Any:
    with torch.random.fork_rng(devices=[]):
        yield


def make(folder: Path, config: LoopConfig = CONFIG) -> Loop:
    with seeded(1):
        module = Tiny()
    return Loop(module, make_optimizers(module, 0.01), config, folder)


def run(loop: Loop, stop_at: int | None = None) -> list[dict[str, Tensor]]:
    """Train with both sources of random numbers; returns what `validate` was given."""
    validated: list[dict[str, Tensor]] = []

    def step(generator: np.random.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        x = torch.from_numpy(generator.standard_normal((6, 4), np.float32))
        loss = (loop.module(x) - torch.rand(6, 8)).square().mean()
        if loop.count == stop_at:
            raise Interrupted
        return loss, {"twice": 2 * loss}

    def validate(state: dict[str, Tensor]) -> dict[str, Any]:
        validated.append({k: v.clone() for k, v in state.items()})
        return {"valid": 1}

    loop.run(step, validate)
    return validated


def state_of(loop: Loop) -> dict[str, Any]:
    return {
        **{f"module.{k}": v for k, v in loop.module.state_dict().items()},
        **{f"average.{k}": v for k, v in loop.average.state.items()},
        "count": loop.count,
        "seconds": loop.seconds,
        "average_steps": loop.average.steps,
        "generator": loop.generator.bit_generator.state,
        "torch": torch.get_rng_state(),
        **{
            f"optimizer.{i}.{j}.{k}": v
            for i, optimizer in enumerate(loop.optimizers)
            for j, state in optimizer.state_dict()["state"].items()
            for k, v in state.items()
        },
    }


def assert_same(a: dict[str, Any], b: dict[str, Any]) -> None:
    assert a.keys() == b.keys()
    for key, value in a.items():
        same = torch.equal(value, b[key]) if isinstance(value, Tensor) else value == b[key]
        assert same, key


@pytest.mark.parametrize("stop_at", [1, 5, STEPS - 1])
def test_resumed_training_is_exactly_uninterrupted_training(tmp_path: Path, stop_at: int) -> None:
    straight = make(tmp_path / "straight")
    assert straight.resume() is False
    run(straight)
    expected = state_of(straight)
    assert straight.count == STEPS

    with pytest.raises(Interrupted):
        run(make(tmp_path / "cut"), stop_at)
    torch.rand(100)
    again = make(tmp_path / "cut")
    assert again.resume() is True
    assert again.count == stop_at
    run(again)
    assert_same(state_of(again), expected)


def test_training_moves_the_weights_and_follows_the_seed(tmp_path: Path) -> None:
    ends = []
    for number, seed in enumerate((5, 5, 6)):
        loop = make(tmp_path / str(number), LoopConfig(minutes=STEPS / 60, seed=seed))
        before = loop.module.state_dict()["first.weight"].clone()
        run(loop)
        after = loop.module.state_dict()["first.weight"]
        assert (before - after).abs().max() > 0.01
        ends.append(after.clone())
    assert torch.equal(ends[0], ends[1]) and not torch.equal(ends[0], ends[2])


def test_a_finished_run_does_nothing_more(tmp_path: Path) -> None:
    first = make(tmp_path)
    run(first)
    again = make(tmp_path)
    again.resume()
    before = state_of(again)
    assert again.progress == 1
    assert run(again) == []
    assert_same(state_of(again), before)


def test_a_longer_run_goes_on_from_a_finished_one(tmp_path: Path) -> None:
    run(make(tmp_path))
    longer = make(tmp_path, LoopConfig(minutes=2 * STEPS / 60, seed=5))
    longer.resume()
    assert longer.progress == 0.5
    run(longer)
    assert longer.count == 2 * STEPS


def test_the_log_has_means_and_figures(tmp_path: Path) -> None:
    loop = make(tmp_path)
    validated = run(loop)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 4, 7, 10, 12]
    assert len(validated) == len(lines)
    for line in lines:
        assert line["twice"] == pytest.approx(2 * line["loss"], rel=1e-3)
        assert line["valid"] == 1 and math.isfinite(line["loss"])
        assert line["minutes"] == pytest.approx(line["step"] / 60, abs=0.01)


def test_validation_gets_the_averaged_weights(tmp_path: Path) -> None:
    loop = make(tmp_path)
    last = run(loop)[-1]
    for name, value in loop.average.state.items():
        assert torch.equal(last[name], value)
    weight = loop.module.state_dict()["first.weight"]
    assert not torch.equal(last["first.weight"], weight)


def test_checkpoints_are_replaced_whole(tmp_path: Path) -> None:
    """An interrupted save leaves the checkpoint before it."""
    loop = make(tmp_path)
    run(loop)
    good = (tmp_path / "checkpoint.pt").read_bytes()
    assert not (tmp_path / "checkpoint.tmp").exists()

    class Unsaveable:
        def __reduce__(self) -> str:
            raise Interrupted

    loop.average.state["bad"] = Unsaveable()  # type: ignore[assignment]
    with pytest.raises(Interrupted):
        loop.save()
    assert (tmp_path / "checkpoint.pt").read_bytes() == good


def test_the_rate_warms_up_and_decays(tmp_path: Path) -> None:
    loop = make(tmp_path, LoopConfig(minutes=100 / 60, decay=0.5))
    rates = []

    def step(generator: np.random.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        rates.append(loop.optimizers[0].param_groups[0]["lr"])
        return loop.module(torch.ones(1, 4)).sum(), {}

    loop.run(step, lambda state: {})
    rates = rates[1:]  # the first step is the compilation's
    assert rates[0] == pytest.approx(1e-4) and rates[1] == pytest.approx(5e-3)
    assert rates[2:50] == [0.01] * 48
    assert rates[-1] < 2e-4
