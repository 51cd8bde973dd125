"""Threads of this process in which parts of a group's work run beside the pixels' part."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import torch

from bsqcodec.machine.threads import set_own_count
from bsqcodec.models.token_grid import TokenGrid
from bsqcodec.models.video_priors import VideoPriors
from bsqcodec.video.frame_symbols import SymbolCoder
from bsqcodec.video.moving_coder import MovingSymbolCoder

if TYPE_CHECKING:
    from bsqcodec.video.worker_process import WorkerProcess

AHEAD = 4
"""Frames by which the faster part of the work may be ahead of the other."""

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def _never() -> bool:
    return False


class Lane:
    """Does pieces of work in order: in a thread, or in the caller's where that has no core to
    itself.

    executor: of one thread; None for no thread at all. is_shared: whether others need the cores
    now.
    """

    def __init__(
        self, executor: ThreadPoolExecutor | None, is_shared: Callable[[], bool] = _never
    ) -> None:
        self._executor, self._is_shared = executor, is_shared
        self._last: Future[object] | None = None

    def submit(
        self,
        function: Callable[Parameters, Result],
        *arguments: Parameters.args,
        **keywords: Parameters.kwargs,
    ) -> Future[Result]:
        """Have a function called; the future holds what it returns or raises."""
        if self._executor is not None and not self._is_shared():
            future = self._executor.submit(function, *arguments, **keywords)
            self._last = future  # type: ignore[assignment]
            return future
        if self._last is not None:
            wait([self._last])
            self._last = None
        future = Future()
        try:
            future.set_result(function(*arguments, **keywords))
        except BaseException as error:  # noqa: BLE001 - who asks for the result raises it
            future.set_exception(error)
        return future


@dataclass(frozen=True)
class Helper:
    """Finds a worker process with nothing else to do. weights: the file that it is to code with."""

    find: Callable[[], WorkerProcess | None]
    weights: Path


@dataclass(frozen=True)
class CodingThreads:
    """Threads that work beside the one that computes the pixels.

    entropy: codes tokens. ahead: when encoding, searches the motion of the next frame; when
    decoding, decodes the tokens of the group's intra frame. helper: a process that does both in
    their place.
    """

    entropy: Lane
    ahead: Lane
    helper: Helper | None = None

    @staticmethod
    def none() -> CodingThreads:
        """No threads: all is done by the one that asks, in the order in which it asks."""
        return CodingThreads(Lane(None), Lane(None))

    @staticmethod
    @contextmanager
    def started(
        side_by_side: bool = True,
        is_shared: Callable[[], bool] = _never,
        helper: Helper | None = None,
    ) -> Iterator[CodingThreads]:
        """Threads that end with the context; within it each uses half of torch's threads.

        More would wait for each other: two threads are busy at a time, the third now and then.
        side_by_side: False if they mostly wait for the pixels' thread, which then uses all.
        is_shared: see `Lane`.
        """
        threads = torch.get_num_threads()
        inside = max(1, threads // 2) if side_by_side else threads
        executor = partial(ThreadPoolExecutor, 1, initializer=set_own_count, initargs=(inside,))
        set_own_count(inside)
        try:
            with executor() as entropy, executor() as ahead:
                yield CodingThreads(Lane(entropy, is_shared), Lane(ahead, is_shared), helper)
        finally:
            set_own_count(threads)

    def coder(self, priors: VideoPriors, grid: TokenGrid) -> SymbolCoder | MovingSymbolCoder:
        """A coder for the tokens of a group."""
        if self.helper is None:
            return SymbolCoder(priors, grid)
        return MovingSymbolCoder(self.helper.find, self.helper.weights, priors, grid)

    def process(self) -> WorkerProcess | None:
        """The worker process that helps now, if there is one."""
        return None if self.helper is None else self.helper.find()
