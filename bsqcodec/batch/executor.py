"""Who does the work of a batch: what worker processes here and on other machines have in common."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from bsqcodec.batch.work import Job, Outcome


@dataclass(frozen=True)
class Advance:
    """How many frames of a file are done, a part of one counting as such; total: if known."""

    frames: float
    total: float | None


Event: TypeAlias = "tuple[int, Advance | Outcome]"
"""The index of a job, and what is new of it; an Outcome is the last of a job."""


class Executor(Protocol):
    """Does jobs, several at a time."""

    def run(self, jobs: Sequence[Job]) -> Generator[Event, None, None]:
        """Do the jobs and tell how they go, in any order; closing the iterator stops them.

        Raises BatchError where no worker is left to do them.
        """
        ...
