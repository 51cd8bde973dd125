"""One training loop for tokenizer and prior: timed schedule, checkpoints, log, averaged weights."""

from __future__ import annotations

import argparse
import copy
import json
import logging
import math
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bsqcodec.machine.precision import network_dtype
from bsqcodec.training import STARTED
from bsqcodec.training.distributed import World
from bsqcodec.training.optim import Average, schedule, set_rate
from bsqcodec.training.speed import OneAhead, count_flops, matmul_rate, profile_table

log = logging.getLogger(__name__)

Step = Callable[[np.random.Generator], tuple[Tensor, dict[str, Tensor]]]
"""A training step's loss, and figures to log, for crops that the generator draws."""

Validate = Callable[[dict[str, Tensor]], dict[str, Any]]
"""Figures to log, for the averaged weights."""

ALONE = World()

END_SECONDS = 3.0
"""What a process may need to end after its checkpoint is written."""


def write_config(folder: Path, model: dict[str, Any], args: argparse.Namespace) -> None:
    """Keep a run's configuration beside its checkpoint; of paths only the last names.

    A run that goes on keeps what it was started with.
    """
    path = folder / "config.json"
    if not path.exists():
        path.write_text(json.dumps({"model": model, "args": recorded(vars(args))}) + "\n")


def recorded(args: dict[str, Any]) -> dict[str, Any]:
    """Arguments as JSON can hold them, without where things are on this machine."""

    def plain(value: Any) -> Any:
        if isinstance(value, list):
            return [plain(v) for v in value]
        return value.name if isinstance(value, Path) else value

    return {k: plain(v) for k, v in args.items() if not callable(v)}


@dataclass(frozen=True)
class LoopConfig:
    """How long and how often; times are minutes of this run's own training time.

    But for `stop_after`: minutes since this process began, after which it saves and ends, though
    the schedule goes on. `profile` is a number of steps to profile, in place of training.
    """

    minutes: float = 60.0
    validate_every: float = 5.0
    save_every: float = 5.0
    stop_after: float | None = None
    clip: float = 1.0
    decay: float = 0.4
    average: float = 0.998
    seed: int = 0
    profile: int = 0


class Loop:
    """Trains until the time is up; everything that it needs to go on is in its checkpoint.

    All processes of the world run the same steps on crops of their own, with averaged gradients,
    and follow the first one's clock; only that one writes to the folder.
    """

    def __init__(
        self,
        module: nn.Module,
        optimizers: list[torch.optim.Optimizer],
        config: LoopConfig,
        folder: Path,
        world: World = ALONE,
    ) -> None:
        world.broadcast(module.state_dict().values())
        self.module = module
        self.parameters = [p for p in module.parameters() if p.requires_grad]
        self.optimizers = optimizers
        self.config = config
        self.folder = folder
        self.world = world
        self.average = Average(module, config.average)
        self.count = 0
        self.seconds = 0.0
        self.next_validation = 0.0
        self.window = Window()
        self.slowest = {"step": 0.0, "save": 0.0, "validation": 0.0}
        self.stop_wanted = False
        self.writes = world.first and not config.profile
        if self.writes:
            folder.mkdir(parents=True, exist_ok=True)
        self._seed()

    @property
    def progress(self) -> float:
        return self.seconds / (60 * self.config.minutes)

    def _seed(self) -> None:
        """Random numbers of this process's own, other ones after a number of steps."""
        key = (self.world.rank, self.count)
        sequence = np.random.SeedSequence(self.config.seed, spawn_key=key)
        self.generator = np.random.default_rng(sequence)
        torch.manual_seed(int(sequence.generate_state(1)[0]))

    def _random_state(self) -> dict[str, Any]:
        cuda = self.world.device.type == "cuda"
        return {
            "numpy": json.dumps(self.generator.bit_generator.state),
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state(self.world.device) if cuda else None,
        }

    def _restore_random_state(self, state: dict[str, Any]) -> None:
        self.generator.bit_generator.state = json.loads(state["numpy"])
        torch.set_rng_state(state["torch"])
        if state["cuda"] is not None and self.world.device.type == "cuda":
            torch.cuda.set_rng_state(state["cuda"], self.world.device)

    def save(self) -> None:
        """Write the checkpoint whole: to a temporary name, then in place."""
        start = time.monotonic()
        random_states = self.world.gather(self._random_state())
        if not self.writes:
            return
        state = {
            "module": self.module.state_dict(),
            "optimizers": [o.state_dict() for o in self.optimizers],
            "average": self.average.state,
            "average_steps": self.average.steps,
            "count": self.count,
            "seconds": self.seconds,
            "next_validation": self.next_validation,
            "slowest_validation": self.slowest["validation"],
            "random": random_states,
            "config": asdict(self.config),
        }
        temporary = self.folder / "checkpoint.tmp"
        torch.save(state, temporary)
        temporary.replace(self.folder / "checkpoint.pt")
        self._took("save", start)

    def resume(self) -> bool:
        """Go on from the folder's checkpoint, if it has one."""
        path = self.folder / "checkpoint.pt"
        if not path.exists():
            return False
        state = torch.load(path, map_location="cpu", weights_only=True)
        self.module.load_state_dict(state["module"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.average.state = {
            k: v.to(self.average.state[k].device) for k, v in state["average"].items()
        }
        self.average.steps = state["average_steps"]
        self.count, self.seconds = state["count"], state["seconds"]
        minutes = self.seconds / 60
        # checkpoints of earlier versions lack some of these
        due = state.get("next_validation", minutes)
        self.next_validation = min(due, minutes + self.config.validate_every)
        self.slowest["validation"] = state.get("slowest_validation", 0.0)
        random_states = state.get("random") or [_earlier_random_state(state)]
        if len(random_states) == self.world.size:
            self._restore_random_state(random_states[self.world.rank])
        else:
            log.info("saved by %d processes: other random numbers", len(random_states))
            self._seed()
        log.info("resumed at step %d, %.1f minutes", self.count, minutes)
        return True

    def record(self, **figures: Any) -> None:
        line = {"step": self.count, "minutes": round(self.seconds / 60, 2), **figures}
        if self.writes:
            with (self.folder / "log.jsonl").open("a") as file:
                file.write(json.dumps(line) + "\n")
        log.info("%s", " ".join(f"{k}={v}" for k, v in line.items()))

    def run(self, step: Step, validate: Validate) -> None:
        """Train to the schedule's end, to the time at which to stop, or to a SIGTERM."""
        if self.progress >= 1:
            return
        with self._sigterm_stops():
            self._warm_up(step)
            if self.config.profile:
                device = self.world.device
                table = profile_table(lambda: self._train(step), self.config.profile, device)
                log.info("%d steps, this process:\n%s", self.config.profile, table)
                return
            self._run(step, validate)

    def _run(self, step: Step, validate: Validate) -> None:
        next_save = self.seconds / 60
        pace = OneAhead(self.world.device)
        stop = False
        while self.progress < 1 and not stop:
            start = time.monotonic()
            self.window.add(self._train(step))
            pace.wait()
            seconds = self.seconds + self._took("step", start)
            stop = self.stop_wanted or (self.world.first and not self._has_time())
            earlier = self.seconds
            self.seconds, stop = self.world.agree(seconds, stop)
            self.window.seconds += self.seconds - earlier
            minutes, done = self.seconds / 60, self.progress >= 1
            if minutes >= next_save or done or stop:
                next_save = minutes + self.config.save_every
                self.save()
            if not self.world.first:
                continue
            due = minutes >= self.next_validation and not stop and self._has_time("validation")
            if done or due:
                self.next_validation = minutes + self.config.validate_every
                figures = self._figures()
                start = time.monotonic()
                figures |= validate(self.average.state)
                self._took("validation", start)
                self.record(**figures)
            elif stop:
                self.record(**self._figures())
        if stop and self.progress < 1:
            log.info("stopped; the same command goes on from here")

    def _train(self, step: Step) -> dict[str, Tensor]:
        set_rate(self.optimizers, schedule(self.progress, decay=self.config.decay))
        loss, figures = step(self.generator)
        loss.backward()
        self.world.average_gradients(self.parameters)
        nn.utils.clip_grad_norm_(self.parameters, self.config.clip)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.average.update(self.module)
        self.count += 1
        return {"loss": loss, **figures}

    def _warm_up(self, step: Step) -> None:
        """Compile, and measure what a step computes and what the machine could.

        It is not training time, and leaves the weights and all random numbers as they were.
        """

        def forward_and_backward() -> None:
            step(copy.deepcopy(self.generator))[0].backward()

        device = self.world.device
        cuda = [torch.cuda.current_device()] if device.type == "cuda" else []
        self.window.rate = self.world.size * matmul_rate(device)
        with torch.random.fork_rng(devices=cuda):
            try:
                self.window.flops = self.world.size * count_flops(forward_and_backward)
            except torch.OutOfMemoryError:
                log.warning("operations not counted: no memory for a step without compilation")
            for parameter in self.parameters:
                parameter.grad = None
            forward_and_backward()
        for parameter in self.parameters:
            parameter.grad = None
        log.info(
            "%.4g GFLOP a step; %s matrix products run at %.3g TFLOP/s",
            self.window.flops / 1e9,
            str(network_dtype(device)).removeprefix("torch."),
            self.window.rate / 1e12,
        )
        self.world.wait()

    def _figures(self) -> dict[str, float]:
        """Figures of the steps since the last record."""
        window = self.window
        self.window = Window(flops=window.flops, rate=window.rate)
        return window.figures()

    def _took(self, what: str, start: float) -> float:
        """Seconds since the start, of which the largest is kept."""
        seconds = time.monotonic() - start
        self.slowest[what] = max(self.slowest[what], seconds)
        return seconds

    def _has_time(self, first: str | None = None) -> bool:
        """Whether there is time for a step, a checkpoint, and something else before them."""
        if self.config.stop_after is None:
            return True
        left = 60 * self.config.stop_after - (time.monotonic() - STARTED)
        need = self.slowest["step"] + 1.5 * self.slowest["save"] + END_SECONDS
        return left >= need + (self.slowest[first] if first else 0.0)

    @contextmanager
    def _sigterm_stops(self) -> Iterator[None]:
        """Inside, a SIGTERM only asks to stop after the step."""

        def want_stop(*_: object) -> None:
            self.stop_wanted = True

        if threading.current_thread() is not threading.main_thread():
            yield  # only the main thread may handle signals
            return
        previous = signal.signal(signal.SIGTERM, want_stop)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, previous)


@dataclass
class Window:
    """The steps since the last record: sums of their figures, how many, and their time.

    Not every step has every figure; means are of those that have it.
    """

    flops: int = 0
    """Operations of a step of all processes; 0 if not counted."""
    rate: float = math.nan
    """Operations a second of matrix products of all processes."""
    steps: int = 0
    seconds: float = 0.0
    sums: dict[str, Tensor] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, figures: dict[str, Tensor]) -> None:
        """Add a step's figures; the sums stay on their device, so that nothing waits for it."""
        for key, value in figures.items():
            previous = self.sums.get(key)
            self.sums[key] = value.detach() if previous is None else previous + value.detach()
        self.counts.update(figures.keys())
        self.steps += 1

    def figures(self) -> dict[str, float]:
        """Means, the achieved TFLOP/s, and what fraction that is of the machine's matrix
        products."""
        result = {k: round(float(v) / self.counts[k], 5) for k, v in self.sums.items()}
        if self.flops and self.seconds:
            speed = self.flops * self.steps / self.seconds
            result["tflops"] = float(f"{speed / 1e12:.4g}")
            result["utilisation"] = float(f"{speed / self.rate:.3g}")
        return result


def _earlier_random_state(state: dict[str, Any]) -> dict[str, Any]:
    """The random state in a checkpoint of a version that knew one process only."""
    cuda = state.get("cuda_rng") or [None]
    return {"numpy": state["generator"], "torch": state["torch_rng"], "cuda": cuda[0]}
