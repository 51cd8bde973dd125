"""Threads and a process in which entropy coding and work ahead run beside the pixels' thread."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from bsqcodec.models.token_grid import TokenGrid
from bsqcodec.models.video_priors import VideoPriors
from bsqcodec.video.frame_symbols import SymbolCoder
from bsqcodec.video.worker_pool import PooledSymbolCoder, WorkerPool, WorkerProcess

AHEAD = 4
"""Frames by which the faster part of the work may be ahead of the other."""


@dataclass(frozen=True)
class CodingThreads:
    """Threads that work beside the one that computes the pixels.

    entropy: codes tokens. ahead: when encoding, searches the motion of the next frame; when
    decoding, decodes the tokens of the next group's intra frame. pool: the worker process that does
    the work of these threads once it is ready, and the file of weights that it uses.
    """

    entropy: ThreadPoolExecutor
    ahead: ThreadPoolExecutor
    pool: tuple[WorkerPool, Path] | None = None

    @staticmethod
    @contextmanager
    def started(
        side_by_side: bool = True, pool: tuple[WorkerPool, Path] | None = None
    ) -> Iterator[CodingThreads]:
        """Threads that end with the context; within it each uses half of torch's threads.

        More would wait for each other: two threads are busy at a time, the third now and then.
        side_by_side: False if they mostly wait for the pixels' thread, which then uses all.
        """
        threads = torch.get_num_threads()
        torch.set_num_threads(max(1, threads // 2) if side_by_side else threads)
        try:
            with ThreadPoolExecutor(1) as entropy, ThreadPoolExecutor(1) as ahead:
                yield CodingThreads(entropy, ahead, pool)
        finally:
            torch.set_num_threads(threads)

    def coder(self, priors: VideoPriors, grid: TokenGrid) -> SymbolCoder | PooledSymbolCoder:
        """A coder for the tokens of a group."""
        if self.pool is None:
            return SymbolCoder(priors, grid)
        return PooledSymbolCoder(*self.pool, priors, grid)

    def process(self) -> WorkerProcess | None:
        """The worker process, if there is one and it takes work."""
        return None if self.pool is None else self.pool[0].ready()
