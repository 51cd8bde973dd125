"""Pictures and videos of any kind as `compare`, `sweep` and `view` read them,
.bsq files decoded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bsqcodec.cli.codecs import Codecs
from bsqcodec.errors import MediaError
from bsqcodec.media.files import first_bytes, is_standard_stream
from bsqcodec.options import DecodeOptions

if TYPE_CHECKING:
    from bsqcodec.media.image.picture import Samples


@dataclass(frozen=True)
class Source:
    """A file of a picture or a video. bytes: its size, None of numbered pictures."""

    path: str
    is_video: bool
    is_coded: bool
    bytes: int | None


def find_source(path: str) -> Source:
    """Look at a file. Raises BsqError and OSError, click.UsageError for a standard stream."""
    from bsqcodec.format.magic import FileKind, is_coded, read_kind
    from bsqcodec.media.video.video_files import is_video

    if is_standard_stream(path):
        raise click.UsageError("give the name of a file, not standard input")
    size = Path(path).stat().st_size if Path(path).is_file() else None
    if size is None:
        if not is_video(path):
            first_bytes(path)  # raises what is wrong
            raise MediaError(f"{path} is neither a picture nor a video")
        return Source(path, True, False, None)
    if is_coded(first_bytes(path)):
        with open(path, "rb") as file:
            kind, _ = read_kind(file)
        return Source(path, kind is FileKind.VIDEO, True, size)
    return Source(path, is_video(path), False, size)


def read_pixels(source: Source, codecs: Codecs, decoding: DecodeOptions) -> tuple[Samples, str]:
    """(the samples [H, W, 3] of a picture, a note or ""). Raises BsqError and OSError."""
    from bsqcodec.batch.pictures import read_source
    from bsqcodec.image.samples import to_rgb

    if source.is_coded:
        with open(source.path, "rb") as file:
            picture = codecs.picture.decode_with(file, decoding).picture
    else:
        picture = read_source(source.path, decoding.max_pixels)
    opaque = picture.alpha is None or bool((picture.alpha == 255).all())
    note = "" if opaque else f"{source.path}: transparency is not compared"
    return to_rgb(picture.pixels), note


def read_frames(
    source: Source, codecs: Codecs, decoding: DecodeOptions
) -> Iterator[tuple[float, Samples]]:
    """The frames [H, W, 3] of a video with their times in seconds. Raises BsqError and OSError."""
    from bsqcodec.media.video.video_files import open_video

    if source.is_coded:
        with open(source.path, "rb") as file:
            decoded = codecs.video.decode_with(file, decoding)
            base, first = decoded.format.time_base, None
            with closing(decoded.frames()) as frames:
                for frame in frames:
                    first = frame.pts if first is None else first
                    yield float((frame.pts - first) * base), frame.pixels
        return
    with open_video(Path(source.path), max_pixels=decoding.max_pixels) as reader:
        base, first = reader.format.time_base, None
        for frame in reader.frames():
            first = frame.pts if first is None else first
            yield float((frame.pts - first) * base), frame.pixels
