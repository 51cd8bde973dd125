"""Exact reads from bytes or from any stream, in pieces, so that no claimed size is ever trusted."""

import io
import struct
from typing import Protocol

from bsqcodec.errors import ChecksumError, TruncatedError
from bsqcodec.format.varint import MAX_VARINT, decode_varint, max_bytes

PIECE_BYTES = 256 * 1024
CRC = struct.Struct("<I")
"""How a CRC-32 stands in a file."""


class SupportsRead(Protocol):
    """A binary stream: an open file, a pipe, a socket file. It need not be seekable."""

    def read(self, size: int, /) -> bytes | None: ...


class SupportsWrite(Protocol):
    """A binary stream to write to. It need not be seekable."""

    def write(self, data: bytes, /) -> int | None: ...


ByteSource = bytes | bytearray | memoryview | SupportsRead


def as_stream(source: ByteSource) -> SupportsRead:
    """The source itself, or a stream over it when it is bytes."""
    if isinstance(source, bytes | bytearray | memoryview):
        return io.BytesIO(source)
    return source


def check_whole(data: bytes, count: int, what: str) -> None:
    """Raise TruncatedError where fewer than `count` bytes of the part named `what` were there."""
    if len(data) < count:
        missing = count - len(data)
        raise TruncatedError(f"the file ends inside {what}: {missing} of {count} bytes missing")


def check_crc(stored: bytes, crc: int, what: str) -> None:
    """Raise ChecksumError where stored bytes are not `crc`, TruncatedError for fewer than four."""
    check_whole(stored, CRC.size, f"the checksum of {what}")
    (found,) = CRC.unpack(stored)
    if found != crc:
        raise ChecksumError(f"{what} is damaged: checksum {crc:08x}, but {found:08x} is stored")


class ByteReader:
    """Reads a source from its present position onwards; `consumed` counts the bytes so far.

    Memory in use is at most twice the bytes that are really there, plus PIECE_BYTES.
    """

    def __init__(self, source: ByteSource) -> None:
        self._stream = as_stream(source)
        self.consumed = 0

    def up_to(self, count: int) -> bytes:
        """Return `count` bytes, or fewer when the source ends before that.

        Raises BlockingIOError when a non-blocking stream has no data yet.
        """
        pieces: list[bytes] = []
        missing = count
        while missing > 0:
            piece = self._stream.read(min(missing, PIECE_BYTES))
            if piece is None:
                raise BlockingIOError("the input stream is non-blocking and has no data yet")
            if not piece:
                break
            pieces.append(piece)
            missing -= len(piece)
            self.consumed += len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def exactly(self, count: int, what: str) -> bytes:
        """Return `count` bytes of the part named `what`; raises TruncatedError when it is cut."""
        data = self.up_to(count)
        check_whole(data, count, what)
        return data

    def varint(self, what: str, largest: int = MAX_VARINT) -> tuple[int, bytes]:
        """Return the next LEB128 integer and its bytes as they stand in the file.

        Raises TruncatedError when the source ends inside it, FormatError when it is malformed.
        """
        raw = self.exactly(1, what)
        while raw[-1] >= 0x80 and len(raw) < max_bytes(largest):
            raw += self.exactly(1, what)
        return decode_varint(raw, largest=largest)[0], raw

    def check_crc(self, crc: int, what: str) -> None:
        """Compare the next four bytes with `crc`; raises ChecksumError or TruncatedError."""
        check_crc(self.up_to(CRC.size), crc, what)

    def drain(self) -> int:
        """Read to the end of the source, keeping nothing; return how many bytes that was."""
        before = self.consumed
        while self.up_to(PIECE_BYTES):
            pass
        return self.consumed - before
