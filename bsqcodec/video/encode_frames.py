"""Frames to a .bsq video: where groups begin and end, and the quantizer step of each."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING

from bsqcodec.encoder.effort import is_optimised, notes_on
from bsqcodec.encoder.psnr import psnr_of_error
from bsqcodec.encoder.rate_control import AverageRate, CodedGroup, RateControl
from bsqcodec.format.byte_source import SupportsWrite
from bsqcodec.format.memory_limit import memory_notes, video_memory
from bsqcodec.format.video_file_writer import VideoFileWriter
from bsqcodec.format.video_gop import Gop
from bsqcodec.format.video_times import DEFAULT_FRAME_RATE, ShownTimes
from bsqcodec.machine.scope import coding
from bsqcodec.media.video.video_files import VideoFormat, VideoFrame, VideoReader
from bsqcodec.options import EncodeOptions
from bsqcodec.targets import DEFAULT_TARGET
from bsqcodec.video.encode_groups import GroupsInFlight
from bsqcodec.video.family_encoders import GroupEncoders, group_encoders_of
from bsqcodec.video.frame_window import FrameWindow
from bsqcodec.video.group_coding import GroupCoders
from bsqcodec.video.local_coders import LocalCoders
from bsqcodec.video.stream_format import header_for

if TYPE_CHECKING:
    from bsqcodec.video.codec import VideoCodec
    from bsqcodec.video.encode_file import VideoInput

DEFAULT_GOP_SECONDS = 1.0
"""Length of a group of pictures, unless a scene ends before."""

LAST_GOP_EXTENSION = 3
"""The last group takes in the frames that would be left behind it, up to 1 / 3 of a group."""

MAX_DEFAULT_GOP_FRAMES = 120
"""Frames of a group at most, unless more are asked for; all of them may be in memory."""

Progress = Callable[[int], None]
"""Takes the number of frames that are done; a group that is coded again does not count again."""


@dataclass(frozen=True)
class EncodedVideo:
    """What is known about a coded video. psnr: of all samples, in dB; bpp: of the whole file.

    groups: numbers of frames. picture_bytes: bytes of the frames, of `size`.
    """

    frames: int
    groups: tuple[int, ...]
    size: int
    picture_bytes: int
    bpp: float
    psnr: float
    seconds: float
    notes: tuple[str, ...]


def encode_reader(
    codec: VideoCodec,
    reader: VideoReader,
    sink: SupportsWrite,
    options: EncodeOptions,
    *,
    source: VideoInput | None = None,
    rate_control: RateControl | None = None,
    progress: Progress | None = None,
) -> EncodedVideo:
    """Code all frames of a reader into a sink, with the weights, device and threads of a codec.

    source: what the reader reads, for workers of a cluster that see it too. All else is as of
    `bsqcodec.video.codec.VideoCodec.encode`.
    """
    started = time.perf_counter()
    form = reader.format
    encoders = group_encoders_of(codec.model, form.height, form.width, options, codec.device)
    if rate_control is None:
        rate_control = encoders.rate_control(options.target or DEFAULT_TARGET)
    elif rate_control.scale != encoders.scale:
        raise ValueError("the rate control has other steps than the family of the weights")
    area = form.height * form.width
    notes = (*codec.notes, *notes_on(options.effort, area, "each frame"))
    notes = (*notes, *memory_notes("frames", form.width, form.height, video_memory))
    with (
        coding(codec.device, "this video"),
        _coders(codec, encoders, reader, options, source) as coders,
    ):
        writer = VideoFileWriter(
            sink, header_for(form, codec.model.id, codec.model.image_id), form.metadata
        )
        times = ShownTimes(writer.header)
        totals = _write_groups(coders, rate_control, options.gop, reader, writer, times, progress)
        writer.close(totals.duration)
    count = sum(totals.groups)
    missed = None
    if isinstance(rate_control, AverageRate):
        seconds = float(totals.duration * form.time_base)
        missed = rate_control.missed(8 * totals.picture_bytes, count, seconds)
    if missed is not None:
        notes = (*notes, missed)
    return EncodedVideo(
        frames=count,
        groups=tuple(totals.groups),
        size=writer.bytes_written,
        picture_bytes=totals.picture_bytes,
        bpp=8 * writer.bytes_written / max(count * area, 1),
        psnr=psnr_of_error(totals.squared_error / max(count, 1)),
        seconds=time.perf_counter() - started,
        notes=(*reader.notes, *notes, *times.notes, *coders.notes),
    )


def _coders(
    codec: VideoCodec,
    encoders: GroupEncoders,
    reader: VideoReader,
    options: EncodeOptions,
    source: VideoInput | None,
) -> GroupCoders:
    """Those who code the groups of a video: here, or on a cluster if the codec has one."""
    width, height = reader.format.width, reader.format.height
    if codec.scheduler is not None:
        from bsqcodec.video.cluster_coders import ClusterCoders, session_of

        return ClusterCoders(codec.scheduler, session_of(codec, (height, width), options, source))
    side_by_side = not is_optimised(options.effort, height * width)
    workers = codec.workers(codec.model, (width, height), reader.expected_frames, side_by_side)
    return LocalCoders(workers, codec.model, encoders, (height, width), options)


@dataclass
class _Totals:
    """What the groups of a video come to.

    groups: numbers of frames. first_pts, end: in units of the time base. squared_error:
    mean of each frame, added up.
    """

    groups: list[int] = field(default_factory=list)
    first_pts: int | None = None
    end: int = 0
    squared_error: float = 0.0
    picture_bytes: int = 0

    @property
    def duration(self) -> int:
        """From the first frame to the end of the last, in units of the time base."""
        return self.end - (self.first_pts or 0)

    def add(self, pts: tuple[int, ...], coded: CodedGroup) -> None:
        """Count a group."""
        self.groups.append(len(pts))
        self.first_pts = pts[0] if self.first_pts is None else self.first_pts
        self.squared_error += sum(coded.errors)
        self.picture_bytes += coded.size


def _write_groups(
    coders: GroupCoders,
    rate_control: RateControl,
    gop: int | None,
    reader: VideoReader,
    writer: VideoFileWriter,
    times: ShownTimes,
    progress: Progress | None,
) -> _Totals:
    """Code all groups and write them, each followed by the side stream's bytes that
    came with it."""
    form = reader.format
    slack = 0
    if gop is None:
        gop = default_gop(form)
        slack = gop // LAST_GOP_EXTENSION
    window = FrameWindow(_growing(reader.frames(), times), _nominal_step(form))
    groups = GroupsInFlight(
        coders,
        rate_control,
        window,
        gop,
        slack,
        form.time_base,
        progress or (lambda done: None),
    )
    sides = _SideBytes(reader, writer)
    totals = _Totals()
    with closing(groups.finished(lambda: sides.read(window))) as finished:
        for group in finished:
            totals.add(group.pts, group.coded)
            totals.end = group.end
            writer.gop(Gop(writer.frames, group.pts, group.coded.payloads, group.coded.types))
            sides.write(writer.frames + max(slack, 1))
    sides.write(None)
    return totals


class _SideBytes:
    """Bytes of the side stream, each written after the group with which they came.

    Which group that is follows from the number of the frame with which they were read, not from how
    many frames are read ahead.
    """

    def __init__(self, reader: VideoReader, writer: VideoFileWriter) -> None:
        self._reader, self._writer = reader, writer
        self._waiting: deque[tuple[int, bytes]] = deque()

    def read(self, window: FrameWindow) -> VideoFrame | None:
        """Read the next frame, and the bytes that come with it."""
        number = window.count
        frame = window.read()
        data = self._reader.take_side_bytes()
        if data:
            self._waiting.append((number, data))
        return frame

    def write(self, last_frame: int | None) -> None:
        """Write what came with the frames up to this one, None for all."""
        data = b""
        while self._waiting and (last_frame is None or self._waiting[0][0] <= last_frame):
            data += self._waiting.popleft()[1]
        if data:
            self._writer.side(data)


def default_gop(form: VideoFormat) -> int:
    """Frames of a group, unless something else is asked for."""
    rate = form.frame_rate or DEFAULT_FRAME_RATE
    return min(max(round(rate * Fraction(DEFAULT_GOP_SECONDS)), 1), MAX_DEFAULT_GOP_FRAMES)


def _growing(frames: Iterator[VideoFrame], times: ShownTimes) -> Iterator[VideoFrame]:
    """The frames, at times that grow also where those of a reader do not."""
    for frame in frames:
        (pts,) = times.of((frame.pts,))
        yield frame if pts == frame.pts else replace(frame, pts=pts)
        del frame


def _nominal_step(form: VideoFormat) -> int:
    """How long a frame is shown by the frame rate, in units of the time base."""
    return round(1 / ((form.frame_rate or DEFAULT_FRAME_RATE) * form.time_base))
