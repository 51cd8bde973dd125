"""A .bsq video to frames: which groups are decoded, when their frames are shown,
and what is damaged."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, replace
from fractions import Fraction
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
from bsqcodec.video.coding_threads import CodingThreads
from bsqcodec.video.stream_format import format_of
from bsqcodec.video.video_model import FrameSource, VideoModel

StartThreads: TypeAlias = Callable[[VideoModel, int | None], AbstractContextManager[CodingThreads]]
"""Starts the threads of a video with this model and, if that is known, so many frames."""


class DecodedVideo:
    """A .bsq video that is being decoded. Raises CropError for a crop outside its frames.

    format: as of the video that was coded, but for the size of a crop. missing: damaged groups, as
    they turn up in `frames`.
    """

    def __init__(
        self,
        device: torch.device,
        start_threads: StartThreads,
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
        self._device, self._start_threads = device, start_threads
        self._model, self._partial = model, options.partial
        start, duration = options.start, options.duration
        # the decimals that were meant, so that .1 is not after a frame at 1/10
        self._start = None if start is None else Fraction(str(start))
        self._duration = None if duration is None else Fraction(str(duration))
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
        header = self.file.header
        base = header.time_base
        first_pts: int | None = None
        begin: Fraction | None = None
        end: Fraction | None = None
        origin: int | None = None
        index = self.file.index
        if self._start is not None and index and index.grows:
            first_pts = index[0].first_pts
            wanted = first_pts + math.ceil(self._start / base)
            self.file.seek_gop(index.gop_of_pts(wanted))
        waiting: _TimedGroup | None = None
        total = index.frame_count if index else None
        with self._start_threads(self._model, total) as threads:
            for part in _and_what_fails(self.file.chunks()):
                if isinstance(part, SideBytes):
                    if self._side is not None:
                        self._side(part.data)
                    continue
                if isinstance(part, DamagedGop):
                    self.missing.append(part)
                    continue
                following: _TimedGroup | None = None
                until = None
                if isinstance(part, Gop):
                    times = self._times.of(part.pts)
                    until = times[0]
                    if begin is None:
                        first_pts = times[0] if first_pts is None else first_pts
                        begin = first_pts + (self._start or 0) / base
                        end = None if self._duration is None else begin + self._duration / base
                    if self._start is not None and times[-1] < begin:
                        continue
                    if end is None or times[0] < end:
                        decoder = self._model.decoder(header.height, header.width, part, threads)
                        following = _TimedGroup(part, times, decoder)
                elif self.file.totals is not None and first_pts is not None:
                    until = first_pts + self.file.totals.duration
                if waiting is not None:
                    assert begin is not None
                    for frame in self._shown(waiting, until):
                        if frame.pts < begin or (end is not None and frame.pts >= end):
                            continue
                        if self._duration is not None:
                            origin = frame.pts if origin is None else origin
                            left = math.floor(origin + self._duration / base) - frame.pts
                            frame = replace(frame, duration=min(frame.duration, max(left, 1)))
                        yield frame
                if isinstance(part, BsqError):
                    raise part
                if following is None:
                    return
                waiting = following

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
    decoder: FrameSource


Part = TypeVar("Part")


def _and_what_fails(parts: Iterator[Part]) -> Iterator[Part | BsqError | None]:
    """The parts, and then the error that ended them, or None."""
    try:
        yield from parts
    except BsqError as error:
        yield error
    else:
        yield None
