"""The training loop: interrupted and resumed, it ends exactly where it would have ended."""

import json
import logging
import math
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bsqcodec.training import loop as loop_module
from bsqcodec.training.loop import Loop, LoopConfig
from bsqcodec.training.optim import make_optimizers

from ..tiny_models import seeded

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


class Clock:
    """Passes by a second each time that it is looked at."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        self.seconds += 1
        return self.seconds


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    """Each step takes a second, whatever the machine does; its matrix products are as steady."""
    clock = Clock()
    with monkeypatch.context() as patch:
        patch.setattr(loop_module.time, "monotonic", clock)
        patch.setattr(loop_module, "matmul_rate", lambda device: 1e6)
        yield clock


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

    loop.average.state["bad"] = Unsaveable()
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
    rates = rates[2:]  # the first steps count operations and compile
    assert rates[0] == pytest.approx(1e-4) and rates[1] == pytest.approx(5e-3)
    assert rates[2:50] == [0.01] * 48
    assert rates[-1] < 2e-4


def sliced(folder: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, limit: float) -> list[Loop]:
    """Processes of so many seconds each, one after the other, to the end of the schedule."""
    slices: list[Loop] = []
    monkeypatch.setattr(loop_module, "END_SECONDS", 6.0)  # looks at this clock take time as well
    while not slices or slices[-1].progress < 1:
        monkeypatch.setattr(loop_module, "STARTED", clock.seconds)
        slices.append(make(folder, replace(CONFIG, stop_after=limit / 60, save_every=4 / 60)))
        slices[-1].resume()
        run(slices[-1])
        assert clock.seconds - loop_module.STARTED <= limit
    return slices


@pytest.mark.parametrize("limit", [20, 25, 40])
def test_slices_are_exactly_one_run(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, limit: float
) -> None:
    straight = make(tmp_path / "straight")
    run(straight)
    slices = sliced(tmp_path / "sliced", clock, monkeypatch, limit)
    assert len(slices) > 1
    counts = [loop.count for loop in slices]
    assert counts == sorted(set(counts))
    expected = state_of(straight)
    torch.set_rng_state(torch.load(tmp_path / "sliced" / "checkpoint.pt")["random"][0]["torch"])
    assert_same(state_of(slices[-1]), expected)


def test_slices_do_not_validate_more_often_and_log_their_ends(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    slices = sliced(tmp_path, clock, monkeypatch, 40)
    assert len(slices) > 1
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    steps = [line["step"] for line in lines]
    assert steps == sorted(set(steps))
    assert {loop.count for loop in slices} <= set(steps)
    validated = [line["step"] for line in lines if "valid" in line]
    assert validated[0] == 1 and validated[-1] == STEPS
    assert min(np.diff(validated[:-1])) >= 3


def test_a_step_is_made_even_if_the_time_is_up(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(loop_module, "STARTED", clock.seconds - 1000)
    with caplog.at_level(logging.INFO):
        run(make(tmp_path, replace(CONFIG, stop_after=1.0)))
    assert "the same command goes on from here" in caplog.text
    again = make(tmp_path)
    assert again.resume() and again.count == 1


def test_a_validation_that_would_take_too_long_is_left_to_the_next_process(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps and checkpoints take a second or two, validations a hundred."""

    def slow(loop: Loop, limit: float) -> list[int]:
        validated = []

        def validate(state: dict[str, Tensor]) -> dict[str, Any]:
            validated.append(loop.count)
            clock.seconds += 100
            return {}

        def step(generator: np.random.Generator) -> tuple[Tensor, dict[str, Tensor]]:
            return loop.module(torch.ones(1, 4)).sum(), {}

        monkeypatch.setattr(loop_module, "STARTED", clock.seconds)
        loop.resume()
        loop.run(step, validate)
        assert clock.seconds - loop_module.STARTED <= limit
        return validated

    config = replace(CONFIG, minutes=10.0, validate_every=1 / 60, save_every=10.0)
    first = make(tmp_path, replace(config, stop_after=150 / 60))
    assert slow(first, 150) == [1]
    assert first.count > 5
    second = make(tmp_path, replace(config, stop_after=150 / 60))
    assert slow(second, 150) == [first.count + 1]


def test_sigterm_stops_after_the_step(tmp_path: Path) -> None:
    straight = make(tmp_path / "straight")
    run(straight)
    expected = state_of(straight)
    before = signal.getsignal(signal.SIGTERM)
    cut = make(tmp_path / "cut", replace(CONFIG, save_every=10.0))

    def step(generator: np.random.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        x = torch.from_numpy(generator.standard_normal((6, 4), np.float32))
        if cut.count == 4:
            signal.raise_signal(signal.SIGTERM)
        return (cut.module(x) - torch.rand(6, 8)).square().mean(), {}

    cut.run(step, lambda state: {})
    assert cut.count == 5
    assert signal.getsignal(signal.SIGTERM) is before
    assert json.loads((tmp_path / "cut" / "log.jsonl").read_text().splitlines()[-1])["step"] == 5
    again = make(tmp_path / "cut")
    again.resume()
    run(again)
    assert_same(state_of(again), expected)


def test_the_log_has_the_speed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        run(make(tmp_path))
    # 6 rows through 4x8 and 8x8; the input needs no gradient. A step takes a second.
    operations = 2 * 6 * (2 * 4 * 8 + 3 * 8 * 8)
    assert f"{operations / 1e9:.4g} GFLOP a step" in caplog.text
    for line in (tmp_path / "log.jsonl").read_text().splitlines():
        figures = json.loads(line)
        assert figures["tflops"] == pytest.approx(operations / 1e12, rel=1e-3)
        assert figures["utilisation"] == pytest.approx(operations / 1e6, rel=1e-2)


def test_figures_that_only_some_steps_have_are_means_of_those() -> None:
    window = loop_module.Window()
    for figures in ({"loss": 1.0, "a": 1.0}, {"loss": 2.0, "b": 3.0}, {"loss": 6.0, "a": 2.0}):
        window.add({name: torch.tensor(value) for name, value in figures.items()})
    assert window.figures() == {"loss": 3.0, "a": 1.5, "b": 3.0}


def test_a_step_too_large_to_count_is_trained_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_memory(action: object) -> int:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(loop_module, "count_flops", no_memory)
    with caplog.at_level(logging.WARNING):
        run(make(tmp_path))
    assert "operations not counted" in caplog.text
    assert "tflops" not in (tmp_path / "log.jsonl").read_text()


def test_a_profile_is_logged_and_leaves_no_trace(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    loop = make(tmp_path / "profile", replace(CONFIG, profile=3))
    with caplog.at_level(logging.INFO):
        assert run(loop) == []
    assert loop.count == 3
    assert "3 steps" in caplog.text and "aten::addmm" in caplog.text
    assert not (tmp_path / "profile").exists()


def test_checkpoints_of_earlier_versions_go_on(tmp_path: Path) -> None:
    """They had one random state, outside of a list, and not when to validate."""
    straight = make(tmp_path / "straight")
    run(straight)
    expected = state_of(straight)
    with pytest.raises(Interrupted):
        run(make(tmp_path / "cut"), 5)
    path = tmp_path / "cut" / "checkpoint.pt"
    state = torch.load(path)
    (random,) = state.pop("random")
    del state["next_validation"], state["slowest_validation"]
    state |= {"generator": random["numpy"], "torch_rng": random["torch"], "cuda_rng": []}
    torch.save(state, path)
    again = make(tmp_path / "cut")
    again.resume()
    run(again)
    assert_same(state_of(again), expected)


def test_a_run_of_more_processes_goes_on_with_other_random_numbers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(Interrupted):
        run(make(tmp_path), 5)
    path = tmp_path / "checkpoint.pt"
    state = torch.load(path)
    saved = state["random"][0]["numpy"]
    state["random"] *= 2
    torch.save(state, path)
    loop = make(tmp_path)
    start = loop.generator.bit_generator.state
    with caplog.at_level(logging.INFO):
        loop.resume()
    assert "saved by 2 processes" in caplog.text
    assert loop.generator.bit_generator.state not in (json.loads(saved), start)
    run(loop)
    assert loop.count == STEPS
