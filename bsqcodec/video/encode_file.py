"""A whole video into a .bsq file: where its frames come from, any target,
checked if that is wanted.

`VideoInput` opens the source as often as it is needed. `encode_video_file` codes its frames
(`bsqcodec.video.encode_frames`), once, or again until a size is met.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import IO, BinaryIO, cast

from bsqcodec.encoder.rate_control import RateControl
from bsqcodec.encoder.size_budget import SizeBudget, code_to_size, container_bytes, shortfall
from bsqcodec.errors import TargetError
from bsqcodec.format.byte_source import SupportsWrite
from bsqcodec.format.video_times import DEFAULT_FRAME_RATE
from bsqcodec.media.files import temporary_file
from bsqcodec.media.video.bare_samples import check_bare_samples
from bsqcodec.media.video.frame_sequence import find_pictures
from bsqcodec.media.video.video_files import Part, RawVideo, VideoFrame, VideoReader, open_video
from bsqcodec.media.video.video_source import is_sequence
from bsqcodec.options import EncodeOptions
from bsqcodec.targets import Size
from bsqcodec.video.codec import VideoCodec
from bsqcodec.video.encode_frames import EncodedVideo, default_gop, encode_reader
from bsqcodec.video.family_encoders import group_encoders_of

Progress = Callable[[int], None]


class VideoInput:
    """A video file, stream or series of pictures, and how it is to be read.

    source, raw, frame_rate, allow_damage, part: as `open_video` takes them; a stream is read from
    its present position on. options: tell what becomes of sound and of the file's texts, such as a
    title, and how large a frame may be.
    """

    def __init__(
        self,
        source: str | Path | BinaryIO,
        options: EncodeOptions | None = None,
        *,
        raw: RawVideo | None = None,
        frame_rate: Fraction | None = None,
        allow_damage: bool = False,
        part: Part | None = None,
    ) -> None:
        self._source, self._options = source, options or EncodeOptions()
        self._raw, self._frame_rate = raw, frame_rate
        self._allow_damage, self._part = allow_damage, part
        self._start = None
        if not isinstance(source, (str, Path)) and source.seekable():
            self._start = source.tell()

    @property
    def can_reopen(self) -> bool:
        """Whether `open` can be called more than once."""
        return isinstance(self._source, (str, Path)) or self._start is not None

    def elsewhere(self) -> VideoInput | None:
        """The same frames, without the sound, as another process may read them: by absolute paths.

        None for a stream, and for a pipe that has a name.
        """
        if not self.files():
            return None
        return VideoInput(
            Path(os.path.abspath(cast("str | Path", self._source))),
            replace(self._options, audio="none"),
            raw=self._raw,
            frame_rate=self._frame_rate,
            allow_damage=self._allow_damage,
            part=self._part,
        )

    def files(self) -> list[Path]:
        """The file, or those of the pictures. Raises MediaError where there are no pictures."""
        if not isinstance(self._source, (str, Path)):
            return []
        path = Path(self._source)
        if path.is_dir() or is_sequence(path):
            return find_pictures(path)
        return [path] if path.is_file() else []

    def starting_at(self, seconds: Fraction) -> VideoInput | None:
        """The frames from so many seconds after the first one on; None where this is a part."""
        if self._part is not None:
            return None
        return VideoInput(
            self._source,
            self._options,
            raw=self._raw,
            frame_rate=self._frame_rate,
            allow_damage=self._allow_damage,
            part=Part(seconds),
        )

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
            max_pixels=self._options.max_pixels,
            allow_damage=self._allow_damage,
            part=self._part,
            audio=self._options.audio_choice,
        )
        return CountedReader(reader, strip=self._options.strip)


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


@dataclass(frozen=True)
class CodedVideo(EncodedVideo):
    """What is known about a coded video file.

    width, height: in pixels. duration: in seconds. side_bytes: of sound, subtitles and the like.
    problems: damage of the source that was passed over, one sentence each.
    """

    width: int
    height: int
    duration: float
    side_bytes: int
    problems: tuple[str, ...]


def encode_video_file(
    codec: VideoCodec,
    source: VideoInput,
    sink: SupportsWrite,
    options: EncodeOptions,
    *,
    progress: Progress | None = None,
) -> CodedVideo:
    """Code a video into a sink, which need not seek.

    With a size as target, or with `verify`, the file is made in a temporary place, and nothing
    reaches the sink before it is whole and right. For a size the source is read once more, to
    count its frames, and coded until the size is met (see `code_to_size`).
    progress: takes the number of frames done, in each coding.
    Raises TargetError, VerifyError, LimitError, and what `open_video`, its reader and the sink
    raise.
    """
    if isinstance(options.target, Size):
        coded, file = _to_size(codec, source, options.target.bytes, options, progress)
        with file:
            publish(codec, coded.frames, file, sink, verify=options.verify)
        return coded
    if not options.verify:
        return _code(codec, source, sink, options, progress)
    with temporary_file() as file:
        coded = _code(codec, source, file, options, progress)
        publish(codec, coded.frames, file, sink, verify=True)
    return coded


def publish(
    codec: VideoCodec, frames: int, file: IO[bytes], sink: SupportsWrite, *, verify: bool
) -> None:
    """Copy a coded video of so many frames to a sink; verify: not before it decodes as it should.

    Raises VerifyError.
    """
    if verify:
        file.seek(0)
        codec.verify(file, frames)
    file.seek(0)
    shutil.copyfileobj(file, sink)


def _code(
    codec: VideoCodec,
    source: VideoInput,
    sink: SupportsWrite,
    options: EncodeOptions,
    progress: Progress | None,
    rate_control: RateControl | None = None,
) -> CodedVideo:
    """Code a video once."""
    with source.open() as reader:
        encoded = encode_reader(
            codec,
            reader,
            sink,
            options,
            source=source,
            rate_control=rate_control,
            progress=progress,
        )
        return CodedVideo(
            **vars(encoded),
            width=reader.format.width,
            height=reader.format.height,
            duration=reader.duration,
            side_bytes=reader.side_bytes,
            problems=tuple(reader.problems),
        )


def _to_size(
    codec: VideoCodec,
    source: VideoInput,
    limit: int,
    options: EncodeOptions,
    progress: Progress | None,
) -> tuple[CodedVideo, IO[bytes]]:
    """Code a video as a temporary file of at most `limit` bytes."""
    if not source.can_reopen:
        raise TargetError("a size needs a source that can be read more than once, not a pipe")
    with source.open() as reader:
        form = reader.format
        encoders = group_encoders_of(codec.model, form.height, form.width, options, codec.device)
        for _ in reader.frames():
            reader.take_side_bytes()
        reader.take_side_bytes()
        frames = reader.frame_count
        group = options.gop or default_gop(form)
        groups = math.ceil(frames / group)
        rest = reader.side_bytes + container_bytes(form.metadata, groups, frames)

    def code(budget: SizeBudget, file: IO[bytes]) -> CodedVideo:
        return _code(codec, source, file, options, progress, budget)

    coded, file = code_to_size(code, frames, rest, limit, group, encoders.scale)
    return replace(coded, notes=(*coded.notes, *shortfall(coded.size, limit))), file
