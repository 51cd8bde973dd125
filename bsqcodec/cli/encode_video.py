"""`bsqcodec encode` for a video: reading, coding, reporting."""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from bsqcodec.cli.codecs import Codecs
from bsqcodec.cli.console import Console, format_bytes
from bsqcodec.cli.jobs import Job, display_name, display_target
from bsqcodec.cli.video_options import InputOptions
from bsqcodec.errors import DamagedVideoError
from bsqcodec.media.files import is_standard_stream, open_input, open_output
from bsqcodec.options import EncodeOptions
from bsqcodec.video.describe_video import count_of

if TYPE_CHECKING:
    from bsqcodec.media.video.video_files import RawVideo
    from bsqcodec.video.encode_file import CodedVideo

_PATTERN: Final = re.compile(r"%0?\d*d|[*?]")


@dataclass(frozen=True)
class Settings:
    """How inputs are read, coded and reported.

    raw: what bare samples do not say, None for others.
    """

    encoding: EncodeOptions
    video: InputOptions
    raw: RawVideo | None
    force: bool
    as_json: bool


def encode_one_video(console: Console, job: Job, codecs: Codecs, settings: Settings) -> None:
    """Code the video of a job and tell about it; raises BsqError and OSError."""
    try:
        if is_standard_stream(job.source):
            with open_input(job.source) as stream:
                _encode(console, job, stream, codecs, settings)
        else:
            _encode(console, job, Path(job.source), codecs, settings)
    except DamagedVideoError as error:
        way_out = f"{error}; --partial codes what is readable"
        raise DamagedVideoError(way_out, error.frames) from error


def name_of_video(source: str) -> str:
    """What a video's output is named after: the name of numbered pictures without the number.

    Of a folder that is given as "." or "..", it is its own name, beside it.
    """
    path = Path(source)
    if path.name in ("", os.pardir) and path.is_dir():
        return os.path.normpath(os.path.join(path, os.pardir, path.resolve().name or "video"))
    if not _PATTERN.search(path.name) or path.exists():
        return source
    stem = _PATTERN.sub("", path.stem).rstrip("._- ")
    return str(path.with_name((stem or "video") + path.suffix))


def _encode(
    console: Console,
    job: Job,
    source: Path | BinaryIO,
    codecs: Codecs,
    settings: Settings,
) -> None:
    from bsqcodec.media.size_notes import larger_note
    from bsqcodec.media.video.part import Part
    from bsqcodec.video.encode_file import VideoInput, encode_video_file

    name = display_name(job.source)
    video = VideoInput(
        source,
        settings.encoding,
        raw=settings.raw,
        frame_rate=settings.video.fps,
        allow_damage=settings.video.partial,
        part=Part.of(settings.video.start, settings.video.duration),
    )
    total = video.check()
    codec = codecs.video
    with (
        open_output(job.target, force=settings.force) as file,
        console.frames(name, total) as progress,
    ):
        coded = encode_video_file(
            codec,
            video,
            file,
            settings.encoding,
            progress=progress,
        )
    input_bytes = source.stat().st_size if isinstance(source, Path) and source.is_file() else None
    larger = larger_note(coded.size, input_bytes)
    if larger is not None:
        coded = replace(coded, notes=(*coded.notes, larger))
    console.tell(name, (*coded.notes, *coded.problems))
    if settings.as_json:
        console.record(_facts(job, coded, input_bytes), data_on_stdout=job.to_stdout)
    else:
        _sum_up(console, job, coded, input_bytes)


def _facts(job: Job, coded: CodedVideo, input_bytes: int | None) -> dict[str, Any]:
    """What --json reports of one video."""
    return {
        "input": job.source,
        "output": job.target,
        "width": coded.width,
        "height": coded.height,
        "frames": coded.frames,
        "duration_s": coded.duration,
        "gops": len(coded.groups),
        "input_bytes": input_bytes,
        "output_bytes": coded.size,
        "frame_bytes": coded.picture_bytes,
        "side_bytes": coded.side_bytes,
        "bpp": coded.bpp,
        "bitrate_bps": 8 * coded.size / coded.duration if coded.duration else None,
        "psnr_db": coded.psnr if math.isfinite(coded.psnr) else None,  # None: no error at all
        "seconds": coded.seconds,
        "notes": list(coded.notes),
        "problems": list(coded.problems),
    }


def _sum_up(console: Console, job: Job, coded: CodedVideo, input_bytes: int | None) -> None:
    """The line a video, and with -v one more."""
    sizes = format_bytes(coded.size)
    if input_bytes:
        fraction = coded.size / input_bytes
        sizes = f"{format_bytes(input_bytes)} -> {sizes} ({fraction:.1%})"
    rate = 8 * coded.size / max(coded.duration, 1e-9) / 1000
    console.summary(
        f"{display_name(job.source)} -> {display_target(job.target)}:"
        f" {coded.width}x{coded.height}, {count_of(coded.frames, 'frame')}, {sizes},"
        f" {rate:.4g} kbit/s, {coded.bpp:.3f} bpp, {coded.psnr:.2f} dB, {coded.seconds:.1f} s"
    )
    console.detail(
        f"{count_of(len(coded.groups), 'group')}, {coded.picture_bytes} bytes of frames,"
        f" {coded.side_bytes} of sound and the like"
    )
