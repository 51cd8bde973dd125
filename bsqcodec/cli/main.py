"""The `bsqcodec` command: its subcommands, and what becomes of their errors."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Final

import click
from click.exceptions import NoArgsIsHelpError

from bsqcodec import __version__
from bsqcodec.cli.commands import LazyCommands
from bsqcodec.cli.console import Console, is_expected
from bsqcodec.machine.memory import check_address_space
from bsqcodec.machine.processor import prepare_process
from bsqcodec.media.files import STANDARD_OUTPUT, named_errors

EXIT_BAD_DATA: Final = 1
EXIT_USAGE: Final = 2
EXIT_INTERRUPTED: Final = 130
EXIT_TERMINATED: Final = 143


WITHOUT_NETWORKS: Final = ("info", "completion")
"""Commands that need no room for torch."""


@click.group(cls=LazyCommands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", message="bsqcodec %(version)s")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Small files for pictures and videos, by a learned codec.

    \b
    bsqcodec encode photo.png          writes photo.bsq
    bsqcodec decode photo.bsq          writes photo.png
    bsqcodec encode clip.mp4           writes clip.bsq
    bsqcodec decode clip.bsq           writes clip.mkv
    bsqcodec info photo.bsq            tells what is in the file
    bsqcodec verify photo.bsq          checks it
    bsqcodec view photo.bsq            shows it; plays videos
    bsqcodec batch photos coded        codes all of a folder
    bsqcodec compare a.png a.bsq       measures what was lost
    bsqcodec sweep photo.png           measures all qualities, beside other codecs
    bsqcodec tokens photo.png          writes photo.safetensors, its codes
    bsqcodec generate picture.png      draws a picture
    """
    if ctx.invoked_subcommand not in WITHOUT_NETWORKS:
        check_address_space()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    0: all went well. 1: bad data, a failed target, or a file that cannot be read or written.
    2: wrong usage. 130: interrupted. Errors are one line on standard error each.
    arguments: None for those of this process, which is the command's alone then.
    """
    if arguments is None:
        prepare_process()
        if not sys.warnoptions:
            warnings.simplefilter("ignore")  # of libraries, which mean those who program with them
    console = Console()
    status = _run(arguments, console)
    try:
        if sys.stdout is not None:
            with named_errors(STANDARD_OUTPUT):
                sys.stdout.flush()
    except OSError as error:
        # What is left in the buffer cannot be written; without this Python would try at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if status == 0:
            console.failure(None, error)
            status = EXIT_BAD_DATA
    return status


def _run(arguments: Sequence[str] | None, console: Console) -> int:
    """Run the command line, report errors, and return the exit status."""
    try:
        with _terminable():
            status = cli.main(
                None if arguments is None else list(arguments),
                prog_name="bsqcodec",
                standalone_mode=False,
                obj=console,
            )
        return status if isinstance(status, int) else 0
    except NoArgsIsHelpError as error:
        error.show()
        return EXIT_USAGE
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "bsqcodec"
        message = error.format_message().rstrip(".")
        console.error(f"{message} (see {command} --help)")
        return EXIT_USAGE
    except click.ClickException as error:
        console.error(error.format_message())
        return EXIT_BAD_DATA
    except click.Abort:
        console.error("interrupted")
        return EXIT_INTERRUPTED
    except Exception as error:
        if not is_expected(error):
            raise
        console.failure(None, error)
        return EXIT_BAD_DATA


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM end the program as an exception, so that temporary files are removed."""
    try:
        previous = signal.signal(signal.SIGTERM, _terminate)
    except ValueError:  # not the main thread: signals are somebody else's
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _terminate(number: int, frame: FrameType | None) -> None:
    sys.exit(EXIT_TERMINATED)
