"""Options that several commands share, and the types of their values."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import click

from bsqcodec.api import MAX_PIXELS
from bsqcodec.cli.console import QUIET, Console

Command = TypeVar("Command", bound=Callable[..., Any])


class FiniteFloat(click.FloatRange):
    """A number within a range; "nan" and "inf", which Python's float would take, are refused."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return float(number)


def parse_byte_size(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """Callback of an option that takes a number of bytes: 20000, 20k or 1.5M."""
    from bsqcodec.errors import BsqError
    from bsqcodec.rate import parse_size

    if value is None:
        return None
    try:
        return parse_size(value)
    except (ValueError, BsqError) as error:
        raise click.BadParameter(f"{error}.", ctx, param) from error


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


def machine_options(command: Command) -> Command:
    """Add --device, --threads and --weights: where and with what the networks run."""
    command = click.option(
        "--weights",
        metavar="FILE",
        help="Weights to use instead of those that come with bsqcodec.",
    )(command)
    command = click.option(
        "--threads",
        type=click.IntRange(min=1),
        metavar="N",
        help="CPU threads.  [default: all cores]",
    )(command)
    return click.option(
        "--device",
        type=click.Choice(["auto", "cpu", "cuda"]),
        default="auto",
        show_default=True,
        help="Where the networks run; the bits are the same; pixels may differ by one.",
    )(command)


max_pixels_option = click.option(
    "--max-pixels",
    type=click.IntRange(min=1),
    metavar="N",
    default=MAX_PIXELS,
    show_default=True,
    help="Refuse pictures of more pixels.",
)
force_option = click.option("-f", "--force", is_flag=True, help="Overwrite existing files.")
output_option = click.option(
    "-o",
    "--output",
    metavar="OUT",
    help="File to write, - for standard output, or a folder.  [default: beside the input]",
)
json_option = click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Report as JSON, one object a file, on standard output"
    " (on standard error where the data goes to standard output).",
)
inputs_argument = click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")


def _set_verbosity(ctx: click.Context, param: click.Parameter, count: int) -> None:
    if count:
        ctx.ensure_object(Console).verbosity = count


def _set_quiet(ctx: click.Context, param: click.Parameter, quiet: bool) -> None:
    if quiet:
        ctx.ensure_object(Console).verbosity = QUIET
