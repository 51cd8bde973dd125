"""Worker processes on this machine: one file at a time each, and a dead one costs only its file."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, Final

from bsqcodec.batch.errors import BatchError
from bsqcodec.batch.executor import Advance, Event
from bsqcodec.batch.work import Failure, Job, attempt, throttled

_READY: Final = "ready"
_SIGNAL_NAMES: Final = {int(number): number.name for number in signal.Signals}


@dataclass
class _Worker:
    """A process and our end of the pipe to it. job: the index of what it works on."""

    process: SpawnProcess
    connection: Connection[Any, Any]
    is_ready: bool = False
    job: int | None = None


class ProcessPool:
    """Does jobs in fresh processes of this machine.

    They are started, not forked, as torch's threads do not survive a fork. They ignore Ctrl-C,
    which is for their parent to act on, and end with their parent, however it ends.
    """

    def __init__(self, workers: int) -> None:
        if workers < 1:
            raise ValueError(f"{workers} workers are too few")
        self._count = workers
        self._workers: dict[Connection[Any, Any], _Worker] = {}

    def run(self, jobs: Sequence[Job]) -> Generator[Event, None, None]:
        """Do the jobs; see `Executor`. A worker that dies is replaced.

        Raises BatchError where a worker dies before it has begun.
        """
        waiting = deque(range(len(jobs)))
        try:
            for _ in range(min(self._count, len(jobs))):
                self._start()
            while self._workers:
                for connection in wait(list(self._workers)):
                    assert isinstance(connection, multiprocessing.connection.Connection)
                    worker = self._workers[connection]
                    event = self._receive(worker)
                    if event is not None:
                        yield event
                    self._continue(worker, jobs, waiting)
        finally:
            self._stop()

    def _receive(self, worker: _Worker) -> Event | None:
        """Read what a worker says, or that it is dead."""
        try:
            message = worker.connection.recv()
        except (EOFError, OSError):
            return self._bury(worker)
        if message == _READY:
            worker.is_ready = True
            return None
        assert worker.job is not None
        job = worker.job
        if not isinstance(message, Advance):
            worker.job = None
        return job, message

    def _continue(self, worker: _Worker, jobs: Sequence[Job], waiting: deque[int]) -> None:
        """Hand a worker without a job the next one, or let it go; replace a dead one."""
        if worker.connection not in self._workers:
            if waiting:
                self._start()
        elif worker.job is None and worker.is_ready:
            if not waiting:
                self._dismiss(worker)
                return
            worker.job = waiting.popleft()
            with suppress(OSError):  # it is dead, which the next reading tells
                worker.connection.send(jobs[worker.job])

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs,), daemon=True)
        with _BlockedInterrupts():
            process.start()
        theirs.close()
        self._workers[ours] = _Worker(process, ours)

    def _bury(self, worker: _Worker) -> Event | None:
        """Take a dead worker off the list; what it worked on has failed."""
        self._remove(worker)
        worker.process.join()
        code = worker.process.exitcode or 0
        how = f"killed by {_SIGNAL_NAMES.get(-code, -code)}" if code < 0 else f"exit status {code}"
        if not worker.is_ready:
            raise BatchError(f"a worker process ended before it had begun ({how})")
        if worker.job is None:
            return None
        hint = (
            "; is there too little memory? fewer --workers take less"
            if code == -signal.SIGKILL
            else ""
        )
        return worker.job, Failure(BatchError(f"the worker process died ({how}){hint}"))

    def _dismiss(self, worker: _Worker) -> None:
        """Let an idle worker go: it ends when its pipe is closed."""
        self._remove(worker)
        worker.process.join()

    def _remove(self, worker: _Worker) -> None:
        del self._workers[worker.connection]
        worker.connection.close()

    def _stop(self) -> None:
        """End what is left at once: files in work have temporary names only."""
        workers = list(self._workers.values())
        for worker in workers:
            self._remove(worker)
            worker.process.kill()
        for worker in workers:
            worker.process.join()


class _BlockedInterrupts:
    """Blocks SIGINT in this thread and, for good, in the processes that it starts meanwhile."""

    def __enter__(self) -> None:
        resource_tracker.ensure_running()  # which would unblock it when it is started itself
        if hasattr(signal, "pthread_sigmask"):
            self._previous = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})

    def __exit__(self, *_: object) -> None:
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_SETMASK, self._previous)


def _serve(connection: Connection[Any, Any]) -> None:
    """What a worker process does: jobs, one after the other, until the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()

    def report(done: float, total: float | None) -> None:
        connection.send(Advance(done, total))

    with suppress(EOFError, OSError):
        connection.send(_READY)
        while True:
            job: Job = connection.recv()
            connection.send(attempt(job, throttled(report)))


def _end_with_parent() -> None:
    """End this process with its parent, even in the middle of a file."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
