"""Damaged files: no flip, cut, splice or claim passes unseen, costs memory or hangs."""

import io
import random
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bsqcodec.errors import (
    BsqError,
    ChecksumError,
    FormatError,
    LimitError,
    TruncatedError,
    UnsupportedVersionError,
)
from bsqcodec.format.image_container import (
    Chunk,
    ChunkKind,
    Colour,
    Container,
    Header,
    pack,
    unpack,
    unpack_header,
)
from bsqcodec.format.varint import MAX_VARINT, encode_varint

from ..injuries import injured

HEADER = Header(bytes(range(100, 108)), 300, 400, Colour.RGB, 12, 3, 1)
MUTATIONS = 10_000


def file_of(seed: int, header: Header = HEADER) -> bytes:
    """A file of random payloads, with metadata and alpha."""
    generator = random.Random(seed)
    chunks = [Chunk(ChunkKind.EXIF, generator.randbytes(9))]
    chunks += [Chunk(ChunkKind.LEVEL, generator.randbytes(8 << k)) for k in range(header.levels)]
    chunks.append(Chunk(ChunkKind.ALPHA, b"\0\x80"))
    return pack(header, chunks, generator.getrandbits(32))


FILE = file_of(1)
TWIN = file_of(2)  # another picture with the very same header
OTHERS = [
    file_of(3, replace(HEADER, step=13)),
    file_of(4, replace(HEADER, width=5)),
    pack(replace(HEADER, levels=0), [], 0),
]
ORIGINALS = {data: unpack(data) for data in (FILE, TWIN, *OTHERS)}


def refused(data: bytes) -> BsqError:
    """The error that reading `data` raises; fails when there is none or it is another kind."""
    with pytest.raises((FormatError, LimitError)) as caught:
        unpack(data)
    text = str(caught.value)
    assert text
    assert "\n" not in text
    return caught.value


def salvaged(data: bytes) -> Container | None:
    """What partial reading gives; fails when it holds a chunk that no original file has there."""
    try:
        container = unpack(data, allow_truncated=True)
    except (FormatError, LimitError):
        return None
    sources = [
        original
        for original in ORIGINALS.values()
        if container.header == original.header
        and container.chunks == original.chunks[: len(container.chunks)]
    ]
    assert sources
    assert container.problem or data in ORIGINALS
    if not container.truncated:
        assert any(container.symbols_crc == original.symbols_crc for original in sources)
    return container


def test_every_flip_of_every_byte_is_seen() -> None:
    for position, byte in enumerate(FILE):
        for other in range(256):
            if other == byte:
                continue
            data = FILE[:position] + bytes([other]) + FILE[position + 1 :]
            try:
                unpack(data)
            except UnsupportedVersionError:
                assert position == 8  # the version; all other damage is called damage
            except (FormatError, LimitError):
                pass
            else:
                pytest.fail(f"byte {position} changed from {byte} to {other} unseen")


def test_flips_in_a_payload_are_checksum_errors() -> None:
    position = FILE.index(ORIGINALS[FILE].level_payloads()[2])
    for offset in range(32):
        data = bytearray(FILE)
        data[position + offset] ^= 1 << offset % 8
        with pytest.raises(ChecksumError, match="level 3"):
            unpack(data)
        container = salvaged(bytes(data))
        assert container is not None
        assert len(container.level_payloads()) == 2


def test_every_cut_is_truncation() -> None:
    whole = ORIGINALS[FILE]
    count = 0
    for length in range(len(FILE)):
        with pytest.raises(TruncatedError):
            unpack(FILE[:length])
        if length < 29:
            with pytest.raises(TruncatedError):
                unpack(FILE[:length], allow_truncated=True)
            continue
        container = salvaged(FILE[:length])
        assert container is not None
        assert container.truncated
        assert container.symbols_crc is None
        assert len(container.chunks) >= count
        count = len(container.chunks)
    assert count == len(whole.chunks)


def test_every_splice_is_seen_even_between_files_of_one_header() -> None:
    assert FILE[:29] == TWIN[:29]
    for other in (TWIN, *OTHERS):
        for a, b in ((FILE, other), (other, FILE)):
            for length in range(1, max(len(a), len(b))):
                data = a[:length] + b[length:]
                if data not in ORIGINALS:
                    refused(data)
                    salvaged(data)


def test_chunks_moved_dropped_doubled_or_swapped() -> None:
    header = replace(HEADER, levels=3)
    levels = [Chunk(ChunkKind.LEVEL, bytes([k]) * 10) for k in range(3)]
    data = pack(header, levels, 0)
    starts = [29 + 16 * k for k in range(3)]
    parts = [data[start : start + 16] for start in starts]
    head, end = data[:29], data[29 + 48 :]
    for order in ([1, 0, 2], [0, 2, 1], [0, 0, 2], [1, 1, 2], [0, 1], [1, 2], [0, 1, 2, 2], []):
        with pytest.raises(FormatError):
            unpack(head + b"".join(parts[k] for k in order) + end)
    assert unpack(head + b"".join(parts) + end).level_payloads() == [c.payload for c in levels]


def test_ten_thousand_mutations() -> None:
    generator = random.Random(20240607)
    damaged = 0
    while damaged < MUTATIONS:
        data = injured(ORIGINALS, generator)
        if data in ORIGINALS:
            continue
        damaged += 1
        try:
            unpack(data)
        except (FormatError, LimitError):
            salvaged(data)
        else:
            pytest.fail(f"passed unseen: {data.hex()}")


@given(st.binary(max_size=200))
def test_random_bytes(tail: bytes) -> None:
    refused(tail)
    refused(FILE[:8] + tail)
    refused(FILE[:9] + tail)
    container = salvaged(FILE[:29] + tail)
    assert container is not None
    assert container.chunks == ()


def test_bytes_after_a_whole_file() -> None:
    generator = random.Random(5)
    for count in range(1, 50):
        refused(FILE + generator.randbytes(count))
    refused(FILE + FILE)


def claim(kind: bytes, size: bytes, rest: bytes = b"") -> bytes:
    """The start of a file of 15,000 x 15,000 pixels, with a chunk that claims a size."""
    header = replace(HEADER, width=15000, height=15000, levels=1)
    data = pack(replace(header, levels=0), [], 0)[:-10]
    head = data[:19] + b"\x01" + data[20:-4]
    return head + struct.pack("<I", zlib.crc32(head)) + kind + size + rest


def test_claim_within_the_limits_names_the_missing_bytes() -> None:
    assert unpack_header(claim(b"L", b"")).levels == 1
    with pytest.raises(TruncatedError, match="level 1 chunk: 1699999900 of 1700000000 bytes"):
        unpack(claim(b"L", encode_varint(1_700_000_000), bytes(100)))


@pytest.mark.parametrize("kind", [b"L", b"A", b"Z", b"Q"])
def test_claim_of_too_much_coded_data(kind: bytes) -> None:
    with pytest.raises(LimitError, match="over the limit of 18[0-9]{8} for 15000 x 15000"):
        unpack(claim(kind, encode_varint(MAX_VARINT)))


@pytest.mark.parametrize("kind", [b"i", b"e", b"x", b"q"])
def test_claim_of_too_much_metadata(kind: bytes) -> None:
    with pytest.raises(LimitError, match="metadata takes 2147483647 bytes or more"):
        unpack(claim(kind, encode_varint(MAX_VARINT)))


@pytest.mark.parametrize("size", [b"\xff\xff\xff\xff\x7f", b"\xff" * 1000, b"\x80\x80\x80\x00"])
def test_malformed_lengths(size: bytes) -> None:
    with pytest.raises(FormatError, match=r"integer"):
        unpack(claim(b"L", size))


def peak_of(task: Callable[[], object]) -> int:
    """Peak bytes that `task`, which must raise a BsqError, allocates."""
    tracemalloc.start()
    try:
        with pytest.raises(BsqError):
            task()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


class Endless(io.RawIOBase):
    """A file's start, then zeros for ever; counts what was taken from it."""

    def __init__(self, start: bytes) -> None:
        self._start = io.BytesIO(start)
        self.taken = 0

    def read(self, size: int = -1, /) -> bytes:
        piece = self._start.read(size) or bytes(size)
        self.taken += len(piece)
        return piece


@pytest.mark.parametrize(
    "data",
    [
        claim(b"L", encode_varint(MAX_VARINT), bytes(100)),
        claim(b"L", encode_varint(1_700_000_000), bytes(100)),
        claim(b"e", encode_varint(MAX_VARINT), bytes(100)),
        claim(b"e", encode_varint(60_000_000), bytes(100)),
        claim(b"L", b"\xff" * 1000),
    ],
)
def test_claims_cost_no_memory(data: bytes) -> None:
    assert peak_of(lambda: unpack(data)) < 100_000
    assert peak_of(lambda: unpack(io.BytesIO(data))) < 100_000
    raw = io.BufferedReader(io.BytesIO(data))
    assert peak_of(lambda: unpack(raw)) < 1_000_000


def test_memory_is_at_most_twice_the_data() -> None:
    data = claim(b"L", encode_varint(1_700_000_000), bytes(3_000_000))
    assert peak_of(lambda: unpack(io.BytesIO(data))) < 2 * len(data) + 600_000


def test_endless_streams_end() -> None:
    for start in (b"", b"\x89", FILE[:9], FILE[:29], FILE):
        stream = Endless(start)
        with pytest.raises((FormatError, LimitError)):
            unpack(stream)
        assert stream.taken <= len(start) + 100


def places(data: bytes) -> list[tuple[int, int]]:
    """(first byte, end) of the payload of each chunk of FILE, in their order, END included."""
    found = []
    at = len(pack(replace(HEADER, levels=0), [], 0)) - 10
    for chunk in [*ORIGINALS[data].chunks, Chunk(ChunkKind.END, b"1234")]:
        first = at + 1 + len(encode_varint(len(chunk.payload)))
        at = first + len(chunk.payload) + 4
        found.append((first, first + len(chunk.payload)))
    assert at == len(data)
    return found


@pytest.mark.parametrize("index", range(5))
def test_what_lies_behind_a_damaged_chunk_is_kept_apart(index: int) -> None:
    first, end = places(FILE)[index]
    data = bytearray(FILE)
    data[(first + end) // 2] ^= 16
    whole = ORIGINALS[FILE]
    found = unpack(bytes(data), allow_truncated=True)
    assert found.chunks == whole.chunks[:index]
    assert [chunk.kind for chunk in found.damaged] == [c.kind for c in whole.chunks[index:]]
    assert found.damaged[0].payload == bytes(data[first:end])
    assert found.damaged[1:] == whole.chunks[index + 1 :]
    assert found.truncated and found.symbols_crc is None
    assert found.problem is not None and "is damaged: checksum" in found.problem
    with pytest.raises(ChecksumError):
        unpack(bytes(data))


def test_two_damaged_chunks_are_both_kept() -> None:
    data = bytearray(FILE)
    for index in (1, 3):
        data[places(FILE)[index][0]] ^= 1
    found = unpack(bytes(data), allow_truncated=True)
    whole = ORIGINALS[FILE]
    assert found.chunks == whole.chunks[:1]
    assert [len(c.payload) for c in found.damaged] == [len(c.payload) for c in whole.chunks[1:]]
    assert [a == b for a, b in zip(found.damaged, whole.chunks[1:], strict=True)] == [
        False,
        True,
        False,
        True,
    ]
    assert found.problem is not None and "level 1" in found.problem


def test_a_chunk_that_is_cut_is_kept_as_far_as_it_goes() -> None:
    first, end = places(FILE)[2]
    found = unpack(FILE[: first + 5], allow_truncated=True)
    assert found.damaged == (Chunk(ChunkKind.LEVEL, FILE[first : first + 5]),)
    found = unpack(FILE[: end + 2], allow_truncated=True)
    assert found.damaged == (Chunk(ChunkKind.LEVEL, FILE[first:end]),)


def test_an_unknown_chunk_behind_damage_is_damage_too() -> None:
    first, end = places(FILE)[1]
    data = bytearray(FILE)
    data[first] ^= 1
    data[end + 4] = ord("Q")  # the kind of the next chunk
    found = unpack(bytes(data), allow_truncated=True)
    assert found.chunks == ORIGINALS[FILE].chunks[:1] and len(found.damaged) == 1
