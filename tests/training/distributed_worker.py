"""What `test_distributed` has several processes do; each writes what it ends with.

Started by torchrun as `-m tests.training.distributed_worker FOLDER`.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from bsqcodec.training import __main__, distributed, loop, prior, tokenizer
from bsqcodec.training.distributed import World, join
from bsqcodec.training.loop import Loop, LoopConfig
from bsqcodec.training.optim import make_optimizers

from ..tiny_models import PRIOR, TOKENIZER

STEPS = 6
CONFIG = LoopConfig(minutes=STEPS / 60, validate_every=1.0, save_every=1.0, seed=3)
ROWS = 4


class Tiny(nn.Module):
    """One matrix for Muon, others for AdamW, and one that never gets a gradient."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.first = nn.Linear(4, 8)
        self.blocks = nn.Sequential(nn.Linear(8, 8))
        self.unused = nn.Linear(2, 2)

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        return (self.blocks(torch.relu(self.first(x))) - y).square().mean()


class Clock:
    """Passes by some seconds each time that it is looked at."""

    def __init__(self, pace: float) -> None:
        self.pace, self.seconds = pace, 0.0

    def __call__(self) -> float:
        self.seconds += self.pace
        return self.seconds


def average(world: World) -> list[Tensor | None]:
    """Gradients: of both processes, of the first, of the second, of neither."""
    parameters = [nn.Parameter(torch.zeros(3, 2)) for _ in range(4)]
    for index, ranks in enumerate([(0, 1), (0,), (1,), ()]):
        if world.rank in ranks:
            parameters[index].grad = torch.full((3, 2), float(10 * world.rank + index + 1))
    whole = distributed.BUCKET_BYTES
    distributed.BUCKET_BYTES = 30  # one gradient in each
    world.average_gradients(parameters)
    distributed.BUCKET_BYTES = whole
    return [p.grad for p in parameters]


def set_clock(clock: Callable[[], float]) -> None:
    """Have the loop take the time from another clock."""
    setattr(loop.time, "monotonic", clock)  # noqa: B010


def rows(count: int) -> tuple[Tensor, Tensor]:
    """The same inputs and targets of both processes together, by the step."""
    generator = np.random.default_rng(count)
    x = torch.from_numpy(generator.standard_normal((2 * ROWS, 12), np.float32))
    return x[:, :4], x[:, 4:]


def train_on_halves(world: World, folder: Path) -> Loop:
    """Each process trains on its half of the rows; their weights and clocks differ at first."""
    model = Tiny(seed=world.rank)
    result = Loop(model, make_optimizers(model, 0.01), CONFIG, folder, world)
    set_clock(Clock(1.0 + world.rank))
    mine = slice(world.rank * ROWS, (world.rank + 1) * ROWS)

    def step(generator: np.random.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        x, y = rows(result.count)
        return model.loss(x[mine], y[mine]), {}

    result.run(step, lambda state: {"valid": world.rank})
    return result


def train_on_random(world: World, folder: Path, stop_at: int | None) -> Loop:
    """Train on what each process draws; the second one asks to stop."""
    model = Tiny(seed=0)
    result = Loop(model, make_optimizers(model, 0.01), CONFIG, folder, world)
    result.resume()
    set_clock(Clock(1.0))

    def step(generator: np.random.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        x = torch.from_numpy(generator.standard_normal((ROWS, 4), np.float32))
        if result.count == stop_at and world.rank == 1:
            result.stop_wanted = True
        return model.loss(x, torch.rand(ROWS, 8)), {}

    result.run(step, lambda state: {})
    return result


def end_of(result: Loop) -> dict[str, Any]:
    return {
        "module": result.module.state_dict(),
        "count": result.count,
        "seconds": result.seconds,
        "numpy": json.dumps(result.generator.bit_generator.state),
    }


def trainers(world: World, folder: Path) -> dict[str, Any]:
    """Both trainers by their command lines; the tokenizer goes on once."""
    ends: dict[str, Any] = {}
    loops: list[Loop] = []

    class Kept(Loop):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            loops.append(self)

    for module in (tokenizer, prior):
        setattr(module, "Loop", Kept)  # noqa: B010
    if world.first:
        (folder / "data").mkdir()
        for number in range(2):
            pixels = np.random.default_rng(number).integers(0, 256, (140, 150, 3), np.uint8)
            Image.fromarray(pixels).save(folder / "data" / f"{number}.png")
    world.wait()
    shared = ["--data", f"{folder}/data", "--cache", f"{folder}/cache", "--crop", "128"]
    shared += ["--batch", "2", "--no-compile", "--threads", "1", "--data-on-device"]
    models = {"tokenizer": TOKENIZER.to_dict(), "prior": PRIOR.to_dict()}
    del models["prior"]["channels"]
    for name, what, minutes, more in (
        ("tokenizer", "tokenizer", 0.003, []),
        ("resumed", "tokenizer", 0.006, []),
        ("prior", "prior", 0.003, ["--tokenizer", f"{folder}/tokenizer", "--passes", "1"]),
    ):
        out = ["--out", f"{folder}/{what}", "--config", json.dumps(models[what])]
        sys.argv = ["training", what, *shared, *out, "--minutes", str(minutes), *more]
        __main__.main()
        ends[name] = end_of(loops[-1])
    return ends


def main(folder: Path) -> None:
    real, rate = time.monotonic, loop.matmul_rate
    with join("cpu") as world:
        ends: dict[str, Any] = {"average": average(world)}
        setattr(loop, "matmul_rate", lambda *_: 1e6)  # noqa: B010
        ends["halves"] = end_of(train_on_halves(world, folder / "halves"))
        ends["straight"] = end_of(train_on_random(world, folder / "straight", None))
        ends["stopped"] = end_of(train_on_random(world, folder / "cut", 2))
        ends["cut"] = end_of(train_on_random(world, folder / "cut", None))
        set_clock(real)
        loop.matmul_rate = rate
        ends |= trainers(world, folder)
        torch.save(ends, folder / f"rank{world.rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
