"""`bsqcodec encode`: picture and video files in, .bsq files out."""

from __future__ import annotations

import errno
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bsqcodec.batch.plan import Naming
from bsqcodec.cli import command_options
from bsqcodec.cli.codecs import Codecs
from bsqcodec.cli.console import Console, format_bytes
from bsqcodec.cli.encode_video import Settings, encode_one_video, name_of_video
from bsqcodec.cli.jobs import (
    Job,
    check_standard_input,
    display_name,
    display_target,
    new_folder,
    plan,
    run,
    with_named_output,
)
from bsqcodec.cli.option_groups import GroupedCommand
from bsqcodec.cli.video_options import (
    InputOptions,
    raw_video,
    refuse,
    video_encoding_options,
)
from bsqcodec.errors import OutputError
from bsqcodec.media.files import (
    check_coded_name,
    check_output,
    first_bytes,
    is_standard_stream,
    open_input,
    open_output,
)
from bsqcodec.media.suffixes import CODED_SUFFIX
from bsqcodec.options import EncodeOptions
from bsqcodec.targets import Bitrate, Psnr

if TYPE_CHECKING:
    from bsqcodec.image.encode_picture import Encoded
    from bsqcodec.media.image.picture import Picture
    from bsqcodec.media.video.video_files import RawVideo


@click.command(cls=GroupedCommand)
@command_options.inputs_argument
@command_options.output_option
@command_options.naming_option(Naming.REPLACE, "replace: a.jpg becomes a.bsq. keep: a.jpg.bsq.")
@command_options.encoding_options
@command_options.model_option
@video_encoding_options
@click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="Videos: have the workers of this dask.distributed scheduler (tcp://host:8786) code the"
    " groups of frames.",
)
@command_options.force_option
@command_options.machine_options
@command_options.max_pixels_option
@command_options.json_option
@command_options.verbosity_options
@click.pass_obj
def encode(
    console: Console,
    inputs: tuple[str, ...],
    output: str | None,
    naming: str,
    encoding: EncodeOptions,
    model: str,
    video: InputOptions,
    scheduler: str | None,
    force: bool,
    machine: command_options.MachineOptions,
    as_json: bool,
) -> None:
    """Code pictures and videos as .bsq files.

    INPUT is any picture that Pillow opens, any video that FFmpeg opens, numbered pictures as a
    video (frame%05d.png, "frame*.png", or a folder with --video), or - for standard input.
    photo.png becomes photo.bsq, and clip.mp4 clip.bsq, unless -o or a last argument like small.bsq
    says otherwise.
    """
    inputs, output = with_named_output(inputs, output, _is_coded)
    raw = raw_video(video.frame_size, video.fps, video.pix_fmt)
    check_standard_input(inputs)
    videos = {source for source in inputs if _is_video(source, video.as_video, raw)}
    if len(videos) < len(set(inputs)):
        _refuse_for_pictures(encoding, video, scheduler)
    if videos:
        only_pictures = {"--look": encoding.look, "--pixel-checksum": encoding.pixel_checksum}
        refuse(only_pictures, "videos")
    if raw is None and video.fps is not None and not all(map(_is_series, videos)):
        refuse({"--fps": video.fps}, "videos that tell their own")
    settings = Settings(encoding, video, raw, force, as_json)
    command_options.check_model(model, machine.weights)
    codecs = machine.codecs(console, model, scheduler)

    def encode_one(job: Job) -> None:
        if job.source in videos:
            encode_one_video(console, job, codecs, settings)
        else:
            _encode_picture(console, job, codecs, settings)

    def name(source: str) -> str:
        return name_of_video(source) if source in videos else source

    def check(job: Job) -> None:
        if not job.to_stdout:
            check_output(job.target, force=force)

    jobs = plan(inputs, output, CODED_SUFFIX, name, Naming(naming))
    try:
        for job in jobs:
            check_coded_name(job.target)
    except OutputError as error:
        raise click.UsageError(str(error)) from error
    run(console, jobs, encode_one, check=check, folder=new_folder(output))


def _refuse_for_pictures(
    encoding: EncodeOptions, video: InputOptions, scheduler: str | None
) -> None:
    """Raise click.UsageError for an option that only videos have."""
    only_videos = {
        "--bitrate": isinstance(encoding.target, Bitrate),
        "--gop": encoding.gop,
        "--audio": encoding.audio != "copy",
        "--fps": video.fps,
        "--partial": video.partial,
        "--start": video.start,
        "--duration": video.duration,
        "--scheduler": scheduler,
    }
    refuse(only_videos, "pictures")


def _encode_picture(console: Console, job: Job, codecs: Codecs, settings: Settings) -> None:
    """Code the picture of a job and tell about it; raises BsqError and OSError."""
    from bsqcodec.media.size_notes import size_notes

    encoding = settings.encoding
    picture, input_bytes = _read(
        job.source, encoding.max_pixels, first_frame=settings.video.as_video is False
    )
    name = display_name(job.source)
    _warn(console, name, picture.notes)
    codec = codecs.picture
    with console.progress(name) as progress:
        encoded = codec.encode_with(picture, encoding, progress=progress)
    _warn(console, name, [note for note in encoded.notes if note not in picture.notes])
    with open_output(job.target, force=settings.force) as file:
        file.write(encoded.data)
    sizes = size_notes(picture, len(encoded.data), input_bytes, strip=encoding.strip)
    console.tell(name, sizes)
    if settings.as_json:
        facts = _facts(job, encoded, input_bytes, [*picture.notes, *encoded.notes, *sizes])
        console.record(facts, data_on_stdout=job.to_stdout)
    else:
        with_psnr = isinstance(encoding.target, Psnr) or console.verbosity >= 1
        _sum_up(console, job, encoded, input_bytes, with_psnr=with_psnr)


def _is_coded(name: str) -> bool:
    """Whether a name is that of a coded file, which is never encoded."""
    return Path(name).suffix.lower() == CODED_SUFFIX


def _is_video(source: str, as_video: bool | None, raw: RawVideo | None) -> bool:
    """Whether an input is to be coded as a video."""
    from bsqcodec.media.video.video_source import VIDEO_HEAD_BYTES, begins_video, is_video

    if as_video is not None:
        return as_video
    if raw is not None:
        return True
    if is_standard_stream(source):
        return begins_video(first_bytes(source, VIDEO_HEAD_BYTES))
    return is_video(source)


def _is_series(source: str) -> bool:
    """Whether a video is numbered pictures."""
    from bsqcodec.media.video.video_source import is_sequence

    return Path(source).is_dir() or is_sequence(Path(source))


def _read(source: str, max_pixels: int, *, first_frame: bool) -> tuple[Picture, int | None]:
    """The picture, and the size of its file where it is one."""
    from bsqcodec.batch.pictures import read_source

    if is_standard_stream(source):
        with open_input(source) as file:
            return read_source(file, max_pixels, first_frame=first_frame), None
    if Path(source).is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), source)
    picture = read_source(source, max_pixels, first_frame=first_frame)
    return picture, Path(source).stat().st_size


def _warn(console: Console, name: str, notes: list[str]) -> None:
    for note in notes:
        console.warning(f"{name}: {note}")


def _facts(job: Job, encoded: Encoded, input_bytes: int | None, notes: list[str]) -> dict[str, Any]:
    """What --json reports of one picture."""
    return {
        "input": job.source,
        "output": job.target,
        "width": encoded.width,
        "height": encoded.height,
        "input_bytes": input_bytes,
        "output_bytes": len(encoded.data),
        "bpp": encoded.bpp,
        "quality": encoded.quality,
        "look": encoded.look,
        "psnr_db": encoded.psnr if math.isfinite(encoded.psnr) else None,  # None: no error at all
        "step": encoded.step,
        "levels": encoded.levels,
        "ideal_bits": encoded.ideal_bits,
        "seconds": encoded.seconds,
        "notes": list(dict.fromkeys(notes)),
    }


def _sum_up(
    console: Console, job: Job, encoded: Encoded, input_bytes: int | None, *, with_psnr: bool
) -> None:
    """The line a picture, and with -v one more. with_psnr: measuring can take time."""
    count = len(encoded.data)
    sizes = format_bytes(count)
    if input_bytes:
        sizes = f"{format_bytes(input_bytes)} -> {sizes} ({count / input_bytes:.1%})"
    psnr = f" {encoded.psnr:.2f} dB," if with_psnr else ""
    quality = "" if encoded.quality is None else f" quality {encoded.quality:.4g},"
    console.summary(
        f"{display_name(job.source)} -> {display_target(job.target)}:"
        f" {encoded.width}x{encoded.height}, {sizes}, {encoded.bpp:.3f} bpp,"
        f"{quality}{psnr} {encoded.seconds:.2f} s"
    )
    console.detail(
        f"{encoded.levels} levels, step {encoded.step},"
        f" {encoded.ideal_bits / 8:.0f} bytes by the prior's own count"
    )
