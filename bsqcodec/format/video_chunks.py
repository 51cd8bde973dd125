"""The head that every chunk of a .bsq video has: it can be found again in the middle of damage."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from bsqcodec.errors import FormatError, LimitError, TruncatedError, UnsupportedVersionError
from bsqcodec.format.byte_source import CRC, ByteReader
from bsqcodec.format.rewind import RewindReader
from bsqcodec.format.varint import (
    MAX_VARINT,
    MAX_VARINT64,
    MAX_VARINT_BYTES,
    encode_signed,
    encode_varint,
    max_bytes,
    unzigzag,
)
from bsqcodec.format.video_header import VideoHeader

MARKER: Final = b"\x9bBSV"
MAX_GOP_FRAMES: Final = 1024
MAX_PTS: Final = 2**62 - 1
MAX_SMALL_BYTES: Final = 2**20
MAX_INDEX_BYTES: Final = 16 * 2**20
MAX_HEAD_BYTES: Final = len(MARKER) + 1 + 4 * MAX_VARINT_BYTES + max_bytes(MAX_VARINT64) + CRC.size
_FIRST_WINDOW: Final = 256
_LARGEST_WINDOW: Final = 64 * 1024


class VideoChunkKind:
    """Names of the chunks. As in PNG a decoder must know upper case and may skip lower case."""

    METADATA: Final = b"m"
    GOP: Final = b"G"
    SIDE: Final = b"s"
    INDEX: Final = b"i"
    END: Final = b"Z"


_MUST_KNOW: Final = (VideoChunkKind.GOP, VideoChunkKind.END)
_NAMES: Final = {
    VideoChunkKind.METADATA: "the metadata chunk",
    VideoChunkKind.INDEX: "the index",
    VideoChunkKind.END: "the end chunk",
}


@dataclass(frozen=True)
class ChunkHead:
    """What stands before a payload.

    number: of the chunk in the file, from 0. length: bytes of the payload.
    first_frame: number of the first frame in this chunk, or of the next to come after it.
    frames, first_pts: of a GOP, how many frames it has and the pts of the first; else 0.
    """

    kind: bytes
    number: int
    first_frame: int
    length: int
    frames: int = 0
    first_pts: int = 0

    @property
    def name(self) -> str:
        """The chunk in words, to begin a message with."""
        if self.kind == VideoChunkKind.GOP:
            last = self.first_frame + self.frames - 1
            return f"the GOP of frames {self.first_frame} to {last}"
        if self.kind == VideoChunkKind.SIDE:
            return f"the side chunk before frame {self.first_frame}"
        return _NAMES.get(self.kind, f"the unknown {self.kind.decode('latin-1')!r} chunk")


def pack_head(head: ChunkHead, header_crc: int) -> tuple[bytes, int]:
    """Return the head's bytes, its checksum included,
    and the CRC-32 with which the payload goes on.

    Raises ValueError for a number out of the range of its field.
    """
    data = MARKER + head.kind
    data += b"".join(map(encode_varint, (head.number, head.first_frame, head.length)))
    if head.kind == VideoChunkKind.GOP:
        data += encode_varint(head.frames) + encode_signed(head.first_pts)
    crc = zlib.crc32(data, header_crc)
    return data + CRC.pack(crc), crc


def read_head(reader: ByteReader, header_crc: int) -> tuple[ChunkHead, int]:
    """Read a head and compare its checksum; return it and the CRC-32 with which the
    payload goes on.

    Raises TruncatedError, ChecksumError or FormatError.
    """
    place = reader.consumed
    what = f"the head of the chunk at byte {place}"
    marker = reader.up_to(len(MARKER))
    if not marker:
        raise TruncatedError("the file ends before its end chunk")
    if marker != MARKER:
        if MARKER.startswith(marker):
            raise TruncatedError(f"the file ends inside {what}")
        raise FormatError(f"no chunk begins at byte {place}: the file is damaged there")
    kind = reader.exactly(1, what)
    data = marker + kind
    numbers = []
    gop = kind == VideoChunkKind.GOP
    for largest in (MAX_VARINT,) * 3 + (MAX_VARINT, MAX_VARINT64) * gop:
        try:
            value, raw = reader.varint(what, largest)
        except TruncatedError:
            raise
        except FormatError as error:
            raise FormatError(f"{what} is damaged: {error}") from error
        numbers.append(value)
        data += raw
    crc = zlib.crc32(data, header_crc)
    reader.check_crc(crc, what)
    number, first_frame, length, frames, pts = numbers if gop else (*numbers, 0, 0)
    return ChunkHead(kind, number, first_frame, length, frames, unzigzag(pts)), crc


def check_head(head: ChunkHead, header: VideoHeader) -> None:
    """Check what a sound head says, before its payload is read, or before it is written.

    Raises UnsupportedVersionError for an upper-case kind that is unknown, LimitError for a
    payload that is too large, FormatError for a number that cannot be.
    """
    if not head.kind.isalpha():
        raise FormatError(f"{head.kind!r} is not the name of a chunk")
    if head.kind.isupper() and head.kind not in _MUST_KNOW:
        raise UnsupportedVersionError(
            f"the file needs a newer bsqcodec: its {head.kind.decode()!r} chunk is unknown here"
        )
    if head.kind == VideoChunkKind.GOP:
        if not 1 <= head.frames <= MAX_GOP_FRAMES:
            raise LimitError(f"a GOP has {head.frames} frames, not 1 to {MAX_GOP_FRAMES}")
        if head.first_frame + head.frames > MAX_VARINT:
            raise LimitError(f"the video has more than {MAX_VARINT} frames")
        if abs(head.first_pts) > MAX_PTS:
            raise FormatError(f"the pts {head.first_pts} of frame {head.first_frame} is too large")
        most = header.max_gop_bytes(head.frames)
    else:
        most = MAX_INDEX_BYTES if head.kind == VideoChunkKind.INDEX else MAX_SMALL_BYTES
    if head.length > most:
        raise LimitError(f"{head.name} has {head.length} bytes, over the limit of {most}")


def find_head(
    reader: RewindReader, header_crc: int, wanted: Callable[[ChunkHead], bool]
) -> ChunkHead | None:
    """Go forward to the next head that is sound and wanted; None when there is no more.

    The reader then stands at its first byte, or at the end of the source.
    """
    size = _FIRST_WINDOW  # grows, so that many heads close together are not slow to go through
    while True:
        reader.mark()
        start = reader.consumed
        window = reader.up_to(size + MAX_HEAD_BYTES)
        last = len(window) < size + MAX_HEAD_BYTES
        place = window.find(MARKER)
        while 0 <= place < (len(window) if last else size):
            head = _head_in(window[place : place + MAX_HEAD_BYTES], header_crc)
            if head is not None and wanted(head):
                reader.rewind(start + place)
                return head
            place = window.find(MARKER, place + 1)
        if last:
            return None
        reader.rewind(start + size)
        size = min(2 * size, _LARGEST_WINDOW)


def _head_in(data: bytes, header_crc: int) -> ChunkHead | None:
    """The head that `data` begins with, or None when that is none, or a damaged one."""
    try:
        return read_head(ByteReader(data), header_crc)[0]
    except FormatError:
        return None


def read_payload(reader: ByteReader, head: ChunkHead, crc: int) -> tuple[bytes, int]:
    """Read the payload behind a head of this CRC-32; return it and its own checksum.

    Raises TruncatedError or ChecksumError.
    """
    payload = reader.exactly(head.length, head.name)
    crc = zlib.crc32(payload, crc)
    reader.check_crc(crc, head.name)
    return payload, crc
