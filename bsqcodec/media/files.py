"""Files in and out: "-" for the standard streams, and output that appears whole or not at all."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from bsqcodec.errors import BsqError, OutputExistsError

STANDARD_STREAM: Final = "-"
_TEMPORARY: Final = ".part"


def is_standard_stream(path: str | Path) -> bool:
    """Return whether `path` is "-", which means standard input or output."""
    return str(path) == STANDARD_STREAM


@contextmanager
def open_input(path: str | Path) -> Iterator[BinaryIO]:
    """Open a file, or standard input for "-", for reading bytes. Raises OSError, as `open` does."""
    if is_standard_stream(path):
        if sys.stdin is None:
            raise BsqError("standard input is closed")
        yield sys.stdin.buffer
    else:
        with open(path, "rb") as file:
            yield file


def peek_input() -> bytes:
    """Return the first bytes of standard input without taking them; b"" where that cannot be."""
    peek = getattr(getattr(sys.stdin, "buffer", None), "peek", None)
    return bytes(peek(1)) if callable(peek) else b""


@contextmanager
def open_output(path: str | Path, *, force: bool) -> Iterator[BinaryIO]:
    """Open `atomic_output(path)`, or standard output for "-", for writing bytes."""
    if is_standard_stream(path):
        if sys.stdout is None:
            raise BsqError("standard output is closed")
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    else:
        with atomic_output(Path(path), force=force) as file:
            yield file


def check_output(path: Path, *, force: bool) -> None:
    """Raise OutputExistsError where `atomic_output` would, before any work is done."""
    path = _real(path)
    if path.is_dir():
        raise OutputExistsError(f"{path}: a folder, not a file to write to")
    if not force and path.exists() and not _is_device(path):
        raise OutputExistsError(f"{path}: exists already (overwrite with -f)")


@contextmanager
def atomic_output(path: Path, *, force: bool) -> Iterator[BinaryIO]:
    """Open a new file that takes the name `path` once it is whole and on disk.

    The data goes to a temporary file in the same folder; an exception removes it and leaves
    `path` as it was. Symbolic links are followed; a device or pipe is written to directly.
    Raises OutputExistsError where `path` exists (now, or by the time the file is whole) and
    `force` is not set, OSError where the folder cannot be written to.
    """
    path = _real(path)
    check_output(path, force=force)
    if _is_device(path):
        with open(path, "wb") as file:
            yield file
        return
    temporary = path.with_name(_temporary_name())
    mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else None
    try:
        temporary.touch(exist_ok=False)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            os.chmod(temporary, mode)
        publish(temporary, path, force=force)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


@contextmanager
def atomic_folder(path: Path, *, force: bool) -> Iterator[Path]:
    """Give a path for numbered files that only become those of `path` once all are there.

    path: a folder, there or not, or a name pattern such as frame%05d.png, which the path given has
    too. The files go to a temporary folder beside; an exception removes it. Raises
    OutputExistsError where one of the files exists (or the folder has any) and `force` is not set.
    """
    pattern = path.name if "%" in path.name else None
    folder = path.parent if pattern else path
    if folder.exists() and not folder.is_dir():
        raise OutputExistsError(f"{folder}: a file, not a folder to write to")
    if pattern is None and not force and folder.is_dir() and any(folder.iterdir()):
        raise OutputExistsError(f"{folder}: exists already (overwrite with -f)")
    place = folder if folder.is_dir() else folder.parent
    temporary = place / _temporary_name().removesuffix(_TEMPORARY)
    try:
        temporary.mkdir()
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    try:
        yield temporary / pattern if pattern else temporary
        if folder.is_dir():
            made = sorted(temporary.iterdir())
            for file in made:
                check_output(folder / file.name, force=force)
            for file in made:
                os.replace(file, folder / file.name)
            temporary.rmdir()
        else:
            os.rename(temporary, folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _temporary_name() -> str:
    return f".bsqcodec-{os.urandom(8).hex()}{_TEMPORARY}"


def replace_suffix(path: Path, suffix: str) -> Path:
    """Return `path` with `suffix` for its own; added where the name does not end like a format.

    photo.jpeg becomes photo.bsq, but trip.2024 becomes trip.2024.bsq.
    """
    ending = path.suffix[1:]
    if ending.isalnum() and not ending.isdigit() and len(ending) <= 5:
        return path.with_suffix(suffix)
    return path.with_name(path.name + suffix)


def _real(path: Path) -> Path:
    """The path with symbolic links resolved, so that a link is kept and its target replaced."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def _is_device(path: Path) -> bool:
    """Whether the path is there and is neither a file nor a folder."""
    return path.exists() and not path.is_file() and not path.is_dir()


def publish(temporary: Path, path: Path, *, force: bool) -> None:
    """Give a finished file its name, without replacing another one unless `force` is set.

    temporary: in the same folder. Raises OutputExistsError where the name is taken, OSError.
    """
    if force:
        os.replace(temporary, path)
    else:
        try:
            os.link(temporary, path)  # unlike a rename this fails where the name is taken
        except FileExistsError as error:
            raise OutputExistsError(f"{path}: exists already (overwrite with -f)") from error
        except OSError:  # a file system without hard links
            check_output(path, force=False)
            os.replace(temporary, path)
        else:
            temporary.unlink()
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Put the folder's entry on disk, on systems where folders can be opened."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
