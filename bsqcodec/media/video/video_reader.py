"""Reading a video of any container and codec that FFmpeg knows, frame by frame."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from fractions import Fraction
from typing import Any, Final

import av

from bsqcodec.errors import DamagedVideoError, MediaError
from bsqcodec.media.ffmpeg_io import ffmpeg_guard
from bsqcodec.media.image.pillow_guard import check_size
from bsqcodec.media.side.side_stream import SideStream
from bsqcodec.media.video.ffv1 import SliceChecks
from bsqcodec.media.video.video_colour import (
    CHROMA_SITING,
    USUAL_SITING,
    ToRgb,
    describe_colour,
    orientation_of,
)
from bsqcodec.media.video.video_source import VideoSource, main_picture, open_source
from bsqcodec.media.video.video_types import RawVideo, VideoFormat, VideoFrame, VideoReader

_CONTAINER_TEXTS: Final = frozenset(
    ("major_brand", "minor_version", "compatible_brands", "encoder", "duration")
)
"""Metadata that tells about the container itself, not about the video."""
_USUAL_RATE: Final = Fraction(25)
_DURATION_TAG: Final = re.compile(r"(\d{1,9}):(\d{1,2}):(\d{1,2}(?:\.\d{1,9})?)", re.ASCII)
_DURATION_SLACK_S: Final = Fraction(1, 4)
_SWAPPED_ORIENTATIONS: Final = (5, 6, 7, 8)
_LENGTH_IN_HEADER: Final = ("avi", "ivf", "mxf")
"""FFmpeg's formats whose header counts the frames; of MP4 FFmpeg itself misses what is cut off, and
there the count may include frames that an edit list leaves out."""
_PLAIN: Final = "yuv4mpegpipe"
"""FFmpeg's y4m, whose reader passes over a frame that is cut."""
_CUT: Final = "its last frame is cut"


class FFmpegReader(VideoReader):
    """A video that FFmpeg reads; made by `open_video`, which tells what the arguments mean.

    The first frame is decoded at once, because it says more than the container's header.
    """

    def __init__(
        self, source: VideoSource, raw: RawVideo | None, *, max_pixels: int, allow_damage: bool
    ) -> None:
        self.notes = []
        self.problems = []
        self._raw = raw
        self._max_pixels = max_pixels
        self._allow_damage = allow_damage
        self._delivered = 0
        self._last_pts: int | None = None
        self._end = Fraction(0)
        self._place = 0
        self._corrupt: list[int] = []
        self._moved_times = 0
        self._source = open_source(source, raw)
        try:
            self._open()
        except BaseException:
            self._source.close()
            raise

    def _open(self) -> None:
        """Choose the stream, and learn the format from its first frame."""
        container, name = self._source.container, self._source.name
        stream = main_picture(container)
        if stream is None:
            raise MediaError(f"{name}: it holds no video stream")
        if stream.codec_context is None:
            raise MediaError(f"{name}: FFmpeg cannot decode its video stream")
        self._stream = stream
        self._is_plain = container.format.name == _PLAIN
        if not self._is_plain:  # which always says, as do most decoders
            stream.codec_context.options = {CHROMA_SITING: USUAL_SITING}
        self._time_base = stream.time_base or 1 / _USUAL_RATE
        if stream.codec_context.width and stream.codec_context.height:
            size = (stream.codec_context.width, stream.codec_context.height)
            check_size(name, size, self._max_pixels)
        is_ffv1 = stream.codec_context.name == "ffv1"
        self._slices = SliceChecks() if is_ffv1 else None
        self._side = SideStream(container, stream, self.notes, self.problems)
        self._decoded = self._decode()
        self._first = next(self._decoded, None)
        if self._first is None:
            raise MediaError(f"{name}: it holds no frames that can be decoded")
        self.format = self._describe(self._first)
        self.expected_frames = self._expect()

    def frames(self) -> Iterator[VideoFrame]:
        first, self._first = self._first, None
        if first is None:
            return
        size = first.width, first.height
        yield self._convert(first)
        del first
        for frame in self._decoded:
            if (frame.width, frame.height) != size:
                change = (
                    f"the picture size changes from {size[0]} x {size[1]} to"
                    f" {frame.width} x {frame.height} after {self._delivered} frames"
                )
                if not self._allow_damage:
                    raise MediaError(f"{self._source.name}: {change}")
                self.problems.append(f"{change}, and the rest is left out")
                break
            yield self._convert(frame)
            del frame
        self._side.finish()
        if self._moved_times:
            self.notes.append(
                f"{self._moved_times} timestamps were missing, repeated or went back: set anew"
            )

    def take_side_bytes(self) -> bytes:
        return self._side.take()

    def close(self) -> None:
        self._decoded.close()
        self._source.close()

    def _describe(self, frame: av.VideoFrame) -> VideoFormat:
        """The format, by the first frame and the container's header."""
        check_size(self._source.name, (frame.width, frame.height), self._max_pixels)
        given = self._raw.colour if self._raw is not None else None
        orientation = orientation_of(frame, self.notes)
        try:
            colour = describe_colour(frame, given, self.notes)
        except MediaError as error:
            raise MediaError(f"{self._source.name}: {error}") from error
        if frame.interlaced_frame:
            self.notes.append("interlaced: both fields are coded as one frame, marked progressive")
        self._to_rgb = ToRgb(colour, given, orientation)
        aspect = self._stream.sample_aspect_ratio or Fraction(1)
        width, height = frame.width, frame.height
        if orientation in _SWAPPED_ORIENTATIONS:
            width, height, aspect = height, width, 1 / aspect
        rate = self._stream.guessed_rate or self._stream.average_rate
        metadata = {
            key: text
            for key, text in self._source.container.metadata.items()
            if key.lower() not in _CONTAINER_TEXTS
        }
        return VideoFormat(
            width, height, self._time_base, rate or None, colour, aspect, metadata,
            tuple(self.notes),
        )  # fmt: skip

    def _convert(self, frame: av.VideoFrame) -> VideoFrame:
        """The frame in RGB, with a timestamp later than the last one's."""
        step = max(1, round(1 / ((self.format.frame_rate or _USUAL_RATE) * self._time_base)))
        pts = frame.pts
        if self._last_pts is None:
            pts = 0 if pts is None else pts
        elif pts is None:
            pts = self._last_pts + step
            self._moved_times += 1
        elif pts <= self._last_pts:
            pts = self._last_pts + 1
            self._moved_times += 1
        self._last_pts = pts
        pixels = self._to_rgb(frame)
        self._delivered += 1
        return VideoFrame(pixels, pts)

    def _decode(self) -> Generator[av.VideoFrame, None, None]:
        """FFmpeg's frames; all packets of other streams go to the side stream on the way."""
        for packet in self._demux():
            if packet.stream_index != self._stream.index:
                self._side.add(packet)
                continue
            self._look_at(packet)
            if self._slices is not None and packet.size and self._slices.is_damaged(bytes(packet)):
                yield from self._damage("a frame's checksum is wrong")
            try:
                frames = packet.decode()
            except av.error.EOFError:
                continue
            except av.error.FFmpegError as error:
                reason = error.strerror or "it cannot be decoded"
                yield from self._damage(reason if self._raw is None else _CUT)
                continue
            for frame in frames:
                if frame.is_corrupt:
                    yield from self._damage("a frame could only be decoded in part")
                yield frame
        if self._corrupt and not self.problems:
            count = len(self._corrupt)
            packets = "a packet was" if count == 1 else f"{count} packets were"
            first = self._corrupt[0]
            self.problems.append(f"{packets} damaged or missing, first after {first} frames")
        early = self._ends_early()
        if early is not None:
            yield from self._damage(early)

    def _look_at(self, packet: av.Packet[Any]) -> None:
        """Remember what a packet of the picture tells about the whole."""
        if packet.is_corrupt:
            self._corrupt.append(self._delivered)
        if packet.size:
            self._place = (packet.pos or 0) + packet.size
            shown_until = ((packet.pts or 0) + (packet.duration or 0)) * packet.time_base
            self._end = max(self._end, shown_until)

    def _demux(self) -> Iterator[av.Packet[Any]]:
        """All packets of the picture and of the side stream."""
        wanted = [self._stream.index, *self._side.streams]
        streams = [self._source.container.streams[index] for index in wanted]
        packets = self._source.container.demux(*streams)
        while True:
            try:
                packet = next(packets, None)
            except av.error.FFmpegError as error:
                yield from self._broken_off(error)
                return
            self._source.file.check()
            if packet is None:
                return
            yield packet

    def _broken_off(self, error: av.error.FFmpegError) -> Iterator[av.Packet[Any]]:
        """The container cannot be read on: an empty packet has the decoder give what it holds."""
        self._source.file.check()
        flush: av.Packet[Any] = av.Packet()
        flush.stream = self._stream
        flush.time_base = self._time_base
        yield flush
        for _ in self._damage(error.strerror or "the container is damaged"):
            pass

    def _damage(self, reason: str) -> Iterator[av.VideoFrame]:
        """Pass over damage where that is allowed; else yield what precedes it, and raise."""
        if self._allow_damage:
            self._report(reason)
            return
        with ffmpeg_guard(self._source.name, "damaged"):
            try:
                held = self._stream.codec_context.decode(None)
            except av.error.FFmpegError:
                held = []
        for frame in held:
            if not frame.is_corrupt:
                frame.time_base = self._time_base
                yield frame
        raise DamagedVideoError(
            f"{self._source.name}: damaged after {self._delivered} frames ({reason})",
            self._delivered,
        )

    def _report(self, reason: str) -> None:
        """Add to the problems, once for each place."""
        text = f"damage after {self._delivered} frames ({reason})"
        if text not in self.problems:
            self.problems.append(text)

    def _expect(self) -> int | None:
        """About how many frames there are, by the container's header."""
        stream, container = self._stream, self._source.container
        if stream.frames:
            return int(stream.frames)
        seconds = _tagged_duration(stream)
        if seconds is None and stream.duration is not None:
            seconds = stream.duration * self._time_base
        if seconds is None and container.duration is not None:
            seconds = Fraction(container.duration, av.time_base)
        if seconds is None or self.format.frame_rate is None:
            return None
        return max(1, round(seconds * self.format.frame_rate))

    def _ends_early(self) -> str | None:
        """How the video ends before it should; None where it does not."""
        if self._is_plain and 0 < self._place < self._source.file.read_bytes:
            return _CUT
        stream = self._stream
        promised = _tagged_duration(stream)
        if promised is None and self._source.container.format.name in _LENGTH_IN_HEADER:
            units = (stream.start_time or 0) + (stream.duration or 0)
            promised = units * self._time_base
        if promised is None or self._last_pts is None:
            return None
        step = 1 / (self.format.frame_rate or _USUAL_RATE)
        end = max(self._end, self._last_pts * self._time_base + step)
        if promised - end <= step + _DURATION_SLACK_S:
            return None
        return f"it ends at {float(end):.2f} s, its header promises {float(promised):.2f} s"


def _tagged_duration(stream: av.VideoStream) -> Fraction | None:
    """The end of a Matroska track in seconds, as its DURATION tag (hh:mm:ss) names it."""
    match = _DURATION_TAG.fullmatch(stream.metadata.get("DURATION", ""))
    if match is None:
        return None
    hours, minutes, seconds = (Fraction(part) for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds
