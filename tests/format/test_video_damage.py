"""Damaged videos: nothing passes unseen, costs memory or hangs, and a fault costs one chunk."""

import io
import random
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

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
from bsqcodec.format.varint import encode_varint
from bsqcodec.format.video_file_reader import SideBytes, VideoFileReader, VideoPart
from bsqcodec.format.video_file_writer import VideoFileWriter
from bsqcodec.format.video_gop import Gop
from bsqcodec.format.video_walk import DamagedGop

from ..injuries import injured
from .video_files import (
    GOLDEN,
    HEADER,
    METADATA,
    PARTS,
    OnlyRead,
    chunk,
    chunk_places,
    damage_of,
    gop_at,
    gops_of,
    header_bytes,
    partial,
    random_parts,
    strict,
    written,
)

MUTATIONS = 3000
SMALL = random_parts(1, 5)
FILE = written(SMALL, metadata=METADATA)
TWIN = written(random_parts(2, 5), metadata=METADATA)  # another video with the very same header
OTHER = written(random_parts(3, 4), replace(HEADER, width=642))
HEADER_BYTES = len(header_bytes())
ORIGINALS: dict[bytes, list[Gop | SideBytes]] = {
    FILE: SMALL,
    TWIN: random_parts(2, 5),
    OTHER: random_parts(3, 4),
    GOLDEN: list(PARTS),
}
KNOWN = [part for parts in ORIGINALS.values() for part in parts]


def frames_in(parts: Sequence[VideoPart]) -> int:
    return sum(len(gop.frames) for gop in gops_of(parts))


def refused(data: bytes) -> BsqError:
    """The error that reading `data` raises; fails when there is none or it is another kind."""
    with pytest.raises((FormatError, LimitError)) as caught:
        strict(data)
    text = str(caught.value)
    assert text
    assert "\n" not in text
    return caught.value


def salvaged(data: bytes) -> list[VideoPart]:
    """What partial reading gives; fails when frames are unaccounted for or made up."""
    parts = partial(data)
    place = 0
    for number, part in enumerate(parts):
        if isinstance(part, DamagedGop):
            assert part.first_frame == place
            assert part.reason
            assert "\n" not in part.reason
            if part.frames is None:
                assert number == len(parts) - 1
            place += part.frames or 0
        else:
            assert part in KNOWN
            if isinstance(part, Gop):
                assert part.first_frame == place
                place += len(part.frames)
    assert damage_of(parts)
    assert list(VideoFileReader(OnlyRead(data), allow_partial=True).chunks()) == parts
    return parts


@pytest.mark.parametrize("other", [0x01, 0x80, 0xFF])
def test_every_flip_of_every_byte_is_seen_and_costs_one_chunk(other: int) -> None:
    total = frames_in(SMALL)
    for position, byte in enumerate(FILE):
        data = FILE[:position] + bytes([byte ^ other]) + FILE[position + 1 :]
        error = refused(data)
        assert isinstance(error, UnsupportedVersionError) <= (position == 8)
        if position < HEADER_BYTES:
            with pytest.raises(FormatError):
                partial(data)
            continue
        parts = salvaged(data)
        (damage,) = damage_of(parts)
        lost = [part for part in SMALL if part not in parts]
        assert len(lost) <= 1
        assert [part for part in parts if part is not damage] == [
            part for part in SMALL if part not in lost
        ]
        assert damage.frames == frames_in(lost)
        assert frames_in(gops_of(parts)) + damage.frames == total
        if lost:
            assert damage.side_lost == isinstance(lost[0], SideBytes)


def test_every_cut_is_truncation_and_costs_what_is_cut_off() -> None:
    places = chunk_places(FILE)
    ends = [end for start, end in pairwise(places) if FILE[start + 4] in b"Gs"]
    for length in range(len(FILE)):
        data = FILE[:length]
        with pytest.raises(TruncatedError):
            strict(data)
        if length < HEADER_BYTES:
            with pytest.raises(TruncatedError):
                VideoFileReader(data, allow_partial=True)
            continue
        *parts, last = salvaged(data)
        assert parts == SMALL[: sum(end <= length for end in ends)]
        assert isinstance(last, DamagedGop)
        rest = frames_in(SMALL) - frames_in(gops_of(parts))
        if last.frames is None:
            assert length < places[-3] + 12
        else:
            assert last.frames == rest == 0


def test_bytes_taken_out_or_put_in_cost_one_chunk() -> None:
    rng = random.Random(7)
    places = chunk_places(FILE)
    for start, end in pairwise(places):
        for place in range(start, end):
            count = rng.randrange(1, end - place + 1)
            kept = FILE[:place] + FILE[place + count :]
            more = FILE[:place] + rng.randbytes(count) + FILE[place:]
            for data, most in ((kept, 1), (more, 1 if place > start else 0)):
                if data == FILE:
                    continue
                refused(data)
                parts = salvaged(data)
                assert len([part for part in SMALL if part not in parts]) <= most


def test_garbage_over_several_chunks() -> None:
    places = chunk_places(FILE)
    for first in range(1, len(places) - 4):
        for count in (1, 2, 3):
            start, end = places[first] + 3, places[first + count] + 1
            for fill in (bytes(end - start), b"\x9bBSV" * 200, b"\x9b" * (end - start), b""):
                data = FILE[:start] + fill + FILE[end:]
                refused(data)
                parts = salvaged(data)
                assert len([part for part in SMALL if part not in parts]) <= count + 1
                lost = [part.frames for part in damage_of(parts)]
                if None in lost:
                    assert first + count == len(places) - 2  # the index and the end are hit
                else:
                    assert frames_in(gops_of(parts)) + sum(filter(None, lost)) == frames_in(SMALL)


def test_chunks_dropped_doubled_or_swapped() -> None:
    gops = [Gop(k, (k,), (bytes([k]) * 9,)) for k in range(4)]
    KNOWN.extend(gops)
    data = written(gops)
    places = chunk_places(data)
    head, chunks, end = (
        data[: places[0]],
        [data[places[k] : places[k + 1]] for k in range(4)],
        data[places[4] :],
    )
    for order, missing in (
        ([0, 1, 3], [2]),
        ([1, 2, 3], [0]),
        ([0, 1, 2], [3]),
        ([], [0, 1, 2, 3]),
        ([0, 1, 1, 2, 3], []),
        ([0, 2, 1, 3], [1]),
        ([0, 1, 2, 3, 0], []),
    ):
        changed = head + b"".join(chunks[k] for k in order) + end
        assert "missing, doubled or moved" in str(refused(changed))
        parts = salvaged(changed)
        assert gops_of(parts) == [gop for gop in gops if gop.first_frame not in missing]
        lost = [part.first_frame for part in damage_of(parts) if part.frames]
        assert lost == missing[:1]


def test_chunks_of_a_twin_are_seen_at_the_end_and_others_at_once() -> None:
    one, two, other = (
        written([Gop(0, (0, 1), (text, b"p")), Gop(2, (2,), (b"end",))], header)
        for text, header in ((b"one", HEADER), (b"two", HEADER), (b"two", OTHER_HEADER))
    )
    a, b = chunk_places(one)[:2]
    with pytest.raises(ChecksumError, match="not all of them are of this file"):
        strict(one[:a] + two[a:b] + one[b:])
    c, d = chunk_places(other)[:2]
    spliced = one[:a] + other[c:d] + one[b:]
    with pytest.raises(ChecksumError, match=f"head of the chunk at byte {a} is damaged"):
        strict(spliced)
    parts = partial(spliced)
    assert isinstance(parts[0], DamagedGop)
    assert gops_of(parts) == [Gop(2, (2,), (b"end",))]


OTHER_HEADER = replace(HEADER, video_model_id=bytes(8))


def test_a_video_in_the_side_stream_of_another_is_not_taken_for_it() -> None:
    inner = written(random_parts(4, 3), OTHER_HEADER)
    parts: list[Gop | SideBytes] = [
        Gop(0, (0,), (b"a",)),
        SideBytes(inner),
        Gop(1, (1,), (b"b",)),
    ]
    data = written(parts)
    for offset in (2, 40, 100, len(inner) - 3):
        place = data.index(inner) + offset
        injured = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        first, damage, last = partial(injured)
        assert [first, last] == [parts[0], parts[2]]
        assert isinstance(damage, DamagedGop)
        assert (damage.first_frame, damage.frames, damage.side_lost) == (1, 0, True)


def put_in_half_a_head(data: bytearray, rng: random.Random) -> None:
    """Have something like the head of a chunk begin anywhere."""
    start = rng.randrange(len(data) + 1)
    data[start:start] = b"\x9bBSV" + rng.choice((b"G", b"s", b"Z")) + rng.randbytes(6)


def test_three_thousand_mutations() -> None:
    rng = random.Random(20260607)
    damaged = 0
    while damaged < MUTATIONS:
        data = injured(
            ORIGINALS,
            rng,
            counts=(1, 1, 1, 2, 4),
            lengths=(1, 5, 20, 100),
            others=[put_in_half_a_head],
        )
        if data in ORIGINALS:
            continue
        damaged += 1
        refused(data)
        try:
            VideoFileReader(data)
        except (FormatError, LimitError):
            with pytest.raises((FormatError, LimitError)):
                partial(data)
        else:
            salvaged(data)


@given(st.binary(max_size=200))
def test_random_bytes(tail: bytes) -> None:
    for data in (tail, GOLDEN[:9] + tail, GOLDEN[:48] + tail, GOLDEN + tail):
        if data not in ORIGINALS:
            refused(data)
    (last,) = salvaged(GOLDEN[:48] + tail)
    assert isinstance(last, DamagedGop)
    if tail:
        assert salvaged(GOLDEN + tail)[:-1] == list(PARTS)


def random_chunks(rng: random.Random) -> bytes:
    """Chunks with right checksums and contents that make little sense."""
    data = b""
    for number in range(rng.randrange(1, 6)):
        count = rng.choice((1, 1, 2, 5, 0, 1024))
        payload = rng.choice((b"", b"\0\0", b"\1\2\0\0\1\0", rng.randbytes(rng.randrange(12))))
        data += chunk(
            rng.choice((b"G", b"G", b"s", b"m", b"i", b"Z", b"q", b"0")),
            rng.choice((number, number, number, 0, 7, 2**31 - 1)),
            rng.choice((0, 0, number, 9, 2**31 - 1)),
            payload,
            frames=count,
            first_pts=rng.choice((0, 5, -(2**62), 2**62 - 1)),
            length=rng.choice((None, None, None, 0, 60, 2**20, 2**31 - 1)),
        )
    return data


def test_random_contents_under_right_checksums() -> None:
    rng = random.Random(5)
    start, end = header_bytes(), written([])[HEADER_BYTES:]
    for _ in range(1500):
        data = start + random_chunks(rng) + rng.choice((end, b""))
        refused(data)
        place = 0
        for part in partial(data):
            if not isinstance(part, SideBytes):
                assert part.first_frame == place
                count = part.frames if isinstance(part, DamagedGop) else len(part.frames)
                place += count or 0
        reader = VideoFileReader(data, allow_partial=True)
        index = reader.index
        assert index is not None
        for number in range(len(index)):
            gop_at(reader, number)


# Cost ---------------------------------------------------------------------------------------------


def peak_of(task: Callable[[], object]) -> int:
    """Peak bytes that `task` allocates; a BsqError may end it."""
    tracemalloc.start()
    try:
        task()
    except BsqError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return peak


LARGE = replace(HEADER, width=15000, height=15000)


@pytest.mark.parametrize(
    ("kind", "frames", "length", "error"),
    [
        (b"G", 1, 2**31 - 1, LimitError),
        (b"G", 1, 1_700_000_000, TruncatedError),
        (b"G", 1024, 2**31 - 1, TruncatedError),
        (b"s", 0, 2**20, TruncatedError),
        (b"s", 0, 2**20 + 1, LimitError),
        (b"m", 0, 2**31 - 1, LimitError),
        (b"i", 0, 2**24, TruncatedError),
        (b"i", 0, 2**31 - 1, LimitError),
        (b"Z", 0, 2**31 - 1, LimitError),
        (b"q", 0, 2**31 - 1, LimitError),
    ],
)
def test_claims_cost_no_memory(
    kind: bytes, frames: int, length: int, error: type[Exception]
) -> None:
    header = header_bytes(LARGE)
    claim = chunk(kind, 0, 0, bytes(100), frames=frames, length=length, header=header)
    with pytest.raises(error, match=r"over the limit|missing"):
        strict(header + claim)
    assert peak_of(lambda: strict(header + claim)) < 200_000
    assert peak_of(lambda: partial(header + claim)) < 400_000
    assert peak_of(lambda: VideoFileReader(header + claim, allow_partial=True).index) < 400_000


def test_claims_inside_a_gop_cost_no_memory() -> None:
    for payload, frames in (
        (b"\x00\xff\xff\xff\xff\x07", 1),
        (encode_varint(1023) + b"\xfe" + b"\xff" * 8 + b"\x01", 1024),
        (b"\xff\xff\xff\xff\x07\x02", 1024),
        (b"\x01\x02\x01\x04" * 500, 1024),
    ):
        data = header_bytes() + chunk(b"G", 0, 0, payload, frames=frames)
        refused(data)
        assert peak_of(lambda: strict(data)) < 400_000  # noqa: B023 - called at once


class Piped:
    """A stream that is written by a generator as it is read, and is never in memory as a whole."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def read(self, size: int, /) -> bytes:
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            self._rest = piece
        data, self._rest = self._rest[:size], self._rest[size:]
        return data


def long_video(gops: int, gop_bytes: int, damage: bool = False) -> Iterator[bytes]:
    """The bytes of a video of many large GOPs, GOP by GOP; every third is damaged if so wanted."""
    sink = io.BytesIO()
    writer = VideoFileWriter(sink, LARGE)
    for number in range(gops):
        writer.gop(Gop(2 * number, (number, number + 1), (bytes(gop_bytes), b"p")))
        data = bytearray(sink.getvalue())
        if damage and number % 3 == 0:
            del data[-gop_bytes // 2 : -gop_bytes // 2 + 5]
        yield bytes(data)
        sink.seek(0)
        sink.truncate()
    writer.close()
    yield sink.getvalue()


@pytest.mark.parametrize("damage", [False, True])
def test_memory_is_that_of_one_gop(damage: bool) -> None:
    frames = 0

    def read() -> None:
        nonlocal frames
        stream = Piped(long_video(30, 1_000_000, damage))
        for part in VideoFileReader(stream, allow_partial=damage).chunks():
            frames += len(part.frames) if isinstance(part, Gop) else 0

    assert peak_of(read) < 15_000_000  # of which the writer takes some
    assert frames == (40 if damage else 60)


def test_endless_streams_end() -> None:
    for start in (b"", GOLDEN[:9], GOLDEN[:48], GOLDEN[:75], GOLDEN):
        stream = OnlyRead(start + bytes(10**6))
        with pytest.raises((FormatError, LimitError)):
            list(VideoFileReader(stream).chunks())
        assert stream.taken <= len(start) + 100


def hostile_heads(length: int) -> bytes:
    """Many sound heads, each of which claims a payload that reaches over many others."""
    header = header_bytes(LARGE)
    crc = zlib.crc32(header[:-4])
    parts = [header]
    for number in range(8000):
        data = b"\x9bBSVG" + encode_varint(number) + encode_varint(number) + encode_varint(length)
        data += b"\x01\x00"
        parts.append(data + zlib.crc32(data, crc).to_bytes(4, "little"))
    return b"".join(parts) + bytes(length)


@pytest.mark.parametrize("length", [1, 100, 10_000, 1_000_000, 1_000_000_000])
def test_many_heads_with_wrong_lengths_do_not_take_for_ever(length: int) -> None:
    data = hostile_heads(min(length, 2_000_000))
    data = data if length < 10**7 else data[:200_000]
    start = time.process_time()
    partial(data)
    _ = VideoFileReader(data, allow_partial=True).index
    assert time.process_time() - start < 5
