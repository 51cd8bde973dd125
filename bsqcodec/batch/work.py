"""What a worker process does for one file: code it to a temporary name and tell what came out."""

from __future__ import annotations

import errno
import os
import pickle
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from bsqcodec import __version__
from bsqcodec.batch.batch_options import Options, Progress, Summary
from bsqcodec.batch.digests import sha256_of
from bsqcodec.batch.errors import BatchError
from bsqcodec.batch.plan import Task
from bsqcodec.errors import BsqError, LimitError, MediaError
from bsqcodec.machine.memory import is_out_of_memory
from bsqcodec.media.files import named_errors

_PROGRESS_SECONDS: Final = 0.2
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


@dataclass(frozen=True)
class Job:
    """A task as it is handed to a worker. version: of the bsqcodec that hands it out."""

    task: Task
    output: str
    journal_id: str
    options: Options
    version: str = __version__


@dataclass(frozen=True)
class Coded:
    """A file that is whole and on disk under a temporary name, in the folder of its output.

    Sizes in bytes, times of change in nanoseconds, digests in hexadecimal, seconds of wall time.
    """

    temporary: str
    bytes: int
    sha256: str
    source_bytes: int
    source_mtime_ns: int
    source_sha256: str
    seconds: float
    summary: Summary


@dataclass(frozen=True)
class Failure:
    """Why a file could not be coded. trace: for who asks for it. ends_batch: so it is for all."""

    error: BsqError | OSError | MemoryError
    seconds: float = 0.0
    trace: str = ""
    ends_batch: bool = False


Outcome: TypeAlias = Coded | Failure


def temporary_name(journal_id: str, suffix: str) -> str:
    """A new name for a file that is being written; hidden, and with the suffix of its format."""
    return f".bsqcodec-{journal_id}-{os.urandom(8).hex()}.part{suffix}"


def is_temporary(name: str, journal_id: str) -> bool:
    """Whether a name is one that `temporary_name` gives for this journal."""
    return name.startswith(f".bsqcodec-{journal_id}-") and ".part" in name


def attempt(job: Job, progress: Progress) -> Outcome:
    """Code a file, and tell what came of it; raises nothing but what ends the process."""
    started = time.perf_counter()
    try:
        return _code(job, progress, started)
    except Exception as error:  # noqa: BLE001 -- a fault of the program costs its file only
        seconds = time.perf_counter() - started
        trace = traceback.format_exc()
        ends_batch = isinstance(error, OSError) and error.errno in _NO_ROOM
        if is_out_of_memory(error):
            error = LimitError("there is not enough memory")
        elif not isinstance(error, (BsqError, OSError)):
            error = BatchError(f"unexpected {type(error).__name__}: {error}")
        elif not _travels(error):
            error = BatchError(str(error))
        return Failure(error, seconds, trace, ends_batch)


def _travels(error: Exception) -> bool:
    """Whether an exception gets from process to process, which those of libraries may not."""
    try:
        return type(pickle.loads(pickle.dumps(error))) is type(error)
    except Exception:  # noqa: BLE001 -- whatever its class does there
        return False


def throttled(report: Callable[[float, float | None], None]) -> Progress:
    """The same function, called five times a second at most."""
    last = -_PROGRESS_SECONDS

    def call(done: float, total: float | None) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _PROGRESS_SECONDS:
            last = now
            report(done, total)

    return call


def _code(job: Job, progress: Progress, started: float) -> Coded:
    task = job.task
    if job.version != __version__:
        raise BatchError(f"a worker has bsqcodec {__version__}, not {job.version}")
    source = Path(task.source)
    before = source.stat()
    source_sha256 = sha256_of(source)
    destination = Path(job.output) / task.destination
    destination.parent.mkdir(parents=True, exist_ok=True)
    temporary = destination.with_name(temporary_name(job.journal_id, destination.suffix))
    try:
        code = task.kind.code(task.direction)
        summary = code(source, temporary, job.options, progress)
        after = source.stat()
        if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
            raise MediaError(f"{source}: changed while it was read")
        _sync(temporary)
        return Coded(
            temporary=temporary.name,
            bytes=temporary.stat().st_size,
            sha256=sha256_of(temporary),
            source_bytes=before.st_size,
            source_mtime_ns=before.st_mtime_ns,
            source_sha256=source_sha256,
            seconds=time.perf_counter() - started,
            summary=summary,
        )
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError) and error.filename == str(temporary):
            raise OSError(error.errno, error.strerror, str(destination)) from error
        raise


def _sync(path: Path) -> None:
    """Put a file's contents on disk."""
    with named_errors(path), open(path, "rb+") as file:
        os.fsync(file.fileno())
