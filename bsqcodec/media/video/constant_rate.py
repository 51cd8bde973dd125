"""Frames at an even rate, for containers without timestamps: some are repeated, some left out."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

_TOLERANCE: Final = Fraction(3, 4)
"""By how much of a step times may be off before a frame is repeated or left out."""

_MAX_GAP_S: Final = 600
"""A frame is repeated for at most so long: a few bytes can name any time."""

_MAX_REPEATS: Final = 240 * _MAX_GAP_S
"""They can also name any rate."""

_COMMON_RATES: Final = tuple(
    Fraction(rate)
    for rate in ("1", "2", "5", "10", "12", "15", "20", "24000/1001", "24", "25", "30000/1001",
                 "30", "48", "50", "60000/1001", "60", "100", "120", "240")
)  # fmt: skip


def standard_rate(average: Fraction) -> Fraction:
    """Return the least standard number of frames a second that is not below an average one."""
    for rate in _COMMON_RATES:
        if rate >= average * Fraction(99, 100):
            return rate
    return _COMMON_RATES[-1]


class EvenTimes:
    """Tells how often each frame is to be written so that all are shown at their times.

    rate: frames a second of the output. repeated, left_out: how many frames were.
    shortened: whether some frame should have been shown for longer than is sensible.
    """

    def __init__(self, rate: Fraction) -> None:
        self.rate = rate
        self.repeated = self.left_out = 0
        self.shortened = False
        self._origin: Fraction | None = None
        self._written = 0

    def begin(self, time: Fraction) -> None:
        """Take in when the first frame is shown, in seconds."""
        self._origin = time

    def times_until(self, time: Fraction, *, is_last: bool = False) -> int:
        """Return how often a frame is written that is shown until a time, in seconds.

        is_last: no frame follows; at least one is written.
        """
        assert self._origin is not None
        wanted = (time - self._origin) * self.rate - self._written
        count = 1
        if abs(wanted - 1) > _TOLERANCE:
            count = max(round(wanted), int(is_last and not self._written))
        most = min(max(int(_MAX_GAP_S * self.rate), 1), _MAX_REPEATS)
        if count > most:
            self.shortened = True
            self._origin += (count - most) / self.rate
            count = most
        self._written += count
        self.repeated += max(count - 1, 0)
        self.left_out += count == 0
        return count
