"""Giving coded files their names, once they are recorded; what killed runs left is tidied up."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from bsqcodec.batch.journal import Entry, Journal
from bsqcodec.batch.kinds import Direction
from bsqcodec.batch.resume import find_leftovers
from bsqcodec.batch.work import Coded, Job
from bsqcodec.media import files


def publish(job: Job, coded: Coded, journal: Journal, *, replace: bool) -> None:
    """Record a coded file, then give it its name.

    Raises OutputExistsError where another file has got that name meanwhile and `replace` is not
    set, OSError where the folder or the journal cannot be written to. What remains then under the
    temporary name is for `settle`.
    """
    task = job.task
    destination = Path(job.output) / task.destination
    journal.append(
        Entry(
            source=task.source,
            source_bytes=coded.source_bytes,
            source_mtime_ns=coded.source_mtime_ns,
            source_sha256=coded.source_sha256,
            destination=task.destination,
            temporary=coded.temporary,
            bytes=coded.bytes,
            sha256=coded.sha256,
            options=task.kind.digest(task.direction, job.options),
            verified=job.options.encoding.verify and task.direction is Direction.ENCODE,
            version=job.version,
        )
    )
    files.publish(destination.with_name(coded.temporary), destination, force=replace)


def settle(output: Path, journal: Journal, *, force: bool) -> None:
    """Finish what killed runs have begun: name what waits for its name, remove the rest."""
    leftovers = find_leftovers(output, journal, force=force)
    for destination, temporary in leftovers.waiting.items():
        files.publish(temporary, output / destination, force=True)
    for path in leftovers.useless:
        with suppress(OSError):
            path.unlink()
