"""`bsqcodec info`: what a .bsq file says about itself, without its model."""

from __future__ import annotations

import click

from bsqcodec.cli import options
from bsqcodec.cli.console import Console
from bsqcodec.cli.jobs import Job, check_standard_input, display_name, run
from bsqcodec.errors import FormatError
from bsqcodec.media.files import open_input


@click.command()
@options.inputs_argument
@options.max_pixels_option
@options.json_option
@options.verbosity_options
@click.pass_obj
def info(console: Console, inputs: tuple[str, ...], max_pixels: int, as_json: bool) -> None:
    """Tell what is in .bsq files.

    That is the size, colour, levels or frames, metadata, sound, and damage where there is any.

    INPUT is a .bsq file, or - for standard input. The exit status is 1 where a file is damaged.
    """
    from bsqcodec.bitstream.magic import FileKind, read_kind
    from bsqcodec.info import describe, format_lines
    from bsqcodec.info_video import describe_video, format_video_lines

    def show(job: Job) -> None:
        with open_input(job.source) as file:
            kind, source = read_kind(file)
            is_video = kind is FileKind.VIDEO
            about = describe_video if is_video else describe
            facts = about(source, max_pixels=max_pixels)
        name = display_name(job.source)
        if as_json:
            console.record({"file": job.source, **facts})
        else:
            if len(inputs) > 1:
                click.echo(f"{name}:")
            click.echo(format_video_lines(facts) if is_video else format_lines(facts))
        if facts["problem"] is not None:
            raise FormatError(facts["problem"])

    check_standard_input(inputs)
    run(console, [Job(source, "-") for source in inputs], show)
