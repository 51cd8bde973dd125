"""Which file becomes which: the direction of a batch, and the name of each output."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path, PurePosixPath
from typing import Final

from bsqcodec.batch.alike import likeness, missing_package
from bsqcodec.batch.errors import PlanError
from bsqcodec.batch.find import Ignored, find_files
from bsqcodec.batch.kinds import (
    KIND_OF_NAME,
    KINDS,
    PICTURE,
    VIDEO,
    Direction,
    Kind,
    kind_to_decode,
    kind_to_encode,
)
from bsqcodec.media.suffixes import CODED_SUFFIX


class Naming(Enum):
    """How outputs are named after inputs.

    KEEP adds a suffix: photo.jpg, photo.jpg.bsq, photo.jpg.png. REPLACE puts it in the place of
    the old one: photo.jpg, photo.bsq, photo.png.
    """

    KEEP = "keep"
    REPLACE = "replace"


class Animations(Enum):
    """What files that hold an animation (GIF, WebP, APNG, AVIF) are coded as.

    PICTURES: their first frames.
    """

    VIDEOS = "videos"
    PICTURES = "pictures"


@dataclass(frozen=True)
class Task:
    """A file to code. All plain values, so that it can travel to another machine.

    source: absolute path. name: the same below the base of the batch. destination: below the
    output folder, with slashes. source_bytes: its size when the batch was planned.
    """

    source: str
    name: str
    destination: str
    kind_name: str
    direction: Direction
    source_bytes: int

    @property
    def kind(self) -> Kind:
        """The kind of file, which knows how it is coded."""
        return KIND_OF_NAME[self.kind_name]


@dataclass(frozen=True)
class Plan:
    """All that a batch is to do, nothing of which has been begun.

    base: the folder whose tree the output mirrors. unreadable: paths and errors of what could not
    be looked at.
    """

    base: Path
    output: Path
    direction: Direction
    tasks: tuple[Task, ...]
    ignored: tuple[Ignored, ...]
    unreadable: tuple[tuple[str, OSError], ...]


UNKNOWN: Final = "unknown kind"
ALIKE: Final = "unread picture or video"
"""Reasons why files are left out; the second is of those that look like pictures or videos."""


def make_plan(
    inputs: Sequence[str],
    output: Path,
    *,
    direction: Direction | None = None,
    naming: Naming = Naming.KEEP,
    formats: Sequence[str] = (),
    hidden: bool = False,
    animations: Animations | None = None,
) -> Plan:
    """Find the files below `inputs` (folders, globs, files) and name their outputs.

    direction: None encodes, unless there is nothing to encode but .bsq files. formats: to decode
    to. hidden: take names with a dot in front too. animations: what they are coded as; None leaves
    them to the coder of pictures, which refuses them.

    Raises PlanError where two outputs would clash, an input lies in the output folder or `formats`
    holds two for a kind of file; OSError for an input that is not there.
    """
    output = Path(os.path.abspath(output))
    for kind in KINDS:
        kind.format(formats)
    search = find_files(inputs, output, hidden=hidden)
    ignored, unreadable = list(search.ignored), list(search.unreadable)
    if direction is None:
        direction = _direction(search.files)
    tasks = []
    for path in search.files:
        found = _kind(path, direction, animations)
        if isinstance(found, Ignored):
            ignored.append(found)
            continue
        try:
            status = path.stat()
        except OSError as error:
            unreadable.append((str(path), error))
            continue
        if not stat.S_ISREG(status.st_mode):
            ignored.append(Ignored(str(path), "not a file"))
            continue
        name = path.relative_to(search.base).as_posix()
        destination = _destination(name, found, direction, naming, formats)
        tasks.append(Task(str(path), name, destination, found.name, direction, status.st_size))
    _check_clashes(tasks)
    return Plan(search.base, output, direction, tuple(tasks), tuple(ignored), tuple(unreadable))


def _direction(files: Sequence[Path]) -> Direction:
    """Decoding where there are .bsq files and nothing that could be encoded."""
    if any(kind_to_encode(path) for path in files):
        return Direction.ENCODE
    coded = any(path.suffix.lower() == CODED_SUFFIX for path in files)
    return Direction.DECODE if coded else Direction.ENCODE


def _kind(path: Path, direction: Direction, animations: Animations | None) -> Kind | Ignored:
    """The kind of a file, or why it is left out."""
    is_coded = path.suffix.lower() == CODED_SUFFIX
    if direction is Direction.DECODE:
        if is_coded:
            return kind_to_decode(path)
        reason = "not a .bsq file" if kind_to_encode(path) else UNKNOWN
        return Ignored(str(path), reason)
    if is_coded:
        return Ignored(str(path), "a .bsq file already")
    kind = kind_to_encode(path)
    lack = missing_package(path) if kind is PICTURE else None
    if kind is None or lack is not None:
        alike = lack or likeness(path)
        return Ignored(str(path), UNKNOWN if alike is None else ALIKE, alike)
    if kind is PICTURE and animations is Animations.VIDEOS and _is_animation(path):
        return VIDEO
    return kind


def _is_animation(path: Path) -> bool:
    if not path.is_file():  # a pipe would wait for its writer
        return False
    from bsqcodec.media.image.image_reader import is_animation

    return is_animation(path)


def _destination(
    name: str, kind: Kind, direction: Direction, naming: Naming, formats: Sequence[str]
) -> str:
    """The output's name, with slashes, for an input's."""
    path = PurePosixPath(name)
    if direction is Direction.ENCODE:
        suffix = CODED_SUFFIX
        if naming is Naming.REPLACE:
            path = path.with_suffix("")
    else:
        suffix = f".{kind.format(formats)}"
        path = path.with_suffix("")
        inner = path.suffix.lower()
        known = {suffix for kind in KINDS for suffix in kind.suffixes}
        if inner == suffix or (naming is Naming.REPLACE and inner in known):
            path = path.with_suffix("")
    return str(path.with_name(path.name + suffix))


def _check_clashes(tasks: Sequence[Task]) -> None:
    """Refuse two outputs of one name, and a file where another output needs a folder."""
    sources: dict[str, str] = {}
    folders: dict[str, str] = {}
    for task in tasks:
        if task.destination in sources:
            raise PlanError(
                f"{sources[task.destination]} and {task.name} would both become"
                f" {task.destination}; --name keep tells most files apart"
            )
        sources[task.destination] = task.name
        for parent in PurePosixPath(task.destination).parents:
            folders.setdefault(str(parent), task.name)
    for destination, name in sources.items():
        if destination in folders:
            raise PlanError(
                f"{destination} would be both the output of {name}"
                f" and the folder of that of {folders[destination]}"
            )
