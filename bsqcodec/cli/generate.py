"""`bsqcodec generate`: pictures drawn by the prior of the BSQ family,
from nothing or into a hole."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from bsqcodec.cli import command_options
from bsqcodec.cli.console import Console
from bsqcodec.cli.jobs import display_target
from bsqcodec.cli.option_groups import GroupedCommand
from bsqcodec.cli.values import Number, Whole, complete_files, parse_frame_size
from bsqcodec.errors import MediaError, OutputError
from bsqcodec.media.files import check_output, is_standard_stream, open_output
from bsqcodec.media.formats import agreed_format

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from bsqcodec.media.image.picture import Picture

LARGEST_SEED = 2**63 - 1


@click.command(cls=GroupedCommand)
@click.argument("output", metavar="OUT", shell_complete=complete_files)
@click.option(
    "--size",
    "drawn_size",
    metavar="WxH",
    callback=parse_frame_size,
    help="Draw a picture of so many pixels from nothing.  [default: 256x256]",
)
@click.option(
    "--from",
    "source",
    metavar="PICTURE",
    shell_complete=complete_files,
    help="Draw into a hole of this picture.",
)
@click.option(
    "--mask",
    metavar="PICTURE",
    shell_complete=complete_files,
    help="The hole: what is white in this picture, which is as large as the other.",
)
@click.option(
    "--seed",
    type=Whole(0, LARGEST_SEED),
    metavar="N",
    default=0,
    show_default=True,
    help="Another seed draws another picture; the same one draws the same codes anywhere.",
)
@click.option(
    "--steps",
    type=Whole(1, 1000),
    metavar="N",
    default=12,
    show_default=True,
    help="Draw in so many steps.",
)
@click.option(
    "--temperature",
    type=Number("a number from 0 to 10", 0, 10),
    metavar="T",
    default=1.0,
    show_default=True,
    help="Below 1: likelier pictures; 0: the likeliest code each time.",
)
@command_options.force_option
@command_options.machine_options
@command_options.max_pixels_option
@command_options.json_option
@command_options.verbosity_options
@click.pass_obj
def generate(
    console: Console,
    output: str,
    drawn_size: tuple[int, int] | None,
    source: str | None,
    mask: str | None,
    seed: int,
    steps: int,
    temperature: float,
    force: bool,
    machine: command_options.MachineOptions,
    max_pixels: int,
    as_json: bool,
) -> None:
    """Draw a picture, or what is missing in one, with the model of the BSQ family.

    OUT is the picture to write, - for standard output. The model has learned to predict the codes
    of photographs for compression; it draws textures and plausible continuations, no scenes.
    """
    from bsqcodec.media.image.image_writer import write_picture
    from bsqcodec.models.bsq.generation import Drawing

    if (source is None) != (mask is None):
        raise click.UsageError("--from and --mask belong together: give both or neither")
    if source is not None and drawn_size is not None:
        raise click.UsageError("--size is the picture's own where --from is given")
    try:
        format = agreed_format(None if is_standard_stream(output) else output, None)
    except (MediaError, OutputError) as error:
        raise click.UsageError(str(error)) from error
    width, height = drawn_size or (256, 256)
    if width * height > max_pixels:
        raise click.UsageError(f"{width}x{height} pixels are more than --max-pixels {max_pixels}")
    if not is_standard_stream(output):
        check_output(output, force=force)
    given = None
    if source is not None and mask is not None:
        given = _read(source, max_pixels), _hole(mask, max_pixels)
    started = time.perf_counter()
    codecs = machine.codecs(console, "bsq")
    drawing = Drawing(seed, steps, temperature)
    with console.progress(display_target(output)) as progress:
        codec = codecs.picture
        if given is None:
            picture = codec.generate(width, height, drawing, progress=progress)
        else:
            picture = codec.complete(*given, drawing, progress=progress)
    seconds = time.perf_counter() - started
    with open_output(output, force=force) as file:
        notes = write_picture(picture, file, format=format.name)
    for note in notes:
        console.warning(f"{display_target(output)}: {note}")
    facts: dict[str, Any] = {"output": output, "width": picture.width, "height": picture.height}
    if as_json:
        facts |= {
            "from": source,
            "mask": mask,
            **asdict(drawing),
            "seconds": seconds,
            "notes": notes,
        }
        console.record(facts, data_on_stdout=is_standard_stream(output))
    else:
        size_text = f"{picture.width}x{picture.height}"
        console.summary(f"{display_target(output)}: {size_text}, seed {seed}, {seconds:.2f} s")


def _read(source: str, max_pixels: int) -> Picture:
    from bsqcodec.batch.pictures import read_source

    return read_source(source, max_pixels, first_frame=True)


def _hole(mask: str, max_pixels: int) -> npt.NDArray[np.bool_]:
    """What is white, or nearly, in a picture: bool [height, width]."""
    picture = _read(mask, max_pixels)
    samples = picture.pixels if picture.is_grey else picture.pixels.min(2)
    return samples >= 128
