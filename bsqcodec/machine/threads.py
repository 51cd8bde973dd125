"""The number of threads that work on a processor, also in a process that was forked.

A fork copies memory but no threads. OpenMP's, which torch's operations wait for, are missing in the
child: one large operation there would wait for ever. So torch works with one thread in a process
that was forked after a codec had been made.

A thread that ends gives back the buffers of MKL, which multiplies matrices for torch, under a lock
(torch 2.13). A fork at that moment leaves the lock taken in the child for ever. So a fork waits a
little if threads of a codec have just ended.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch

from bsqcodec.machine.processor import clamp_threads

SECONDS_TO_END = 0.2
"""How long a thread may take to leave the system after Python has let it go."""


@dataclass
class _Threads:
    """in_use: whether a codec was made. lost: torch's number of threads before the fork, if any.

    ended: when threads of a codec last ended, by `time.monotonic`.

    inside: threads of Python that are in `operations_on_one_thread`; outside: torch's number of
    threads when the first of them came there.
    """

    in_use: bool = False
    lost: int | None = None
    ended: float = float("-inf")
    inside: int = 0
    outside: int = 1
    lock: threading.Lock = field(default_factory=threading.Lock)


_threads = _Threads()


def set_own_count(threads: int) -> None:
    """Set torch's number of threads for this thread of Python, and for those that start later.

    Until a thread has looked at its number, one that another thread sets takes its
    place (torch 2.13); so look.
    """
    torch.set_num_threads(threads)
    torch.get_num_threads()


def set_thread_count(threads: int | None) -> tuple[str, ...]:
    """Set how many threads work from now on in this process, also on what is torch's alone.

    threads: None leaves torch's choice, or the caller's. Returns notes on what is not as asked for.
    Raises ValueError for less than one thread.
    """
    _threads.in_use = True
    if threads is None:
        return ()
    threads, note = clamp_threads(threads)
    with _threads.lock:
        if _threads.lost is not None:
            _threads.lost = threads
        elif _threads.inside:
            _threads.outside = threads
        else:
            set_own_count(threads)
    return () if note is None else (note,)


def thread_count() -> int:
    """Return how many threads are to work on a picture or video."""
    if _threads.lost is not None:
        return _threads.lost
    with _threads.lock:
        outside = _threads.outside if _threads.inside else torch.get_num_threads()
    return clamp_threads(outside)[0]


@contextmanager
def operations_on_one_thread() -> Iterator[None]:
    """Have each operation of torch run on the thread that calls it, in this thread and new ones.

    torch's number of threads is what it was when the context ends, also where several threads are
    in such contexts at a time.
    """
    with _threads.lock:
        if not _threads.inside:
            _threads.outside = torch.get_num_threads()
        _threads.inside += 1
        set_own_count(1)
    process_id = os.getpid()
    try:
        yield
    finally:
        with _threads.lock:
            if process_id == os.getpid():
                _threads.inside -= 1
            if _threads.lost is None:
                set_own_count(_threads.outside)


def threads_have_ended() -> None:
    """Take note that threads that worked for a codec have just ended."""
    _threads.ended = time.monotonic()


def _before_fork() -> None:
    """Wait until threads that have just ended are gone."""
    time.sleep(max(0.0, _threads.ended + SECONDS_TO_END - time.monotonic()))


def _after_fork() -> None:
    """In a new child: go without torch's threads, which are not there."""
    _threads.lock = threading.Lock()
    if _threads.in_use and _threads.lost is None:
        _threads.lost = thread_count()
        set_own_count(1)
    _threads.inside = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork)
