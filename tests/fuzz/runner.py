"""Runs cases in a worker process, watches its time, and starts another where one ends."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
WORKER = ("-m", "tests.fuzz.worker")
CASE_SECONDS = 60.0
"""What a case may take of a processor; most take some hundredths of a second."""
WAITING = 10
"""By the clock it may take this many times as long, since other work may keep it waiting."""
START_SECONDS = 600.0


@dataclass(frozen=True)
class Failure:
    """A case that did not end as it may."""

    number: int
    what: str


@dataclass
class Report:
    """What became of the cases.

    outcomes: counts by target; seconds and mib: the largest of a case.
    """

    seed: int
    first: int
    cases: int = 0
    seconds: float = 0.0
    slowest: tuple[float, int] = (0.0, -1)
    largest_mib: tuple[float, int] = (0.0, -1)
    outcomes: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    failures: list[Failure] = field(default_factory=list)

    def add(self, answer: dict[str, Any]) -> None:
        """Count a case that the worker came to the end of."""
        number = answer["number"]
        self.cases += 1
        self.slowest = max(self.slowest, (answer["seconds"], number))
        self.largest_mib = max(self.largest_mib, (answer["mib"], number))
        if "failure" in answer:
            self.failures.append(Failure(number, answer["failure"]))
        else:
            self.outcomes[answer["target"]][answer["outcome"]] += 1

    def lost(self, number: int, what: str) -> None:
        """Count a case in which the worker ended."""
        self.cases += 1
        self.failures.append(Failure(number, what))

    def to_json(self) -> dict[str, Any]:
        """All of it, for a file."""
        return {
            "seed": self.seed,
            "first": self.first,
            "cases": self.cases,
            "seconds": round(self.seconds, 1),
            "slowest_s": self.slowest,
            "largest_mib": self.largest_mib,
            "outcomes": {name: dict(found) for name, found in sorted(self.outcomes.items())},
            "failures": [vars(failure) for failure in self.failures],
        }


class Worker:
    """A worker process, whose lines are waited for with patience that ends."""

    def __init__(self, command: tuple[str, ...]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=ROOT,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"},
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def ask(self, seed: int, first: int, count: int) -> None:
        """Have it run cases."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{seed} {first} {count}\n")
        self.process.stdin.flush()

    def line(self, seconds: float) -> str | None:
        """Its next line, "" when it has ended, None when it takes longer."""
        begun, latest = self._processor_seconds(), time.monotonic() + WAITING * seconds
        while True:
            try:
                return self._lines.get(timeout=seconds)
            except queue.Empty:
                used = self._processor_seconds() - begun
                if used >= seconds or time.monotonic() >= latest:
                    return None

    def _processor_seconds(self) -> float:
        """Seconds that a processor has worked for it; those of the clock where none tells."""
        try:
            fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return time.monotonic()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self) -> int:
        """End it; its status."""
        self.process.kill()
        status = self.process.wait()
        self._reader.join()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with suppress(OSError):  # what was not sent yet need not be
                    pipe.close()
        return status


def run_cases(
    seed: int,
    first: int,
    count: int,
    *,
    command: tuple[str, ...] = WORKER,
    case_seconds: float = CASE_SECONDS,
    progress: Callable[[Report], object] | None = None,
) -> Report:
    """Run cases first .. first + count - 1 of a seed. Raises RuntimeError if no worker starts."""
    report, started = Report(seed, first), time.perf_counter()
    number, last = first, first + count
    while number < last:
        worker = Worker(command)
        try:
            if not worker.line(START_SECONDS):
                raise RuntimeError(f"no worker starts: {worker.end()}")
            worker.ask(seed, number, last - number)
            while number < last:
                line = worker.line(case_seconds)
                if line is None:
                    report.lost(number, f"it took more than {case_seconds:g} s")
                elif not line:
                    report.lost(number, f"the process ended with status {worker.process.wait()}")
                else:
                    report.add(json.loads(line))
                report.seconds = time.perf_counter() - started
                number += 1
                if progress is not None:
                    progress(report)
                if not line or (report.failures and report.failures[-1].number == number - 1):
                    break
        finally:
            worker.end()
    return report
