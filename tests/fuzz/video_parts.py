"""A .bsq video taken apart, so that any field can be changed;
`sealed` mends its checksums again."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field, replace
from fractions import Fraction

from bsqcodec.format.magic import MAGIC
from bsqcodec.format.varint import (
    MAX_VARINT,
    MAX_VARINT64,
    decode_signed,
    decode_varint,
    encode_signed,
    encode_varint,
)
from bsqcodec.format.video_chunks import MARKER, VideoChunkKind

CRC = struct.Struct("<I")
U64 = struct.Struct("<Q")


@dataclass
class VideoChunkParts:
    """A chunk. `numbers` are those of its head as bytes, to allow malformed ones, where they are
    not to be mended: number, first frame, length and, of a GOP, frames and first pts.
    """

    kind: bytes
    payload: bytes
    frames: int = 0
    first_pts: int = 0
    numbers: list[bytes] | None = None


@dataclass
class VideoFileParts:
    """A whole video. numbers: those of the header, as bytes. tail: what follows the end chunk.

    index, digest, trailer: whether they are mended too.
    """

    models: bytes
    codes: bytes
    numbers: list[bytes]
    chunks: list[VideoChunkParts] = field(default_factory=list)
    index: bool = True
    digest: bool = True
    trailer: bool = True
    tail: bytes = b""

    def copy(self) -> VideoFileParts:
        """One that can be changed while this one stays."""
        chunks = [replace(chunk) for chunk in self.chunks]
        return replace(self, numbers=list(self.numbers), chunks=chunks)

    def gops(self) -> list[VideoChunkParts]:
        """The chunks of groups."""
        return [chunk for chunk in self.chunks if chunk.kind == VideoChunkKind.GOP]


@dataclass
class GopParts:
    """The payload of a GOP: (frames, step) of each run of times, (type, bytes) of each frame."""

    runs: list[tuple[int, int]]
    frames: list[tuple[int, bytes]]

    def packed(self) -> bytes:
        """The payload, whatever it says."""
        times = b"".join(encode_varint(run) + _signed(step) for run, step in self.runs)
        table = b"".join(bytes([kind]) + encode_varint(len(data)) for kind, data in self.frames)
        return times + table + b"".join(data for _, data in self.frames)


def video_parts_of(data: bytes) -> VideoFileParts:
    """The parts of a whole, valid video."""
    place = len(MAGIC) + 1
    models, codes = data[place : place + 16], data[place + 16 : place + 20]
    place += 20
    numbers = []
    for _ in range(8):
        start = place
        _, place = decode_varint(data, place)
        numbers.append(data[start:place])
    parts = VideoFileParts(models, codes, numbers)
    place += CRC.size
    while data[place : place + len(MARKER)] == MARKER:
        place += len(MARKER)
        kind = data[place : place + 1]
        place += 1
        values = []
        for _ in range(3):
            value, place = decode_varint(data, place)
            values.append(value)
        frames = pts = 0
        if kind == VideoChunkKind.GOP:
            frames, place = decode_varint(data, place)
            pts, place = decode_signed(data, place)
        place += CRC.size
        payload = data[place : place + values[2]]
        place += values[2] + CRC.size
        parts.chunks.append(VideoChunkParts(kind, payload, frames, pts))
    return parts


def gop_parts_of(chunk: VideoChunkParts) -> GopParts:
    """The parts of a sound GOP."""
    runs, timed, place = [], 1, 0
    while timed < chunk.frames:
        run, place = decode_varint(chunk.payload, place)
        step, place = decode_signed(chunk.payload, place)
        runs.append((run, step))
        timed += run
    table = []
    for _ in range(chunk.frames):
        kind = chunk.payload[place]
        size, place = decode_varint(chunk.payload, place + 1)
        table.append((kind, size))
    frames = []
    for kind, size in table:
        frames.append((kind, chunk.payload[place : place + size]))
        place += size
    return GopParts(runs, frames)


def set_gop(chunk: VideoChunkParts, gop: GopParts) -> None:
    """Give a chunk the frames of a GOP; its head knows how many they are."""
    chunk.payload, chunk.frames = gop.packed(), len(gop.frames)


def sealed_video(parts: VideoFileParts) -> bytes:
    """The video, with checksums that are right, whatever it says."""
    head = MAGIC + b"\x02" + parts.models + parts.codes + b"".join(parts.numbers)
    header_crc = zlib.crc32(head)
    result = bytearray(head + CRC.pack(header_crc))
    frame = digest = index_offset = offset = pts = 0
    entries = b""
    for number, chunk in enumerate(parts.chunks):
        payload = chunk.payload
        if chunk.kind == VideoChunkKind.INDEX and parts.index:
            payload = entries
        if chunk.kind == VideoChunkKind.END and parts.digest:
            payload = payload[: -CRC.size] + CRC.pack(digest)
        if chunk.kind == VideoChunkKind.INDEX:
            index_offset = len(result)
        if chunk.kind == VideoChunkKind.GOP:
            entries += encode_varint(len(result) - offset, MAX_VARINT64)
            entries += encode_varint(max(0, min(chunk.frames, 2**31 - 1)))
            entries += _signed(chunk.first_pts - pts)
            offset, pts = len(result), chunk.first_pts
        numbers = chunk.numbers or head_numbers(number, frame, len(payload), chunk)
        start = MARKER + chunk.kind + b"".join(numbers)
        crc = zlib.crc32(start, header_crc)
        checksum = CRC.pack(zlib.crc32(payload, crc))
        result += start + CRC.pack(crc) + payload + checksum
        digest = zlib.crc32(checksum, digest)
        frame += chunk.frames
    place = index_offset if parts.trailer else index_offset + 1
    trailer = U64.pack(place)
    return bytes(result) + trailer + CRC.pack(zlib.crc32(trailer, header_crc)) + parts.tail


def head_numbers(number: int, frame: int, length: int, chunk: VideoChunkParts) -> list[bytes]:
    """The numbers of a head as they should be."""
    numbers = [encode_varint(min(value, MAX_VARINT)) for value in (number, frame, length)]
    if chunk.kind == VideoChunkKind.GOP:
        numbers += [encode_varint(chunk.frames), _signed(chunk.first_pts)]
    return numbers


def ratio(value: Fraction | tuple[int, int]) -> list[bytes]:
    """A ratio as the header spells it, or two numbers that are none."""
    over, under = value if isinstance(value, tuple) else (value.numerator, value.denominator)
    return [encode_varint(over), encode_varint(under)]


def _signed(value: int) -> bytes:
    """A signed integer, cut to what the format can spell."""
    return encode_signed(max(-(2**63), min(value, 2**63 - 1)))
