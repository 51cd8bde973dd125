"""Going back in a stream that cannot: bytes that were read are handed in and read again."""

from __future__ import annotations

from typing import BinaryIO, cast

from bsqcodec.errors import SeekError
from bsqcodec.format.byte_source import ByteReader, ByteSource, SupportsRead, as_stream


def is_seekable(stream: SupportsRead) -> bool:
    """Whether the stream says of itself that it can seek."""
    ask = getattr(stream, "seekable", None)
    return callable(ask) and bool(ask())


def seekable(stream: SupportsRead) -> BinaryIO:
    """The stream, known to be one that can seek; raises SeekError when it cannot."""
    if not is_seekable(stream):
        raise SeekError("the input stream cannot seek, so it can only be read from start to end")
    return cast(BinaryIO, stream)


class Replay:
    """A stream that gives bytes handed in by `put_back` before it reads on in another stream."""

    def __init__(self, stream: SupportsRead) -> None:
        self._stream = stream
        self._kept = b""
        self._at = 0

    def read(self, size: int, /) -> bytes | None:
        """At most `size` bytes; b"" at the end, None when a non-blocking stream has none yet."""
        if self._at < len(self._kept):
            piece = self._kept[self._at : self._at + size]
            self._at += len(piece)
            return piece
        self._kept, self._at = b"", 0
        return self._stream.read(size)

    def put_back(self, data: bytes) -> None:
        """Have `data`, which must be the bytes read last, read once more."""
        if len(data) <= self._at:
            self._at -= len(data)
        else:
            self._kept, self._at = data + self._kept[self._at :], 0


class RewindReader(ByteReader):
    """A ByteReader that can go back to any place since the last `mark`. Memory: what lies between.

    offset: what `consumed` counts from, the place in the file where the source stands now.
    """

    def __init__(self, source: ByteSource, offset: int = 0) -> None:
        self._replay = Replay(as_stream(source))
        super().__init__(self._replay)
        self.consumed = offset
        self._since_mark: list[bytes] | None = None

    def up_to(self, count: int) -> bytes:
        data = super().up_to(count)
        if self._since_mark is not None:
            self._since_mark.append(data)
        return data

    def mark(self) -> None:
        """Remember from here on what is read."""
        self._since_mark = []

    def forget(self) -> None:
        """Remember nothing any more."""
        self._since_mark = None

    def rewind(self, place: int) -> None:
        """Go back to where `consumed` was `place`, at or after the mark; sets the mark there."""
        data = b"".join(self._since_mark or ())
        back = self.consumed - place
        if not 0 <= back <= len(data):
            raise ValueError(f"cannot go back {back} bytes, of {len(data)} since the mark")
        self._replay.put_back(data[len(data) - back :])
        self.consumed = place
        self.mark()
