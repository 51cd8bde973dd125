"""The .bsq file as a header and a run of checked chunks; docs/BITSTREAM.md gives every byte."""

import string
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from bsqcodec.errors import (
    ChecksumError,
    FormatError,
    LimitError,
    PixelLimitError,
    TruncatedError,
    UnsupportedVersionError,
)
from bsqcodec.format.byte_source import CRC, ByteReader, ByteSource, check_crc, check_whole
from bsqcodec.format.magic import MAGIC, FileKind, read_version
from bsqcodec.format.memory_limit import check_memory, check_padded, picture_memory
from bsqcodec.format.varint import MAX_VARINT, encode_varint

VERSION: Final = int(FileKind.PICTURE)
MODEL_ID_BYTES: Final = 8
DEFAULT_MAX_PIXELS: Final = 256_000_000
MAX_SIDE: Final = MAX_VARINT
MAX_CHUNKS: Final = 1024
MAX_METADATA_BYTES: Final = 64 * 2**20

_FIXED_FIELDS: Final = struct.Struct(f"<{MODEL_ID_BYTES}s4B")
_LETTERS: Final = string.ascii_letters.encode()


class Colour(IntEnum):
    """What the coded samples are; the value stands in the header."""

    GRAY = 0
    RGB = 1


class ChunkKind:
    """Names of the chunks. As in PNG a decoder must know upper case and may skip lower case."""

    LEVEL: Final = b"L"
    ALPHA: Final = b"A"
    ICC: Final = b"i"
    EXIF: Final = b"e"
    XMP: Final = b"x"
    LOOK: Final = b"l"
    PIXELS: Final = b"p"
    END: Final = b"Z"


_METADATA: Final = {
    ChunkKind.LOOK: "look",
    ChunkKind.PIXELS: "pixel checksum",
    ChunkKind.ICC: "ICC",
    ChunkKind.EXIF: "EXIF",
    ChunkKind.XMP: "XMP",
}
_MUST_KNOW: Final = (ChunkKind.LEVEL, ChunkKind.ALPHA, ChunkKind.END)


@dataclass(frozen=True)
class Header:
    """What a decoder must know before the first chunk. Raises ValueError for an impossible field.

    model_id: the 8 bytes that name the weights which coded the file.
    width, height: pixels, 1..2**31-1.
    step: index of the quantiser step, 0..255; a smaller index is a finer step.
    levels: how many level chunks follow, 0..255.
    first_level: the level of the first of them, 0..255; those before it are all zero.
    """

    model_id: bytes
    width: int
    height: int
    colour: Colour
    step: int
    levels: int
    first_level: int = 0

    def __post_init__(self) -> None:
        if len(self.model_id) != MODEL_ID_BYTES:
            raise ValueError(f"the model id has {len(self.model_id)} bytes, not {MODEL_ID_BYTES}")
        if self.colour not in tuple(Colour):
            raise ValueError(f"colour model {self.colour} is unknown")
        for name, low, high in (
            ("width", 1, MAX_SIDE),
            ("height", 1, MAX_SIDE),
            ("step", 0, 255),
            ("levels", 0, 255),
            ("first_level", 0, 255),
        ):
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"the {name} {getattr(self, name)} is outside {low}..{high}")

    @property
    def pixels(self) -> int:
        """Pixels of the picture: width times height."""
        return self.width * self.height

    @property
    def max_coded_bytes(self) -> int:
        """The most that all upper-case chunks may hold: 8 bytes a pixel of whole 16x16 tokens."""
        return 65536 + 8 * 256 * (-(-self.width // 16)) * (-(-self.height // 16))


@dataclass(frozen=True)
class Chunk:
    """One chunk: a kind (one ASCII letter, see ChunkKind) and its payload."""

    kind: bytes
    payload: bytes


@dataclass(frozen=True)
class Container:
    """A file taken apart. `chunks` holds all but END, including lower-case kinds not known here.

    truncated: END was not reached, so chunks are missing.
    symbols_crc: from END, the CRC-32 of all decoded symbols; None when truncated.
    problem: what ended the reading early, in words; None for a whole file.
    damaged: the chunks from the first damaged or cut one on, of which something may be sound; only
    a model whose payloads have checksums of their own can use them.
    """

    header: Header
    chunks: tuple[Chunk, ...]
    truncated: bool
    symbols_crc: int | None = None
    problem: str | None = None
    damaged: tuple[Chunk, ...] = ()

    def level_payloads(self) -> list[bytes]:
        """Payloads of the level chunks; item k belongs to level `header.first_level + k`."""
        return [chunk.payload for chunk in self.chunks if chunk.kind == ChunkKind.LEVEL]

    def find(self, kind: bytes) -> bytes | None:
        """Payload of the first chunk of this kind, or None."""
        return next((chunk.payload for chunk in self.chunks if chunk.kind == kind), None)


def pack(header: Header, chunks: Iterable[Chunk], symbols_crc: int) -> bytes:
    """Return the whole file: the header, the chunks in their order, and an END chunk.

    symbols_crc: CRC-32 of the symbols that a decoder must arrive at, 0..2**32-1.
    Raises FormatError when the chunks break the format's rules (order, number, kind), LimitError
    when they are too large, ValueError for a symbols_crc out of range.
    """
    if not 0 <= symbols_crc < 2**32:
        raise ValueError(f"symbols_crc {symbols_crc} is outside 0..{2**32 - 1}")
    head = _pack_header(header)
    crc = zlib.crc32(head)
    parts = [head, CRC.pack(crc)]
    rules = _ChunkRules(header)
    for chunk in (*chunks, Chunk(ChunkKind.END, CRC.pack(symbols_crc))):
        if rules.ended:
            raise FormatError("the END chunk is written by pack, not given to it")
        _check_kind(chunk.kind)
        rules.check_size(chunk.kind, len(chunk.payload))
        rules.check_place(chunk.kind, len(chunk.payload))
        head = chunk.kind + encode_varint(len(chunk.payload))
        crc = zlib.crc32(chunk.payload, zlib.crc32(head, crc))
        parts += [head, chunk.payload, CRC.pack(crc)]
    return b"".join(parts)


def packed_size(header: Header, payload_sizes: Iterable[int], *, end: bool = True) -> int:
    """Bytes of the file that `pack` makes of chunks with these payload sizes; `end` counts END."""
    sizes = [*payload_sizes, CRC.size] if end else list(payload_sizes)
    framing = sum(1 + len(encode_varint(size)) + CRC.size for size in sizes)
    return len(_pack_header(header)) + CRC.size + framing + sum(sizes)


def unpack(
    source: ByteSource,
    *,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    max_memory: int | None = None,
    allow_truncated: bool = False,
) -> Container:
    """Take a file apart and check all of it. A stream is read from where it stands to its end.

    max_memory: bytes that decoding the picture may take, None where that does not matter. With
    `allow_truncated` the header must still be whole, but what follows may be cut or damaged: the
    chunks before the first fault are returned, `problem` tells of the fault, and `damaged` has what
    could still be read from there on.

    Raises TruncatedError, ChecksumError or FormatError when the data is cut, damaged or no .bsq
    file; UnsupportedVersionError when it needs a newer decoder; LimitError when the picture has
    more than `max_pixels` pixels or a chunk is larger than the format allows; MemoryLimitError when
    decoding it may take more than `max_memory`.
    """
    reader = ByteReader(source)
    header, crc = _read_header(reader, max_pixels, max_memory)
    rules = _ChunkRules(header)
    chunks: list[Chunk] = []
    damaged: list[Chunk] = []
    symbols_crc: int | None = None
    problem: str | None = None
    try:
        while not rules.ended:
            chunk, crc, fault = _read_chunk(reader, rules, crc)
            if fault is not None:
                if not allow_truncated:
                    raise fault
                problem = problem or str(fault)
            if not rules.ended:
                (chunks if problem is None else damaged).append(chunk)
            elif problem is None:
                (symbols_crc,) = CRC.unpack(chunk.payload)
        if reader.up_to(1):
            raise FormatError("more data follows the end of the picture")
    except (FormatError, LimitError) as error:
        is_news = isinstance(error, UnsupportedVersionError) and problem is None
        if is_news or not allow_truncated:
            raise
        problem = problem or str(error)
    truncated = symbols_crc is None
    return Container(header, tuple(chunks), truncated, symbols_crc, problem, tuple(damaged))


def unpack_header(
    source: ByteSource, *, max_pixels: int = DEFAULT_MAX_PIXELS, max_memory: int | None = None
) -> Header:
    """Read the header only, up to and with its checksum. Raises as `unpack` does."""
    return _read_header(ByteReader(source), max_pixels, max_memory)[0]


def chunk_name(kind: bytes, level: int) -> str:
    """Name of a chunk for people; `level` is the level that an "L" chunk holds."""
    if kind == ChunkKind.LEVEL:
        return f"level {level}"
    if kind == ChunkKind.ALPHA:
        return "alpha"
    if kind == ChunkKind.END:
        return "end"
    return _METADATA.get(kind, f"unknown {kind.decode()!r}")


class _ChunkRules:
    """The rules on number, order and size of chunks, shared by reading and writing."""

    def __init__(self, header: Header) -> None:
        self.ended = False
        self._header = header
        self._levels = 0
        self._chunks = 0
        self._once: set[bytes] = set()
        self._metadata_bytes = 0
        self._coded_bytes = 0

    def name(self, kind: bytes) -> str:
        """Name of the chunk that comes next, if it is of this kind."""
        return chunk_name(kind, self._header.first_level + self._levels)

    def awaited(self) -> str:
        """What must still come when the data ends between two chunks."""
        missing = self._header.levels - self._levels
        if missing:
            return f"its last {missing} of {self._header.levels} levels"
        return "its end chunk"

    def check_size(self, kind: bytes, size: int) -> None:
        """Refuse a chunk before its payload is read; raises LimitError."""
        self._chunks += 1
        if self._chunks > MAX_CHUNKS:
            raise LimitError(f"the file has more than {MAX_CHUNKS} chunks")
        if kind.islower():
            self._metadata_bytes += size
            if self._metadata_bytes > MAX_METADATA_BYTES:
                raise LimitError(
                    f"the metadata takes {self._metadata_bytes} bytes or more,"
                    f" over the limit of {MAX_METADATA_BYTES}"
                )
        else:
            self._coded_bytes += size
            if self._coded_bytes > self._header.max_coded_bytes:
                raise LimitError(
                    f"the {self.name(kind)} chunk brings the coded data to {self._coded_bytes}"
                    f" bytes, over the limit of {self._header.max_coded_bytes} for"
                    f" {self._header.width} x {self._header.height} pixels"
                )

    def check_place(self, kind: bytes, size: int) -> None:
        """Admit a sound chunk; raises FormatError, or UnsupportedVersionError for its kind."""
        if kind.isupper() and kind not in _MUST_KNOW:
            raise UnsupportedVersionError(
                f"the file needs a newer bsqcodec: its {kind.decode()!r} chunk is unknown here"
            )
        if kind in self._once:
            raise FormatError(f"the file has a second {self.name(kind)} chunk")
        if kind in _METADATA and (self._levels or ChunkKind.ALPHA in self._once):
            raise FormatError(f"the {self.name(kind)} chunk comes after picture data")
        if kind == ChunkKind.LEVEL:
            if self._levels == self._header.levels or ChunkKind.ALPHA in self._once:
                raise FormatError(
                    f"a level chunk follows the last of the {self._header.levels} levels"
                )
            self._levels += 1
        elif kind in (ChunkKind.ALPHA, ChunkKind.END) and self._levels < self._header.levels:
            raise FormatError(
                f"the {self.name(kind)} chunk comes after"
                f" {self._levels} of {self._header.levels} levels"
            )
        elif kind == ChunkKind.END and size != CRC.size:
            raise FormatError(f"the end chunk has {size} bytes, not {CRC.size}")
        if kind in _METADATA or kind == ChunkKind.ALPHA:
            self._once.add(kind)
        self.ended = kind == ChunkKind.END


def _pack_header(header: Header) -> bytes:
    """The header's bytes from the magic up to its checksum, without it."""
    fields = _FIXED_FIELDS.pack(
        header.model_id, header.colour, header.step, header.levels, header.first_level
    )
    sides = encode_varint(header.width) + encode_varint(header.height)
    return MAGIC + bytes([VERSION]) + fields + sides


def _read_header(reader: ByteReader, max_pixels: int, max_memory: int | None) -> tuple[Header, int]:
    """Read and check the header; return it and its CRC-32, with which that of chunks goes on."""
    start = read_version(reader, FileKind.PICTURE)
    fields = reader.exactly(_FIXED_FIELDS.size, "the header")
    width, width_bytes = reader.varint("the header")
    height, height_bytes = reader.varint("the header")
    crc = zlib.crc32(start + fields + width_bytes + height_bytes)
    reader.check_crc(crc, "the header")
    model_id, colour, step, levels, first_level = _FIXED_FIELDS.unpack(fields)
    if colour not in tuple(Colour):
        raise UnsupportedVersionError(
            f"the file needs a newer bsqcodec: its colour model {colour} is unknown here"
        )
    try:
        header = Header(model_id, width, height, Colour(colour), step, levels, first_level)
    except ValueError as error:
        raise FormatError(f"the header is malformed: {error}") from error
    if header.pixels > max_pixels:
        raise PixelLimitError(
            f"the picture is {width} x {height} = {header.pixels} pixels,"
            f" over the limit of {max_pixels}"
        )
    if max_memory is not None:
        check_padded("the picture", width, height, max_pixels)
        check_memory("a picture", width, height, picture_memory(width, height), max_memory)
    return header, crc


def _read_chunk(
    reader: ByteReader, rules: _ChunkRules, crc: int
) -> tuple[Chunk, int, FormatError | None]:
    """Read a chunk that follows data of this CRC: (chunk, CRC after it, what is wrong with it).

    A checksum covers all before it. Where one does not match, the stored one is what the writer had
    there, so it is returned, and the chunks behind can be checked with it. Raises FormatError or
    LimitError where there is no chunk that could be used.
    """
    kind = reader.up_to(1)
    if not kind:
        raise TruncatedError(f"the file ends before {rules.awaited()}")
    _check_kind(kind)
    what = f"the {rules.name(kind)} chunk"
    size, size_bytes = reader.varint(what)
    rules.check_size(kind, size)
    payload = reader.up_to(size)
    chunk = Chunk(kind, payload)
    crc = zlib.crc32(payload, zlib.crc32(kind + size_bytes, crc))
    stored = reader.up_to(CRC.size)
    if len(payload) == size and stored == CRC.pack(crc):
        rules.check_place(kind, size)
        return chunk, crc, None
    try:
        check_whole(payload, size, what)
        check_crc(stored, crc, what)
    except (TruncatedError, ChecksumError) as error:
        try:
            rules.check_place(kind, size)
        except FormatError:
            raise error from None
        return chunk, int.from_bytes(stored, "little"), error
    raise AssertionError("a chunk that passes every check is sound")


def _check_kind(kind: bytes) -> None:
    """Raises FormatError when `kind` is not one ASCII letter."""
    if len(kind) != 1 or kind not in _LETTERS:
        raise FormatError(f"{kind!r} is not the name of a chunk")
