"""A part of a video that is wanted: from when on, and how much."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from numbers import Real
from typing import Self


@dataclass(frozen=True)
class Part:
    """A part of a video, in seconds from its first frame on.

    start: frames before it are left out. duration: of what is left, None for all.
    """

    start: Fraction = Fraction(0)
    duration: Fraction | None = None

    @classmethod
    def of(cls, start: float | None, duration: float | None) -> Self | None:
        """Return the part by its decimals: .1 is not after a frame at 1/10. None for all.

        Raises as `check_seconds` does.
        """
        check_seconds(start, duration)
        if not start and duration is None:
            return None
        length = None if duration is None else Fraction(str(duration))
        return cls(Fraction(str(start or 0)), length)

    def limits(self, first_pts: int, time_base: Fraction) -> tuple[Fraction, Fraction | None]:
        """Return the first time and the one that ends the part, in units of the time base."""
        begin = first_pts + self.start / time_base
        return begin, None if self.duration is None else begin + self.duration / time_base


def check_seconds(start: object, duration: object) -> None:
    """Raise ValueError for seconds that are negative or infinite, TypeError for what is no number.

    None is all right.
    """
    for name, seconds in (("start", start), ("duration", duration)):
        if seconds is None:
            continue
        if isinstance(seconds, bool) or not isinstance(seconds, Real):
            raise TypeError(f"{name} is a number of seconds, not {seconds!r}")
        if not (math.isfinite(seconds) and float(seconds) >= 0):
            raise ValueError(f"the {name} of {float(seconds):g} seconds is not a time")
