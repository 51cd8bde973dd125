"""What is left to do: which outputs are there, whole, and made from this source in this way."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from bsqcodec import __version__
from bsqcodec.batch.batch_options import Options
from bsqcodec.batch.digests import sha256_of
from bsqcodec.batch.journal import Entry, Journal
from bsqcodec.batch.kinds import Direction
from bsqcodec.batch.plan import Task
from bsqcodec.batch.work import is_temporary
from bsqcodec.errors import BsqError, OutputExistsError


class Action(Enum):
    """What is to become of a task.

    RECORD: the output is there and fits, and is to be recorded with `Decision.entry`. REFUSE: for
    `Decision.error`.
    """

    CODE = "code"
    RECORD = "record"
    SKIP = "skip"
    REFUSE = "refuse"


@dataclass(frozen=True)
class Decision:
    """What to do with a task. replace: whether a file of the output's name may be replaced."""

    action: Action
    replace: bool = False
    entry: Entry | None = None
    error: BsqError | OSError | None = None


@dataclass
class Leftovers:
    """Temporary files of runs that were killed.

    waiting: those that are whole and recorded and only lack their name, by their destinations
    below the output folder. useless: the others.
    """

    waiting: dict[str, Path] = field(default_factory=dict)
    useless: list[Path] = field(default_factory=list)


@dataclass
class _Source:
    """The source of a task, whose contents are hashed at most once, and only when it matters."""

    path: Path
    _sha256: str | None = field(default=None, init=False)

    @property
    def sha256(self) -> str:
        if self._sha256 is None:
            self._sha256 = sha256_of(self.path)
        return self._sha256

    def fits(self, entry: Entry) -> bool:
        """Whether an entry's file was made from these contents.

        The same path, size and time of change are taken for the same contents.
        """
        status = self.path.stat()
        if status.st_size != entry.source_bytes:
            return False
        unchanged = status.st_mtime_ns == entry.source_mtime_ns
        same = unchanged and entry.source == str(self.path)
        return same or self.sha256 == entry.source_sha256


def find_leftovers(output: Path, journal: Journal, *, force: bool) -> Leftovers:
    """Find what killed runs left below the output folder; nothing is changed.

    A file does not wait where another one, which no batch wrote, has its name, unless `force`.
    """
    found = Leftovers()
    recorded = {entry.temporary: entry for entry in journal.last_entries() if entry.temporary}
    for folder, _, names in os.walk(output):
        for name in names:
            if not is_temporary(name, journal.id):
                continue
            path = Path(folder, name)
            entry = recorded.get(name)
            if entry is not None and _is_waiting(path, entry, output, journal, force):
                found.waiting[entry.destination] = path
            else:
                found.useless.append(path)
    return found


def decide(
    task: Task,
    path: Path,
    entries: Sequence[Entry],
    options: Options,
    *,
    resume: bool,
    force: bool,
) -> Decision:
    """Decide about a task whose output is `path` and has these entries; nothing is changed.

    Done is what the journal holds for this source, by its contents, and these options, and what
    is on disk with the SHA-256 that the journal tells. A .bsq file that the journal does not know
    is done where `Kind.check` finds nothing against it.

    resume: leave out what is done. force: replace files that no batch wrote, that have changed
    since, or that come from another source.
    """
    try:
        if not os.path.lexists(path):
            return Decision(Action.CODE)
        if not path.is_file():
            raise OutputExistsError(f"{path}: exists already and is not a file")
        source = _Source(Path(task.source))
        if not entries:
            return _decide_on_stranger(task, path, source, options, resume, force)
        return _decide_on_own(task, path, source, entries, options, resume, force)
    except (BsqError, OSError) as error:
        return Decision(Action.REFUSE, error=error)


def _decide_on_own(
    task: Task,
    path: Path,
    source: _Source,
    entries: Sequence[Entry],
    options: Options,
    resume: bool,
    force: bool,
) -> Decision:
    """Decide about a task whose output is in the journal."""
    last = entries[-1]
    sha256 = sha256_of(path)
    same_source = source.fits(last)
    if resume and same_source and sha256 == last.sha256 and _fits(last, task, options):
        return Decision(Action.SKIP)
    if not force and all(sha256 != entry.sha256 for entry in entries):
        raise OutputExistsError(f"{path}: has changed since it was written (overwrite with -f)")
    if not force and not same_source and last.source != task.source:
        raise OutputExistsError(f"{path}: was made from {last.source} (overwrite with -f)")
    return Decision(Action.CODE, replace=True)


def _decide_on_stranger(
    task: Task, path: Path, source: _Source, options: Options, resume: bool, force: bool
) -> Decision:
    """Decide about a task whose output is there and not in the journal."""
    reason = "exists already and no batch wrote it"
    if resume and task.direction is Direction.ENCODE:
        try:
            found = task.kind.check(source.path, path, options)
        except (BsqError, OSError) as error:
            found = str(error)
        if found is None:
            entry = _entry_of(task, path, source, options)
            return Decision(Action.RECORD, entry=entry)
        reason = f"exists already; {found}"
    if not force:
        raise OutputExistsError(f"{path}: {reason} (overwrite with -f)")
    return Decision(Action.CODE, replace=True)


def _entry_of(task: Task, path: Path, source: _Source, options: Options) -> Entry:
    """The entry of a file that no batch wrote."""
    status = source.path.stat()
    return Entry(
        source=task.source,
        source_bytes=status.st_size,
        source_mtime_ns=status.st_mtime_ns,
        source_sha256=source.sha256,
        destination=task.destination,
        temporary="",
        bytes=path.stat().st_size,
        sha256=sha256_of(path),
        options=task.kind.digest(task.direction, options),
        verified=False,
        version=__version__,
        found=True,
    )


def _fits(entry: Entry, task: Task, options: Options) -> bool:
    """Whether an entry's file was coded with these options, and verified if that is asked for."""
    if options.encoding.verify and task.direction is Direction.ENCODE and not entry.verified:
        return False
    return entry.options == task.kind.digest(task.direction, options)


def _is_waiting(temporary: Path, entry: Entry, output: Path, journal: Journal, force: bool) -> bool:
    """Whether a temporary file is all that its entry tells, lacks its name, and may have it."""
    path = output / entry.destination
    if temporary.parent != path.parent or temporary.stat().st_size != entry.bytes:
        return False
    if sha256_of(temporary) != entry.sha256:
        return False
    if not os.path.lexists(path):
        return True
    if force and path.is_file():
        return sha256_of(path) != entry.sha256
    known = {older.sha256 for older in journal.entries(entry.destination)} - {entry.sha256}
    return path.is_file() and sha256_of(path) in known
