"""The container: golden bytes, round trips, sizes, and each rule of docs/BITSTREAM.md."""

import io
import re
import struct
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bsqcodec.errors import FormatError, LimitError, TruncatedError, UnsupportedVersionError
from bsqcodec.format import image_container as container_module
from bsqcodec.format.image_container import (
    MAGIC,
    MAX_CHUNKS,
    MAX_METADATA_BYTES,
    VERSION,
    Chunk,
    ChunkKind,
    Colour,
    Header,
    pack,
    packed_size,
    unpack,
    unpack_header,
)
from bsqcodec.format.varint import encode_varint

PAGE = Path(__file__).parents[2] / "docs" / "BITSTREAM.md"

HEADER = Header(bytes.fromhex("0123456789abcdef"), 768, 512, Colour.RGB, 40, 2, 3)
CHUNKS = (
    Chunk(ChunkKind.ICC, b"icc"),
    Chunk(ChunkKind.LEVEL, bytes.fromhex("10203040")),
    Chunk(ChunkKind.LEVEL, b"\x55" * 5),
    Chunk(ChunkKind.ALPHA, b"\x00\x80"),
)
SYMBOLS_CRC = 0x1234ABCD
GOLDEN = bytes.fromhex(
    "894253510d0a1a0a010123456789abcdef0128020380068004"
    "38b8e219"
    "6903696363028d29e5"
    "4c0410203040bf8cbb8b"
    "4c0555555555550fed9016"
    "41020080e4db1c90"
    "5a04cdab34121c6de264"
)
LEVEL = Chunk(ChunkKind.LEVEL, b"bits")
ALPHA = Chunk(ChunkKind.ALPHA, b"\x00\xff")
EXIF = Chunk(ChunkKind.EXIF, b"exif")

headers = st.builds(
    Header,
    model_id=st.binary(min_size=8, max_size=8),
    width=st.integers(1, 15000),
    height=st.integers(1, 15000),
    colour=st.sampled_from(Colour),
    step=st.integers(0, 255),
    levels=st.integers(0, 6),
    first_level=st.integers(0, 255),
)
payloads = st.binary(max_size=300)


@st.composite
def files(draw: st.DrawFn) -> tuple[Header, tuple[Chunk, ...]]:
    """A header and chunks that go with it, in a valid order."""
    header = draw(headers)
    kinds = draw(st.permutations([b"i", b"e", b"x", b"q"]))[: draw(st.integers(0, 4))]
    kinds += [ChunkKind.LEVEL] * header.levels
    kinds += draw(st.sampled_from([[], [ChunkKind.ALPHA], [b"q", ChunkKind.ALPHA, b"q"]]))
    return header, tuple(Chunk(kind, draw(payloads)) for kind in kinds)


def sealed(head: bytes, *chunks: tuple[bytes, bytes], tail: bytes = b"") -> bytes:
    """A file with right checksums, whatever else is wrong: header bytes, then (head, payload)."""
    crc = zlib.crc32(head)
    out = head + struct.pack("<I", crc)
    for chunk_head, payload in chunks:
        crc = zlib.crc32(chunk_head + payload, crc)
        out += chunk_head + payload + struct.pack("<I", crc)
    return out + tail


def header_bytes(width: bytes, height: bytes, colour: int = 1) -> bytes:
    """Bytes of a header without levels, up to its checksum."""
    return MAGIC + bytes([VERSION]) + bytes(8) + bytes([colour, 40, 0, 0]) + width + height


def test_golden_file_is_written() -> None:
    assert pack(HEADER, CHUNKS, SYMBOLS_CRC) == GOLDEN


def test_golden_file_is_read() -> None:
    container = unpack(GOLDEN)
    assert container.header == HEADER
    assert container.chunks == CHUNKS
    assert container.symbols_crc == SYMBOLS_CRC
    assert not container.truncated
    assert container.problem is None
    assert container.level_payloads() == [b"\x10\x20\x30\x40", b"\x55" * 5]
    assert container.find(ChunkKind.ICC) == b"icc"
    assert container.find(ChunkKind.XMP) is None
    assert isinstance(container.header.colour, Colour)


def test_documented_example_is_the_golden_file() -> None:
    (block,) = re.findall(r"```hex\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert bytes.fromhex(re.sub(r"#.*", "", block)) == GOLDEN


def documented_reader() -> Any:
    """The function `read_bsq` that docs/BITSTREAM.md gives."""
    (block,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(block, str(PAGE), "exec"), names)  # noqa: S102 - our own page
    return names["read_bsq"]


def test_documented_reader_reads_the_example() -> None:
    chunks = [(chunk.kind, chunk.payload) for chunk in CHUNKS]
    chunks.append((b"Z", struct.pack("<I", SYMBOLS_CRC)))
    assert documented_reader()(GOLDEN) == (HEADER.model_id, 1, 40, 2, 3, 768, 512, chunks)


def test_documented_reader_sees_every_flip() -> None:
    read = documented_reader()
    for position in range(len(GOLDEN)):
        with pytest.raises(ValueError, match=r"cut|damaged|not a"):
            read(GOLDEN[:position] + bytes([GOLDEN[position] ^ 1]) + GOLDEN[position + 1 :])


@given(files(), st.integers(0, 2**32 - 1))
def test_round_trip(file: tuple[Header, tuple[Chunk, ...]], symbols_crc: int) -> None:
    header, chunks = file
    data = pack(header, chunks, symbols_crc)
    container = unpack(data)
    assert (container.header, container.chunks) == (header, chunks)
    assert container.symbols_crc == symbols_crc
    assert not container.truncated
    assert unpack(data, allow_truncated=True) == container
    assert unpack_header(data) == header
    assert len(data) == packed_size(header, [len(chunk.payload) for chunk in chunks])


@given(files())
def test_round_trip_agrees_with_the_documented_reader(
    file: tuple[Header, tuple[Chunk, ...]],
) -> None:
    header, chunks = file
    *fields, read_chunks = READER(pack(header, chunks, 0))
    assert fields == [
        header.model_id,
        header.colour,
        header.step,
        header.levels,
        header.first_level,
        header.width,
        header.height,
    ]
    assert read_chunks[:-1] == [(chunk.kind, chunk.payload) for chunk in chunks]


READER = documented_reader()


class OnlyRead:
    """A stream that cannot seek or tell, and gives at most `most` bytes at a time."""

    def __init__(self, data: bytes, most: int) -> None:
        self._inner = io.BytesIO(data)
        self._most = most
        self.largest_request = 0

    def read(self, size: int, /) -> bytes:
        self.largest_request = max(self.largest_request, size)
        return self._inner.read(min(size, self._most))


@pytest.mark.parametrize("most", [1, 2, 3, 7, 1 << 20])
def test_streams_with_short_reads(most: int) -> None:
    assert unpack(OnlyRead(GOLDEN, most)) == unpack(GOLDEN)
    assert unpack_header(OnlyRead(GOLDEN, most)) == HEADER


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, io.BytesIO])
def test_kinds_of_source(kind: Any) -> None:
    assert unpack(kind(GOLDEN)) == unpack(GOLDEN)


def test_stream_is_read_from_where_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "a.bsq"
    path.write_bytes(b"before" + GOLDEN)
    with path.open("rb") as file:
        file.seek(6)
        assert unpack(file) == unpack(GOLDEN)


def test_large_payload_comes_in_pieces() -> None:
    payload = bytes(range(256)) * 5000
    header = replace(HEADER, width=4000, height=4000, levels=1)
    stream = OnlyRead(pack(header, [Chunk(ChunkKind.LEVEL, payload)], 0), 1 << 30)
    assert unpack(stream).level_payloads() == [payload]
    assert stream.largest_request <= 1 << 18


def test_header_alone_is_not_read_beyond() -> None:
    stream = io.BytesIO(GOLDEN)
    unpack_header(stream)
    assert stream.tell() == 29


def test_non_blocking_stream_without_data() -> None:
    class Empty:
        def read(self, size: int, /) -> None:
            return None

    with pytest.raises(BlockingIOError):
        unpack(Empty())


@pytest.mark.parametrize("levels", [0, 1, 8, 20])
@pytest.mark.parametrize("width", [1, 768, 16383])
def test_overhead_is_under_40_bytes_and_7_a_level(levels: int, width: int) -> None:
    header = replace(HEADER, width=width, height=16383, levels=levels)
    data = pack(header, [Chunk(ChunkKind.LEVEL, bytes(1000))] * levels, 0)
    assert len(data) - 1000 * levels < 40 + 7 * levels
    assert len(data) == packed_size(header, [1000] * levels)


def test_overhead_of_the_largest_sides() -> None:
    header = replace(HEADER, width=2**31 - 1, height=2**31 - 1, levels=0)
    assert len(pack(header, [], 0)) == packed_size(header, []) == 45
    assert packed_size(header, [], end=False) == 35


@pytest.mark.parametrize(
    "change",
    [
        {"model_id": bytes(7)},
        {"model_id": bytes(9)},
        {"width": 0},
        {"height": -1},
        {"width": 2**31},
        {"colour": 2},
        {"step": 256},
        {"step": -1},
        {"levels": 256},
        {"first_level": 256},
    ],
)
def test_header_fields_are_range_checked(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"id|width|height|colour|step|level"):
        replace(HEADER, **change)


@pytest.mark.parametrize("symbols_crc", [-1, 2**32])
def test_symbols_crc_is_range_checked(symbols_crc: int) -> None:
    with pytest.raises(ValueError, match="symbols_crc"):
        pack(HEADER, CHUNKS, symbols_crc)


BAD_ORDERS = [
    ([LEVEL], "1 of 2 levels"),
    ([LEVEL, LEVEL, LEVEL], "last of the 2 levels"),
    ([LEVEL, LEVEL, EXIF], "after picture data"),
    ([LEVEL, EXIF, LEVEL], "after picture data"),
    ([EXIF, EXIF, LEVEL, LEVEL], "second EXIF"),
    ([LEVEL, LEVEL, ALPHA, ALPHA], "second alpha"),
    ([LEVEL, ALPHA, LEVEL], "1 of 2 levels"),
    ([LEVEL, LEVEL, ALPHA, EXIF], "after picture data"),
]


@pytest.mark.parametrize(("chunks", "message"), BAD_ORDERS)
def test_order_is_checked_when_writing(chunks: list[Chunk], message: str) -> None:
    with pytest.raises(FormatError, match=message):
        pack(HEADER, chunks, 0)


@pytest.mark.parametrize(("chunks", "message"), BAD_ORDERS)
def test_order_is_checked_when_reading(chunks: list[Chunk], message: str) -> None:
    head = GOLDEN[:25]
    parts = [(chunk.kind + encode_varint(len(chunk.payload)), chunk.payload) for chunk in chunks]
    data = sealed(head, *parts, (b"Z\x04", bytes(4)))
    with pytest.raises(FormatError, match=message):
        unpack(data)
    container = unpack(data, allow_truncated=True)
    assert container.truncated
    assert container.chunks == tuple(chunks)[: len(container.chunks)]
    assert len(container.level_payloads()) <= HEADER.levels


@pytest.mark.parametrize("kind", [b"", b"LL", b"\x00", b"1", "é".encode("latin-1")])
def test_kinds_are_letters(kind: bytes) -> None:
    with pytest.raises(FormatError, match="not the name of a chunk"):
        pack(HEADER, [Chunk(kind, b"")], 0)


def test_end_is_written_by_pack_alone() -> None:
    with pytest.raises(FormatError, match="written by pack"):
        pack(HEADER, [*CHUNKS, Chunk(ChunkKind.END, bytes(4))], 0)


@pytest.mark.parametrize("size", [0, 3, 5])
def test_end_has_four_bytes(size: int) -> None:
    data = sealed(header_bytes(b"\x10", b"\x10"), (bytes([ord("Z"), size]), bytes(size)))
    with pytest.raises(FormatError, match="end chunk has"):
        unpack(data)


def test_unknown_lower_case_chunk_is_passed_over() -> None:
    later = Chunk(b"q", b"of a later version")
    chunks = (later, CHUNKS[1], later, CHUNKS[2], later)
    container = unpack(pack(HEADER, chunks, 7))
    assert container.chunks == chunks
    assert container.level_payloads() == [CHUNKS[1].payload, CHUNKS[2].payload]


@pytest.mark.parametrize("allow_truncated", [False, True])
def test_unknown_upper_case_chunk_is_refused(allow_truncated: bool) -> None:
    data = sealed(header_bytes(b"\x10", b"\x10"), (b"Q\x01", b"?"), (b"Z\x04", bytes(4)))
    with pytest.raises(UnsupportedVersionError, match="newer bsqcodec: its 'Q' chunk"):
        unpack(data, allow_truncated=allow_truncated)
    with pytest.raises(UnsupportedVersionError, match="'Q'"):
        pack(HEADER, [Chunk(b"Q", b"?")], 0)


@pytest.mark.parametrize("version", [0, 2, 255])
def test_other_versions_are_refused(version: int) -> None:
    for data in (GOLDEN[:8] + bytes([version]) + GOLDEN[9:], MAGIC + bytes([version])):
        with pytest.raises(UnsupportedVersionError, match=f"version {version}; .* version 1"):
            unpack(data)


def test_unknown_colour_is_refused() -> None:
    with pytest.raises(UnsupportedVersionError, match="colour model 9"):
        unpack(sealed(header_bytes(b"\x10", b"\x10", colour=9)))


@pytest.mark.parametrize(
    ("width", "height", "message"),
    [
        ("00", "10", "width 0"),
        ("10", "00", "height 0"),
        ("8000", "10", "needless"),
        ("8080808008", "10", "over"),
        ("ffffffffff01", "10", "longer"),
    ],
)
def test_malformed_sizes_with_right_checksum(width: str, height: str, message: str) -> None:
    data = sealed(header_bytes(bytes.fromhex(width), bytes.fromhex(height)))
    with pytest.raises(FormatError, match=message):
        unpack(data)


def test_trailing_data() -> None:
    with pytest.raises(FormatError, match="more data follows"):
        unpack(GOLDEN + b"\0")
    container = unpack(GOLDEN + b"\0", allow_truncated=True)
    assert not container.truncated
    assert container.chunks == CHUNKS
    assert "more data follows" in str(container.problem)


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (b"", TruncatedError, "empty"),
        (MAGIC[:5], TruncatedError, "5 bytes in all"),
        (b"\x89PNG\r\n\x1a\n", FormatError, "not a .bsq file"),
        (b"hello", FormatError, "not a .bsq file"),
        (GOLDEN.replace(b"\r\n", b"\n"), FormatError, "text mode"),
        (GOLDEN.replace(b"\n", b"\r\n"), FormatError, "text mode"),
        (bytes(byte & 0x7F for byte in GOLDEN), FormatError, "text mode"),
        (GOLDEN[:20], TruncatedError, r"inside the header: 1 of 12 bytes missing"),
        (GOLDEN[:29], TruncatedError, "last 2 of 2 levels"),
        (GOLDEN[:41], TruncatedError, "inside the level 3 chunk: 3 of 4 bytes missing"),
        (GOLDEN[:46], TruncatedError, "checksum of the level 3 chunk: 2 of 4 bytes missing"),
        (GOLDEN[:67], TruncatedError, "before its end chunk"),
    ],
)
def test_messages(data: bytes, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        unpack(data)


def test_max_pixels() -> None:
    assert unpack(GOLDEN, max_pixels=768 * 512).header == HEADER
    for read in (unpack, unpack_header):
        with pytest.raises(LimitError, match="768 x 512 = 393216 pixels, over the limit of 393215"):
            read(GOLDEN, max_pixels=768 * 512 - 1)
    huge = replace(HEADER, width=2**31 - 1, height=2**31 - 1, levels=0)
    with pytest.raises(LimitError, match="2147483647 x 2147483647"):
        unpack(pack(huge, [], 0), allow_truncated=True)


def test_metadata_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_METADATA_BYTES == 67_108_864
    monkeypatch.setattr(container_module, "MAX_METADATA_BYTES", 10)
    header = replace(HEADER, levels=0)
    pack(header, [Chunk(b"i", bytes(6)), Chunk(b"e", bytes(4))], 0)
    with pytest.raises(LimitError, match="metadata takes 11 bytes"):
        pack(header, [Chunk(b"i", bytes(6)), Chunk(b"q", bytes(5))], 0)


def test_coded_data_limit() -> None:
    header = Header(bytes(8), 17, 1, Colour.GRAY, 0, 1)
    most = 65536 + 2048 * 2
    assert header.max_coded_bytes == most
    data = pack(header, [Chunk(ChunkKind.LEVEL, bytes(most - 4))], 0)
    assert len(unpack(data).level_payloads()[0]) == most - 4
    with pytest.raises(LimitError, match=f"{most + 1} bytes, over the limit of {most} for 17 x 1"):
        pack(header, [Chunk(ChunkKind.LEVEL, bytes(most + 1))], 0)


def test_number_of_chunks_is_limited() -> None:
    header = replace(HEADER, levels=0)
    many = [Chunk(b"q", b"")] * (MAX_CHUNKS - 1)
    assert len(unpack(pack(header, many, 0)).chunks) == MAX_CHUNKS - 1
    with pytest.raises(LimitError, match="more than 1024 chunks"):
        pack(header, [*many, Chunk(b"q", b"")], 0)
    parts = [(b"q\x00", b"")] * (MAX_CHUNKS + 1)
    with pytest.raises(LimitError, match="more than 1024 chunks"):
        unpack(sealed(header_bytes(b"\x10", b"\x10"), *parts))
