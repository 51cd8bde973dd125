"""How much memory decoding may take at most, from the header, before anything is allocated.

docs/ROBUSTNESS.md says what is measured and how. Sizes are in bytes, of a whole process.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bsqcodec.errors import LimitError, MemoryLimitError

if sys.platform != "win32":
    import resource

DEFAULT_MAX_MEMORY: Final = 10**10
"""Decoding that may take more is refused unless the caller allows it."""

FIXED: Final = 10**9
"""What any process takes that decodes: libraries, weights, and the strips that are worked on."""

OF_PICTURE: Final = 40
"""Bytes for each pixel of a picture padded to whole windows."""

OF_VIDEO: Final = 400
"""Bytes for each pixel of a frame padded to whole windows: several are decoded at once."""

ALWAYS_PADDED: Final = 2**24
"""Pixels that a picture or frame may have once padded to whole windows,
whatever `max_pixels` says."""

_TOKEN: Final = 16
_WINDOW: Final = 8 * _TOKEN
_STRIP_TOKENS: Final = 4096
_ROWS_OF_STRIP: Final = 8
_OF_WIDE_STRIP: Final = 80
"""Bytes for each pixel of a strip, which is a row of windows where that is more
than 4096 tokens."""


def padded_pixels(width: int, height: int) -> int:
    """Pixels of a picture padded to whole windows of 128 x 128: those that cost memory."""
    return (-(-width // _WINDOW) * _WINDOW) * (-(-height // _WINDOW) * _WINDOW)


def picture_memory(width: int, height: int) -> int:
    """The most that decoding a picture of this size takes, besides the bytes of its file."""
    columns = -(-width // _WINDOW) * _WINDOW // _TOKEN
    strip = max(0, _ROWS_OF_STRIP * columns - _STRIP_TOKENS) * _TOKEN**2
    return FIXED + OF_PICTURE * padded_pixels(width, height) + _OF_WIDE_STRIP * strip


def video_memory(width: int, height: int) -> int:
    """The most that decoding a video of this size takes, besides the bytes of three groups."""
    return FIXED + OF_VIDEO * padded_pixels(width, height)


def memory_limit(max_memory: int | None = None) -> int:
    """The limit to apply: what the caller says, or for None the default one.

    The default is less where this process cannot have as much.
    """
    if max_memory is not None:
        return max_memory
    return min(DEFAULT_MAX_MEMORY, FIXED + available())


def check_padded(what: str, width: int, height: int, max_pixels: int) -> None:
    """Refuse what takes far more than `max_pixels` once it is padded; raises LimitError.

    what: "the picture" or "a frame". Padding adds little to large pictures unless they are thin: a
    line of a pixel becomes 128.
    """
    padded, limit = padded_pixels(width, height), max(2 * max_pixels, ALWAYS_PADDED)
    if padded > limit:
        raise LimitError(
            f"{what} of {width} x {height} pixels is padded to {padded} pixels,"
            f" over the limit of {limit}"
        )


def memory_notes(
    what: str, width: int, height: int, memory: Callable[[int, int], int]
) -> tuple[str, ...]:
    """A sentence for an encoder on what is over the default limit of memory once it is decoded.

    memory: `picture_memory` or `video_memory`. Raises MemoryLimitError for what is so thin that its
    padding makes most of that.
    """
    needed = memory(width, height)
    if needed <= DEFAULT_MAX_MEMORY:
        return ()
    if padded_pixels(width, height) > 2 * width * height:
        check_memory(what, width, height, needed, DEFAULT_MAX_MEMORY)
    note = (
        f"decoding {what} may take {in_gb(needed)} of memory, which only a larger max_memory allows"
    )
    return (note,)


def check_memory(what: str, width: int, height: int, needed: int, max_memory: int) -> None:
    """Refuse what may take more memory than is allowed; raises MemoryLimitError."""
    if needed > max_memory:
        raise MemoryLimitError(
            f"decoding {what} of {width} x {height} pixels may take {in_gb(needed)} of memory,"
            f" over the limit of {in_gb(max_memory)}"
        )


def in_gb(size: int) -> str:
    """A number of bytes for people, such as 9.6 GB."""
    return f"{size / 10**9:.3g} GB"


def available() -> int:
    """What the system, a container or a limit lets this process have, as far as that is known."""
    known = [sys.maxsize]
    if sys.platform != "win32":
        known.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit != resource.RLIM_INFINITY:
            known.append(max(0, limit - _address_space()))
    for path in _OF_CONTAINER:
        try:
            known.append(int(Path(path).read_text()))
        except (OSError, ValueError):  # no such file, or "max"
            continue
    return min(known)


_OF_CONTAINER: Final = (
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
)
"""Where Linux tells a container's limit, in the second and the first version of control groups."""


def _address_space() -> int:
    """What the process has mapped already; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (OSError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
