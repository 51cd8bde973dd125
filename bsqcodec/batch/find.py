"""Finding the files of a batch: folders, globs and single files, links and hidden ones."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bsqcodec.batch.errors import PlanError

OWN_PREFIX: Final = ".bsqcodec-"
"""Of the journal and of temporary files, which are never inputs."""


@dataclass(frozen=True)
class Ignored:
    """A file or folder that is left out, and why. The reason is the same for all of its sort.

    likeness: of a file that looks like a picture or a video, what it is and what to do.
    """

    path: str
    reason: str
    likeness: str | None = None


@dataclass
class Search:
    """What was found below `base`, the folder that the output's tree mirrors.

    files: absolute, in order of their names. unreadable: paths and what opening them gave.
    """

    base: Path
    files: list[Path] = field(default_factory=list)
    ignored: list[Ignored] = field(default_factory=list)
    unreadable: list[tuple[str, OSError]] = field(default_factory=list)


def find_files(inputs: Sequence[str], output: Path, *, hidden: bool = False) -> Search:
    """Find the files in folders, those that globs match, and those given by name.

    With one input the base is that folder, the folder of that file, or the part of that glob
    before its first wildcard; with several it is the deepest folder that holds all of these.
    Names with a dot in front are left out of folders unless `hidden`. Links are followed, but a
    folder is entered once and a file comes once, under its own name rather than a link's. The
    folder `output` is not entered.

    Raises PlanError for an input inside the output, FileNotFoundError for one that is not there.
    """
    search = Search(Path(os.path.commonpath([_anchor(text) for text in inputs])))
    for text in inputs:
        if _is_inside(Path(_anchor(text)), output):
            raise PlanError(f"{text} lies in the output folder {output}: choose one outside")
    walk = _Walk(search, output, hidden)
    candidates = [path for text in inputs for start in _starts(text) for path in walk.files(start)]
    candidates += walk.linked()
    _keep_each_once(candidates, search)
    return search


class _Walk:
    """Walks folders, and remembers where it has been."""

    def __init__(self, search: Search, output: Path, hidden: bool) -> None:
        self._search = search
        self._hidden = hidden
        self._output = output
        self._seen: set[str] = set()
        self._links: list[Path] = []

    def files(self, start: Path) -> Iterator[Path]:
        """The files at and below a path, except those behind links to folders."""
        if not start.is_dir():
            if not _is_inside(start.parent, self._output):  # a glob may match what is there
                yield start
            return
        folders = [start]
        while folders:
            folder = folders.pop()
            if not self._enter(folder):
                continue
            for entry in self._entries(folder):
                path = folder / entry.name
                if entry.name.startswith(OWN_PREFIX):
                    continue
                if entry.name.startswith(".") and not self._hidden:
                    self._search.ignored.append(Ignored(str(path), "hidden"))
                elif entry.is_dir(follow_symlinks=False):
                    folders.append(path)
                elif entry.is_symlink() and path.is_dir():
                    self._links.append(path)
                else:
                    yield path

    def linked(self) -> Iterator[Path]:
        """The files behind links to folders; call it once all real folders have been walked."""
        while self._links:
            self._links.sort()
            link = self._links.pop(0)
            if os.path.realpath(link) in self._seen:
                self._search.ignored.append(Ignored(str(link), "link to a folder of the batch"))
            else:
                yield from self.files(link)

    def _enter(self, folder: Path) -> bool:
        """Whether a folder is to be read: once, and never the output's."""
        real = os.path.realpath(folder)
        if real in self._seen:
            return False
        self._seen.add(real)
        return not _is_inside(folder, self._output)

    def _entries(self, folder: Path) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(folder) as entries:
                return sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            self._search.unreadable.append((str(folder), error))
            return []


def _starts(text: str) -> list[Path]:
    """The paths that an input means: itself, or what its wildcards match."""
    path = Path(os.path.abspath(text))
    if os.path.lexists(path) or not glob.has_magic(text):
        path.stat()
        return [path]
    matches = sorted(glob.glob(os.path.abspath(text), recursive=True))
    if not matches:
        raise PlanError(f"no file matches {text}")
    return [Path(match) for match in matches]


def _anchor(text: str) -> str:
    """The folder that an input's names are relative to."""
    path = os.path.abspath(text)
    if os.path.isdir(path):
        return path
    if os.path.lexists(path) or not glob.has_magic(text):
        return os.path.dirname(path)
    while glob.has_magic(path):
        path = os.path.dirname(path)
    return path


def _is_inside(path: Path, folder: Path) -> bool:
    """Whether a path is a folder or lies in it, once links are resolved."""
    real = os.path.realpath(folder)
    return os.path.commonpath([os.path.realpath(path), real]) == real


def _keep_each_once(candidates: list[Path], search: Search) -> None:
    """Fill `search.files`: of several names of a file the one that goes through no link."""
    real_base = os.path.realpath(search.base)
    names: dict[str, list[Path]] = {}
    for path in sorted(set(candidates)):
        names.setdefault(os.path.realpath(path), []).append(path)
    for real, paths in names.items():
        own = search.base / os.path.relpath(real, real_base)
        kept = own if own in paths else paths[0]
        search.files.append(kept)
        search.ignored += [
            Ignored(str(path), "another name of a file of the batch")
            for path in paths
            if path != kept
        ]
    search.files.sort()
