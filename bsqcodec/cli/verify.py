"""`bsqcodec verify`: whether .bsq files decode to what was coded; nothing is written."""

from __future__ import annotations

import io

import click

from bsqcodec.cli import command_options
from bsqcodec.cli.codecs import Codecs
from bsqcodec.cli.console import Console
from bsqcodec.cli.jobs import Job, check_standard_input, display_name, run
from bsqcodec.cli.option_groups import GroupedCommand
from bsqcodec.errors import FormatError
from bsqcodec.format.byte_source import ByteSource
from bsqcodec.media.files import is_standard_stream, open_input


@click.command(cls=GroupedCommand)
@command_options.inputs_argument
@command_options.machine_options
@command_options.max_pixels_option
@command_options.json_option
@command_options.verbosity_options
@click.pass_obj
def verify(
    console: Console,
    inputs: tuple[str, ...],
    machine: command_options.MachineOptions,
    max_pixels: int,
    as_json: bool,
) -> None:
    """Check .bsq files by all of their checksums, and write nothing.

    All is decoded: the integers, of which every file has a checksum, and the samples of pictures
    that were coded with --pixel-checksum.

    INPUT is a .bsq file, or - for standard input. The exit status is 1 where a file is damaged, of
    which there is one line each.
    """
    from bsqcodec.format.magic import FileKind, read_kind

    def check(job: Job) -> None:
        with open_input(job.source) as file:
            file = io.BytesIO(file.read()) if is_standard_stream(job.source) else file
            kind, source = read_kind(file)
            if kind is FileKind.VIDEO:
                pixels = False
                frames = _frames(source, max_pixels)
                file.seek(0)
                codecs.video.verify(file, frames)
            else:
                pixels = codecs.picture.decode(source, max_pixels=max_pixels).pixels_compared
        if as_json:
            console.record({"file": job.source, "pixels_compared": pixels})
        else:
            compared = "integers and samples" if pixels else "integers"
            console.summary(f"{display_name(job.source)}: sound ({compared} compared)")

    codecs = Codecs(machine.weights, machine.device, machine.threads)
    check_standard_input(inputs)
    run(console, [Job(source, "-") for source in inputs], check)


def _frames(source: ByteSource, max_pixels: int) -> int:
    """How many frames a video has, all of whose chunks are sound. Raises FormatError."""
    from bsqcodec.video.describe_video import describe_video

    facts = describe_video(source, max_pixels=max_pixels)
    if facts["problem"] is not None:
        raise FormatError(facts["problem"])
    return int(facts["frames"])
