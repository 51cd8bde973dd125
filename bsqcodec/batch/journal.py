"""The record of what is done, in the output folder: who reads it knows every whole file.

`.bsqcodec-batch.jsonl` holds a line of JSON for each coded file. The line is on disk before the
file gets its name: a coded file waits under a temporary name, which the line tells. So a process
that is killed between the two leaves all that is needed to finish, and a file that was coded and
recorded is never coded again. Only the process that holds the lock on the journal gives names.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from bsqcodec.batch.errors import BatchError
from bsqcodec.format.json_text import parse_json
from bsqcodec.media.files import named_errors

if sys.platform != "win32":
    import fcntl

NAME: Final = ".bsqcodec-batch.jsonl"
_FORMAT: Final = 1


@dataclass(frozen=True)
class Entry:
    """One coded file. Sizes in bytes, digests in hexadecimal.

    destination: below the output folder, with slashes. temporary: the name, in the same folder,
    that the file had before. options: `Kind.digest`. verified: whether it was decoded and compared.
    found: it was not coded by a batch, but looked as if it had been.
    """

    source: str
    source_bytes: int
    source_mtime_ns: int
    source_sha256: str
    destination: str
    temporary: str
    bytes: int
    sha256: str
    options: str
    verified: bool
    version: str
    found: bool = False


class Journal:
    """The journal of an output folder. Without `locked` it is only read, and may be absent.

    id: 8 hexadecimal digits, a part of every temporary name. Raises BatchError where another
    process is writing to the folder or the journal is of a newer version, OSError where it cannot
    be read or made.
    """

    def __init__(self, output: Path, *, locked: bool) -> None:
        self.path = output / NAME
        self.id = ""
        self._entries: dict[str, list[Entry]] = {}
        self._file: int | None = None
        self._is_cut = False
        if locked:
            output.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
            _lock(self._file, output)
        try:
            self._read()
            if locked and not self.id:
                self._begin()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give the lock back."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def entries(self, destination: str) -> list[Entry]:
        """What was written under this name, the oldest first."""
        return self._entries.get(destination, [])

    def reload(self) -> None:
        """Read what is on disk, as after an interrupt the entries in memory may lack the last."""
        self._entries.clear()
        self._read()

    def last_entries(self) -> list[Entry]:
        """What was written last under each name."""
        return [entries[-1] for entries in self._entries.values()]

    def append(self, entry: Entry) -> None:
        """Record a file; when this returns, the record is on disk. Raises OSError."""
        self._write(asdict(entry))
        self._entries.setdefault(entry.destination, []).append(entry)

    def _begin(self) -> None:
        self.id = os.urandom(4).hex()
        self._write({"journal": "bsqcodec batch", "version": _FORMAT, "id": self.id})

    def _write(self, facts: dict[str, Any]) -> None:
        """Append one line; a line that a killed process left unfinished is closed first."""
        if self._file is None:
            raise ValueError("the journal is open for reading only")
        line = json.dumps(facts).encode() + b"\n"
        if self._is_cut:
            line = b"\n" + line
        self._is_cut = True
        with named_errors(self.path):
            while line:
                line = line[os.write(self._file, line) :]
            os.fsync(self._file)
        self._is_cut = False

    def _read(self) -> None:
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return
        self._is_cut = bool(data) and not data.endswith(b"\n")
        for facts in _objects(data):
            if "journal" in facts:
                if facts.get("version") != _FORMAT:
                    raise BatchError(f"{self.path} was written by a newer bsqcodec")
                self.id = str(facts.get("id", ""))
                continue
            with suppress(TypeError):  # a line of something else
                entry = Entry(**facts)
                self._entries.setdefault(entry.destination, []).append(entry)


def _objects(data: bytes) -> Iterator[dict[str, Any]]:
    """The JSON objects on the lines of a file; what is none, such as a cut line, is skipped."""
    for line in data.split(b"\n"):
        try:
            facts = parse_json(line)
        except ValueError:
            continue
        if isinstance(facts, dict):
            yield facts


def _lock(file: int, output: Path) -> None:
    """Take the lock, which ends with the process. File systems without locks go without."""
    if sys.platform == "win32":
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(file)
        raise BatchError(f"another batch is writing to {output}; wait until it ends") from error
    except OSError:
        return
