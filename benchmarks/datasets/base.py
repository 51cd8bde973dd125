"""What all data sets share: a name, items with hashes, and errors that say what is missing."""

import dataclasses
import fnmatch
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar


class DatasetError(Exception):
    """What a benchmark needs is not where it was told to look, or is not what it should be."""


class Item(Protocol):
    """A picture or a clip."""

    @property
    def name(self) -> str: ...

    def sha256(self) -> str:
        """Hash of size and samples, whatever the file format."""


T = TypeVar("T", bound=Item)


@dataclass(frozen=True)
class Dataset(Generic[T]):
    """Items under a name. preparation: what was done to them before they were measured on."""

    name: str
    items: tuple[T, ...]
    preparation: str = "none"

    def first(self, count: int) -> "Dataset[T]":
        """The first `count` items, under another name, so that results are not mixed up."""
        if count >= len(self.items):
            return self
        return dataclasses.replace(self, name=f"{self.name}-first{count}", items=self.items[:count])

    def only(self, pattern: str, name: str) -> "Dataset[T]":
        """The items whose names match a shell pattern, as a set called `name`."""
        chosen = tuple(item for item in self.items if fnmatch.fnmatch(item.name, pattern))
        if not chosen:
            raise DatasetError(f"{self.name} has nothing that matches {pattern}")
        return dataclasses.replace(self, name=name, items=chosen)

    def hashes(self) -> dict[str, str]:
        """SHA-256 of each item."""
        return {item.name: item.sha256() for item in self.items}


def digest_of(hashes: dict[str, str]) -> str:
    """One hash for a whole set, of the names and hashes of its items."""
    text = "".join(f"{name} {value}\n" for name, value in hashes.items())
    return hashlib.sha256(text.encode()).hexdigest()


def existing_folder(folder: Path | None, what: str, source: str = "") -> Path:
    """`folder`, if it is one. Raises DatasetError, which says where it is published."""
    where = f"; published at {source}" if source else ""
    if folder is None:
        raise DatasetError(f"give the folder of {what} with --data or in BSQCODEC_DATA{where}")
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder{where}")
    return folder


def missing_files(folder: Path, what: str, names: Sequence[str], total: int, source: str) -> str:
    """The message about files of a published set that are not there."""
    shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    return (
        f"{folder}: {len(names)} of {total} files of {what} are missing: {shown}; "
        f"they are published at {source} and never downloaded from here"
    )
