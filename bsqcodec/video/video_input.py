"""Where a video to be coded comes from: opened as often as it is needed, and counted on the way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, cast

from bsqcodec.format.image_container import DEFAULT_MAX_PIXELS
from bsqcodec.format.video_times import DEFAULT_FRAME_RATE
from bsqcodec.media.video.bare_samples import check_bare_samples
from bsqcodec.media.video.video_files import Part, RawVideo, VideoFrame, VideoReader, open_video


class VideoInput:
    """A video file, stream or series of pictures, and how it is to be read.

    source, raw, frame_rate, max_pixels, allow_damage, part: as `open_video` takes them; a stream is
    read from its present position on. strip: leave the file's texts, such as a title, out.
    """

    def __init__(
        self,
        source: str | Path | BinaryIO,
        *,
        raw: RawVideo | None = None,
        frame_rate: Fraction | None = None,
        max_pixels: int = DEFAULT_MAX_PIXELS,
        allow_damage: bool = False,
        strip: bool = False,
        part: Part | None = None,
    ) -> None:
        self._source = source
        self._part = part
        self._raw, self._frame_rate, self._max_pixels = raw, frame_rate, max_pixels
        self._allow_damage, self._strip = allow_damage, strip
        self._start = None
        if not isinstance(source, (str, Path)) and source.seekable():
            self._start = source.tell()

    @property
    def can_reopen(self) -> bool:
        """Whether `open` can be called more than once."""
        return isinstance(self._source, (str, Path)) or self._start is not None

    def check(self) -> int | None:
        """Raise what `open` would, where the video can be opened twice.

        Raises DamagedVideoError for bare samples that end within a frame, too.

        Returns about how many frames there are, None where nothing tells.
        """
        if not self.can_reopen:
            return None
        is_file = isinstance(self._source, (str, Path)) and Path(self._source).is_file()
        if self._raw is not None and is_file and not self._allow_damage:
            check_bare_samples(Path(cast("str | Path", self._source)), self._raw)
        with self.open() as reader:
            return reader.expected_frames

    def open(self) -> CountedReader:
        """Open the video at its beginning. Raises as `open_video` does."""
        if not isinstance(self._source, (str, Path)) and self._start is not None:
            self._source.seek(self._start)
        reader = open_video(
            self._source,
            raw=self._raw,
            frame_rate=self._frame_rate,
            max_pixels=self._max_pixels,
            allow_damage=self._allow_damage,
            part=self._part,
        )
        return CountedReader(reader, strip=self._strip)


class CountedReader(VideoReader):
    """A reader that counts what another one gives: frames, and bytes of the side stream."""

    def __init__(self, reader: VideoReader, *, strip: bool = False) -> None:
        self._reader = reader
        self.format = replace(reader.format, metadata={}) if strip else reader.format
        self.notes, self.problems = reader.notes, reader.problems
        self.expected_frames = reader.expected_frames
        self.frame_count = self.side_bytes = 0
        self._first_pts = self._last_pts = self._last_duration = self._last_step = 0

    @property
    def duration(self) -> float:
        """Seconds from the first frame to the end of the last one that was read."""
        if not self.frame_count:
            return 0.0
        base = self.format.time_base
        last = (self._last_duration or self._last_step) * base
        last = last or 1 / (self.format.frame_rate or DEFAULT_FRAME_RATE)
        return float((self._last_pts - self._first_pts) * base + last)

    def frames(self) -> Iterator[VideoFrame]:
        for frame in self._reader.frames():
            if not self.frame_count:
                self._first_pts = frame.pts
            self._last_step = frame.pts - self._last_pts if self.frame_count else 0
            self._last_pts, self._last_duration = frame.pts, frame.duration
            self.frame_count += 1
            yield frame
            del frame

    def take_side_bytes(self) -> bytes:
        data = self._reader.take_side_bytes()
        self.side_bytes += len(data)
        return data

    def close(self) -> None:
        self._reader.close()
