"""A whole video into a .bsq file: any target, checked before it is handed over if that is wanted."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import IO, Any

from bsqcodec.encoder.size_budget import Budget, container_bytes, search_size, shortfall
from bsqcodec.encoder.tune import Tune
from bsqcodec.errors import TargetError
from bsqcodec.format.byte_source import SupportsWrite
from bsqcodec.media.files import temporary_file
from bsqcodec.targets import Size, Target
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
    target: Target,
    *,
    gop: int | None = None,
    effort: int = 1,
    tune: Tune | None = None,
    verify: bool = False,
    progress: Progress | None = None,
) -> CodedVideo:
    """Code a video into a sink, which need not seek.

    With a size as target, or with `verify`, the file is made in a temporary place, and nothing
    reaches the sink before it is whole and right. For a size the source is read once more, to
    count its frames, and coded until the size is met (see `search_size`).
    gop, effort, tune: see `VideoCodec.encode`. verify: decode all of the file's bits and compare.
    progress: told the number of frames done, in each coding.
    Raises TargetError, VerifyError, LimitError, ValueError for an impossible gop, effort or tune, and
    what `open_video`, its reader and the sink raise.
    """
    options: dict[str, Any] = {"gop": gop, "effort": effort, "tune": tune, "progress": progress}
    if isinstance(target, Size):
        coded, file = _to_size(codec, source, target.bytes, **options)
    elif not verify:
        return _code(codec, source, sink, target=target, **options)
    else:
        file = temporary_file()
        try:
            coded = _code(codec, source, file, target=target, **options)
        except BaseException:
            file.close()
            raise
    with file:
        if verify:
            file.seek(0)
            codec.verify(file, coded.frames)
        file.seek(0)
        shutil.copyfileobj(file, sink)
    return coded


def _code(codec: VideoCodec, source: VideoInput, sink: SupportsWrite, **options: Any) -> CodedVideo:
    """Code a video once; options: of `VideoCodec.encode`."""
    with source.open() as reader:
        encoded = codec.encode(reader, sink, **options)
        return CodedVideo(
            **vars(encoded),
            width=reader.format.width,
            height=reader.format.height,
            duration=reader.duration,
            side_bytes=reader.side_bytes,
            problems=tuple(reader.problems),
        )


def _to_size(
    codec: VideoCodec, source: VideoInput, limit: int, *, gop: int | None, **options: Any
) -> tuple[CodedVideo, IO[bytes]]:
    """Code a video as a temporary file of at most `limit` bytes; options: as of `_code`."""
    if not source.can_reopen:
        raise TargetError("a size needs a source that can be read more than once, not a pipe")
    with source.open() as reader:
        for _ in reader.frames():
            reader.take_side_bytes()
        reader.take_side_bytes()
        frames = reader.frame_count
        groups = math.ceil(frames / (gop or default_gop(reader.format)))
        rest = reader.side_bytes + container_bytes(reader.format.metadata, groups, frames)

    def code(budget: Budget, file: IO[bytes]) -> CodedVideo:
        return _code(codec, source, file, control=budget, gop=gop, **options)

    coded, file = search_size(code, frames, rest, limit)
    return replace(coded, notes=(*coded.notes, *shortfall(coded.size, limit))), file
