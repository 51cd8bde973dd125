"""Running out of memory: each library says so in its own way, callers get one LimitError."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from bsqcodec.errors import BsqError, LimitError

_PHRASES: Final = (
    "can't allocate memory",  # torch on Linux
    "not enough memory",  # torch on Windows
    "cannot allocate memory",  # the system, for FFmpeg, safetensors and the loader of libraries
    "failed to map segment",  # the loader of libraries
    "out of memory",
    "bad_alloc",  # C++
    "can't start new thread",  # Python: there is no room for its stack
)

LIBRARY_BYTES: Final = {"torch": 570 * 2**20, "numpy": 100 * 2**20}
"""Address space that libraries take when they are loaded (torch 2.13 for CPUs), and a little more.

The little more is what the codec's own modules and their libraries take: where that is missing, C++
and the loader end the process.
"""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception, of whatever library, says that memory ran out."""
    if isinstance(error, BsqError):
        return False
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        return True
    if not isinstance(error, (RuntimeError, ImportError, OSError)) and not _is_foreign(error):
        return False
    text = str(error).lower()
    return type(error).__name__ == "OutOfMemoryError" or any(part in text for part in _PHRASES)


def _is_foreign(error: BaseException) -> bool:
    """Whether an exception's class is a library's own, not one of Python's."""
    return type(error).__module__ != "builtins"


@contextmanager
def memory_guard(what: str) -> Iterator[None]:
    """Turn whatever is raised inside when memory runs out into a LimitError.

    what: for which there is not enough, as in "this picture".
    """
    try:
        yield
    except Exception as error:
        if is_out_of_memory(error):
            raise LimitError(f"there is not enough memory for {what}") from error
        raise


def check_address_space() -> None:
    """Raise a LimitError where a limit of the process leaves too little room to load
    torch and NumPy.

    Their libraries would end the process, with no exception that anybody could catch. Nothing is
    checked on systems that do not tell.
    """
    needed = sum(size for name, size in LIBRARY_BYTES.items() if name not in sys.modules)
    try:
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        with open("/proc/self/statm", "rb") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
    except (ImportError, AttributeError, OSError):
        return
    if needed and limit != resource.RLIM_INFINITY and limit - used < needed:
        raise LimitError(
            f"there is not enough memory to load torch: the process may have"
            f" {limit / 2**20:.0f} MiB of address space"
        )
