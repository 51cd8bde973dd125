"""What `bsqcodec batch` tells: one progress bar, a table at the end, and a log in JSON lines."""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

import click

from bsqcodec.batch.executor import Advance
from bsqcodec.batch.find import Ignored
from bsqcodec.batch.job import Result, Status
from bsqcodec.batch.plan import ALIKE, UNKNOWN, Plan, Task
from bsqcodec.cli.console import QUIET, Console, describe_error, format_bytes
from bsqcodec.media.files import named_errors
from bsqcodec.media.remarks import LARGER, remark_of

if TYPE_CHECKING:
    from tqdm import tqdm

_BAR: Final = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"
_BAR_DELAY_SECONDS: Final = 0.5
_MAX_NAMES: Final = 3


def shown(path: str) -> str:
    """A path as people want to read it: from the current folder where it lies in it."""
    relative = os.path.relpath(path)
    return click.format_filename(path if relative.startswith(os.pardir) else relative)


def reason_of(result: Result) -> str | None:
    """Why a file failed or was left, without its own name in front; None where all is well."""
    if result.error is None:
        return "interrupted" if result.status is Status.LEFT else None
    return reason_of_error(result.task.source, result.error)


def reason_of_error(path: str, error: BaseException) -> str:
    """What an error says, without the name of the file that it is about in front."""
    return describe_error(error).removeprefix(f"{click.format_filename(path)}: ")


class Report:
    """Follows a batch (see bsqcodec.batch.job.Watcher) and sums it up."""

    def __init__(
        self, console: Console, plan: Plan, log: TextIO | None, *, as_json: bool = False
    ) -> None:
        self._console = console
        self._plan = plan
        self._log = log
        self._as_json = as_json
        self._results: list[Result] = []
        self._bar = _Bar(console)
        self._started = time.perf_counter()

    @property
    def has_failures(self) -> bool:
        """Whether anything that was to be coded is not."""
        bad = (Status.FAILED, Status.LEFT)
        return bool(self._plan.unreadable) or any(r.status in bad for r in self._results)

    def check(self, done: int, total: int) -> None:
        """Show how many files have been looked at."""
        self._bar.check(done, total)

    def begin(self, tasks: Sequence[Task]) -> None:
        """Begin to show the progress."""
        self._started = time.perf_counter()
        self._bar.begin(tasks)

    def advance(self, task: Task, advance: Advance) -> None:
        """Show a file's progress."""
        self._bar.advance(task, advance)

    def finish(self, result: Result) -> None:
        """Take a file's result, log it, and show it with -v."""
        self._results.append(result)
        self._bar.finish(result)
        self._write(_facts(result))
        if self._console.verbosity >= 1:
            with self._bar.hidden():
                self._detail(result)

    def close(self) -> None:
        """Tell at the end what was done, what was not and why."""
        self._bar.close()
        seconds = time.perf_counter() - self._started
        for ignored in self._plan.ignored:
            self._write(ignored_facts(ignored))
            self._console.detail(f"left out: {shown(ignored.path)}: {ignored.reason}")
        for path, error in self._plan.unreadable:
            reason = reason_of_error(path, error)
            self._write({"type": "unreadable", "path": path, "reason": reason})
        rows = [
            _Row.of(f"{kind}s", [r for r in self._results if r.task.kind_name == kind])
            for kind in dict.fromkeys(r.task.kind_name for r in self._results)
        ]
        total = _Row.of("all", self._results)
        self._write({"type": "summary", "seconds": seconds, **total.facts(seconds)})
        self._tell_failures()
        if self._console.verbosity > QUIET and not self._as_json:
            self._console.answer(_table(rows if len(rows) == 1 else [*rows, total], seconds))
            for line in [*self._lines(), *ignored_lines(self._plan.ignored)]:
                self._console.answer(line)

    def _tell_failures(self) -> None:
        """One line on standard error for each file that failed, and one for all that are left."""
        for path, error in self._plan.unreadable:
            self._console.error(f"{shown(path)}: {reason_of_error(path, error)}")
        for result in self._results:
            if result.status is Status.FAILED:
                if self._console.verbosity >= 2 and result.trace:
                    click.echo(result.trace, err=True, nl=False)
                self._console.error(f"{shown(result.task.source)}: {reason_of(result)}")
        left = [result for result in self._results if result.status is Status.LEFT]
        if left:
            files = "file was" if len(left) == 1 else "files were"
            self._console.error(f"{len(left)} {files} not coded: {reason_of(left[0])}")

    def _lines(self) -> list[str]:
        """What the table leaves unsaid."""
        if self._console.verbosity >= 1:
            return []
        notes = [r.coded.summary.notes for r in self._results if r.coded is not None]
        changed = sum(any(remark_of(note) is None for note in some) for some in notes)
        larger = sum(any(note.startswith(LARGER) for note in some) for some in notes)
        lines = []
        if changed:
            lines.append(f"of {changed} files something was converted or dropped (see -v or --log)")
        if larger:
            what = (
                "result is larger than its source"
                if larger == 1
                else ("results are larger than their sources")
            )
            lines.append(f"{larger} {what} (see -v or --log)")
        return lines

    def _detail(self, result: Result) -> None:
        """The line a file, and one for each note on it."""
        name = shown(result.task.source)
        destination = shown(str(self._plan.output / result.task.destination))
        if result.status is Status.SKIPPED:
            self._console.summary(f"{name} -> {destination}: done before")
        if result.coded is None:
            return
        sizes = f"{format_bytes(result.coded.source_bytes)} -> {format_bytes(result.coded.bytes)}"
        self._console.summary(f"{name} -> {destination}: {sizes}, {result.seconds:.2f} s")
        self._console.tell(name, result.coded.summary.notes)

    def _write(self, facts: dict[str, Any]) -> None:
        """One line of the log, and of the JSON, at once, as the next moment may be the last."""
        if self._as_json:
            with self._bar.hidden():
                self._console.record(facts)
        if self._log is not None:
            now = time.strftime("%Y-%m-%dT%H:%M:%S%z")
            with named_errors(self._log.name):
                self._log.write(json.dumps({"time": now, **facts}) + "\n")
                self._log.flush()


def likeness_lines(ignored: Sequence[Ignored]) -> list[str]:
    """Warnings of files that are left out and look like pictures or videos, one for each sort."""
    lines = []
    for likeness in dict.fromkeys(item.likeness for item in ignored if item.likeness):
        paths = [shown(item.path) for item in ignored if item.likeness == likeness]
        names = ", ".join(paths[:_MAX_NAMES])
        if len(paths) > _MAX_NAMES:
            names += f" and {len(paths) - _MAX_NAMES} more"
        lines.append(f"left out: {names}: {likeness}")
    return lines


def ignored_lines(ignored: Sequence[Ignored]) -> list[str]:
    """What was left out, one line for each reason, with the suffixes of unknown kinds."""
    lines = []
    for reason in dict.fromkeys(item.reason for item in ignored):
        paths = [item.path for item in ignored if item.reason == reason]
        suffixes = Counter(Path(path).suffix.lower() or "none" for path in paths)
        more = ""
        if reason in (UNKNOWN, ALIKE):
            counts = (f"{suffix} {count}" for suffix, count in suffixes.most_common())
            more = f" ({click.format_filename(', '.join(counts))})"
        lines.append(f"left out: {len(paths)} {reason}{more}")
    return lines


@dataclass(frozen=True)
class _Row:
    """Sums over files. Bytes, frames and pixels are of those that were coded in this run."""

    name: str
    files: int
    done: int
    skipped: int
    failed: int
    left: int
    source_bytes: int
    bytes: int
    frames: int
    pixels: int

    @classmethod
    def of(cls, name: str, results: Sequence[Result]) -> _Row:
        """The sums over some results."""
        statuses = Counter(result.status for result in results)
        coded = [result.coded for result in results if result.coded is not None]
        return cls(
            name=name,
            files=len(results),
            done=statuses[Status.DONE],
            skipped=statuses[Status.SKIPPED],
            failed=statuses[Status.FAILED],
            left=statuses[Status.LEFT],
            source_bytes=sum(c.source_bytes for c in coded),
            bytes=sum(c.bytes for c in coded),
            frames=sum(c.summary.frames for c in coded),
            pixels=sum(c.summary.pixels for c in coded),
        )

    def facts(self, seconds: float) -> dict[str, Any]:
        """The sums and rates for the log; ratio: bytes out by bytes in,
        None where there are none."""
        return {
            "files": self.files,
            "done": self.done,
            "skipped": self.skipped,
            "failed": self.failed,
            "left": self.left,
            "source_bytes": self.source_bytes,
            "destination_bytes": self.bytes,
            "ratio": self.bytes / self.source_bytes if self.source_bytes else None,
            "frames": self.frames,
            "pixels": self.pixels,
            "frames_per_second": self.frames / seconds if seconds else None,
            "pixels_per_second": self.pixels / seconds if seconds else None,
        }

    def cells(self, seconds: float) -> list[str]:
        """The sums and rates for the table."""
        return [
            self.name,
            *(str(n) for n in (self.files, self.done, self.skipped, self.failed, self.left)),
            format_bytes(self.source_bytes),
            format_bytes(self.bytes),
            f"{self.bytes / self.source_bytes:.3f}" if self.source_bytes else "-",
            str(self.frames),
            f"{self.frames / seconds:.3g}" if self.frames else "-",
            f"{self.pixels / seconds / 1e6:.3g}" if self.pixels else "-",
        ]


_HEADS: Final = (
    *("", "files", "done", "skipped", "failed", "left", "in", "out", "ratio"),
    *("frames", "frames/s", "Mpixel/s"),
)


def _table(rows: Sequence[_Row], seconds: float) -> str:
    """The rows as text, columns flush right but for the names."""
    cells = [list(_HEADS), *(row.cells(seconds) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for name, *others in cells:
        numbers = (text.rjust(width) for text, width in zip(others, widths[1:], strict=True))
        lines.append("  ".join([name.ljust(widths[0]), *numbers]))
    return "\n".join(lines)


def ignored_facts(ignored: Ignored) -> dict[str, Any]:
    """What the log tells of a file that is left out."""
    facts = {"type": "ignored", "path": ignored.path, "reason": ignored.reason}
    return facts | {"likeness": ignored.likeness} if ignored.likeness else facts


def task_facts(task: Task) -> dict[str, Any]:
    """What the log tells of a file before anything is done with it."""
    return {
        "direction": task.direction.value,
        "kind": task.kind_name,
        "source": task.source,
        "destination": task.destination,
    }


def _facts(result: Result) -> dict[str, Any]:
    """What the log tells of a file."""
    task, coded = result.task, result.coded
    facts: dict[str, Any] = {
        "type": "file",
        "status": result.status.value,
        "reason": reason_of(result),
        **task_facts(task),
        "seconds": result.seconds,
    }
    if coded is not None:
        facts |= {
            "source_bytes": coded.source_bytes,
            "destination_bytes": coded.bytes,
            "sha256": coded.sha256,
            "frames": coded.summary.frames,
            "pixels": coded.summary.pixels,
            "bpp": coded.summary.bpp,
            "psnr_db": coded.summary.psnr_db,
            "notes": coded.summary.notes,
        }
    return facts


class _Bar:
    """The progress bar, on a terminal only. Its length is the bytes of the sources."""

    def __init__(self, console: Console) -> None:
        self._is_shown = console.verbosity > QUIET and sys.stderr.isatty()
        self._bar: tqdm[Any] | None = None
        self._fractions: dict[str, float] = {}
        self._frames: dict[str, float] = {}
        self._files = 0
        self._total = 0
        self._started = 0.0

    def check(self, done: int, total: int) -> None:
        """Show that files are being looked at."""
        if self._bar is None:
            self._open("checking", total)
        if self._bar is not None:
            self._bar.update(done - self._bar.n)

    def begin(self, tasks: Sequence[Task]) -> None:
        """Show that these are being coded."""
        self.close()
        self._fractions = {task.destination: 0.0 for task in tasks}
        self._total, self._started = len(tasks), time.monotonic()
        self._open("coding", sum(task.source_bytes for task in tasks))

    def advance(self, task: Task, advance: Advance) -> None:
        """Move on within a file; an encoder that tries again does not move the bar back."""
        known = advance.frames / advance.total if advance.total else 0.0
        self._move(task, min(known, 1.0), advance.frames)

    def finish(self, result: Result) -> None:
        """Move on to the end of a file."""
        if result.task.destination in self._fractions:
            self._files += 1
            frames = result.coded.summary.frames if result.coded else 0
            self._move(result.task, 1.0, frames)

    def hidden(self) -> Any:
        """While this context lasts, there is no bar in the way of other lines."""
        if self._bar is None:
            from contextlib import nullcontext

            return nullcontext()
        return self._bar.external_write_mode(file=sys.stderr)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _open(self, what: str, total: int) -> None:
        if self._is_shown:
            from tqdm import tqdm

            self._bar = tqdm(
                total=total,
                desc=what,
                bar_format=_BAR,
                delay=_BAR_DELAY_SECONDS,
                leave=False,
                smoothing=0.1,
                file=sys.stderr,
                dynamic_ncols=True,
            )

    def _move(self, task: Task, fraction: float, frames: float) -> None:
        if self._bar is None:
            return
        name = task.destination
        step = max(fraction - self._fractions[name], 0.0)
        self._fractions[name] += step
        self._frames[name] = frames
        count = sum(self._frames.values())
        rate = count / max(time.monotonic() - self._started, 1e-3)
        self._bar.set_postfix_str(
            f"{self._files}/{self._total} files, {count:.0f} frames, {rate:.3g} frames/s",
            refresh=False,
        )
        self._bar.update(step * task.source_bytes)
