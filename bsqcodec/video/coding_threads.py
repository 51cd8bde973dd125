"""Threads and a process in which entropy coding and work ahead run beside the pixels' thread."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from bsqcodec.models.token_grid import TokenGrid
from bsqcodec.video.frame_symbols import Priors, SymbolCoder
from bsqcodec.video.worker_pool import Help, HelpedCoder, Helper

AHEAD = 4
"""Frames by which the faster part of the work may be ahead of the other."""


@dataclass(frozen=True)
class Workers:
    """What works beside the thread that sees to the pixels.

    entropy: the thread that codes tokens; ahead: the one that looks where the next frame comes from,
    when encoding, and decodes the tokens of the next group's first frame, when decoding. help: the
    process that does these threads' work once it is ready, and the file of weights that it uses.
    """

    entropy: ThreadPoolExecutor
    ahead: ThreadPoolExecutor
    help: tuple[Help, Path] | None = None

    @staticmethod
    @contextmanager
    def started(
        side_by_side: bool = True, help: tuple[Help, Path] | None = None
    ) -> Iterator[Workers]:
        """Workers that end with the context; within it each takes half of torch's threads.

        More would wait for each other: two workers are busy at a time, the third now and then. But
        for those who mostly wait for the pixels' side, which then takes all: not `side_by_side`.
        """
        threads = torch.get_num_threads()
        torch.set_num_threads(max(1, threads // 2) if side_by_side else threads)
        try:
            with ThreadPoolExecutor(1) as entropy, ThreadPoolExecutor(1) as ahead:
                yield Workers(entropy, ahead, help)
        finally:
            torch.set_num_threads(threads)

    def coder(self, priors: Priors, grid: TokenGrid) -> SymbolCoder | HelpedCoder:
        """What codes a group's tokens."""
        if self.help is None:
            return SymbolCoder(priors, grid)
        return HelpedCoder(*self.help, priors, grid)

    def process(self) -> Helper | None:
        """The process, if there is one and it takes work."""
        return None if self.help is None else self.help[0].ready()
