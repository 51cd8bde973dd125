"""Which pictures and frames are small enough for effort 2, which optimises their integers."""

from __future__ import annotations

from bsqcodec.options import MAX_EFFORT

MAX_OPTIMISED_PIXELS = 2**24
"""Larger pictures and frames are not optimised, for want of memory: some 100 bytes a pixel."""


def is_optimised(effort: int, pixels: int) -> bool:
    """Whether the integers of a picture or frame of so many pixels are optimised."""
    return effort == MAX_EFFORT and pixels <= MAX_OPTIMISED_PIXELS


def notes_on(effort: int, pixels: int, what: str) -> tuple[str, ...]:
    """A note about what has the pixels, where an optimisation was asked for and they
    are too many."""
    if effort != MAX_EFFORT or is_optimised(effort, pixels):
        return ()
    return (f"{what} has more than {MAX_OPTIMISED_PIXELS} pixels: it was coded with effort 1",)
