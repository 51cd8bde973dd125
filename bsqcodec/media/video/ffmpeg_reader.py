"""Reading a video of any container and codec that FFmpeg knows, frame by frame."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import floor
from typing import Final

import av

from bsqcodec.errors import MediaError
from bsqcodec.format.video_times import DEFAULT_FRAME_RATE
from bsqcodec.media.image.pillow_guard import check_size
from bsqcodec.media.remarks import CLOCK_STARTS_OVER, CROPPED
from bsqcodec.media.side.audio_choice import COPY, AudioChoice
from bsqcodec.media.side.side_cut import SideCut
from bsqcodec.media.side.side_stream import SideStream
from bsqcodec.media.video.frame_times import TimedFrame
from bsqcodec.media.video.part import Part
from bsqcodec.media.video.picture_decoder import PictureDecoder
from bsqcodec.media.video.track_facts import (
    TIME_CODE,
    ContainerCrop,
    SideDataNotes,
    TrackFacts,
    metadata_of,
    read_facts,
)
from bsqcodec.media.video.transparency import Transparency
from bsqcodec.media.video.video_colour import (
    CHROMA_SITING,
    DEFAULT_SITING,
    ToRgb,
    describe_colour,
    orientation_of,
)
from bsqcodec.media.video.video_source import (
    VideoSource,
    is_picture_file,
    main_picture,
    open_source,
    picture_aids,
)
from bsqcodec.media.video.video_types import RawVideo, VideoFormat, VideoFrame, VideoReader

_MAX_FRAME_RATE: Final = 300
"""No common video has more frames a second."""

_SWAPPED_ORIENTATIONS: Final = (5, 6, 7, 8)
_PLAIN: Final = "yuv4mpegpipe"
"""FFmpeg's y4m, which always says where samples of chroma lie."""


class FFmpegReader(VideoReader):
    """A video that FFmpeg reads; made by `open_video`, which tells what the arguments mean.

    The first frame is decoded at once, because it says more than the container's header.
    """

    def __init__(
        self,
        source: VideoSource,
        raw: RawVideo | None,
        *,
        max_pixels: int,
        allow_damage: bool,
        part: Part | None = None,
        audio: AudioChoice = COPY,
    ) -> None:
        self.notes = []
        self.problems = []
        self._raw = raw
        self._max_pixels = max_pixels
        self._allow_damage = allow_damage
        self._part = part
        self._audio = audio
        self._last_pts: int | None = None
        self._last_own_pts: int | None = None
        self._part_end: Fraction | None = None
        self._next_pts: int | None = None
        self._origin = self._count = self._moved_times = 0
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
        if container.format.name != _PLAIN:
            stream.codec_context.options = {CHROMA_SITING: DEFAULT_SITING}
        self._time_base = stream.time_base or 1 / DEFAULT_FRAME_RATE
        self._rate = nominal_rate(stream)
        if stream.codec_context.width and stream.codec_context.height:
            size = (stream.codec_context.width, stream.codec_context.height)
            check_size(name, size, self._max_pixels)
        alpha, aids = picture_aids(container, stream)
        self._transparency = Transparency(self.notes, alpha)
        self._cut = None if self._part is None else SideCut()
        side = SideStream(
            container, stream, self.notes, self.problems, aids, self._cut, self._audio
        )
        self._side = side
        self._decoder = PictureDecoder(
            self._source, stream, side, self._transparency, self.problems,
            allow_damage=self._allow_damage, is_raw=self._raw is not None,
        )  # fmt: skip
        self._decoded = self._decoder.frames()
        self._first = next(self._decoded, None)
        if self._first is None:
            self._decoder.check_end(None, 1 / DEFAULT_FRAME_RATE)
            raise MediaError(f"{name}: it holds no frames that can be decoded")
        facts = read_facts(container, stream)
        self._side_data = SideDataNotes(facts.unkept)
        self.format = self._describe(self._first.frame, facts)
        self.expected_frames = self._expect()

    def frames(self) -> Iterator[VideoFrame]:
        if self._first is None:
            return
        waiting: tuple[TimedFrame, int] | None = None
        try:
            for wanted in self._wanted():
                if waiting is not None:
                    yield self._convert(*waiting)
                waiting = wanted
                del wanted
        except MediaError:
            if waiting is not None:
                yield self._convert(*waiting)
            raise
        if waiting is None:
            raise MediaError(f"{self._source.name}: it has no frames in the part that is wanted")
        yield self._convert(*waiting, is_last=True)
        self._side.finish()
        self._note_end()

    def take_side_bytes(self) -> bytes:
        return self._side.take()

    def close(self) -> None:
        self._decoder.close()
        self._source.close()

    def _wanted(self) -> Iterator[tuple[TimedFrame, int]]:
        """The frames of the part that is wanted, with rising times of the source."""
        first, self._first = self._first, None
        assert first is not None
        size = first.frame.width, first.frame.height
        pts = self._pts_of(first)
        begin, end = Fraction(pts), None
        if self._part is not None and self._cut is not None:
            begin, end = self._part.limits(pts, self._time_base)
            self._cut.earliest = begin * self._time_base
            self._cut.end = None if end is None else end * self._time_base
            self._decoder.start_part(begin)
        timed: TimedFrame | None = first
        del first
        is_begun = False
        while timed is not None:
            if (timed.frame.width, timed.frame.height) != size:
                self._refuse_size(timed.frame, size)
                return
            if end is not None and pts >= end:
                self._next_pts = pts
                self._decoder.finish_part(end * self._time_base)
                return
            if pts >= begin:
                if self._part is not None and not is_begun:
                    self._origin = pts
                    self._side.begin_part(pts * self._time_base)
                    self._part_end = None if end is None else end + pts - begin
                is_begun = True
                self._count += 1
                yield timed, pts
            timed = next(self._decoded, None)
            if timed is not None:
                pts = self._pts_of(timed)
        self._decoder.check_end(self._last_pts, self._step_s)

    def _refuse_size(self, frame: av.VideoFrame, size: tuple[int, int]) -> None:
        """Raise MediaError for a frame of another size, or say that the rest is left out."""
        change = (
            f"the picture size changes from {size[0]} x {size[1]} to"
            f" {frame.width} x {frame.height} after {self._count} frames"
        )
        if not self._allow_damage:
            raise MediaError(f"{self._source.name}: {change}")
        self.problems.append(f"{change}, and the rest is left out")

    def _pts_of(self, timed: TimedFrame) -> int:
        """A time for the next frame that is later than the last one's."""
        own, last = timed.pts, self._last_pts
        step = max(1, round(self._step_s / self._time_base))
        if last is None:
            pts = own or 0
        elif own is None or own == self._last_own_pts:
            pts = last + step
            self._moved_times += 1
        elif own <= last:
            pts = last + 1
            self._moved_times += 1
        else:
            pts = own
        self._last_pts, self._last_own_pts = pts, own
        return pts

    def _convert(self, timed: TimedFrame, pts: int, *, is_last: bool = False) -> VideoFrame:
        """The frame in RGB."""
        duration = 0
        if is_last and self._next_pts is not None:
            duration = self._next_pts - pts
        elif is_last:
            duration = self._decoder.end.held(pts, timed.duration)
        if is_last and self._part_end is not None:
            most = max(floor(self._part_end - pts), 1)
            duration = min(duration or most, most)
        self._side_data.look(timed.frame)
        self._transparency.frame(timed.frame)
        return VideoFrame(self._to_rgb(timed.frame), pts - self._origin, duration)

    @property
    def _step_s(self) -> Fraction:
        """Seconds from one frame to the next, by the nominal rate."""
        return 1 / (self._rate or DEFAULT_FRAME_RATE)

    def _describe(self, frame: av.VideoFrame, facts: TrackFacts) -> VideoFormat:
        """The format, by the first frame and the container's header."""
        check_size(self._source.name, (frame.width, frame.height), self._max_pixels)
        given = self._raw.colour if self._raw is not None else None
        crop = self._usable(facts.crop, frame)
        orientation = orientation_of(frame, self.notes)
        try:
            colour = describe_colour(frame, given, self.notes)
        except MediaError as error:
            raise MediaError(f"{self._source.name}: {error}") from error
        self._transparency.frame(frame)
        if frame.interlaced_frame:
            self.notes.append("interlaced: both fields are coded as one frame, marked progressive")
        self._side_data.look(frame)
        self.notes += self._side_data.notes()
        self._to_rgb = ToRgb(colour, given, orientation, crop)
        aspect = self._stream.sample_aspect_ratio or Fraction(1)
        width, height = crop.size(frame.width, frame.height)
        if orientation in _SWAPPED_ORIENTATIONS:
            width, height, aspect = height, width, 1 / aspect
        container = self._source.container
        metadata = metadata_of(container, None if is_picture_file(container) else self._stream)
        if TIME_CODE in metadata and self._part is not None and self._part.start:
            del metadata[TIME_CODE]
            self.notes.append("the time code is of the whole video and was dropped")
        return VideoFormat(
            width, height, self._time_base, self._rate, colour, aspect, metadata, tuple(self.notes)
        )

    def _usable(self, crop: ContainerCrop | None, frame: av.VideoFrame) -> ContainerCrop:
        """The crop that the container asks for, if it leaves anything of the picture."""
        if crop is None:
            return ContainerCrop()
        width, height = crop.size(frame.width, frame.height)
        if width < 1 or height < 1:
            self.notes.append("the file asks for a crop that leaves nothing: not applied")
            return ContainerCrop()
        self.notes.append(f"{CROPPED} {width} x {height} as the file asks")
        return crop

    def _expect(self) -> int | None:
        """About how many frames there are, by the container's header."""
        count = self._decoder.end.counted_frames
        if self._part is None and count is not None:
            return count
        seconds = self._seconds()
        if seconds is not None and self._part is not None:
            seconds = max(seconds - self._part.start, Fraction(0))
        if self._part is not None and self._part.duration is not None:
            seconds = min(self._part.duration, seconds or self._part.duration)
        if seconds is None or self._rate is None:
            return None
        return max(1, round(seconds * self._rate))

    def _seconds(self) -> Fraction | None:
        """How long the video is, by the container's header; None where nothing tells."""
        stream, container = self._stream, self._source.container
        promised = self._decoder.end.promised()
        if promised is not None:
            return promised
        if stream.frames and self._decoder.end.counted_frames is None:
            return None
        if stream.duration is not None:
            return stream.duration * self._time_base
        return None if container.duration is None else Fraction(container.duration, av.time_base)

    def _note_end(self) -> None:
        """Add the notes that follow from all of the video."""
        self.notes += self._side_data.notes()
        joined = self._decoder.joined
        if joined.joints:
            count = "" if joined.joints == 1 else f" and {joined.joints - 1} times more"
            self.notes.append(
                f"{CLOCK_STARTS_OVER} after {float(joined.first_joint):.2f} s{count}:"
                " times are carried on"
            )
        if self._moved_times:
            self.notes.append(
                f"{self._moved_times} timestamps were missing, repeated or went back: set anew"
            )
        if self._next_pts is None:
            note = self._decoder.end.note(self._last_pts, self._step_s)
            self.notes += [] if note is None else [note]


def nominal_rate(stream: av.VideoStream) -> Fraction | None:
    """Return the frames a second that a stream promises; None where it has no such rate.

    Where FFmpeg finds no regular steps, it takes one frame for each of some fine units of time.
    """
    rate = stream.guessed_rate or stream.average_rate
    if not rate or (not stream.average_rate and rate > _MAX_FRAME_RATE):
        return None
    return rate
