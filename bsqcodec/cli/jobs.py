"""Which file becomes which: output names for one or several inputs, and the walk over them."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import click

from bsqcodec.batch.plan import Naming
from bsqcodec.cli.console import Console, is_expected
from bsqcodec.media.files import (
    STANDARD_OUTPUT,
    STANDARD_STREAM,
    is_standard_stream,
    names_folder,
    replace_suffix,
)


@dataclass(frozen=True)
class Job:
    """One input and its output; "-" stands for a standard stream."""

    source: str
    target: str

    @property
    def to_stdout(self) -> bool:
        """Whether the output goes to standard output."""
        return is_standard_stream(self.target)


def plan(
    inputs: Sequence[str],
    output: str | None,
    suffix: str | Callable[[str], str],
    name: Callable[[str], str] = str,
    naming: Naming | None = None,
) -> list[Job]:
    """Return a job for each input. `output` is a file, a folder, "-" or None (beside the input).

    It is a folder where there is one of that name,
    or where it ends with a slash (see `new_folder`).
    suffix: of names that follow from the input's, or a function of the input that tells it.
    name: of what an output is named after, by the input. naming: whether the suffix takes the place
    of the input's; None where it does, and the command knows no other way. Raises click.UsageError
    where two inputs would have the same output, an input would be overwritten by an output, or
    binary data would go to or come from a terminal.
    """
    check_standard_input(inputs)
    if output == "":
        raise click.UsageError("the name of the output is empty")
    folder = Path(output) if output is not None and _is_folder(output) else None
    if len(inputs) > 1 and output is not None and folder is None:
        raise click.UsageError(
            f"several inputs need an existing folder as -o, not {output}"
            f" ({output.rstrip('/')}/ is made where it is missing)"
        )
    jobs = []
    for source in inputs:
        ending = suffix(source) if callable(suffix) else suffix
        jobs.append(Job(source, _target(source, output, folder, ending, name(source), naming)))
    _check_targets(jobs, can_keep=naming is Naming.REPLACE)
    return jobs


def new_folder(output: str | None) -> Path | None:
    """The folder that `run` is to make for an output, which means one by a slash at its end."""
    if output is None or not names_folder(output) or Path(output).is_dir():
        return None
    return Path(output)


def with_named_output(
    inputs: Sequence[str], output: str | None, is_output: Callable[[str], bool]
) -> tuple[tuple[str, ...], str | None]:
    """(inputs, output), where the last argument may be the output instead of -o: `INPUT OUT`.

    It is if it is "-", ends with a slash, or `is_output` says that a file of this name can be no
    input.
    """
    *others, last = inputs
    can_be_output = is_standard_stream(last) or names_folder(last) or is_output(last)
    if output is None and others and can_be_output:
        return tuple(others), last
    return tuple(inputs), output


def run(
    console: Console,
    jobs: Sequence[Job],
    work: Callable[[Job], None],
    *,
    check: Callable[[Job], None] | None = None,
    folder: Path | None = None,
) -> None:
    """Do the work for each job; a job that fails is reported and the others still run.

    check: raises what is wrong with a job's output; it is asked about all before any work is done.
    folder: to make first; it is removed again where nothing was written to it. Exits with
    status 1, through click, where any job failed.
    """
    failed: set[Job] = set()

    def try_each(step: Callable[[Job], None]) -> None:
        for job in jobs:
            if job in failed:
                continue
            try:
                step(job)
            except BrokenPipeError:
                raise
            except Exception as error:
                if not is_expected(error):
                    raise
                console.failure(display_name(job.source), error)
                failed.add(job)

    with _made(folder):
        if check is not None:
            try_each(check)
        try_each(work)
    if failed:
        click.get_current_context().exit(1)


@contextmanager
def _made(folder: Path | None) -> Iterator[None]:
    """Make a folder, and remove it afterwards if it is empty. Raises OSError, which names it."""
    if folder is None:
        yield
        return
    try:
        folder.mkdir()
    except FileNotFoundError as error:
        message = f"there is no folder {folder.parent}; make it first"
        raise FileNotFoundError(errno.ENOENT, message, str(folder)) from error
    try:
        yield
    finally:
        with suppress(OSError):
            folder.rmdir()


def display_name(path: str) -> str:
    """Return the name of a file as it can be shown to people."""
    return "standard input" if is_standard_stream(path) else click.format_filename(path)


def display_target(path: str) -> str:
    """Return the name of an output as it can be shown to people."""
    return STANDARD_OUTPUT if is_standard_stream(path) else click.format_filename(path)


def _is_folder(output: str) -> bool:
    return not is_standard_stream(output) and (names_folder(output) or Path(output).is_dir())


def _target(
    source: str,
    output: str | None,
    folder: Path | None,
    suffix: str,
    name: str,
    naming: Naming | None,
) -> str:
    """The output's name for one input, which goes by `name`."""

    def renamed(path: Path) -> Path:
        path = path if path.name else path.resolve()  # the current folder
        if not path.name:  # the root
            return path
        if naming is Naming.KEEP:
            return path.with_name(path.name + suffix)
        return replace_suffix(path, suffix)

    if folder is not None:
        if is_standard_stream(source):
            raise click.UsageError("for standard input -o must name a file, not a folder")
        return str(folder / renamed(Path(name)).name)
    if output is not None:
        return output
    if is_standard_stream(source):
        return STANDARD_STREAM
    return str(renamed(Path(name)))


def check_standard_input(inputs: Sequence[str]) -> None:
    """Refuse names that are empty, standard input beside others, and one that is a terminal."""
    if "" in inputs:
        raise click.UsageError("the name of an input is empty")
    if STANDARD_STREAM not in inputs:
        return
    if len(inputs) > 1:
        raise click.UsageError("standard input cannot be one of several inputs")
    if sys.stdin is not None and sys.stdin.isatty():
        raise click.UsageError("standard input is a terminal; give a file or a pipe")


def _check_targets(jobs: Sequence[Job], *, can_keep: bool) -> None:
    """Refuse outputs that clash with each other, with an input, or with a terminal.

    Files are told apart by their real paths, as one file may go by several names.
    can_keep: whether outputs may keep the suffixes of their inputs, too.
    """
    seen: dict[str, str] = {}
    sources = {
        os.path.realpath(job.source): job.source
        for job in jobs
        if not is_standard_stream(job.source)
    }
    for job in jobs:
        if job.to_stdout:
            if sys.stdout is not None and sys.stdout.isatty():
                raise click.UsageError("binary data would go to the terminal; use -o FILE")
            continue
        target = os.path.realpath(job.target)
        if target in seen:
            if seen[target] == job.source:
                raise click.UsageError(f"{job.source} is given twice")
            way_out = ""
            if can_keep and Path(seen[target]).name != Path(job.source).name:
                way_out = "; --name keep tells them apart"
            raise click.UsageError(
                f"{seen[target]} and {job.source} would both become {job.target}{way_out}"
            )
        seen[target] = job.source
        if not is_standard_stream(job.source) and _same_file(job.source, job.target):
            raise click.UsageError(
                f"{job.source} would be overwritten by its own output; name another one with -o"
            )
        overwritten = sources.get(target, job.source)
        if overwritten != job.source:
            raise click.UsageError(
                f"{overwritten} would be overwritten by the output of {job.source}"
            )


def _same_file(first: str, second: str) -> bool:
    try:
        return Path(first).samefile(second) and Path(first).is_file()
    except OSError:
        return False
