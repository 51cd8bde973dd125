"""A real dask scheduler and workers, each a process of its own, which tests kill."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import bsqcodec

ROOT = Path(bsqcodec.__file__).parents[1]
PATIENCE = 300


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, and fail if it does not come about."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


class Dask:
    """A scheduler and workers, each a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.file = folder / "scheduler.json"
        self._start("scheduler", "dask_scheduler", "--host", "127.0.0.1", "--port", "0")
        wait_until(lambda: self.file.exists() and self.file.read_text().endswith("}"))
        self.address: str = json.loads(self.file.read_text())["address"]

    def start_worker(self, name: str, path: Path = ROOT) -> None:
        """Start a worker that finds bsqcodec at `path`, and wait until the scheduler has it."""
        local, known = self.folder / name, self._workers()
        arguments = ("--no-nanny", "--nthreads", "1", "--local-directory", str(local))
        self._start(name, "dask_worker", *arguments, "--name", name, path=path)
        wait_until(lambda: self._workers() > known)

    def _workers(self) -> int:
        """How many workers the scheduler has taken in so far."""
        return (self.folder / "scheduler.log").read_text().count("Starting worker compute stream")

    def _start(self, name: str, module: str, *arguments: str, path: Path = ROOT) -> None:
        environment = os.environ | {"PYTHONPATH": str(path), "OMP_NUM_THREADS": "1"}
        with open(self.folder / f"{name}.log", "wb") as log:
            self.processes[name] = subprocess.Popen(
                [
                    *(sys.executable, "-m", f"distributed.cli.{module}", *arguments),
                    *("--scheduler-file", str(self.file), "--no-dashboard"),
                ],
                cwd=self.folder,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def kill(self, name: str) -> None:
        """End one of the processes at once."""
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    def stop(self) -> None:
        """End all of them."""
        for name in list(self.processes):
            self.kill(name)
