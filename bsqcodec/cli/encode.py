"""`bsqcodec encode`: a picture file in, a .bsq file out."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from bsqcodec.api import DEFAULT_QUALITY, choose_target
from bsqcodec.cli import options
from bsqcodec.cli.console import Console, format_bytes
from bsqcodec.cli.jobs import Job, display_name, display_target, plan, run
from bsqcodec.media.files import check_output, is_standard_stream, open_input, open_output

if TYPE_CHECKING:
    from bsqcodec.codec import Codec, Encoded
    from bsqcodec.media.picture import Picture

SUFFIX: Final = ".bsq"


@click.command()
@options.inputs_argument
@options.output_option
@click.option(
    "-q",
    "--quality",
    type=options.FiniteFloat(0, 100),
    metavar="0..100",
    help=f"Quality, 100 is best.  [default: {DEFAULT_QUALITY:g}]",
)
@click.option(
    "--bpp",
    type=options.FiniteFloat(min=0, min_open=True),
    metavar="BITS",
    help="Bits per pixel, instead of -q.",
)
@click.option(
    "--size",
    metavar="BYTES",
    callback=options.parse_byte_size,
    help="Size of the file (20000, 20k, 1.5M), instead of -q.",
)
@click.option(
    "--psnr",
    type=options.FiniteFloat(min=0, min_open=True),
    metavar="DB",
    help="PSNR in dB, instead of -q.",
)
@click.option(
    "--effort",
    type=click.IntRange(0, 1),
    metavar="0|1",
    default=1,
    show_default=True,
    help="0: faster; 1: weigh rate against distortion, for a smaller file.",
)
@click.option("--strip", is_flag=True, help="Leave out the colour profile, EXIF and XMP.")
@click.option("--verify", is_flag=True, help="Decode before the file is published, and compare.")
@options.force_option
@options.machine_options
@options.max_pixels_option
@options.json_option
@options.verbosity_options
@click.pass_obj
def encode(
    console: Console,
    inputs: tuple[str, ...],
    output: str | None,
    quality: float | None,
    bpp: float | None,
    size: int | None,
    psnr: float | None,
    effort: int,
    strip: bool,
    verify: bool,
    force: bool,
    device: str,
    threads: int | None,
    weights: str | None,
    max_pixels: int,
    as_json: bool,
) -> None:
    """Code pictures as .bsq files.

    INPUT is any picture that Pillow opens, or - for standard input. photo.png becomes photo.bsq
    unless -o says otherwise.
    """
    if sum(value is not None for value in (quality, bpp, size, psnr)) > 1:
        raise click.UsageError("give only one of -q, --bpp, --size and --psnr")
    target = choose_target(quality, bpp, size, psnr)

    @cache
    def load_codec() -> Codec:
        from bsqcodec.codec import Codec

        return Codec(weights, device=device, threads=threads)

    def encode_one(job: Job) -> None:
        if not job.to_stdout:
            check_output(Path(job.target), force=force)
        picture, input_bytes = _read(job.source, max_pixels)
        name = display_name(job.source)
        _warn(console, name, picture.notes)
        codec = load_codec()
        with console.progress(name) as progress:
            encoded = codec.encode(
                picture, target, strip=strip, verify=verify, effort=effort, progress=progress
            )
        _warn(console, name, [note for note in encoded.notes if note not in picture.notes])
        with open_output(job.target, force=force) as file:
            file.write(encoded.data)
        if as_json:
            facts = _facts(job, encoded, input_bytes, [*picture.notes, *encoded.notes])
            console.record(facts, data_on_stdout=job.to_stdout)
        else:
            _sum_up(console, job, encoded, input_bytes)

    run(console, plan(inputs, output, SUFFIX), encode_one)


def _read(source: str, max_pixels: int) -> tuple[Picture, int | None]:
    """The picture, and the size of its file where it is one."""
    from bsqcodec.media.images import read_picture

    if is_standard_stream(source):
        with open_input(source) as file:
            return read_picture(file, max_pixels=max_pixels), None
    return read_picture(source, max_pixels=max_pixels), Path(source).stat().st_size


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
        "psnr_db": encoded.psnr if math.isfinite(encoded.psnr) else None,  # None: no error at all
        "step": encoded.step,
        "levels": encoded.levels,
        "ideal_bits": encoded.ideal_bits,
        "seconds": encoded.seconds,
        "notes": list(dict.fromkeys(notes)),
    }


def _sum_up(console: Console, job: Job, encoded: Encoded, input_bytes: int | None) -> None:
    """The line a picture, and with -v one more."""
    count = len(encoded.data)
    sizes = format_bytes(count)
    if input_bytes:
        sizes = f"{format_bytes(input_bytes)} -> {sizes} ({count / input_bytes:.1%})"
    console.summary(
        f"{display_name(job.source)} -> {display_target(job.target)}:"
        f" {encoded.width}x{encoded.height}, {sizes}, {encoded.bpp:.3f} bpp,"
        f" quality {encoded.quality:.4g}, {encoded.psnr:.2f} dB, {encoded.seconds:.2f} s"
    )
    console.detail(
        f"{encoded.levels} levels, step {encoded.step},"
        f" {encoded.ideal_bits / 8:.0f} bytes by the prior's own count"
    )
