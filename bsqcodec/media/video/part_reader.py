"""A part of a video that has nothing beside its frames: numbered pictures, animations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import floor

from bsqcodec.errors import MediaError
from bsqcodec.media.video.part import Part
from bsqcodec.media.video.video_types import VideoFrame, VideoReader


class PartReader(VideoReader):
    """Gives those frames of another reader that are in a part, which begins at time 0.

    Raises MediaError where there are none.
    """

    def __init__(self, reader: VideoReader, part: Part) -> None:
        self._reader, self._part = reader, part
        self.format, self.notes, self.problems = reader.format, reader.notes, reader.problems
        self.expected_frames = None

    def frames(self) -> Iterator[VideoFrame]:
        origin: int | None = None
        begin = end = None
        waiting: VideoFrame | None = None
        following: int | None = None
        for frame in self._reader.frames():
            if begin is None:
                begin, end = self._part.limits(frame.pts, self.format.time_base)
            if end is not None and frame.pts >= end:
                following = frame.pts
                break
            if frame.pts < begin:
                continue
            if waiting is not None:
                yield waiting
            origin = frame.pts if origin is None else origin
            waiting = replace(frame, pts=frame.pts - origin)
        if waiting is None or origin is None:
            raise MediaError("the video has no frames in the part that is wanted")
        if following is not None:
            waiting = replace(waiting, duration=following - origin - waiting.pts)
        if self._part.duration is not None:
            most = max(floor(self._part.duration / self.format.time_base) - waiting.pts, 1)
            waiting = replace(waiting, duration=min(waiting.duration or most, most))
        yield waiting

    def close(self) -> None:
        self._reader.close()
