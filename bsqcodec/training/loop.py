"""One training loop for tokenizer and prior: timed schedule, checkpoints, log, averaged weights."""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bsqcodec.training.optim import Average, schedule, set_rate

log = logging.getLogger(__name__)


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
    """How long and how often; times are minutes of this run's own training time."""

    minutes: float = 60.0
    validate_every: float = 5.0
    save_every: float = 5.0
    clip: float = 1.0
    decay: float = 0.4
    average: float = 0.998
    seed: int = 0


class Loop:
    """Runs `step` until the time is up; everything that it needs to go on is in its checkpoint.

    `step(generator)` returns the loss and a dict of figures to log; `validate(state)` gets the
    averaged weights and returns figures.
    """

    def __init__(
        self,
        module: nn.Module,
        optimizers: list[torch.optim.Optimizer],
        config: LoopConfig,
        folder: Path,
    ) -> None:
        self.module = module
        self.optimizers = optimizers
        self.config = config
        self.folder = folder
        self.average = Average(module, config.average)
        self.generator = np.random.default_rng(config.seed)
        self.count = 0
        self.seconds = 0.0
        folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(config.seed)

    @property
    def progress(self) -> float:
        return self.seconds / (60 * self.config.minutes)

    def save(self) -> None:
        """Write the checkpoint whole: to a temporary name, then in place."""
        state = {
            "module": self.module.state_dict(),
            "optimizers": [o.state_dict() for o in self.optimizers],
            "average": self.average.state,
            "average_steps": self.average.steps,
            "count": self.count,
            "seconds": self.seconds,
            "generator": json.dumps(self.generator.bit_generator.state),
            "torch_rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state_all(),
            "config": asdict(self.config),
        }
        temporary = self.folder / "checkpoint.tmp"
        torch.save(state, temporary)
        temporary.replace(self.folder / "checkpoint.pt")

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
        self.generator.bit_generator.state = json.loads(state["generator"])
        torch.set_rng_state(state["torch_rng"])
        cuda_rng = state.get("cuda_rng", [])  # checkpoints of earlier versions have none
        if len(cuda_rng) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(cuda_rng)
        log.info("resumed at step %d, %.1f minutes", self.count, self.seconds / 60)
        return True

    def record(self, **figures: Any) -> None:
        line = {"step": self.count, "minutes": round(self.seconds / 60, 2), **figures}
        with (self.folder / "log.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
        log.info("%s", " ".join(f"{k}={v}" for k, v in line.items()))

    def run(
        self,
        step: Callable[[np.random.Generator], tuple[Tensor, dict[str, Tensor]]],
        validate: Callable[[dict[str, Tensor]], dict[str, Any]],
    ) -> None:
        parameters = [p for p in self.module.parameters() if p.requires_grad]
        sums: dict[str, Tensor] = {}
        summed = 0
        next_validation = next_save = self.seconds / 60
        if self.count == 0:  # compilation is not training time
            step(self.generator)[0].backward()
            for optimizer in self.optimizers:
                optimizer.zero_grad(set_to_none=True)
        while self.progress < 1:
            start = time.monotonic()
            set_rate(self.optimizers, schedule(self.progress, decay=self.config.decay))
            loss, figures = step(self.generator)
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, self.config.clip)
            for optimizer in self.optimizers:
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            self.average.update(self.module)
            self.count += 1
            for key, value in {"loss": loss, **figures}.items():
                sums[key] = sums.get(key, torch.zeros(())) + value.detach().cpu()
            summed += 1
            self.seconds += time.monotonic() - start
            minutes = self.seconds / 60
            done = self.progress >= 1
            if minutes >= next_validation or done:
                next_validation = minutes + self.config.validate_every
                means = {k: round(float(v) / summed, 5) for k, v in sums.items()}
                sums, summed = {}, 0
                self.record(**means, **validate(self.average.state))
            if minutes >= next_save or done:
                next_save = minutes + self.config.save_every
                self.save()
