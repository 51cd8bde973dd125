"""`bsqcodec decode`: a .bsq file in, a picture file out."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import click

from bsqcodec.cli import options
from bsqcodec.cli.console import Console, format_bytes
from bsqcodec.cli.jobs import Job, display_name, display_target, plan, run
from bsqcodec.media.files import check_output, is_standard_stream, open_input, open_output

if TYPE_CHECKING:
    from bsqcodec.codec import Codec, Decoded

FORMATS: Final = ("png", "jpg", "webp", "avif", "tif", "jp2", "bmp", "tga", "ppm")
"""Names for --format; they are the suffixes of bsqcodec.media.image_writer.OUTPUT_FORMATS."""

_LOST_ALPHA: Final = "; transparency, if there was any, may be missing"
"""Alpha is the last chunk before the end, so a cut file does not tell whether it had one."""


@click.command()
@options.inputs_argument
@options.output_option
@click.option(
    "--format",
    "format_name",
    type=click.Choice(FORMATS, case_sensitive=False),
    help="Format to write.  [default: by the suffix of OUT, else png]",
)
@click.option(
    "--levels",
    type=click.IntRange(1, 255),
    metavar="N",
    help="Decode only the first N levels, for a coarser picture.",
)
@click.option("--partial", is_flag=True, help="Decode a cut or damaged file as far as it goes.")
@options.force_option
@options.machine_options
@options.max_pixels_option
@options.json_option
@options.verbosity_options
@click.pass_obj
def decode(
    console: Console,
    inputs: tuple[str, ...],
    output: str | None,
    format_name: str | None,
    levels: int | None,
    partial: bool,
    force: bool,
    device: str,
    threads: int | None,
    weights: str | None,
    max_pixels: int,
    as_json: bool,
) -> None:
    """Decode .bsq files to pictures.

    INPUT is a .bsq file, or - for standard input. photo.bsq becomes photo.png unless -o or
    --format says otherwise.
    """
    from bsqcodec.errors import MediaError
    from bsqcodec.media.image_writer import output_format, write_picture

    jobs = plan(inputs, output, f".{format_name or FORMATS[0]}")
    try:
        formats = {
            job: output_format(None if job.to_stdout else job.target, format_name) for job in jobs
        }
    except MediaError as error:
        raise click.UsageError(str(error)) from error

    @cache
    def load_codec() -> Codec:
        from bsqcodec.codec import Codec

        return Codec(weights, device=device, threads=threads)

    def decode_one(job: Job) -> None:
        name = display_name(job.source)
        if not job.to_stdout:
            check_output(Path(job.target), force=force)
        with open_input(job.source) as stream, console.progress(name) as progress:
            input_bytes = _check_header(job.source, stream, max_pixels)
            decoded = load_codec().decode(
                stream, levels=levels, partial=partial, max_pixels=max_pixels, progress=progress
            )
        if decoded.truncated:
            lost = "" if decoded.picture.alpha is not None else _LOST_ALPHA
            console.warning(
                f"{name}: the file is incomplete;"
                f" {decoded.levels_decoded} of {decoded.header.levels} levels were decoded{lost}"
            )
        with open_output(job.target, force=force) as file:
            notes = write_picture(decoded.picture, file, format=formats[job].name)
        for note in notes:
            console.warning(f"{display_target(job.target)}: {note}")
        if as_json:
            facts = _facts(job, decoded, formats[job].name, input_bytes, notes)
            console.record(facts, data_on_stdout=job.to_stdout)
        else:
            _sum_up(console, job, decoded, input_bytes)

    run(console, jobs, decode_one)


def _check_header(source: str, stream: BinaryIO, max_pixels: int) -> int | None:
    """Refuse what is no .bsq file before the weights are loaded; return the size of a file."""
    from bsqcodec.bitstream.container import unpack_header

    if is_standard_stream(source) or not stream.seekable():
        return None
    unpack_header(stream, max_pixels=max_pixels)
    stream.seek(0)
    return Path(source).stat().st_size


def _facts(
    job: Job, decoded: Decoded, format_name: str, input_bytes: int | None, notes: list[str]
) -> dict[str, Any]:
    """What --json reports of one picture."""
    picture = decoded.picture
    return {
        "input": job.source,
        "output": job.target,
        "width": picture.width,
        "height": picture.height,
        "colour": "gray" if picture.is_grey else "rgb",
        "alpha": picture.alpha is not None,
        "format": format_name,
        "input_bytes": input_bytes,
        "levels": decoded.header.levels,
        "levels_decoded": decoded.levels_decoded,
        "truncated": decoded.truncated,
        "seconds": decoded.seconds,
        "notes": notes,
    }


def _sum_up(console: Console, job: Job, decoded: Decoded, input_bytes: int | None) -> None:
    """The line a picture."""
    picture = decoded.picture
    colour = ("grey" if picture.is_grey else "RGB") + ("" if picture.alpha is None else " + alpha")
    size = f"{format_bytes(input_bytes)}, " if input_bytes is not None else ""
    console.summary(
        f"{display_name(job.source)} -> {display_target(job.target)}:"
        f" {picture.width}x{picture.height} {colour}, {size}"
        f"{decoded.levels_decoded} of {decoded.header.levels} levels, {decoded.seconds:.2f} s"
    )
