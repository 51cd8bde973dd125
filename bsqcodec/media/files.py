"""Files in and out: "-" for the standard streams, and output that appears whole or not at all."""

from __future__ import annotations

import errno
import io
import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO, Final, Self, TextIO, cast

from bsqcodec.errors import BsqError, OutputError, OutputExistsError
from bsqcodec.format.byte_source import ByteReader, SupportsRead
from bsqcodec.media.suffixes import CODED_SUFFIX

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

STANDARD_STREAM: Final = "-"
STANDARD_OUTPUT: Final = "standard output"
"""What people call it."""
_PREFIX: Final = ".bsqcodec-"
"""Of temporary files."""
_TEMPORARY: Final = ".part"
_NUMBER: Final = re.compile(r"%0?\d*d")


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


def first_bytes(path: str | Path, count: int = 16) -> bytes:
    """Return the first bytes of a file, or of standard input for "-": `count`, or all of fewer.

    `open_input`, called afterwards, gives those of standard input again. Of a standard input that
    is closed there are none. Raises OSError, as `open` does.
    """
    if is_standard_stream(path):
        return _first_of_standard_input(count)
    with open(path, "rb") as file:
        return file.read(count)


def _first_of_standard_input(count: int) -> bytes:
    """The first bytes of standard input, which is replaced by one that has them in front again."""
    replaced = sys.stdin
    if replaced is None:
        return b""
    stream = replaced.buffer
    if stream.seekable():
        place = stream.tell()
        head = stream.read(count)
        stream.seek(place)
        return head
    head = ByteReader(stream).up_to(count)
    sys.stdin = io.TextIOWrapper(io.BufferedReader(_ResumedInput(head, replaced)))
    return head


class Prefixed(io.RawIOBase):
    """A stream with its first bytes, which have been read already, in front of it again."""

    def __init__(self, start: bytes, file: SupportsRead, name: str | None = None) -> None:
        self.name = name
        self._start = start
        self._read: Callable[[int], bytes | None] = getattr(file, "read1", file.read)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int | None:
        place = memoryview(buffer).cast("B")
        data: bytes | None = self._start[: len(place)]
        if data:
            self._start = self._start[len(data) :]
        else:
            data = self._read(len(place))
        if data is None:
            return None
        place[: len(data)] = data
        return len(data)


class _ResumedInput(Prefixed):
    """Standard input from its beginning on, in the place of one whose first bytes were read."""

    def __init__(self, start: bytes, replaced: TextIO) -> None:
        super().__init__(start, replaced.buffer, getattr(replaced, "name", None))
        self._replaced = replaced  # kept, because it closes its buffer when it goes


@contextmanager
def open_output(path: str | Path, *, force: bool) -> Iterator[BinaryIO]:
    """Open `atomic_output(path)`, or standard output for "-", for writing bytes."""
    if is_standard_stream(path):
        if sys.stdout is None:
            raise BsqError("standard output is closed")
        stream = NamedFile(sys.stdout.buffer, STANDARD_OUTPUT)
        yield cast(BinaryIO, stream)
        stream.flush()
    else:
        with atomic_output(Path(path), force=force) as file:
            yield file


def names_folder(path: str | Path) -> bool:
    """Return whether a name can be a folder's only, as it ends with a slash or with a dot alone.

    A `Path` has lost a slash at the end: give the text where there is one.
    """
    text = os.fspath(path).replace(os.altsep or os.sep, os.sep)
    return text.endswith(os.sep) or text.rpartition(os.sep)[2] in (os.curdir, os.pardir)


def check_output(path: str | Path, *, force: bool) -> None:
    """Raise what `atomic_output` would, and whatever else forbids the file,
    before any work is done.

    Raises OutputExistsError where the file exists and `force` is not set, or where a folder has
    its name, OutputError for a name that can be a folder's only, and OSError where its own folder
    is missing or cannot be written to.
    """
    if names_folder(path) and not Path(path).is_dir():
        raise OutputError(f"{os.fspath(path)}: names a folder, not a file to write to")
    path = _real(Path(path))
    _check_free(path, force=force)
    if not _is_device(path):
        check_folder_of(path)


def check_coded_name(path: str | Path) -> None:
    """Raise OutputError for a name under which nobody would look for a .bsq file.

    Names that end with .bsq are right, and devices, pipes and standard output under any name.
    """
    if is_standard_stream(path) or _is_device(Path(path)) or names_folder(path):
        return
    if Path(path).suffix.lower() != CODED_SUFFIX:
        raise OutputError(
            f"{os.fspath(path)}: what is written is a {CODED_SUFFIX} file, and needs a name that"
            f" ends with {CODED_SUFFIX}"
        )


def check_other_file(source: object, path: str | Path) -> None:
    """Raise OutputError where a source is the file that is to be written.

    source: a file's path, or anything else, which is never one.
    """
    if isinstance(source, (str, Path)):
        with suppress(OSError, ValueError):
            if Path(source).is_file() and Path(source).samefile(path):
                raise OutputError(f"{os.fspath(path)}: would be overwritten by its own output")


def check_folder_of(path: Path) -> None:
    """Raise OSError, which names `path`, unless a file can be made in its folder: one is tried."""
    folder = path.parent
    if not folder.is_dir():
        code = errno.ENOTDIR if folder.exists() else errno.ENOENT
        raise OSError(code, f"there is no folder {folder}; make it first", str(path))
    probe = path.with_name(_temporary_name())
    with named_errors(path):
        probe.touch(exist_ok=False)
        probe.unlink()


def _check_free(path: Path, *, force: bool) -> None:
    """Raise OutputExistsError for a folder, and for a file that may not be replaced."""
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
    `force` is not set, and OSError, which names `path`, where it cannot be written.
    """
    path = _real(path)
    _check_free(path, force=force)
    if _is_device(path):
        with open_named(path, path) as file:
            yield file
        return
    temporary = path.with_name(_temporary_name())
    mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else None
    with named_errors(path):
        temporary.touch(exist_ok=False)
    try:
        with open_named(temporary, path) as file:
            yield file
            file.flush()
            with named_errors(path):
                os.fsync(file.fileno())
        with named_errors(path):
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
    check_output_folder(path, force=force)
    pattern = path.name if _NUMBER.search(path.name) else None
    folder = path.parent if pattern else path
    temporary = _place_of(folder) / _temporary_name().removesuffix(_TEMPORARY)
    with named_errors(path):
        temporary.mkdir()
    try:
        yield temporary / pattern if pattern else temporary
        with named_errors(path):
            if folder.is_dir():
                made = sorted(temporary.iterdir())
                for file in made:
                    _check_free(folder / file.name, force=force)
                for file in made:
                    os.replace(file, folder / file.name)
                temporary.rmdir()
            else:
                os.rename(temporary, folder)
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        if isinstance(error, OSError) and error.filename is not None:
            file = Path(os.fsdecode(error.filename))
            if file.is_relative_to(temporary):
                place = str(folder / file.relative_to(temporary))
                raise OSError(error.errno, error.strerror, place) from error
        raise


def check_output_folder(path: Path, *, force: bool) -> None:
    """Raise what `atomic_folder` would, as far as that is known before any work is done.

    Raises OutputExistsError for a file in the folder's place, and unless `force` is set for a
    folder with anything in it or for a first file of the pattern that is there; OSError where the
    folder is missing and cannot be made, or cannot be written to.
    """
    pattern = path.name if _NUMBER.search(path.name) else None
    folder = path.parent if pattern else path
    if folder.exists() and not folder.is_dir():
        raise OutputExistsError(f"{folder}: a file, not a folder to write to")
    if not force and folder.is_dir():
        if pattern is None and any(folder.iterdir()):
            raise OutputExistsError(f"{folder}: exists already (overwrite with -f)")
        if pattern is not None:
            first = _NUMBER.sub(lambda match: match[0] % 1, pattern)
            _check_free(folder / first, force=False)
    check_folder_of(_place_of(folder) / path.name)


def _place_of(folder: Path) -> Path:
    """The folder in which the files of `folder` are made first."""
    return folder if folder.is_dir() else folder.parent


class NamedFile:
    """A file whose errors of writing name what is written, which the system's own do not.

    All but writing is the file's own. name: what people call it.
    """

    def __init__(self, file: IO[bytes], name: str | Path) -> None:
        self._file = file
        self._name = name

    def write(self, data: Any) -> int:
        with named_errors(self._name):
            return self._file.write(data)

    def flush(self) -> None:
        with named_errors(self._name):
            self._file.flush()

    def truncate(self, size: int | None = None) -> int:
        with named_errors(self._name):
            return self._file.truncate(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        with named_errors(self._name):  # it writes what is buffered
            return self._file.seek(offset, whence)

    def close(self) -> None:
        with named_errors(self._name):
            self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def named_errors(name: str | Path) -> Iterator[None]:
    """Have an OSError that names no file, or a temporary one, name `name` instead."""
    try:
        yield
    except OSError as error:
        named = error.filename
        if named is not None and not Path(os.fsdecode(named)).name.startswith(_PREFIX):
            raise
        if isinstance(error, BrokenPipeError) or error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, os.fspath(name)) from error


@contextmanager
def open_named(path: Path, name: str | Path) -> Iterator[BinaryIO]:
    """Open a file for writing bytes whose errors name `name`."""
    with named_errors(name):
        file = open(path, "wb")  # noqa: SIM115
    with NamedFile(file, name) as named:
        yield cast(BinaryIO, named)


def temporary_file(*, in_memory: int = 0) -> BinaryIO:
    """Return a new file without a name, whose errors say that the folder for such is meant.

    in_memory: bytes up to which it stays in memory.
    """
    folder = tempfile.gettempdir()
    name = f"temporary files in {folder} (TMPDIR can name another folder)"
    with named_errors(name):
        if in_memory:
            return cast(BinaryIO, NamedFile(tempfile.SpooledTemporaryFile(in_memory), name))
        return cast(BinaryIO, NamedFile(tempfile.TemporaryFile(), name))


def _temporary_name() -> str:
    return f"{_PREFIX}{os.urandom(8).hex()}{_TEMPORARY}"


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
            _check_free(path, force=False)
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
