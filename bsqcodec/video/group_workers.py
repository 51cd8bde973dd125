"""Who codes groups: a thread of this process, and processes beside it, each a group at a time.

Whoever is free takes the group that waits longest. Where only this process has a group, it codes it
in threads of its own, and a process without any helps (see `bsqcodec.video.coding_threads`). If a
process is killed, this one does its group again, and another takes its place.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeAlias, TypeVar

import torch

from bsqcodec.format.memory_limit import FIXED, available
from bsqcodec.machine.team import working_alone
from bsqcodec.machine.threads import set_own_count, threads_have_ended
from bsqcodec.video.coding_threads import CodingThreads, Helper
from bsqcodec.video.worker_process import WorkerError, WorkerProcess

Result = TypeVar("Result")

Work: TypeAlias = Callable[["WorkerProcess | None", CodingThreads], Result]
"""Codes a group: in a process, or where there is none here, with the help of these threads."""

MIN_FRAMES_FOR_PROCESS = 48
"""A worker process is started when so many frames are expected, read or coded. With 640x360 on
two cores it takes three seconds to start, and then saves .05 to .1 seconds on each frame."""

MAX_LOSSES = 3
"""How often a process that was killed is replaced, and a group done again, in one video."""

_LOOK_SECONDS = 0.1

_PATIENCE_AT_EXIT = 10.0
"""Seconds that an interpreter that ends waits for each thread."""


@dataclass(eq=False)
class Place:
    """A process, and how many groups it has."""

    process: WorkerProcess
    groups: int = 0


class WorkerProcesses:
    """The processes beside this one, started once they save time, and kept for the next video.

    threads: of the CPU; each process works on one, and this process on another. weights, int8: see
    `WorkerProcess`.
    """

    def __init__(self, threads: int, weights: Path, int8: bool | None = None) -> None:
        self._arguments = weights, int8
        self._process_id = os.getpid()
        frozen = getattr(sys, "frozen", False)  # then the executable is no interpreter
        possible = bool(sys.executable) and not frozen
        self.limit = min(threads - 1, available() // FIXED) if possible else 0
        self.places: list[Place] = []
        self._frames = self._expected = self._before = 0
        self._lock = threading.Lock()

    def _leave_to_parent(self) -> None:
        """In a forked process: go without those that are there, whose pipes belong to the
        parent."""
        if self._process_id != os.getpid():
            self._process_id, self.places, self._lock = os.getpid(), [], threading.Lock()

    def expect(self, frames: int | None) -> None:
        """Expect about so many frames to be coded, None if that is not known."""
        self._leave_to_parent()
        with self._lock:
            ended = [place for place in self.places if not place.process.is_alive]
            if not all(place.process.was_ready for place in ended):
                self.limit = 0  # it could not begin, nor could others
            self.places = [place for place in self.places if place not in ended]
            self._before = self._frames
            self._expected = self._before + (frames or 0)
        self.provide(1)

    def expect_at_least(self, frames: int) -> None:
        """Expect so many frames of the video at least, since they have been read."""
        with self._lock:
            if self._before + frames <= self._expected:
                return
            self._expected = self._before + frames
        self.provide(1)

    def count_frame(self) -> None:
        """Count one more frame that is being coded."""
        with self._lock:
            self._frames += 1
            self._expected = max(self._expected, self._frames)
        if self._frames == MIN_FRAMES_FOR_PROCESS:
            self.provide(1)

    def provide(self, count: int) -> None:
        """Start processes until there are so many, as far as that is allowed and saves time."""
        with self._lock:
            if self._expected < MIN_FRAMES_FOR_PROCESS:
                return
            while len(self.places) < min(count, self.limit):
                try:
                    self.places.append(Place(WorkerProcess(*self._arguments)))
                except OSError:
                    self.limit = 0

    def replace(self, place: Place) -> bool:
        """Start a process in the place of one that has ended; return whether there is one now."""
        with self._lock:
            if not place.process.is_alive and place.process.was_ready:
                try:
                    place.process = WorkerProcess(*self._arguments)
                except OSError:
                    self.limit = 0
        return place.process.is_alive

    def free(self) -> WorkerProcess | None:
        """A process that takes work and has no group."""
        self._leave_to_parent()
        for place in self.places:
            if not place.groups and place.process.is_ready:
                return place.process
        return None

    @property
    def are_busy(self) -> bool:
        """Whether any of them has a group."""
        return any(place.groups for place in self.places)

    def close(self) -> None:
        """End them."""
        self._leave_to_parent()
        for place in self.places:
            place.process.close()
        self.places = []


@dataclass(frozen=True)
class _Task(Generic[Result]):
    """Work that waits, and what comes of it."""

    work: Work[Result]
    future: Future[Result]


class GroupWorkers(AbstractContextManager["GroupWorkers"]):
    """Those who code the groups of one video; a context at whose end they stop.

    processes: beside this one, None for none. weights: the file to code with, None for weights
    whose entropy coding no process helps with. side_by_side: see `CodingThreads.started`. most: how
    many groups may be coded at a time, for the sake of memory; None for as many as there are
    processes.
    """

    def __init__(
        self,
        processes: WorkerProcesses | None,
        weights: Path | None,
        side_by_side: bool = True,
        most: int | None = None,
    ) -> None:
        possible = 1 if processes is None else 1 + processes.limit
        self.most = possible if most is None else max(1, min(possible, most))
        self._processes, self._side_by_side = processes, side_by_side
        self._helper = None
        if processes is not None and weights is not None and side_by_side:
            self._helper = Helper(self._find_helper, weights)
        self._count = torch.get_num_threads()
        self._tasks: deque[_Task[Any]] = deque()
        self._changed = threading.Condition()
        self._idle = self._losses = 0
        self._here_is_idle = False
        self.is_closed = False
        self._served: list[Place] = []
        self._threads: list[threading.Thread] = []
        atexit.register(self._stop)  # frames that nobody asks for any more, or a second signal
        self._start_thread(None)

    def submit(self, work: Work[Result]) -> Future[Result]:
        """Have a group coded by whoever is free next."""
        task = _Task(work, Future[Result]())
        with self._changed:
            self._tasks.append(task)
            lack = len(self._tasks) - self._idle
            self._changed.notify_all()
        if self._processes is not None and lack > 0:
            waiting = sum(not place.process.is_ready for place in self._served)
            wanted = len(self._served) + max(lack - waiting, 0)
            self._processes.provide(min(wanted, self.most - 1))
            for place in self._processes.places[: self.most - 1]:
                if place not in self._served:
                    self._served.append(place)
                    self._start_thread(place)
        return task.future

    def count_frame(self) -> None:
        """Count one more frame that is being coded."""
        if self._processes is not None:
            self._processes.count_frame()

    def expect_at_least(self, frames: int) -> None:
        """Expect so many frames of the video at least, since they have been read."""
        if self._processes is not None:
            self._processes.expect_at_least(frames)

    def _find_helper(self) -> WorkerProcess | None:
        """A process that no group waits for."""
        if self._processes is None or (self._tasks and self.most > 1):
            return None
        return self._processes.free()

    def _is_shared(self) -> bool:
        """Whether other processes code groups."""
        return self._processes is not None and self._processes.are_busy

    def _start_thread(self, place: Place | None) -> None:
        """Start the thread that hands groups to a process, or codes them here."""
        target = self._code_here if place is None else lambda: self._hand_out(place)
        thread = threading.Thread(target=target, name="bsqcodec group", daemon=True)
        thread.start()
        self._threads.append(thread)

    def _next(self, is_here: bool) -> _Task[Any] | None:
        """Wait for a task; None when there will be no more.

        A single task is left to this process if it is free, since that can be helped with it.
        """
        with self._changed:
            self._idle += 1
            self._here_is_idle |= is_here
            while not self.is_closed:
                if len(self._tasks) > (self._here_is_idle and not is_here):
                    break
                self._changed.wait()
            self._idle -= 1
            self._here_is_idle &= not is_here
            return None if self.is_closed else self._tasks.popleft()

    def _code_here(self) -> None:
        """Code groups in this thread."""
        set_own_count(self._count)
        while (task := self._next(is_here=True)) is not None:
            self._do(task, None)
            del task

    def _hand_out(self, place: Place) -> None:
        """Have a process code groups, as soon as it is ready, and its successors if it is
        killed."""
        while self._wait_for(place):
            task = self._next(is_here=False)
            if task is None:
                return
            place.groups += 1
            try:
                self._do(task, place.process)
            finally:
                place.groups -= 1
            del task

    def _wait_for(self, place: Place) -> bool:
        """Wait for a process to be ready; return whether it is."""
        if not place.process.is_alive and self._losses > MAX_LOSSES:
            return False
        assert self._processes is not None
        while self._processes.replace(place) and not self.is_closed:
            if place.process.wait(_LOOK_SECONDS):
                return True
        return False

    def _do(self, task: _Task[Any], process: WorkerProcess | None) -> None:
        """Do a task; again, in this process, if a process that has a part in it is lost."""
        if not task.future.set_running_or_notify_cancel():
            return
        while True:
            try:
                with self._threads_for(process) as threads:
                    result = task.work(process, threads)
            except WorkerError as error:
                self._losses += 1
                if self.is_closed or self._losses > MAX_LOSSES:
                    task.future.set_exception(error)
                    return
                process = None
                continue
            except BaseException as error:  # noqa: BLE001 - who waits for the future raises it
                task.future.set_exception(error)
            else:
                task.future.set_result(result)
            return

    @contextmanager
    def _threads_for(self, process: WorkerProcess | None) -> Iterator[CodingThreads]:
        """The threads with which a group is coded."""
        if process is not None or self._is_shared() or self._count == 1:
            with working_alone():
                yield CodingThreads.none()
            return
        with CodingThreads.started(self._side_by_side, self._is_shared, self._helper) as threads:
            yield threads

    def _stop(self, patience: float = _PATIENCE_AT_EXIT) -> None:
        """Have the threads end, since an interpreter that ends must not find them at work."""
        with self._changed:
            self.is_closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(patience)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._changed:
            self.is_closed = True
            self._changed.notify_all()
        if error is not None and not isinstance(error, GeneratorExit):
            for place in self._served:
                if place.groups:
                    place.process.close()  # rather than wait for it
        for thread in self._threads:
            thread.join()
        threads_have_ended()
        atexit.unregister(self._stop)
        for task in self._tasks:
            task.future.cancel()
        self._threads.clear()
        self._helper = None  # or processes would stay until garbage is collected
