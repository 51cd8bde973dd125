"""A .bsq video to frames: which groups are decoded, when their frames are shown,
and what is damaged."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from typing import TypeAlias, TypeVar

import numpy as np
import torch

from bsqcodec.errors import BsqError, FormatError
from bsqcodec.format.video_file_reader import SideBytes, VideoFileReader
from bsqcodec.format.video_gop import Gop
from bsqcodec.format.video_times import ShownTimes
from bsqcodec.format.video_walk import DamagedGop
from bsqcodec.machine.scope import coding
from bsqcodec.media.video.constant_rate import standard_rate
from bsqcodec.media.video.video_files import VideoFrame
from bsqcodec.options import DecodeOptions
from bsqcodec.video.decoded_group import DecodedGroup
from bsqcodec.video.group_workers import GroupWorkers
from bsqcodec.video.stream_format import format_of
from bsqcodec.video.video_model import VideoModel

StartWorkers: TypeAlias = Callable[[VideoModel, tuple[int, int], int | None], GroupWorkers]
"""Finds those who decode a video, given its model, width and height, and number of frames or
None."""


class DecodedVideo:
    """A .bsq video that is being decoded. Raises CropError for a crop outside its frames.

    format: as of the video that was coded, but for the size of a crop. missing: damaged groups, as
    they turn up in `frames`.
    """

    def __init__(
        self,
        device: torch.device,
        start_workers: StartWorkers,
        file: VideoFileReader,
        model: VideoModel,
        options: DecodeOptions,
    ) -> None:
        self.file = file
        self.missing: list[DamagedGop] = []
        self.format = format_of(file)
        self._crop = options.crop
        if self._crop is not None:
            self._crop.check(self.format.width, self.format.height)
            self.format = replace(self.format, width=self._crop.width, height=self._crop.height)
        self._times = ShownTimes(file.header)
        self._device, self._start_workers = device, start_workers
        self._model, self._partial = model, options.partial
        start, duration = options.start, options.duration
        # the decimals that were meant, so that .1 is not after a frame at 1/10
        self._start = None if start is None else Fraction(str(start))
        self._duration = None if duration is None else Fraction(str(duration))
        self._begin: Fraction | None = None  # of what is wanted, in units of the time base
        self._end: Fraction | None = None
        self._until: int | None = None  # when the last group that is read ends
        self._origin: int | None = None  # when the first frame is shown that is returned
        self._side: Callable[[bytes], object] | None = None

    def on_side_bytes(self, take: Callable[[bytes], object]) -> None:
        """Have the side stream's bytes given to `take` as `frames` comes across them."""
        self._side = take

    @property
    def average_rate(self) -> Fraction | None:
        """A standard number of frames a second that is not below the average; None if not known."""
        index, totals = self.file.index, self.file.totals
        if not index or totals is None or not totals.duration:
            return None
        return standard_rate(
            Fraction(totals.frames) / (totals.duration * self.file.header.time_base)
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What was changed, one sentence each; complete once `frames` has ended."""
        return self._times.notes

    def frames(self) -> Generator[VideoFrame, None, None]:
        """The frames in order, at times that grow (see `ShownTimes`).

        Raises FormatError and its children, unless `partial`, LimitError.
        """
        with closing(self._frames()) as frames:
            while True:
                with coding(self._device, "this video"):
                    frame = next(frames, None)
                if frame is None:
                    return
                if self._crop is not None:
                    pixels = np.ascontiguousarray(self._crop.cut(frame.pixels))
                    frame = replace(frame, pixels=pixels)
                yield frame
                del frame

    def _frames(self) -> Generator[VideoFrame, None, None]:
        total = self.file.index.frame_count if self.file.index else None
        size = self.file.header.width, self.file.header.height
        with self._start_workers(self._model, size, total) as workers:
            ahead: deque[_TimedGroup | DamagedGop] = deque()
            parts = _and_what_fails(self._wanted(workers))
            part: _TimedGroup | DamagedGop | BsqError | None = None
            is_open = True
            try:
                while True:
                    while is_open and _groups_among(ahead) <= workers.most:
                        part = next(parts)
                        is_open = isinstance(part, (_TimedGroup, DamagedGop))
                        if isinstance(part, (_TimedGroup, DamagedGop)):
                            ahead.append(part)
                    if not ahead:
                        break
                    group = ahead[0]
                    if isinstance(group, DamagedGop):
                        self.missing.append(group)
                    else:
                        yield from self._cut(self._shown(group, self._end_of_first(ahead)))
                    ahead.popleft()
            finally:
                for group in ahead:
                    if isinstance(group, _TimedGroup):
                        group.decoder.close()
        if isinstance(part, BsqError):
            raise part

    def _end_of_first(self, ahead: deque[_TimedGroup | DamagedGop]) -> int | None:
        """When the last frame of the first group ends at the latest; None if that is not known."""
        for group in islice(ahead, 1, None):
            if isinstance(group, _TimedGroup):
                return group.times[0]
        return self._until

    def _wanted(self, workers: GroupWorkers) -> Iterator[_TimedGroup | DamagedGop]:
        """The groups that hold wanted frames, each as it is begun to be decoded, and damaged ones.

        Raises FormatError and its children.
        """
        header = self.file.header
        base = header.time_base
        first_pts: int | None = None
        self._begin = self._end = self._until = self._origin = None
        index = self.file.index
        if self._start is not None and index and index.grows:
            first_pts = index[0].first_pts
            wanted = first_pts + math.ceil(self._start / base)
            self.file.seek_gop(index.gop_of_pts(wanted))
        for part in self.file.chunks():
            if isinstance(part, SideBytes):
                if self._side is not None:
                    self._side(part.data)
            elif isinstance(part, DamagedGop):
                yield part
            else:
                times = self._times.of(part.pts)
                if self._begin is None:
                    first_pts = times[0] if first_pts is None else first_pts
                    self._begin = first_pts + (self._start or 0) / base
                    if self._duration is not None:
                        self._end = self._begin + self._duration / base
                if self._start is not None and times[-1] < self._begin:
                    continue
                if self._end is not None and times[0] >= self._end:
                    self._until = times[0]
                    return
                size = header.height, header.width
                yield _TimedGroup(part, times, DecodedGroup(workers, self._model, size, part))
        if self.file.totals is not None and first_pts is not None:
            self._until = first_pts + self.file.totals.duration

    def _cut(self, frames: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
        """Those of the frames that are wanted, for as long as they are."""
        base = self.file.header.time_base
        for frame in frames:
            if self._begin is not None and frame.pts < self._begin:
                continue
            if self._end is not None and frame.pts >= self._end:
                continue
            if self._duration is not None:
                self._origin = frame.pts if self._origin is None else self._origin
                left = math.floor(self._origin + self._duration / base) - frame.pts
                frame = replace(frame, duration=min(frame.duration, max(left, 1)))
            yield frame
            del frame

    def _shown(self, group: _TimedGroup, until: int | None) -> Iterator[VideoFrame]:
        """The frames of a group, up to where it turns out to be damaged, if that may be.

        until: when the last of them ends at the latest; None if that is not known.
        """
        gop, times, sound = group.gop, group.times, 0
        ends = (*times[1:], until)
        try:
            for time, end, pixels in zip(times, ends, group.decoder.frames(), strict=True):
                sound += 1
                latest = min((t for t in (end, until) if t is not None), default=time)
                yield VideoFrame(pixels, time, max(latest - time, 0))
        except FormatError as error:
            if not self._partial:
                raise
            if sound == len(gop.frames):
                sound = 0  # one of them is wrong, it is not known which
            rest = len(gop.frames) - sound
            self.missing.append(DamagedGop(gop.first_frame + sound, rest, str(error)))


@dataclass(frozen=True)
class _TimedGroup:
    """A group that is being decoded, and when its frames are shown, in units of the time base."""

    gop: Gop
    times: tuple[int, ...]
    decoder: DecodedGroup


def _groups_among(parts: Iterable[_TimedGroup | DamagedGop]) -> int:
    """How many of them are sound."""
    return sum(isinstance(part, _TimedGroup) for part in parts)


Part = TypeVar("Part")


def _and_what_fails(parts: Iterator[Part]) -> Iterator[Part | BsqError | None]:
    """The parts, and then the error that ended them, or None."""
    try:
        yield from parts
    except BsqError as error:
        yield error
    else:
        yield None
