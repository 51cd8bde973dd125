"""A whole video into a .bsq file: any target, checked before it is handed over if that is wanted."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import IO

from bsqcodec.encoder.rate_control import RateControl
from bsqcodec.encoder.size_budget import SizeBudget, code_to_size, container_bytes, shortfall
from bsqcodec.errors import TargetError
from bsqcodec.format.byte_source import SupportsWrite
from bsqcodec.media.files import temporary_file
from bsqcodec.options import EncodeOptions
from bsqcodec.targets import Size
from bsqcodec.video.codec import VideoCodec
from bsqcodec.video.encode_frames import EncodedVideo, default_gop
from bsqcodec.video.video_input import VideoInput

Progress = Callable[[int], None]


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
    elif not options.verify:
        return _code(codec, source, sink, options, progress)
    else:
        file = temporary_file()
        try:
            coded = _code(codec, source, file, options, progress)
        except BaseException:
            file.close()
            raise
    with file:
        if options.verify:
            file.seek(0)
            codec.verify(file, coded.frames)
        file.seek(0)
        shutil.copyfileobj(file, sink)
    return coded


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
        encoded = codec.encode_with(
            reader, sink, options, rate_control=rate_control, progress=progress
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
        for _ in reader.frames():
            reader.take_side_bytes()
        reader.take_side_bytes()
        frames = reader.frame_count
        groups = math.ceil(frames / (options.gop or default_gop(reader.format)))
        rest = reader.side_bytes + container_bytes(reader.format.metadata, groups, frames)

    def code(budget: SizeBudget, file: IO[bytes]) -> CodedVideo:
        return _code(codec, source, file, options, progress, budget)

    coded, file = code_to_size(code, frames, rest, limit)
    return replace(coded, notes=(*coded.notes, *shortfall(coded.size, limit))), file
