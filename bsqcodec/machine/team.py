"""A team of threads that share one picture's work, also where other work keeps a core busy.

OpenMP cuts each operation into as many parts as there are threads and waits for the last: where one
of the cores is busy, every one of some thousand operations waits for the thread on that core. In a
team, each operation runs on one thread, and the threads take pieces of the work, many operations
each, one after the other. A thread whose core is busy takes fewer, and a piece that it does not
finish in the expected time is done again by the thread that waits for it.

What the pieces are may depend on the picture, never on the number of threads,
so that results do not.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

import torch

from bsqcodec.machine.threads import operations_on_one_thread, set_own_count, thread_count

Item = TypeVar("Item")
Result = TypeVar("Result")

OVERDUE = 1.5
"""Times the expected duration of a piece after which it is done again."""

MAX_LOST_SECONDS, MAX_WON_SECONDS = 0.003, 0.002
"""Seconds that jobs may take longer, all in all, than on one thread, before one thread takes the
next ones; and the most that jobs which took less can make up for."""

REST_JOBS = (8, 64)
"""How many jobs one thread takes then: at first, and at most, twice as many each time."""


@dataclass(frozen=True)
class _Modes:
    """The settings of torch that each thread has for itself."""

    inference: bool
    gradients: bool
    autocast: bool
    autocast_dtype: torch.dtype

    @staticmethod
    def of_this_thread() -> _Modes:
        return _Modes(
            torch.is_inference_mode_enabled(),
            torch.is_grad_enabled(),
            torch.is_autocast_enabled("cpu"),
            torch.get_autocast_dtype("cpu"),
        )

    def entered(self) -> ExitStack:
        """A context in which this thread has these settings."""
        stack = ExitStack()
        stack.enter_context(torch.inference_mode(self.inference))
        stack.enter_context(torch.set_grad_enabled(self.gradients))
        stack.enter_context(torch.autocast("cpu", self.autocast_dtype, enabled=self.autocast))
        return stack


class _Job(Generic[Item, Result]):
    """The pieces of one call of `Team.map`, taken in order by whoever is free."""

    def __init__(self, function: Callable[[Item], Result], items: Sequence[Item]) -> None:
        self.modes, self._owner = _Modes.of_this_thread(), threading.get_ident()
        self._function, self._items = function, items
        self._indices = iter(range(len(items)))
        self._started: dict[int, float] = {}
        self._results: dict[int, Result] = {}
        self._errors: dict[int, BaseException] = {}
        self._done: SimpleQueue[None] = SimpleQueue()
        self._ended = False
        self.expected_s = 0.0

    def work(self) -> float:
        """Do pieces until all are taken; the seconds that one took of the thread's core."""
        count, began = 0, time.thread_time()
        for index in self._indices:  # one step of an iterator of C: two threads never get the same
            if self._ended:
                break
            self._started[index] = time.monotonic()
            self._do(index)
            count += 1
        return (time.thread_time() - began) / max(count, 1)

    def work_beside(self) -> None:
        """The same in a thread that does not wait for the results."""
        with self.modes.entered():
            self.work()

    def _do(self, index: int) -> None:
        try:
            result = self._function(self._items[index])
        except BaseException as error:  # noqa: BLE001 - the thread that waits raises it
            self._errors.setdefault(index, error)
            self._ended = True
        else:
            self._results.setdefault(index, result)
        if threading.get_ident() != self._owner:
            self._done.put(None)

    def results(self) -> list[Result]:
        """All results, in order of the items, by this thread and others;
        raises what a piece raised."""
        try:
            self.expected_s = self.work()
            while not self._errors and len(self._results) < len(self._items):
                self._wait(OVERDUE * self.expected_s)
        finally:
            self._ended = True
        if self._errors:
            raise self._errors[min(self._errors)]
        return [self._results[index] for index in range(len(self._items))]

    def _wait(self, seconds: float) -> None:
        """Wait until another thread has done a piece, or do the oldest that takes more seconds."""
        under_way = [index for index in list(self._started) if index not in self._results]
        if not under_way:  # taken, but not begun
            under_way = [index for index in range(len(self._items)) if index not in self._results]
        if not under_way:
            return
        index = under_way[0]
        now = time.monotonic()
        left = self._started.setdefault(index, now) + seconds - now
        try:
            self._done.get(timeout=max(left, 0))
        except Empty:
            if index not in self._results:
                self._do(index)


class Team:
    """Threads that wait for jobs, beside the one that hands them out.

    others: how many these are.
    """

    def __init__(self, others: int) -> None:
        self._process_id = os.getpid()
        self._lost, self._resting, self._next_rest = 0.0, 0, REST_JOBS[0]
        self._inboxes: list[SimpleQueue[_Job[Any, Any] | None]] = []
        self._threads: list[threading.Thread] = []
        for _ in range(others):
            inbox: SimpleQueue[_Job[Any, Any] | None] = SimpleQueue()
            thread = threading.Thread(target=_serve, args=(inbox,), daemon=True)
            try:
                thread.start()
            except RuntimeError:  # there is no room for its stack
                break
            self._inboxes.append(inbox)
            self._threads.append(thread)

    @property
    def size(self) -> int:
        """How many threads work, with the one that hands out the jobs."""
        return 1 + len(self._inboxes)

    def map(
        self, function: Callable[[Item], Result], items: Sequence[Item], at_once: int | None = None
    ) -> list[Result]:
        """What a function makes of each item, in their order.

        The function changes nothing but what it makes: it may run twice for an item, and beyond the
        end of this call. at_once: how many items may be under way, None for any number. Raises what
        it raises for one of them; then some of the others are not begun.
        """
        count = len(items) if at_once is None else min(len(items), max(at_once, 1))
        others = self._inboxes[: count - 1] if self._process_id == os.getpid() else []
        before, _here.team = team(), _ALONE  # pieces of pieces are done where they come up
        try:
            if not others:
                return [function(item) for item in items]
            if self._resting:
                self._resting -= 1
                return [function(item) for item in items]
            began = time.monotonic()
            job = _Job(function, items)
            for inbox in others:
                inbox.put(job)
            results = job.results()
            if job.expected_s:
                self._learn(time.monotonic() - began - len(items) * job.expected_s)
            return results
        finally:
            _here.team = before

    def _learn(self, lost: float) -> None:
        """Take note that a job took so many seconds longer than one thread would have.

        That is so where other work keeps cores busy, and pieces are too short to share them.
        """
        self._lost = max(self._lost + lost, -MAX_WON_SECONDS)
        if self._lost > MAX_LOST_SECONDS:
            self._lost, self._resting = 0.0, self._next_rest
            self._next_rest = min(2 * self._next_rest, REST_JOBS[1])
        elif self._lost <= 0:
            self._next_rest = REST_JOBS[0]

    def close(self) -> None:
        """End the threads, when they have done the pieces that they are at."""
        if self._process_id == os.getpid():
            for inbox in self._inboxes:
                inbox.put(None)
            for thread in self._threads:
                thread.join()


class _Here(threading.local):
    """The team that works for this thread."""

    team: Team | None = None


_here = _Here()
_ALONE = Team(0)


def work_alone() -> None:
    """Have this thread do by itself, from now on, what it would share with a team."""
    set_own_count(1)
    _here.team = _ALONE


@contextmanager
def working_alone() -> Iterator[None]:
    """The same while the context lasts."""
    before, threads = _here.team, torch.get_num_threads()
    work_alone()
    try:
        yield
    finally:
        _here.team = before
        set_own_count(threads)


def _serve(inbox: SimpleQueue[_Job[Any, Any] | None]) -> None:
    """What a thread of a team does."""
    work_alone()
    while (job := inbox.get()) is not None:
        job.work_beside()
        del job  # or its tensors would stay until the next


def team() -> Team | None:
    """The team of the innermost `team_of` around this code; None outside of any."""
    return _here.team


@contextmanager
def team_of(device: torch.device) -> Iterator[Team | None]:
    """Have a team for the work on a picture, of as many threads as are to work on a CPU.

    None on other devices. With one thread, or inside of another such context, no thread is started.
    """
    if device.type != "cpu":
        yield None
        return
    if _here.team is not None:
        yield _here.team
        return
    threads = thread_count()
    with operations_on_one_thread():
        made = Team(threads - 1)
        _here.team = made
        try:
            yield made
        finally:
            _here.team = None
            made.close()
