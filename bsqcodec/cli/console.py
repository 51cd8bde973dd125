"""What the commands tell people: errors, warnings, summaries and progress on standard error."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import click

from bsqcodec.errors import (
    BsqError,
    NotCodedError,
    PixelLimitError,
    UnknownKindError,
    UnsupportedVersionError,
    VerifyError,
)
from bsqcodec.format.plain_text import one_line
from bsqcodec.machine.memory import is_out_of_memory
from bsqcodec.media.files import STANDARD_OUTPUT, named_errors
from bsqcodec.media.remarks import Remark, remark_of

if TYPE_CHECKING:
    from tqdm import tqdm

PROGRAM: Final = "bsqcodec"
QUIET: Final = -1
_PROGRESS_DELAY_SECONDS: Final = 0.5
_WAYS_OUT: Final = (
    (UnknownKindError, "if it is one, convert it to PNG, or to MP4 if it is a video"),
    (NotCodedError, "bsqcodec encode makes one of a picture or a video"),
    (PixelLimitError, "--max-pixels allows more"),
    (UnsupportedVersionError, "pip install --upgrade bsqcodec gets a newer one"),
    (VerifyError, "this is a fault of bsqcodec or of the machine: please report it"),
)
"""What the commands add to errors of these kinds."""


@dataclass
class Console:
    """Messages of one run. verbosity: -1 errors only, 0 a line a file, 1 details, 2 tracebacks."""

    verbosity: int = 0
    _told: set[str] = field(default_factory=set)

    def error(self, message: str) -> None:
        """Say what went wrong, on one line, however quiet the run is."""
        click.echo(f"{PROGRAM}: error: {one_line(message)}", err=True)

    def failure(self, name: str | None, error: Exception) -> None:
        """Say what an exception means, with the name of the file it is about."""
        if self.verbosity >= 2:
            traceback.print_exception(error)
        message = describe_error(error) + way_out(error)
        if name is not None and not message.startswith(f"{name}:"):
            message = f"{name}: {message}"
        self.error(message)

    def warning(self, message: str) -> None:
        """Say what the user may not expect, such as a conversion."""
        if self.verbosity > QUIET:
            click.echo(f"{PROGRAM}: warning: {one_line(message)}", err=True)

    def note(self, message: str) -> None:
        """Say what is good to know and no reason to worry."""
        if self.verbosity > QUIET:
            click.echo(f"{PROGRAM}: note: {one_line(message)}", err=True)

    def tell(self, name: str, notes: Iterable[str]) -> None:
        """Give the notes on a file: remarks as such, some of them once a run,
        others as warnings."""
        for text in notes:
            remark = remark_of(text)
            if remark is None:
                self.warning(f"{name}: {text}")
                continue
            beginning, often = remark
            if often is Remark.EACH or beginning not in self._told:
                self._told.add(beginning)
                self.note(f"{name}: {text}")

    def summary(self, message: str) -> None:
        """The line that sums up what was done with a file."""
        if self.verbosity > QUIET:
            click.echo(one_line(message), err=True)

    def detail(self, message: str) -> None:
        """A line for those who asked for more with -v."""
        if self.verbosity >= 1:
            click.echo(f"  {one_line(message)}", err=True)

    def record(self, facts: dict[str, Any], *, data_on_stdout: bool = False) -> None:
        """One JSON object on a line of its own; on standard error where stdout carries data."""
        if data_on_stdout:
            click.echo(json.dumps(facts), err=True)
        else:
            self.answer(json.dumps(facts))

    def answer(self, text: str) -> None:
        """Lines that were asked for, on standard output. Raises OSError, which says so."""
        with named_errors(STANDARD_OUTPUT):
            click.echo(text)

    @contextmanager
    def _bar(self, what: str, **options: Any) -> Iterator[tqdm[Any] | None]:
        """A progress bar; None where it is not shown."""
        if self.verbosity == QUIET or not sys.stderr.isatty():
            yield None
            return
        from tqdm import tqdm

        common = {"delay": _PROGRESS_DELAY_SECONDS, "leave": False, "file": sys.stderr}
        with tqdm(desc=what, **common, **options) as bar:
            yield bar

    @contextmanager
    def frames(self, what: str, total: int | None = None) -> Iterator[Callable[[int], None] | None]:
        """Give a function that shows how many frames are done; None where it is not shown.

        A count that falls begins another pass.
        """
        with self._bar(what, total=total, unit=" frames") as bar:
            if bar is None:
                yield None
                return

            def show(done: int) -> None:
                if done < bar.n:
                    bar.reset()
                bar.update(done - bar.n)

            yield show

    @contextmanager
    def progress(self, what: str) -> Iterator[Callable[[float], None] | None]:
        """Give a function that shows the fraction done, 0..1; None where it is not shown."""
        form = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}"
        with self._bar(what, total=1.0, bar_format=form) as bar:
            if bar is None:
                yield None
                return
            yield lambda fraction: bar.update(min(fraction, 1.0) - bar.n)


def describe_error(error: BaseException) -> str:
    """Return the text of an error for people, on one line."""
    if isinstance(error, OSError) and error.strerror:
        reason = error.strerror
        if isinstance(error, IsADirectoryError):
            reason = "a folder (`bsqcodec batch` takes folders)"
        name = click.format_filename(error.filename) if error.filename is not None else None
        return f"{name}: {reason}" if name is not None else reason
    if is_out_of_memory(error):
        return "not enough memory"
    if isinstance(error, (ImportError, SystemError)):
        return f"a library cannot be loaded ({error}); is there too little memory?"
    return str(error) or type(error).__name__


def way_out(error: BaseException) -> str:
    """Return what a user of the commands can do about an error, as "; ...", or ""."""
    found = (text for kind, text in _WAYS_OUT if isinstance(error, kind))
    return f"; {text}" if (text := next(found, None)) else ""


def is_expected(error: Exception) -> bool:
    """Whether an exception is about the user's files or machine, not a fault of the program."""
    if isinstance(error, (BsqError, OSError, ImportError, SystemError)):
        return True
    return is_out_of_memory(error)


def format_bytes(count: int) -> str:
    """Return a number of bytes for people: 999 bytes, 1.23 kB, 45.6 MB."""
    if count < 1000:
        return f"{count} bytes"
    value = float(count)
    for unit in ("kB", "MB", "GB", "TB"):
        value /= 1000
        if value < 999.5 or unit == "TB":
            break
    return f"{value:.3g} {unit}"
