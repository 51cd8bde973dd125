"""Videos for the tests of the container: a golden one, random ones, and ones that break rules."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterable, Mapping
from fractions import Fraction
from random import Random

from bsqcodec.format.varint import encode_signed, encode_varint
from bsqcodec.format.video_file_reader import SideBytes, VideoFileReader, VideoPart
from bsqcodec.format.video_file_writer import VideoFileWriter
from bsqcodec.format.video_gop import Gop
from bsqcodec.format.video_header import ColourCodes, VideoHeader
from bsqcodec.format.video_walk import DamagedGop

HEADER = VideoHeader(
    bytes.fromhex("0123456789abcdef"),
    bytes.fromhex("fedcba9876543210"),
    640,
    360,
    Fraction(1, 30000),
    Fraction(30000, 1001),
    Fraction(1),
    ColourCodes(1, True, 1, 13),
)
METADATA = {"title": "Tern"}
PARTS = (
    Gop(0, (-1001, 0, 1001, 2002), (b"\xa0\xa1\xa2", b"", b"\xb0", b"\xb1")),
    SideBytes(bytes.fromhex("1a45dfa3")),
    Gop(4, (3003, 6006), (b"\xc0\xc1", b"\xd0")),
)
GOLDEN = bytes.fromhex(
    "894253510d0a1a0a020123456789abcdeffedcba98765432100101010d8005e80201b0ea01b0ea01e9070101"
    "a1f1b4c3"
    "9b4253566d00000bedb08b2c057469746c65045465726e66c4f949"
    "9b4253564701001004d10f274ac8e803d20f0003010001010101a0a1a2b0b18dc501be"
    "9b42535673020404ba9c1a6b1a45dfa32fa145cd"
    "9b4253564703040a02f62e9e2405fd01f62e00020101c0c1d0f1bae745"
    "9b425356690406085a79b36b4b04d10f3702c83e707438dd"
    "9b4253565a0506062569576f9a4e8d78248b11a4bdf2"
    "9f00000000000000236c8218"
)


def written(
    parts: Iterable[Gop | SideBytes],
    header: VideoHeader = HEADER,
    metadata: Mapping[str, str] | None = None,
    duration: int | None = None,
) -> bytes:
    """A whole video of these parts."""
    sink = io.BytesIO()
    writer = VideoFileWriter(sink, header, metadata)
    for part in parts:
        if isinstance(part, Gop):
            writer.gop(part)
        else:
            writer.side(part.data)
    writer.close(duration)
    return sink.getvalue()


def partial(data: bytes) -> list[VideoPart]:
    """What partial reading gives."""
    return list(VideoFileReader(data, allow_partial=True).chunks())


def strict(data: bytes) -> list[VideoPart]:
    """What reading without `allow_partial` gives; it never is a DamagedGop."""
    parts = list(VideoFileReader(data).chunks())
    assert not any(isinstance(part, DamagedGop) for part in parts)
    return parts


def gop_at(reader: VideoFileReader, number: int) -> VideoPart:
    """The chunk that a reader gives next after it has sought a GOP of the index."""
    reader.seek_gop(number)
    return next(reader.chunks())


def gops_of(parts: Iterable[VideoPart]) -> list[Gop]:
    return [part for part in parts if isinstance(part, Gop)]


def damage_of(parts: Iterable[VideoPart]) -> list[DamagedGop]:
    return [part for part in parts if isinstance(part, DamagedGop)]


def random_gop(rng: Random, first_frame: int, pts: int) -> Gop:
    """A GOP of 1 to 6 frames of up to 40 bytes, at a constant or a variable rate."""
    count = rng.randrange(1, 7)
    steps = [rng.choice((1001, 1001, 1001, 33, 40, -7, 0, 2**40)) for _ in range(count)]
    if rng.randrange(2):
        steps = [1001] * count
    times = [pts]
    for step in steps[1:]:
        times.append(times[-1] + step)
    frames = [rng.randbytes(rng.choice((0, 1, 5, 40))) for _ in range(count)]
    return Gop(first_frame, tuple(times), tuple(frames))


def random_parts(seed: int, gops: int) -> list[Gop | SideBytes]:
    """GOPs with side bytes between them, here and there."""
    rng = Random(seed)
    parts: list[Gop | SideBytes] = []
    frame, pts = 0, rng.randrange(-5000, 5000)
    for _ in range(gops):
        if rng.randrange(3) == 0:
            parts.append(SideBytes(rng.randbytes(rng.randrange(1, 30))))
        gop = random_gop(rng, frame, pts)
        parts.append(gop)
        frame += len(gop.frames)
        pts = gop.pts[-1] + 1001
    return parts


def header_bytes(header: VideoHeader = HEADER) -> bytes:
    """The header as the writer writes it, with its checksum."""
    sink = io.BytesIO()
    VideoFileWriter(sink, header)
    return sink.getvalue()


def sealed_header(data: bytes) -> bytes:
    """Bytes of a header with a right checksum, whatever they say."""
    return data + struct.pack("<I", zlib.crc32(data))


def chunk(
    kind: bytes,
    number: int,
    first_frame: int,
    payload: bytes = b"",
    *,
    frames: int = 1,
    first_pts: int = 0,
    length: int | None = None,
    header: bytes | None = None,
) -> bytes:
    """A chunk with right checksums, whatever it says. length: what it claims, by default right."""
    header_crc = zlib.crc32((header or header_bytes())[:-4])
    size = len(payload) if length is None else length
    data = b"\x9bBSV" + kind + b"".join(map(encode_varint, (number, first_frame, size)))
    if kind == b"G":
        data += encode_varint(frames) + encode_signed(first_pts)
    crc = zlib.crc32(data, header_crc)
    data += struct.pack("<I", crc) + payload
    return data + struct.pack("<I", zlib.crc32(payload, crc))


def chunk_places(data: bytes) -> list[int]:
    """Where the chunks of a whole file begin, and at last the trailer; none may hold a marker."""
    places = [data.index(b"\x9bBSV")]
    while (place := data.find(b"\x9bBSV", places[-1] + 1)) >= 0:
        places.append(place)
    return [*places, len(data) - 12]


class OnlyRead:
    """A stream that cannot seek, and gives at most `most` bytes at a time."""

    def __init__(self, data: bytes, most: int = 1 << 30) -> None:
        self._inner = io.BytesIO(data)
        self._most = most
        self.taken = 0

    def read(self, size: int, /) -> bytes:
        piece = self._inner.read(min(size, self._most))
        self.taken += len(piece)
        return piece


class OnlyWrite:
    """A stream that cannot seek, and takes at most `most` bytes at a time."""

    def __init__(self, most: int = 1 << 30) -> None:
        self._most = most
        self.data = b""

    def write(self, data: bytes, /) -> int:
        self.data += data[: self._most]
        return min(len(data), self._most)
