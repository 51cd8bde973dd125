"""The end of a .bsq video: totals, and the way to the index from the last bytes of the file."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass
from typing import BinaryIO, Final

from bsqcodec.errors import (
    ChecksumError,
    FormatError,
    LimitError,
    TruncatedError,
    UnsupportedVersionError,
)
from bsqcodec.format.byte_source import CRC, ByteReader
from bsqcodec.format.rewind import RewindReader
from bsqcodec.format.varint import MAX_VARINT64, decode_varint, encode_varint
from bsqcodec.format.video_chunks import (
    ChunkHead,
    VideoChunkKind,
    check_head,
    find_head,
    read_head,
    read_payload,
)
from bsqcodec.format.video_header import VideoHeader
from bsqcodec.format.video_index import GopEntry, VideoIndex, unpack_index

MAX_DURATION: Final = 2**63 - 1
_OFFSET: Final = struct.Struct("<Q")
TRAILER_BYTES: Final = _OFFSET.size + CRC.size


@dataclass(frozen=True)
class VideoTotals:
    """What is known at the end: the number of frames, and how long they last, in time_base."""

    frames: int
    duration: int


def pack_end(duration: int, digest: int) -> bytes:
    """Return the payload of the end chunk.

    duration: in units of the time base, 0..MAX_DURATION; ValueError for another.
    digest: CRC-32 of the checksums of the payloads of all chunks before, as they stand there.
    """
    return encode_varint(duration, MAX_DURATION) + CRC.pack(digest)


def unpack_end(payload: bytes) -> tuple[int, int]:
    """Return duration and digest; raises FormatError for a malformed payload."""
    duration, place = decode_varint(payload, 0, MAX_VARINT64)
    if duration > MAX_DURATION or len(payload) - place != CRC.size:
        raise FormatError("the end chunk is malformed")
    return duration, CRC.unpack_from(payload, place)[0]


def pack_trailer(index_offset: int, header_crc: int) -> bytes:
    """Return the last bytes of the file, which say at which byte the index chunk begins."""
    data = _OFFSET.pack(index_offset)
    return data + CRC.pack(zlib.crc32(data, header_crc))


def read_trailer(reader: ByteReader, header_crc: int) -> int:
    """Return the offset that `pack_trailer` wrote; raises TruncatedError or ChecksumError."""
    data = reader.exactly(_OFFSET.size, "the trailer")
    reader.check_crc(zlib.crc32(data, header_crc), "the trailer")
    return int(_OFFSET.unpack(data)[0])


def load_index(
    file: BinaryIO, base: int, header: VideoHeader, header_crc: int
) -> tuple[VideoIndex, VideoTotals]:
    """Read the index by way of the trailer; the video begins at byte `base` of `file`.

    Raises TruncatedError, ChecksumError, FormatError or LimitError when the end of the file is
    not whole.
    """
    size = file.seek(0, io.SEEK_END) - base
    file.seek(base + max(0, size - TRAILER_BYTES))
    try:
        offset = read_trailer(ByteReader(file), header_crc)
    except ChecksumError as error:
        raise TruncatedError(
            "the file does not end with a trailer: it is cut, damaged or followed by other data"
        ) from error
    if offset >= size:
        raise FormatError(f"the trailer names byte {offset}, but the file has {size}")
    file.seek(base + offset)
    reader = RewindReader(file, offset)
    head, payload = _read_tail_chunk(reader, VideoChunkKind.INDEX, header, header_crc)
    index = unpack_index(payload, head, offset)
    end, payload = _read_tail_chunk(reader, VideoChunkKind.END, header, header_crc)
    if (end.number, end.first_frame) != (head.number + 1, head.first_frame):
        raise FormatError("the end chunk does not belong to the index before it")
    if reader.consumed + TRAILER_BYTES != size:
        raise FormatError("the trailer does not follow the end chunk")
    return index, VideoTotals(end.first_frame, unpack_end(payload)[0])


def _read_tail_chunk(
    reader: RewindReader, kind: bytes, header: VideoHeader, header_crc: int
) -> tuple[ChunkHead, bytes]:
    """Read the chunk that stands here and must be of this kind."""
    place = reader.consumed
    head, crc = read_head(reader, header_crc)
    check_head(head, header)
    if head.kind != kind:
        raise FormatError(f"{head.name} stands at byte {place}, where another should")
    return head, read_payload(reader, head, crc)[0]


def scan_index(
    file: BinaryIO, base: int, first_chunk: int, header: VideoHeader, header_crc: int
) -> VideoIndex:
    """Make an index from the heads of the chunks, of a file whose own index is missing.

    Payloads are not looked at, but where one does not end at another chunk, it is searched for
    heads. first_chunk: at which byte of the video, which begins at byte `base` of `file`, the
    chunks begin. Raises UnsupportedVersionError for a file that needs a newer decoder.
    """
    index = VideoIndex()
    number = frame = 0
    body = place = first_chunk

    def wanted(head: ChunkHead) -> bool:
        return head.number >= number and head.first_frame >= frame

    while True:
        file.seek(base + place)
        reader = RewindReader(file, place)
        try:
            head, _ = read_head(reader, header_crc)
            sound = wanted(head) and (head.number == number or place == body)
        except FormatError:
            sound = False
        if not sound:
            file.seek(base + body)
            reader = RewindReader(file, body)
            if find_head(reader, header_crc, wanted) is None:
                return index
            place = reader.consumed
            head, _ = read_head(reader, header_crc)
        body = reader.consumed
        try:
            check_head(head, header)
        except UnsupportedVersionError:
            raise
        except (FormatError, LimitError):
            place = body
            continue
        if head.kind == VideoChunkKind.GOP:
            index.append(GopEntry(place, head.first_frame, head.frames, head.first_pts))
        number, frame = head.number + 1, head.first_frame + head.frames
        place = body + head.length + CRC.size
