"""`bsqcodec decode` for a video: the form of the output, decoding, reporting."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bsqcodec.cli.codecs import Codecs
from bsqcodec.cli.console import Console, format_bytes
from bsqcodec.cli.jobs import Job, display_name, display_target
from bsqcodec.format.byte_source import SupportsRead
from bsqcodec.format.memory_limit import memory_limit
from bsqcodec.format.rewind import is_seekable, seekable
from bsqcodec.media.files import is_standard_stream, open_output
from bsqcodec.media.formats import VIDEO_CONTAINER_NAMES
from bsqcodec.options import DecodeOptions
from bsqcodec.video.describe_video import count_of, missing_frames

if TYPE_CHECKING:
    from bsqcodec.format.video_index import VideoIndex
    from bsqcodec.media.video.video_files import OutputOptions
    from bsqcodec.video.decode_file import StoredVideo


@dataclass(frozen=True)
class DecodingSettings:
    """How videos are decoded and reported; the fields are the command's options."""

    format_name: str | None
    encoder: str | None
    crf: int | None
    lossless: bool
    decoding: DecodeOptions
    force: bool
    as_json: bool


def suffix_of_video(format_name: str | None) -> str:
    """Suffix of an output that is named after its input; "" for a folder of pictures."""
    return "" if format_name == "png" else f".{format_name or VIDEO_CONTAINER_NAMES[0]}"


def output_options(job: Job, settings: DecodingSettings) -> OutputOptions:
    """How the output of a job is stored.

    Raises click.UsageError where its name or format is wrong.
    """
    from bsqcodec.errors import OutputError
    from bsqcodec.media.video.video_files import OutputOptions, check_video_name, container_of

    name = settings.format_name
    if name is not None and name not in VIDEO_CONTAINER_NAMES:
        raise click.UsageError(
            f"{display_name(job.source)} is a video; it cannot be written as {name}"
        )
    if job.to_stdout and name == "png":
        raise click.UsageError("numbered pictures cannot go to standard output")
    container = name or (VIDEO_CONTAINER_NAMES[0] if job.to_stdout else container_of(job.target))
    if container is None:
        raise click.UsageError(
            f"{display_target(job.target)}: cannot write videos like that;"
            f" --format can be {', '.join(VIDEO_CONTAINER_NAMES)}"
        )
    options = OutputOptions(
        container=container,
        codec=settings.encoder,
        crf=settings.crf,
        lossless=settings.lossless,
        overwrite=settings.force,
    )
    try:
        check_video_name(None if job.to_stdout else job.target, options)
    except OutputError as error:
        raise click.UsageError(str(error)) from error
    return options


def decode_one_video(
    console: Console,
    job: Job,
    source: SupportsRead,
    codecs: Codecs,
    options: OutputOptions,
    settings: DecodingSettings,
) -> None:
    """Decode the video of a job and tell about it; raises BsqError and OSError."""

    name = display_name(job.source)
    total = _check_file(source, settings)
    from bsqcodec.video.decode_file import decode_video_file  # with all of torch

    codec = codecs.video

    def decode(destination: Any, progress: Callable[[int], None] | None) -> StoredVideo:
        return decode_video_file(
            codec,
            source,
            destination,
            options,
            settings.decoding,
            progress=progress,
        )

    with console.frames(name, total) as progress:
        if job.to_stdout:
            with open_output(job.target, force=True) as file:
                stored = decode(_Stream(file), progress)
        else:
            stored = decode(Path(job.target), progress)
    for lost in stored.missing:
        what = missing_frames(lost.first_frame, lost.frames)
        side = ", and some of the sound" if lost.side_lost else ""
        console.warning(f"{name}: the file is damaged; {what} missing{side} ({lost.reason})")
    for note in stored.notes:
        console.warning(f"{display_target(job.target)}: {note}")
    if settings.as_json:
        facts = _facts(job, stored, str(options.container))
        console.record(facts, data_on_stdout=job.to_stdout)
    else:
        _sum_up(console, job, stored)


class _Stream(io.RawIOBase):
    """Standard output as a pipe: a file that it was sent to may hold something already."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return int(self._file.write(data) or 0)

    def flush(self) -> None:
        if not self.closed:
            self._file.flush()


def _check_file(source: SupportsRead, settings: DecodingSettings) -> int | None:
    """Refuse a damaged header before the weights are loaded; the number of frames, if known."""
    from bsqcodec.format.video_file_reader import VideoFileReader

    if not is_seekable(source):
        return None
    decoding = settings.decoding
    file = seekable(source)
    place = file.tell()
    reader = VideoFileReader(
        file,
        max_pixels=decoding.max_pixels,
        max_memory=memory_limit(decoding.max_memory),
        allow_partial=decoding.partial,
    )
    if decoding.crop is not None:
        decoding.crop.check(reader.header.width, reader.header.height)
    index: VideoIndex | None = reader.index
    file.seek(place)
    return index.frame_count if index and decoding.takes_all else None


def _facts(job: Job, stored: StoredVideo, container: str) -> dict[str, Any]:
    """What --json reports of one video."""
    return {
        "input": job.source,
        "output": job.target,
        "width": stored.format.width,
        "height": stored.format.height,
        "frames": stored.frames,
        "format": container,
        "input_bytes": _size(job),
        "missing": [asdict(lost) for lost in stored.missing],
        "seconds": stored.seconds,
        "notes": list(stored.notes),
    }


def _size(job: Job) -> int | None:
    return None if is_standard_stream(job.source) else Path(job.source).stat().st_size


def _sum_up(console: Console, job: Job, stored: StoredVideo) -> None:
    """The line a video."""
    count = _size(job)
    size = f"{format_bytes(count)}, " if count is not None else ""
    console.summary(
        f"{display_name(job.source)} -> {display_target(job.target)}:"
        f" {stored.format.width}x{stored.format.height}, {size}{count_of(stored.frames, 'frame')},"
        f" {stored.seconds:.1f} s"
    )
