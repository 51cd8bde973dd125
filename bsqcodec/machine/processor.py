"""The processor's cores, how many threads make sense on them, and how idle threads wait.

Nothing here imports torch or NumPy, whose libraries read their settings when they are loaded.
"""

from __future__ import annotations

import os
from typing import Final

THREADS_A_CORE: Final = 4
"""More threads than this for each core are never started."""

_WAITING: Final = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "0"}


def core_count() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def clamp_threads(threads: int) -> tuple[int, str | None]:
    """Return (the number of threads to use, a note where that is less than what was asked for).

    Raises ValueError for less than one thread.
    """
    if threads < 1:
        raise ValueError(f"{threads} threads are too few")
    most = THREADS_A_CORE * core_count()
    if threads <= most:
        return threads, None
    cores = "1 core" if core_count() == 1 else f"{core_count()} cores"
    return most, f"{threads} threads are too many for {cores}; {most} are used"


def prepare_process() -> None:
    """Set the environment of libraries for a process that does nothing but code.

    OpenMP's idle threads sleep, not spin, since spinning threads take the time of cores that others
    need. NumPy's OpenBLAS, which nothing here needs, starts no threads. Processes that are started
    from here inherit both. Call it before torch and NumPy are imported, which load these libraries.
    Settings of the user stay as they are.
    """
    if not any(name in os.environ for name in _WAITING):
        os.environ.update(_WAITING)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
