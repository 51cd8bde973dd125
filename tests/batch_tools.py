"""What the tests of batches share: pictures to code, and workers that are no processes."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bsqcodec.batch.batch_options import Options
from bsqcodec.batch.executor import Advance, Event
from bsqcodec.batch.job import Result, Status
from bsqcodec.batch.plan import Task
from bsqcodec.batch.work import Job, attempt
from bsqcodec.options import DecodeOptions, EncodeOptions
from bsqcodec.targets import Quality

ENCODING = {field.name for field in fields(EncodeOptions)}


def options(**changes: Any) -> Options:
    """Options of a batch; quality 50 where nothing else is said."""
    encoding: dict[str, Any] = {"target": Quality(50), "max_pixels": 10**6}
    encoding |= {name: changes.pop(name) for name in ENCODING & changes.keys()}
    decoding = DecodeOptions(max_pixels=encoding["max_pixels"])
    return Options(EncodeOptions(**encoding), decoding, **changes)


def save_picture(path: Path, seed: int = 0, size: tuple[int, int] = (24, 32)) -> None:
    """A picture of noise, the same for the same seed, with its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    Image.fromarray(samples).save(path)


def tree(folder: Path) -> dict[str, bytes]:
    """All files below a folder but those of the batch itself, by their relative names."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".bsqcodec-")
    }


def temporary_files(folder: Path) -> list[str]:
    """What is left over of files that were not finished."""
    return sorted(path.name for path in folder.rglob(".bsqcodec-*.part*"))


class Inline:
    """Does jobs in this process, one after the other. `jobs` are those it has begun."""

    def __init__(self) -> None:
        self.jobs: list[str] = []

    def run(self, jobs: Sequence[Job]) -> Generator[Event, None, None]:
        """See bsqcodec.batch.executor.Executor."""
        for index, job in enumerate(jobs):
            self.jobs.append(job.task.name)
            advances: list[Advance] = []
            outcome = attempt(job, lambda *counts, seen=advances: seen.append(Advance(*counts)))
            for advance in advances:
                yield index, advance
            yield index, outcome


class Watch:
    """Keeps what a batch tells."""

    def __init__(self) -> None:
        self.results: dict[str, Result] = {}
        self.begun: list[str] = []
        self.advances: list[tuple[str, Advance]] = []

    def check(self, done: int, total: int) -> None:
        assert 0 <= done < total

    def begin(self, tasks: Sequence[Task]) -> None:
        self.begun = [task.name for task in tasks]

    def advance(self, task: Task, advance: Advance) -> None:
        self.advances.append((task.name, advance))

    def finish(self, result: Result) -> None:
        assert result.task.name not in self.results
        self.results[result.task.name] = result

    def names(self, status: Status) -> list[str]:
        """The files with this status."""
        return sorted(name for name, result in self.results.items() if result.status is status)
