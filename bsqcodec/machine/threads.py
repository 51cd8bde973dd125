"""The number of threads that work on a processor, also in a process that was forked.

A fork copies memory but no threads. OpenMP's, which torch's operations wait for, are missing in the
child: one large operation there would wait for ever. So torch works with one thread in a process
that was forked after a codec had been made.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch

from bsqcodec.machine.processor import clamp_threads


@dataclass
class _Threads:
    """in_use: whether a codec was made. lost: torch's number of threads before the fork, if any."""

    in_use: bool = False
    lost: int | None = None


_threads = _Threads()


def set_thread_count(threads: int | None) -> tuple[str, ...]:
    """Set how many threads work from now on in this process, also on what is torch's alone.

    threads: None leaves torch's choice, or the caller's. Returns notes on what is not as asked for.
    Raises ValueError for less than one thread.
    """
    _threads.in_use = True
    if threads is None:
        return ()
    threads, note = clamp_threads(threads)
    if _threads.lost is None:
        torch.set_num_threads(threads)
    else:
        _threads.lost = threads
    return () if note is None else (note,)


def thread_count() -> int:
    """Return how many threads are to work on a picture or video."""
    if _threads.lost is not None:
        return _threads.lost
    return clamp_threads(torch.get_num_threads())[0]


def _after_fork() -> None:
    """In a new child: go without torch's threads, which are not there."""
    if _threads.in_use and _threads.lost is None:
        _threads.lost = thread_count()
        torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
