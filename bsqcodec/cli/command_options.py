"""Options that several commands share, and the types of their values."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click
from click.core import ParameterSource

from bsqcodec.api import MAX_PIXELS, choose_target
from bsqcodec.batch.plan import Naming
from bsqcodec.cli.codecs import Codecs
from bsqcodec.cli.console import QUIET, Console
from bsqcodec.cli.values import (
    Number,
    Whole,
    check_audio,
    complete_files,
    parse_bitrate,
    parse_byte_size,
)
from bsqcodec.machine.processor import clamp_threads
from bsqcodec.options import LOOKS, TUNES, DecodeOptions, EncodeOptions
from bsqcodec.targets import DEFAULT_QUALITY

if TYPE_CHECKING:
    from bsqcodec.targets import Target

FAMILIES = ("transform", "bsq")
"""Names for --model, the default first; `bsqcodec.models.families` has the same."""

Command = TypeVar("Command", bound=Callable[..., Any])


ENCODING_OPTIONS = (
    click.option(
        "-q",
        "--quality",
        type=Number("a number from 0 to 100", 0, 100),
        metavar="0..100",
        help=f"Quality, 100 is best.  [default: {DEFAULT_QUALITY:g}]",
    ),
    click.option(
        "--bpp",
        type=Number("a number of bits above 0, such as 0.5", 0, min_open=True),
        metavar="BITS",
        help="Bits per pixel, instead of -q.",
    ),
    click.option(
        "--size",
        metavar="BYTES",
        callback=parse_byte_size,
        help="Size of the file (20000, 20k, 1.5M), instead of -q.",
    ),
    click.option(
        "--psnr",
        type=Number("a number of decibels above 0, such as 35", 0, min_open=True),
        metavar="DB",
        help="PSNR in dB, instead of -q.",
    ),
    click.option(
        "--effort",
        type=Whole(0, 2),
        metavar="0..2",
        default=1,
        show_default=True,
        help="0: round pictures to the nearest, code videos as with 1; 1: leave out what is"
        " not seen (smaller); 2: search for what costs less and looks better (pictures of a"
        " quality get smaller again, videos better; encoding takes far longer).",
    ),
    click.option(
        "--tune",
        type=click.Choice(TUNES),
        help="Be best at one measure, above all with --effort 2; lpips is of pictures.  [default: a"
        " mix of psnr and ms-ssim]",
    ),
    click.option(
        "--look",
        type=click.Choice(LOOKS),
        help="Pictures: the decoder that the file is made for, and shown by unless decode --look"
        " says otherwise; natural is for looking at.  [default: natural with --tune lpips, else"
        " balanced]",
    ),
    click.option(
        "--pixel-checksum",
        is_flag=True,
        help="Pictures: write a checksum of the samples too, which decode and verify compare.",
    ),
    click.option(
        "--strip",
        is_flag=True,
        help="Leave out the colour profile, EXIF and XMP; a video's title and other texts.",
    ),
    click.option(
        "--verify",
        is_flag=True,
        help="Decode before the file is published, and compare.",
    ),
    click.option(
        "--bitrate",
        metavar="BITS",
        callback=parse_bitrate,
        help="Videos: bits a second of the frames (500k, 1.5M), instead of -q.",
    ),
    click.option(
        "--gop",
        type=Whole(1, 1024),
        metavar="N",
        help="Videos: frames of a group, which decodes alone, at most.  [default: a second]",
    ),
    click.option(
        "--audio",
        metavar="WHAT",
        default="copy",
        show_default=True,
        callback=check_audio,
        help="Videos: copy the sound, convert it (opus for 48k bits a second and channel,"
        " opus:64k for 64k), or none.",
    ),
)
"""What an encoder aims at and does: targets, and fields of `EncodeOptions` by their names."""

TARGETS = ("quality", "bpp", "size", "psnr", "bitrate")
"""Parameters that make the target of `EncodeOptions`."""

ENCODING_NAMES = (
    *TARGETS,
    *{field.name for field in fields(EncodeOptions)} - {"target", "max_pixels"},
)
"""Parameters of encoding alone."""


def as_one_object(name: str, kind: type[Any]) -> Callable[[Command], Command]:
    """Have a command take an object of a dataclass, made of its parameters, in their place."""

    def decorate(command: Command) -> Command:
        @wraps(command)
        def with_one_object(*args: Any, **values: Any) -> Any:
            chosen = {field.name: values.pop(field.name) for field in fields(kind)}
            return command(*args, **{name: kind(**chosen)}, **values)

        return cast(Command, with_one_object)

    return decorate


def encoding_options(command: Command) -> Command:
    """Add -q, --bpp, --size, --psnr, --effort, --tune, --gop and more.

    The command takes `encoding`, an EncodeOptions made of them and of --max-pixels, in their place.
    """

    @wraps(command)
    def with_one_object(*args: Any, **values: Any) -> Any:
        target = only_target(**{name: values.pop(name) for name in TARGETS})
        names = [field.name for field in fields(EncodeOptions) if field.name in values]
        chosen = {name: values.pop(name) for name in names}
        return command(*args, encoding=EncodeOptions(target, **chosen), **values)

    for option in reversed(ENCODING_OPTIONS):
        option(with_one_object)
    return cast(Command, with_one_object)


def decoding_options(command: Command) -> Command:
    """Have a command take `decoding`, a DecodeOptions made of its parameters, in their place."""

    @wraps(command)
    def with_one_object(*args: Any, **values: Any) -> Any:
        names = [field.name for field in fields(DecodeOptions) if field.name in values]
        chosen = {name: values.pop(name) for name in names}
        if "no_fill" in values:
            chosen["fill"] = not values.pop("no_fill")
        return command(*args, decoding=DecodeOptions(**chosen), **values)

    return cast(Command, with_one_object)


def any_given(names: Iterable[str]) -> bool:
    """Whether one of these parameters of the present command was given, and is no default."""
    source = click.get_current_context().get_parameter_source
    return any(source(name) not in (None, ParameterSource.DEFAULT) for name in names)


def only_target(
    quality: float | None,
    bpp: float | None,
    size: int | None,
    psnr: float | None,
    bitrate: float | None = None,
) -> Target | None:
    """Return the target that is given, None for none. Raises click.UsageError for several."""
    if sum(value is not None for value in (quality, bpp, size, psnr, bitrate)) > 1:
        others = "-q, --bpp, --size and --psnr"
        if bitrate is not None:
            others = "-q, --bpp, --bitrate, --size and --psnr"
        raise click.UsageError(f"give only one of {others}")
    return choose_target(quality, bpp, size, psnr, bitrate)


def limit_threads(console: Console, threads: int | None) -> int | None:
    """Return what --threads says, or as many as make sense here, with a note."""
    if threads is None:
        return None
    threads, note = clamp_threads(threads)
    if note is not None:
        console.note(note)
    return threads


def verbosity_options(command: Command) -> Command:
    """Add -v and --quiet, which set the Console's verbosity."""
    command = click.option(
        "-v",
        "--verbose",
        count=True,
        expose_value=False,
        callback=_set_verbosity,
        help="Say more; twice: tracebacks of errors.",
    )(command)
    return click.option(
        "--quiet",
        is_flag=True,
        expose_value=False,
        callback=_set_quiet,
        help="Say nothing but errors.",
    )(command)


@dataclass(frozen=True)
class MachineOptions:
    """Where and with what the networks run.

    threads: of the CPU, None for all cores. weights: a file, None for the default ones.
    """

    device: str
    threads: int | None
    weights: str | None

    def codecs(
        self, console: Console, model: str = FAMILIES[0], scheduler: str | None = None
    ) -> Codecs:
        """The codecs of a run with these options and a family of weights.

        scheduler: of the workers that code videos, if not this machine does.
        """
        threads = self.threads if scheduler else limit_threads(console, self.threads)
        return Codecs(self.weights, self.device, threads, model, scheduler)


def machine_options(command: Command) -> Command:
    """Add --device, --threads and --weights; the command takes `machine`, a MachineOptions."""
    command = as_one_object("machine", MachineOptions)(command)
    command = click.option(
        "--weights",
        metavar="FILE",
        shell_complete=complete_files,
        help="Weights to use instead of those that come with bsqcodec.",
    )(command)
    command = click.option(
        "--threads",
        type=Whole(min=1),
        metavar="N",
        help="CPU threads, at most four for each core.  [default: all cores]",
    )(command)
    return click.option(
        "--device",
        type=click.Choice(["auto", "cpu", "cuda"]),
        default="auto",
        show_default=True,
        help="Where the networks run; the bits are the same; pixels may differ by one.",
    )(command)


model_option = click.option(
    "--model",
    type=click.Choice(FAMILIES),
    default=FAMILIES[0],
    show_default=True,
    help="Family of weights. transform: fewest bits, any quality. bsq: one code on a"
    " sphere for each 8x8 pixels, few qualities, tokens for other programs (see bsqcodec tokens).",
)


def check_model(model: str, weights: str | None) -> None:
    """Raise click.UsageError for --model beside --weights."""
    if model != FAMILIES[0] and weights is not None:
        raise click.UsageError("--weights say of which family they are; leave --model out")


max_pixels_option = click.option(
    "--max-pixels",
    type=Whole(min=1),
    metavar="N",
    default=MAX_PIXELS,
    show_default=True,
    help="Refuse pictures, or frames of videos, of more pixels.",
)
max_memory_option = click.option(
    "--max-memory",
    metavar="SIZE",
    callback=parse_byte_size,
    help="Refuse files that may take more memory to decode (20G, 500M)."
    "  [default: 10G, or what this process can have]",
)


def naming_option(default: Naming, help: str) -> Callable[[Command], Command]:
    """Add --name: how outputs are named after inputs."""
    return click.option(
        "--name",
        "naming",
        type=click.Choice([naming.value for naming in Naming]),
        default=default.value,
        show_default=True,
        help=help,
    )


force_option = click.option("-f", "--force", is_flag=True, help="Overwrite existing files.")
output_option = click.option(
    "-o",
    "--output",
    metavar="OUT",
    shell_complete=complete_files,
    help="File to write, - for standard output, or a folder.  [default: beside the input]",
)
json_option = click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Report as JSON, one object a file, on standard output"
    " (on standard error where the data goes to standard output).",
)
inputs_argument = click.argument(
    "inputs", nargs=-1, required=True, metavar="INPUT...", shell_complete=complete_files
)


def _set_verbosity(ctx: click.Context, param: click.Parameter, count: int) -> None:
    if count:
        ctx.ensure_object(Console).verbosity = count


def _set_quiet(ctx: click.Context, param: click.Parameter, quiet: bool) -> None:
    if quiet:
        ctx.ensure_object(Console).verbosity = QUIET
