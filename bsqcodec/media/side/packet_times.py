"""Exact packet times through Matroska, which has only milliseconds: a grid named in a tag."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

TAG: Final = "BSQ_TIMES"
"""The track's tag in which a grid is written, as "num/den start step"."""
_GRID: Final = re.compile(r"(\d{1,10})/(\d{1,10}) (-?\d{1,18}) (\d{1,18})", re.ASCII)
_LARGEST: Final = 2**31
"""FFmpeg's time bases are of 32 bits, and its times of 64."""
_ROUNDINGS: Final = Fraction(3, 2)
"""How far a time may be off, in units: it is rounded twice where the track has a codec delay."""


@dataclass(frozen=True)
class TimeGrid:
    """Times start + k * step in units of time_base, as packets of sound mostly have."""

    time_base: Fraction
    start: int
    step: int

    @classmethod
    def of_packet(
        cls, time_base: Fraction, pts: int | None, duration: int | None
    ) -> TimeGrid | None:
        """Return the grid that a track's first packet begins; None where it tells of none.

        Times that are whole milliseconds already need none.
        """
        in_ms = Fraction(time_base) * 1000
        if pts is None or not duration or in_ms.denominator == 1:
            return None
        return cls(Fraction(time_base), pts, duration)

    def to_tag(self) -> str:
        """Return the text that `from_tag` reads."""
        base = self.time_base
        return f"{base.numerator}/{base.denominator} {self.start} {self.step}"

    @classmethod
    def from_tag(cls, text: str) -> TimeGrid | None:
        """Return the grid, None where the text is none."""
        match = _GRID.fullmatch(text)
        if match is None:
            return None
        over, under, start, step = map(int, match.groups())
        if not (0 < over < _LARGEST and 0 < under < _LARGEST and step > 0):
            return None
        return cls(Fraction(over, under), start, step)

    def exact(self, pts: int, time_base: Fraction) -> int | None:
        """Return the grid's time that `pts` in `time_base` was rounded from; None if none was."""
        position = (pts * time_base / self.time_base - self.start) / self.step
        nearest = self.start + round(position) * self.step
        rounding = abs(nearest * self.time_base - pts * time_base)
        return nearest if rounding <= _ROUNDINGS * time_base else None
