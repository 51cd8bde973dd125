"""`bsqcodec tokens`: pictures and coded pictures in, their codes as arrays of integers out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bsqcodec.cli import command_options
from bsqcodec.cli.codecs import Codecs
from bsqcodec.cli.console import Console
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
from bsqcodec.cli.values import Whole
from bsqcodec.media.files import (
    check_output,
    first_bytes,
    is_standard_stream,
    open_input,
    open_output,
)

if TYPE_CHECKING:
    from bsqcodec.format.token_file import Tokens

TOKEN_FORMATS = ("safetensors", "npz")
"""Names for --format, the default first; `bsqcodec.format.token_file.TokenFormat` has the same."""


@click.command(cls=GroupedCommand)
@command_options.inputs_argument
@command_options.output_option
@click.option(
    "--format",
    "format_name",
    type=click.Choice(TOKEN_FORMATS),
    help="Format to write.  [default: by the suffix of OUT, else safetensors]",
)
@click.option(
    "--bits",
    type=Whole(min=1),
    metavar="N",
    help="Bits of a code.  [default: as many as encode spends]",
)
@command_options.force_option
@command_options.machine_options
@command_options.max_pixels_option
@command_options.max_memory_option
@command_options.json_option
@command_options.verbosity_options
@click.pass_obj
def tokens(
    console: Console,
    inputs: tuple[str, ...],
    output: str | None,
    format_name: str | None,
    bits: int | None,
    force: bool,
    machine: command_options.MachineOptions,
    max_pixels: int,
    max_memory: int | None,
    as_json: bool,
) -> None:
    """Write the tokens of pictures: one code of so many bits for each patch.

    INPUT is a picture, or a .bsq file that was coded with --model bsq, which is not rendered for
    this. photo.png becomes photo.safetensors. The file has an array "codes" [rows, columns] of
    int64 and says how many bits, which patch and which weights they are of. `bsqcodec decode`
    makes a picture of it again.
    """
    from bsqcodec.format.token_file import TokenFormat, pack_tokens

    inputs, output = with_named_output(inputs, output, _is_tokens)
    check_standard_input(inputs)
    jobs = plan(inputs, output, f".{format_name or TOKEN_FORMATS[0]}")
    formats = {job: _format(job, format_name) for job in jobs}
    codecs = machine.codecs(console, "bsq")

    def write(job: Job) -> None:
        found = _tokens(job.source, codecs, bits, max_pixels, max_memory)
        data = pack_tokens(found, TokenFormat(formats[job]))
        with open_output(job.target, force=force) as file:
            file.write(data)
        if as_json:
            facts = {"input": job.source, "output": job.target, "output_bytes": len(data)}
            console.record(facts | found.facts(), data_on_stdout=job.to_stdout)
        else:
            rows, columns = found.codes.shape
            console.summary(
                f"{display_name(job.source)} -> {display_target(job.target)}: {columns}x{rows}"
                f" tokens of {found.bits} bits, {found.patch}x{found.patch} pixels each"
            )

    def check(job: Job) -> None:
        if not job.to_stdout:
            check_output(job.target, force=force)

    run(console, jobs, write, check=check, folder=new_folder(output))


def _is_tokens(name: str) -> bool:
    """Whether a name is that of a file of tokens, of which none are made."""
    return Path(name).suffix.lower().removeprefix(".") in TOKEN_FORMATS


def _format(job: Job, name: str | None) -> str:
    """The format of an output.

    Raises click.UsageError where its name says another than --format.
    """
    suffix = Path(job.target).suffix.lower().removeprefix(".")
    if job.to_stdout or suffix == name:
        return name or TOKEN_FORMATS[0]
    if suffix not in TOKEN_FORMATS:
        known = " and ".join(f".{format}" for format in TOKEN_FORMATS)
        raise click.UsageError(f"{job.target} is no name of a file of tokens; those end in {known}")
    if name is not None:
        raise click.UsageError(f"{job.target} is not the name of a file of the format {name}")
    return suffix


def _tokens(
    source: str, codecs: Codecs, bits: int | None, max_pixels: int, max_memory: int | None
) -> Tokens:
    """The tokens of a picture or of a coded file, whose codes have the bits that it was coded with.

    Raises TargetError for a number of bits that there are none of.
    """
    from bsqcodec.batch.pictures import read_source
    from bsqcodec.errors import FormatError, TargetError
    from bsqcodec.format.magic import FileKind, is_coded, read_kind

    coded = is_coded(first_bytes(source))
    with open_input(source) as file:
        if not coded:
            picture = read_source(
                file if is_standard_stream(source) else source, max_pixels, first_frame=True
            )
            try:
                return codecs.picture.tokens(picture, bits)
            except ValueError as error:
                raise TargetError(str(error)) from error
        kind, stream = read_kind(file)
        if kind is FileKind.VIDEO:
            raise FormatError("it is a video; only pictures have tokens")
        found = codecs.picture.coded_tokens(stream, max_pixels=max_pixels, max_memory=max_memory)
        if bits not in (None, found.bits):
            raise TargetError(f"it was coded with codes of {found.bits} bits, not {bits}")
        return found
