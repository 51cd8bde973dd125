"""The video codec: frames stream in and a .bsq video comes out, and back, in bounded memory."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice, zip_longest
from pathlib import Path
from typing import TypeVar

from bsqcodec.encoder.effort import check_effort, is_searched, notes_on
from bsqcodec.encoder.rate_control import Control, Rate, make_control
from bsqcodec.encoder.targets import Quality, Target
from bsqcodec.encoder.tune import Tune, check_tune
from bsqcodec.errors import BsqError, FormatError, WeightsError
from bsqcodec.format.byte_source import ByteSource, SupportsWrite
from bsqcodec.format.memory_limit import memory_limit, memory_notes, video_memory
from bsqcodec.format.video_container import (
    DEFAULT_RATE,
    MAX_GOP_FRAMES,
    ColourCodes,
    DamagedGop,
    Gop,
    ShownTimes,
    SideBytes,
    VideoFileReader,
    VideoFileWriter,
    VideoHeader,
)
from bsqcodec.image.codec import set_up_machine
from bsqcodec.machine.scope import coding
from bsqcodec.machine.threads import thread_count
from bsqcodec.media.video.even_times import usual_rate
from bsqcodec.media.video.video_files import VideoColour, VideoFormat, VideoFrame, VideoReader
from bsqcodec.models import video_weight_files as video_weights
from bsqcodec.models.token_grid import TokenGrid
from bsqcodec.models.video_weight_files import VideoWeights
from bsqcodec.video.bit_accounting import LevelMeter
from bsqcodec.video.frame_loop import FrameLoop, Pixels
from bsqcodec.video.groups import CodedGroup, GroupDecoder, GroupEncoder, Workers
from bsqcodec.video.verify import verify_video
from bsqcodec.video.worker_pool import Help

DEFAULT_SECONDS = 1.0
"""Length of a group of pictures, unless a scene ends before."""

LAST_LONGER = 3
"""The last group takes in what would be left behind it, up to a third of a group."""

LONGEST_USUAL = 120
"""Frames of a group at most, unless more are asked for; all of them may be in memory."""

_MATRICES = {"bt709": 1, "bt601": 6, "bt2020nc": 9}
_MATRIX_NAMES = {1: "bt709", 5: "bt601", 6: "bt601", 9: "bt2020nc"}

Progress = Callable[[int], None]
"""Told how many frames are done; a group that is coded again does not count again."""


@dataclass(frozen=True)
class EncodedVideo:
    """What is known about a coded video. psnr: of all samples, in dB; bpp: of the whole file.

    groups: numbers of frames. picture_bytes: what the frames take of `size`.
    """

    frames: int
    groups: tuple[int, ...]
    size: int
    picture_bytes: int
    bpp: float
    psnr: float
    seconds: float
    notes: tuple[str, ...]


class VideoCodec:
    """Codes and decodes videos; loads the weights once and keeps them.

    weights: a file of video weights, or None for the default ones. device: "auto", "cpu" or
    "cuda". threads: of the CPU, as for `Codec`. With two or more on a CPU, a second
    process helps with longer videos (`bsqcodec.video.worker_pool`), unless not `helper`; it ends
    with the codec. Raises WeightsError.
    """

    def __init__(
        self,
        weights: str | Path | None = None,
        *,
        device: str = "auto",
        threads: int | None = None,
        int8: bool | None = None,
        helper: bool = True,
    ) -> None:
        self.device, self.notes = set_up_machine(device, threads)
        self._int8 = int8
        path = video_weights.find_default() if weights is None else Path(weights)
        self._help: Help | None = None
        if helper and self.device.type == "cpu":
            self._help = Help(thread_count(), path.absolute(), int8)
        self._default = video_weights.load(path, self.device, int8)
        self._loaded = {self._default.id: self._default}

    def workers(
        self, weights: VideoWeights, frames: int | None, side_by_side: bool = True
    ) -> AbstractContextManager[Workers]:
        """What works beside the pixels' thread, while the context lasts.

        frames: how many there probably are, None if that is not known.
        """
        help = None
        if self._help is not None and side_by_side:
            self._help.expect(frames)
            help = self._help, weights.path.absolute()
        return Workers.started(side_by_side, help)

    def _weights(self, model_id: bytes, image_id: bytes) -> VideoWeights:
        if model_id not in self._loaded:
            path = video_weights.find(model_id)
            self._loaded[model_id] = video_weights.load(path, self.device, self._int8)
        weights = self._loaded[model_id]
        if weights.image.id != image_id:
            raise WeightsError(
                f"the file goes with the weights {image_id.hex()} of pictures, but those of video,"
                f" {model_id.hex()}, go with {weights.image.id.hex()}"
            )
        return weights

    def encode(
        self,
        reader: VideoReader,
        sink: SupportsWrite,
        target: Target | None = None,
        *,
        gop: int | None = None,
        control: Control | None = None,
        effort: int = 1,
        tune: Tune | None = None,
        progress: Progress | None = None,
    ) -> EncodedVideo:
        """Code all frames of a reader into a sink, which need not seek.

        target: quality 50 by default; control: chooses the steps in its place. gop: frames of a
        group at most, by default about a second of them. effort: 2 searches (slowly) for better
        integers, 0 and 1 do not; tune: the measure that this is for. Raises ValueError for an
        impossible gop, another effort or tune, or a size as target (see `encode_video_file`),
        TargetError, LimitError, and what reader and sink raise.
        """
        check_effort(effort)
        check_tune(tune)
        started = time.perf_counter()
        weights, form = self._default, reader.format
        slack = 0
        if gop is None:
            gop = usual_gop(form)
            slack = gop // LAST_LONGER
        if not 1 <= gop <= MAX_GOP_FRAMES:
            raise ValueError(f"a group of {gop} frames is outside 1..{MAX_GOP_FRAMES}")
        grid = TokenGrid(form.height, form.width)
        if control is None:
            control = make_control(target or Quality(50), grid)
        area = form.height * form.width
        searching = is_searched(effort, area)
        notes = (*self.notes, *notes_on(effort, area, "each frame"))
        notes = (*notes, *memory_notes("frames", form.width, form.height, video_memory))
        groups: list[int] = []
        first_pts: int | None = None
        end = 0
        squared, picture_bytes = 0.0, 0
        with (
            coding(self.device, "this video"),
            self.workers(weights, reader.expected_frames, not searching) as workers,
        ):
            writer = VideoFileWriter(sink, _header(form, weights), form.metadata)
            times = ShownTimes(writer.header)
            frames = _Ahead(_growing(reader.frames(), times), slack, _nominal_step(form))

            def tell(done: int) -> None:
                """Of a group that is being coded."""
                if progress is not None:
                    progress(writer.frames + done)

            while frames:
                taken, coded = self._group(
                    frames, gop, grid, control, workers, searching, tune, tell, form.time_base
                )
                pts = tuple(frame.pts for frame in taken)
                first_pts = pts[0] if first_pts is None else first_pts
                end = frames.end
                writer.gop(Gop(writer.frames, pts, coded.payloads))
                side = reader.take_side_bytes()
                if side:
                    writer.side(side)
                groups.append(len(taken))
                squared += sum(coded.errors)
                picture_bytes += coded.size
                del taken, coded  # or two groups would be in memory
            side = reader.take_side_bytes()
            if side:
                writer.side(side)
            duration = end - (first_pts or 0)
            writer.close(duration)
        count = sum(groups)
        missed = None
        if isinstance(control, Rate):
            seconds = float(duration * form.time_base)
            missed = control.missed(8 * picture_bytes, count, seconds)
        if missed is not None:
            notes = (*notes, missed)
        area = count * form.height * form.width
        mean = squared / max(count, 1)
        return EncodedVideo(
            frames=count,
            groups=tuple(groups),
            size=writer.bytes_written,
            picture_bytes=picture_bytes,
            bpp=8 * writer.bytes_written / max(area, 1),
            psnr=math.inf if mean == 0 else 10 * math.log10(255**2 / mean),
            seconds=time.perf_counter() - started,
            notes=(*reader.notes, *notes, *times.notes),
        )

    def _group(
        self,
        frames: _Ahead,
        gop: int,
        grid: TokenGrid,
        control: Control,
        workers: Workers,
        searching: bool,
        tune: Tune | None,
        tell: Progress,
        time_base: Fraction,
    ) -> tuple[list[VideoFrame], CodedGroup]:
        """Code the next group, again with other steps until the control is content.

        tell: is told how many of its frames are done.
        """
        weights = self._default
        taken: list[VideoFrame] = []
        step = control.first_step()
        while True:
            loop = FrameLoop(weights.image.tokenizer, weights.predicted, grid, self.device)
            encoder = GroupEncoder(loop, weights.priors, workers, control.dry, searching, tune)
            if taken:
                for frame, following in zip_longest(taken, taken[1:]):
                    ahead = None if following is None else following.pixels
                    encoder.add(frame.pixels, step, cut=False, following=ahead)
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
            following = control.judge(step, coded, float(shown))
            if following is None:
                return taken, coded
            step = following

    def verify(self, source: ByteSource, frames: int) -> None:
        """Decode all integers of a .bsq video, which must have so many frames, and compare them.

        Raises VerifyError.
        """
        with coding(self.device, "this video"):
            file = VideoFileReader(source, max_pixels=2**62)
            weights = self._weights(file.header.video_model_id, file.header.image_model_id)
            verify_video(file, weights.priors, frames)

    def level_meter(self, header: VideoHeader) -> LevelMeter:
        """What finds how many bytes each level of a video takes. Raises WeightsError."""
        weights = self._weights(header.video_model_id, header.image_model_id)
        return LevelMeter(weights.priors, TokenGrid(header.height, header.width))

    def decode(
        self,
        source: ByteSource,
        *,
        start: float | None = None,
        duration: float | None = None,
        partial: bool = False,
        max_pixels: int | None = None,
        max_memory: int | None = None,
    ) -> DecodedVideo:
        """Open a .bsq video; its frames are decoded as they are asked for.

        start, duration: seconds from the first frame's time on, None for all; where the source can
        seek, only groups that hold wanted frames are decoded. partial: pass over damaged groups.
        max_memory: bytes that decoding may take, by default 10 GB or what this process can have, if
        that is less.
        Raises FormatError and its children, LimitError, WeightsError, ValueError for times below 0.
        """
        for name, seconds in (("start", start), ("duration", duration)):
            if seconds is not None and not (math.isfinite(seconds) and seconds >= 0):
                raise ValueError(f"the {name} of {seconds:g} seconds is not a time")
        limits = {} if max_pixels is None else {"max_pixels": max_pixels}
        limits["max_memory"] = memory_limit(max_memory)
        file = VideoFileReader(source, allow_partial=partial, **limits)
        weights = self._weights(file.header.video_model_id, file.header.image_model_id)
        return DecodedVideo(self, file, weights, start, duration, partial)


def usual_gop(form: VideoFormat) -> int:
    """Frames of a group, unless something else is asked for."""
    rate = form.frame_rate or DEFAULT_RATE
    return min(max(round(rate * Fraction(DEFAULT_SECONDS)), 1), LONGEST_USUAL)


def _nominal_step(form: VideoFormat) -> int:
    """How long a frame is shown by the frame rate, in units of the time base."""
    return round(1 / ((form.frame_rate or DEFAULT_RATE) * form.time_base))


class _Ahead:
    """Frames of an iterator, of which the next two, and `slack` after the next, are looked at.

    step: how long the last frame is shown, in units of the time base, if nothing else tells.
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


class DecodedVideo:
    """A .bsq video that is being decoded.

    format: as of the video that was coded. missing: damaged groups, as they turn up in `frames`.
    """

    def __init__(
        self,
        codec: VideoCodec,
        file: VideoFileReader,
        weights: VideoWeights,
        start: float | None,
        duration: float | None,
        partial: bool,
    ) -> None:
        self.file = file
        self.missing: list[DamagedGop] = []
        self.format = _format(file)
        self._times = ShownTimes(file.header)
        self._codec, self._weights, self._partial = codec, weights, partial
        # the decimals that were meant, so that .1 is not after a frame at 1/10
        self._start = None if start is None else Fraction(str(start))
        self._duration = None if duration is None else Fraction(str(duration))
        self._side: Callable[[bytes], object] | None = None

    def on_side_bytes(self, take: Callable[[bytes], object]) -> None:
        """Have the side stream's bytes given to `take` as `frames` comes across them."""
        self._side = take

    @property
    def average_rate(self) -> Fraction | None:
        """A usual number of frames a second that is not below the average; None if not known."""
        index, totals = self.file.index, self.file.totals
        if not index or totals is None or not totals.duration:
            return None
        return usual_rate(Fraction(totals.frames) / (totals.duration * self.file.header.time_base))

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
                with coding(self._codec.device, "this video"):
                    frame = next(frames, None)
                if frame is None:
                    return
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
        grid = TokenGrid(header.height, header.width)
        tokenizer, predicted = self._weights.image.tokenizer, self._weights.predicted
        waiting: _TimedGroup | None = None
        total = index.frame_count if index else None
        with self._codec.workers(self._weights, total) as workers:
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
                        loop = FrameLoop(tokenizer, predicted, grid, self._codec.device)
                        decoder = GroupDecoder(loop, self._weights.priors, part.frames, workers)
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
    decoder: GroupDecoder


Part = TypeVar("Part")


def _and_what_fails(parts: Iterator[Part]) -> Iterator[Part | BsqError | None]:
    """The parts, and then the error that ended them, or None."""
    try:
        yield from parts
    except BsqError as error:
        yield error
    else:
        yield None


def _header(form: VideoFormat, weights: VideoWeights) -> VideoHeader:
    colour = form.colour
    return VideoHeader(
        image_model_id=weights.image.id,
        video_model_id=weights.id,
        width=form.width,
        height=form.height,
        time_base=form.time_base,
        frame_rate=form.frame_rate,
        sample_aspect_ratio=form.sample_aspect_ratio,
        colour=ColourCodes(
            _MATRICES[colour.matrix], colour.full_range, colour.primaries, colour.transfer
        ),
    )


def _format(file: VideoFileReader) -> VideoFormat:
    header = file.header
    codes = header.colour
    if codes.matrix not in _MATRIX_NAMES:
        raise FormatError(f"the colour matrix {codes.matrix} is unknown here")
    return VideoFormat(
        width=header.width,
        height=header.height,
        time_base=header.time_base,
        frame_rate=header.frame_rate,
        colour=VideoColour(
            _MATRIX_NAMES[codes.matrix], codes.full_range, codes.primaries, codes.transfer
        ),
        sample_aspect_ratio=header.sample_aspect_ratio,
        metadata=file.metadata,
    )
