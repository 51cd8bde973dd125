"""Frames to a .bsq video: where groups begin and end, and the quantizer step of each."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import islice, zip_longest
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
from bsqcodec.video.coding_threads import CodingThreads
from bsqcodec.video.decoding_loop import Pixels
from bsqcodec.video.family_encoders import GroupEncoders, group_encoders_of
from bsqcodec.video.stream_format import header_for

if TYPE_CHECKING:
    from bsqcodec.video.codec import VideoCodec

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
    rate_control: RateControl | None = None,
    progress: Progress | None = None,
) -> EncodedVideo:
    """Code all frames of a reader into a sink, with the weights, device and threads of a codec.

    See `bsqcodec.video.codec.VideoCodec.encode`.
    """
    started = time.perf_counter()
    form = reader.format
    encoders = group_encoders_of(codec.model, form.height, form.width, options, codec.device)
    if rate_control is None:
        rate_control = encoders.rate_control(options.target or DEFAULT_TARGET)
    else:
        encoders.check(rate_control)
    area = form.height * form.width
    optimised = is_optimised(options.effort, area)
    notes = (*codec.notes, *notes_on(options.effort, area, "each frame"))
    notes = (*notes, *memory_notes("frames", form.width, form.height, video_memory))
    with (
        coding(codec.device, "this video"),
        codec.coding_threads(codec.model, reader.expected_frames, not optimised) as threads,
    ):
        writer = VideoFileWriter(
            sink, header_for(form, codec.model.id, codec.model.image_id), form.metadata
        )
        times = ShownTimes(writer.header)
        encoding = _GroupEncoding(encoders, rate_control, threads)
        totals = _write_groups(encoding, reader, writer, times, options.gop, progress)
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
        notes=(*reader.notes, *notes, *times.notes),
    )


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
    encoding: _GroupEncoding,
    reader: VideoReader,
    writer: VideoFileWriter,
    times: ShownTimes,
    gop: int | None,
    progress: Progress | None,
) -> _Totals:
    """Code all groups and write them, each followed by the side stream's bytes that
    came with it."""
    form = reader.format
    slack = 0
    if gop is None:
        gop = default_gop(form)
        slack = gop // LAST_GOP_EXTENSION
    frames = _FrameQueue(_growing(reader.frames(), times), slack, _nominal_step(form))
    totals = _Totals()

    def tell(done: int) -> None:
        """Report frames of the group that is being coded."""
        if progress is not None:
            progress(writer.frames + done)

    while frames:
        taken, coded = encoding.next_group(frames, gop, tell, form.time_base)
        pts = tuple(frame.pts for frame in taken)
        totals.add(pts, coded)
        totals.end = frames.end
        writer.gop(Gop(writer.frames, pts, coded.payloads, coded.types))
        side = reader.take_side_bytes()
        if side:
            writer.side(side)
        del taken, coded  # or two groups would be in memory
    side = reader.take_side_bytes()
    if side:
        writer.side(side)
    return totals


def default_gop(form: VideoFormat) -> int:
    """Frames of a group, unless something else is asked for."""
    rate = form.frame_rate or DEFAULT_FRAME_RATE
    return min(max(round(rate * Fraction(DEFAULT_GOP_SECONDS)), 1), MAX_DEFAULT_GOP_FRAMES)


@dataclass(frozen=True)
class _GroupEncoding:
    """Codes the groups of one video."""

    encoders: GroupEncoders
    rate_control: RateControl
    threads: CodingThreads

    def next_group(
        self, frames: _FrameQueue, gop: int, tell: Progress, time_base: Fraction
    ) -> tuple[list[VideoFrame], CodedGroup]:
        """Code the next group, again with other steps until the rate control accepts it.

        gop: frames at most. tell: takes the number of its frames that are done.
        """
        taken: list[VideoFrame] = []
        step = self.rate_control.first_step()
        while True:
            encoder = self.encoders.start(self.threads, dry=self.rate_control.dry)
            if taken:
                for frame, following in zip_longest(taken, taken[1:]):
                    ahead = None if following is None else following.pixels
                    encoder.add(frame.pixels, step, detect_scene_change=False, following=ahead)
            else:
                while (
                    frames
                    and (len(taken) < gop or frames.ends)
                    and encoder.add(frames.peek().pixels, step, following=frames.second())
                ):
                    taken.append(frames.take())
                    tell(len(taken))
            coded = encoder.finish()
            shown = (frames.end - taken[0].pts) * time_base
            following_step = self.rate_control.judge(step, coded, float(shown))
            if following_step is None:
                return taken, coded
            step = following_step


class _FrameQueue:
    """Frames of an iterator, of which the next two, and `slack` after the next, can be looked at.

    step: how long the last frame is shown, in units of the time base, if nothing else says so.
    """

    def __init__(self, frames: Iterator[VideoFrame], slack: int, step: int) -> None:
        self._frames = frames
        self._slack = slack
        self._step = step
        self._taken: tuple[int, int] | None = None
        self._next: deque[VideoFrame] = deque(islice(frames, max(slack, 1) + 1))

    def __bool__(self) -> bool:
        return bool(self._next)

    @property
    def ends(self) -> bool:
        """Whether at most `slack` frames are left."""
        return len(self._next) <= self._slack

    def peek(self) -> VideoFrame:
        return self._next[0]

    def second(self) -> Pixels | None:
        """Pixels of the frame after the next; None if there is none."""
        return self._next[1].pixels if len(self._next) > 1 else None

    def take(self) -> VideoFrame:
        taken = self._next.popleft()
        self._next.extend(islice(self._frames, 1))
        if self._taken is not None:
            self._step = taken.pts - self._taken[0]
        self._taken = taken.pts, taken.duration
        return taken

    @property
    def end(self) -> int:
        """Until when the frame that was taken last is shown, in units of the time base."""
        if self._next:
            return self._next[0].pts
        pts, duration = self._taken or (0, 0)
        return pts + (duration or self._step)


def _growing(frames: Iterator[VideoFrame], times: ShownTimes) -> Iterator[VideoFrame]:
    """The frames, at times that grow also where those of a reader do not."""
    for frame in frames:
        (pts,) = times.of((frame.pts,))
        yield frame if pts == frame.pts else replace(frame, pts=pts)
        del frame


def _nominal_step(form: VideoFormat) -> int:
    """How long a frame is shown by the frame rate, in units of the time base."""
    return round(1 / ((form.frame_rate or DEFAULT_FRAME_RATE) * form.time_base))
