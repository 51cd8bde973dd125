"""Python's files under FFmpeg, and FFmpeg's exceptions turned into those of bsqcodec."""

from __future__ import annotations

import errno
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Final, Protocol

import av

from bsqcodec.errors import BsqError, LimitError, MediaError
from bsqcodec.machine.memory import is_out_of_memory

BUFFER_BYTES: Final = 2**18
"""How much FFmpeg reads or writes at once."""

HEAD_BYTES: Final = 2**16
"""How much of a file's beginning is kept, for a look into headers of files that cannot seek."""


_OF_DAMAGE: Final = (errno.EIO, errno.ESPIPE)
"""Errors of the system by which FFmpeg's demuxers mean that the data is damaged. Those of Python's
files are not among them, since FFmpeg never sees them (see `GuardedSource`)."""


@contextmanager
def ffmpeg_guard(
    name: str,
    doing: str,
    error_type: Callable[[str], BsqError] = MediaError,
    file: _Guarded | None = None,
) -> Iterator[None]:
    """Run FFmpeg; its failures become `error_type`, with a message of `name`, `doing`, the reason.

    file: what FFmpeg reads or writes; if that failed, its own exception is raised instead. Errors
    of the system, such as a missing file or a full disk, become plain OSErrors, and too little
    memory a LimitError; other exceptions pass unchanged.
    """
    try:
        yield
    except av.error.FFmpegError as error:
        if file is not None:
            file.check()
        if is_out_of_memory(error):
            raise LimitError(f"{name}: {doing} (there is not enough memory)") from error
        if isinstance(error, _OF_SYSTEM) and error.errno not in _OF_DAMAGE:
            raise OSError(error.errno, error.strerror, name) from error
        reason = error.strerror or type(error).__name__
        raise error_type(f"{name}: {doing} ({' '.join(reason.split())})") from error


_OF_SYSTEM: Final = (av.error.OSError, av.error.FileNotFoundError, av.error.PermissionError)


REPRODUCIBLE: Final = {"fflags": "+bitexact"}
"""Muxer options by which the same input gives the same bytes: no random ids, no dates."""


class Readable(Protocol):
    """What is asked of a file to read; `seek` and `tell` of one that is seekable alone."""

    def read(self, size: int = ..., /) -> bytes | None: ...
    def seekable(self) -> bool: ...
    def seek(self, offset: int, whence: int = ..., /) -> int: ...
    def tell(self) -> int: ...


class Writable(Protocol):
    """What is asked of a file to write; `seek` and `tell` of one that is seekable alone."""

    def write(self, data: memoryview, /) -> int | None: ...
    def seekable(self) -> bool: ...
    def seek(self, offset: int, whence: int = ..., /) -> int: ...
    def tell(self) -> int: ...


class _Kept:
    """A context that keeps the first exception raised in it instead of letting it pass."""

    def __init__(self) -> None:
        self.failure: BaseException | None = None

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        self.failure = self.failure or error
        return True


class _Guarded:
    """A file that FFmpeg calls back into: an exception is kept for later, since C cannot pass it.

    FFmpeg's buffers keep only the first exception and print others, so there is never a second.
    Positions count from where the file stands at first.
    """

    def __init__(self, file: Readable | Writable, name: str) -> None:
        self.name = name
        self._kept = _Kept()
        self._positioned = file
        self._seekable = file.seekable()
        self._start = file.tell() if self._seekable else 0
        self._at = 0

    def check(self) -> None:
        """Raise what went wrong in a callback."""
        failure, self._kept.failure = self._kept.failure, None
        if failure is not None:
            raise failure

    def seekable(self) -> bool:
        return self._seekable

    def seek(self, offset: int, whence: int = 0) -> int:
        """The new position; below 0, as FFmpeg wants it, for one that is impossible."""
        position = 0
        with self._kept:
            here = self._positioned.tell()
            place = offset + self._start
            if whence == io.SEEK_CUR:
                place = offset + here
            elif whence == io.SEEK_END:
                place = offset + self._positioned.seek(0, io.SEEK_END)
            if place < self._start:
                self._positioned.seek(here)
                return -errno.EINVAL
            position = self._positioned.seek(place) - self._start
            self._at = position
        return position

    def tell(self) -> int:
        position = 0
        with self._kept:
            position = self._positioned.tell() - self._start
        return position


class GuardedSource(_Guarded):
    """A readable file for `av.open`; a failing read looks like the end of the file to FFmpeg.

    read_bytes: how far into the file anything was read. head: its first bytes, as far as they were
    read in order, at most HEAD_BYTES.
    """

    def __init__(self, file: Readable, name: str) -> None:
        super().__init__(file, name)
        self.read_bytes = 0
        self.head = b""
        self._file = file

    def readable(self) -> bool:
        return True

    def read(self, size: int) -> bytes:
        data = b""
        if self._kept.failure is None:
            with self._kept:
                data = self._file.read(size) or b""
        if self._at == len(self.head) < HEAD_BYTES:
            self.head += data[: HEAD_BYTES - len(self.head)]
        self._at += len(data)
        self.read_bytes = max(self.read_bytes, self._at)
        return data

    def look(self, start: int, count: int) -> bytes:
        """Return `count` bytes from byte `start` on, fewer where the file or the head ends.

        The place from which FFmpeg reads on stays. Of a file that cannot seek there is the head.
        """
        if not self._seekable:
            return self.head[start : start + count]
        data = b""
        with self._kept:
            here = self._file.tell()
            self._file.seek(start + self._start)
            data = self._file.read(count) or b""
            self._file.seek(here)
        return data

    @property
    def size(self) -> int | None:
        """The file's size in bytes; None where it cannot be told without reading all of it."""
        if not self._seekable:
            return None
        end = self._start
        with self._kept:
            here = self._file.tell()
            end = self._file.seek(0, io.SEEK_END)
            self._file.seek(here)
        return end - self._start


class GuardedSink(_Guarded):
    """A writable file for `av.open`, which writes all of every piece; nothing after a failure.

    closed: set to have the container end without a trailer.
    """

    def __init__(self, file: Writable, name: str) -> None:
        super().__init__(file, name)
        self.closed = False
        self._file = file

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:
        if self._kept.failure is None and not self.closed:
            with self._kept:
                view = memoryview(data)
                while view:
                    view = view[self._file.write(view) or 0 :]
        return len(data)


class Pieces(io.RawIOBase):
    """A sink that cannot seek and keeps what was written until it is taken."""

    def __init__(self) -> None:
        self._data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        piece = bytes(data)  # type: ignore[call-overload]
        self._data += piece
        return len(piece)

    def take(self) -> bytes:
        """Return what was written since the last call."""
        data = bytes(self._data)
        self._data.clear()
        return data
