"""Which file becomes which: output names for one or several inputs, and the walk over them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from bsqcodec.cli.console import Console, is_expected
from bsqcodec.media.files import STANDARD_STREAM, is_standard_stream, replace_suffix


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
) -> list[Job]:
    """Return a job for each input. `output` is a file, a folder, "-" or None (beside the input).

    suffix: of names that follow from the input's, or a function of the input that tells it.
    name: of what an output is named after, by the input. Raises click.UsageError where two inputs would
    have the same output, an input would be overwritten by an output, or binary data would go to
    or come from a terminal.
    """
    check_standard_input(inputs)
    folder = Path(output) if output is not None and _is_folder(output) else None
    if len(inputs) > 1 and output is not None and folder is None:
        raise click.UsageError(f"several inputs need an existing folder as -o, not {output}")
    jobs = []
    for source in inputs:
        ending = suffix(source) if callable(suffix) else suffix
        jobs.append(Job(source, _target(source, output, folder, ending, name(source))))
    _check_targets(jobs)
    return jobs


def with_named_output(
    inputs: Sequence[str], output: str | None, is_output: Callable[[str], bool]
) -> tuple[tuple[str, ...], str | None]:
    """(inputs, output), where the last argument may be the output instead of -o: `INPUT OUT`.

    It is if it is "-" or `is_output` says that a file of this name can be no input.
    """
    *others, last = inputs
    if output is None and others and (is_standard_stream(last) or is_output(last)):
        return tuple(others), last
    return tuple(inputs), output


def run(console: Console, jobs: Sequence[Job], work: Callable[[Job], None]) -> None:
    """Do the work for each job; a job that fails is reported and the others still run.

    Exits with status 1, through click, where any failed.
    """
    failed = False
    for job in jobs:
        try:
            work(job)
        except BrokenPipeError:
            raise
        except Exception as error:
            if not is_expected(error):
                raise
            console.failure(display_name(job.source), error)
            failed = True
    if failed:
        click.get_current_context().exit(1)


def display_name(path: str) -> str:
    """Return the name of a file as it can be shown to people."""
    return "standard input" if is_standard_stream(path) else click.format_filename(path)


def display_target(path: str) -> str:
    """Return the name of an output as it can be shown to people."""
    return "standard output" if is_standard_stream(path) else click.format_filename(path)


def _is_folder(output: str) -> bool:
    return not is_standard_stream(output) and Path(output).is_dir()


def _target(source: str, output: str | None, folder: Path | None, suffix: str, name: str) -> str:
    """The output's name for one input, which goes by `name`."""
    if folder is not None:
        if is_standard_stream(source):
            raise click.UsageError("for standard input -o must name a file, not a folder")
        return str(folder / replace_suffix(Path(name), suffix).name)
    if output is not None:
        return output
    if is_standard_stream(source):
        return STANDARD_STREAM
    return str(replace_suffix(Path(name), suffix)) if Path(name).name else source


def check_standard_input(inputs: Sequence[str]) -> None:
    """Refuse standard input beside other inputs, and one that is a terminal."""
    if STANDARD_STREAM not in inputs:
        return
    if len(inputs) > 1:
        raise click.UsageError("standard input cannot be one of several inputs")
    if sys.stdin is not None and sys.stdin.isatty():
        raise click.UsageError("standard input is a terminal; give a file or a pipe")


def _check_targets(jobs: Sequence[Job]) -> None:
    """Refuse outputs that clash with each other, with an input, or with a terminal.

    Files are told apart by their real paths, as one file may go by several names.
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
            raise click.UsageError(
                f"{seen[target]} and {job.source} would both become {job.target}"
            )
        seen[target] = job.source
        if not is_standard_stream(job.source) and _same_file(job.source, job.target):
            raise click.UsageError(f"{job.source} would be overwritten by its own output")
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
