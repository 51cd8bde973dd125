"""When the frames of a .bsq video are shown: their pts, made to grow where they do not."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Final

from bsqcodec.format.video_header import VideoHeader

DEFAULT_FRAME_RATE: Final = Fraction(25)
"""Frames a second of a video that names no rate."""


class ShownTimes:
    """Gives the frames of a video, in their order, times that grow, in units of the time base.

    That is the rule of section "Times" in docs/BITSTREAM_VIDEO.md.

    moved: how many frames so far were not later by their pts than the frame before them.
    """

    def __init__(self, header: VideoHeader) -> None:
        self.moved = 0
        rate = header.frame_rate or DEFAULT_FRAME_RATE
        self._step = max(1, round(1 / (rate * header.time_base)))
        self._shift = 0
        self._last: tuple[int, int] | None = None  # pts and time of the frame before

    @property
    def notes(self) -> tuple[str, ...]:
        """A sentence on the frames that were moved, if there are any."""
        if not self.moved:
            return ()
        which = "a timestamp was" if self.moved == 1 else f"{self.moved} timestamps were"
        return (f"{which} repeated or went back: set anew",)

    def of(self, pts: Iterable[int]) -> tuple[int, ...]:
        """The times of the next frames, of which `pts` are the pts."""
        return tuple(map(self._next, pts))

    def _next(self, pts: int) -> int:
        time = pts + self._shift
        if self._last is not None and time <= self._last[1]:
            self.moved += 1
            time = self._last[1] + self._step
            if pts < self._last[0]:
                self._shift = time - pts
        self._last = pts, time
        return time
