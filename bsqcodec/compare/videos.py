"""Two videos, frame by frame: measures a second, and some of the frames to look at."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from bsqcodec.compare.measures import Measured, Measures, mean_of
from bsqcodec.media.image.picture import Samples

MOST_FRAMES = 48
"""Frames that are kept to look at, at most."""


@dataclass
class KeptFrames:
    """Some of many frames, evenly spread: every 2^n-th one,
    so many that they are no more than most.

    pack: makes what is kept of the two pictures of a frame.
    """

    pack: Callable[[Samples, Samples], tuple[str, str]]
    most: int = MOST_FRAMES
    kept: list[tuple[float, str, str]] = field(default_factory=list)
    _every: int = 1
    _seen: int = 0

    def add(self, time: float, first: Samples, second: Samples) -> None:
        """Take note of the next frame, shown at a time in seconds."""
        if self._seen % self._every == 0:
            if len(self.kept) == self.most:
                self.kept = self.kept[::2]
                self._every *= 2
            if self._seen % self._every == 0:
                self.kept.append((time, *self.pack(first, second)))
        self._seen += 1


@dataclass(frozen=True)
class Second:
    """The frames of a second. time_s: when it begins."""

    time_s: int
    frames: int
    measured: Measured

    def facts(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"time_s": self.time_s, "frames": self.frames, **self.measured.facts()}


def measure_frames(
    measures: Measures,
    frames: Iterable[tuple[float, Samples, Samples]],
    keep: KeptFrames | None = None,
    progress: Callable[[int], None] | None = None,
) -> tuple[Measured, list[Second]]:
    """(means over all frames, those of each second) of pairs of frames at times in seconds.

    LPIPS and SSIMULACRA2 are of the first frame of each second. progress: takes the number of
    frames done. Raises MediaError for frames of different sizes.
    """
    by_second: dict[int, list[Measured]] = {}
    for count, (time, first, second) in enumerate(frames, 1):
        group = by_second.setdefault(int(time), [])
        group.append(measures.of(first, second, perceptual=not group))
        if keep is not None:
            keep.add(time, first, second)
        if progress is not None:
            progress(count)
    seconds = [Second(t, len(group), mean_of(group)) for t, group in sorted(by_second.items())]
    return mean_of([one for group in by_second.values() for one in group]), seconds
