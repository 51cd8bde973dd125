"""`bsqcodec info`: what a .bsq file says about itself,
without its model unless that is asked for."""

from __future__ import annotations

import click

from bsqcodec.cli import command_options
from bsqcodec.cli.codecs import Codecs
from bsqcodec.cli.console import Console
from bsqcodec.cli.jobs import Job, check_standard_input, display_name, run
from bsqcodec.cli.option_groups import GroupedCommand
from bsqcodec.errors import FormatError
from bsqcodec.media.files import open_input


@click.command(cls=GroupedCommand)
@command_options.inputs_argument
@click.option(
    "--levels",
    is_flag=True,
    help="Videos: decode all tokens, to tell what each level takes. Slow; needs the weights.",
)
@command_options.machine_options
@command_options.max_pixels_option
@command_options.json_option
@command_options.verbosity_options
@click.pass_obj
def info(
    console: Console,
    inputs: tuple[str, ...],
    levels: bool,
    machine: command_options.MachineOptions,
    max_pixels: int,
    as_json: bool,
) -> None:
    """Tell what is in .bsq files.

    That is the size, colour, levels or frames, metadata, sound, and damage where there is any.

    INPUT is a .bsq file, or - for standard input. The exit status is 1 where a file is damaged.
    """
    from bsqcodec.format.magic import FileKind, read_kind
    from bsqcodec.image.describe_picture import describe_picture, format_picture_lines
    from bsqcodec.video.describe_video import describe_video, format_video_lines

    def show(job: Job) -> None:
        with open_input(job.source) as file:
            kind, source = read_kind(file)
            is_video = kind is FileKind.VIDEO
            if is_video:
                codec = codecs.video if levels else None
                facts = describe_video(source, max_pixels=max_pixels, codec=codec)
            else:
                facts = describe_picture(source, max_pixels=max_pixels)
        name = display_name(job.source)
        if as_json:
            console.record({"file": job.source, **facts})
        else:
            if len(inputs) > 1:
                console.answer(f"{name}:")
            console.answer(format_video_lines(facts) if is_video else format_picture_lines(facts))
        if facts["problem"] is not None:
            raise FormatError(
                f"{facts['problem']}; bsqcodec decode --partial decodes what is sound"
            )

    codecs = Codecs(machine.weights, machine.device, machine.threads)
    check_standard_input(inputs)
    run(console, [Job(source, "-") for source in inputs], show)
