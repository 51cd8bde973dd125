"""How hard an encoder tries: what `effort` may be, and what of it is too large to be searched."""

from __future__ import annotations

MOST_EFFORT = 2
"""The effort that searches; see `bsqcodec.encoder.rdo`."""

SEARCHED_PIXELS = 2**24
"""Larger pictures and frames are not searched, for want of memory: some 100 bytes a pixel."""


def check_effort(effort: int) -> None:
    """Raise ValueError for an effort that there is not."""
    if effort not in range(MOST_EFFORT + 1):
        raise ValueError(f"effort {effort} is not one of 0 to {MOST_EFFORT}")


def is_searched(effort: int, pixels: int) -> bool:
    """Whether the integers of a picture or frame of so many pixels are searched for."""
    return effort == MOST_EFFORT and pixels <= SEARCHED_PIXELS


def notes_on(effort: int, pixels: int, what: str) -> tuple[str, ...]:
    """A note, about what has the pixels, if a search was asked for and they are too many."""
    if effort != MOST_EFFORT or is_searched(effort, pixels):
        return ()
    return (f"{what} has more than {SEARCHED_PIXELS} pixels: it was coded with effort 1",)
