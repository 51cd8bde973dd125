"""Going to any GOP of a video: through its index, or without one where its end is missing."""

import io
import zlib
from itertools import pairwise
from pathlib import Path

import pytest

from bsqcodec.errors import (
    BsqError,
    ChecksumError,
    FormatError,
    LimitError,
    SeekError,
    TruncatedError,
    UnsupportedVersionError,
)
from bsqcodec.format.video_file_reader import SideBytes, VideoFileReader
from bsqcodec.format.video_gop import Gop
from bsqcodec.format.video_index import GopEntry
from bsqcodec.format.video_tail import VideoTotals, pack_end, pack_trailer
from bsqcodec.format.video_walk import DamagedGop

from .video_files import (
    GOLDEN,
    METADATA,
    PARTS,
    OnlyRead,
    chunk,
    chunk_places,
    gop_at,
    gops_of,
    header_bytes,
    random_parts,
    written,
)

LONG = random_parts(3, 40)
FILE = written(LONG, metadata=METADATA)
GOPS = gops_of(LONG)


def test_index_of_the_golden_file() -> None:
    reader = VideoFileReader(GOLDEN)
    assert reader.index is not None
    assert reader.index[:] == (GopEntry(75, 0, 4, -1001), GopEntry(130, 4, 2, 3003))
    assert reader.totals == VideoTotals(6, 10010)
    assert gop_at(reader, 1) == PARTS[2]
    assert gop_at(reader, 0) == PARTS[0]


def test_every_gop_can_be_read_alone() -> None:
    reader = VideoFileReader(io.BytesIO(FILE))
    for number in (*range(len(GOPS)), *reversed(range(len(GOPS)))):
        assert gop_at(reader, number) == GOPS[number]


def test_reading_goes_on_from_a_gop_to_the_end() -> None:
    reader = VideoFileReader(FILE)
    for number in (30, 0, 39):
        reader.seek_gop(number)
        place = LONG.index(GOPS[number])
        assert list(reader.chunks()) == LONG[place:]
        assert list(reader.chunks()) == []
    assert reader.metadata == METADATA


def test_index_does_not_move_the_place(tmp_path: Path) -> None:
    path = tmp_path / "a.bsq"
    path.write_bytes(FILE)
    with path.open("rb") as file:
        reader = VideoFileReader(file)
        parts = reader.chunks()
        seen = [next(parts) for _ in range(5)]
        assert reader.index is not None
        assert len(reader.index) == 40
        assert [*seen, *parts] == LONG


def test_metadata_after_a_seek() -> None:
    reader = VideoFileReader(FILE)
    reader.seek_gop(7)
    parts = reader.chunks()
    assert next(parts) == GOPS[7]
    assert reader.metadata == METADATA
    assert gops_of(parts) == GOPS[8:]
    without = VideoFileReader(written(LONG))
    without.seek_gop(7)
    assert without.metadata == {}


def test_damaged_metadata_after_a_seek() -> None:
    place = FILE.index(b"Tern")
    data = FILE[:place] + b"?" + FILE[place + 1 :]
    reader = VideoFileReader(data)
    assert gop_at(reader, 7) == GOPS[7]
    with pytest.raises(ChecksumError, match="metadata chunk is damaged"):
        _ = reader.metadata
    assert next(reader.chunks()) == LONG[LONG.index(GOPS[7]) + 1]
    reader = VideoFileReader(data, allow_partial=True)
    assert gop_at(reader, 7) == GOPS[7]
    assert reader.metadata == {}


def test_gop_of_pts() -> None:
    gops = [Gop(0, (-10, 0), (b"", b"")), Gop(2, (40,), (b"",)), Gop(3, (70, 80, 90), (b"",) * 3)]
    index = VideoFileReader(written(gops)).index
    assert index is not None
    assert [index.gop_of_pts(pts) for pts in (-99, -10, 39, 40, 69, 70, 10**9)] == [
        *(0, 0, 0, 1, 1, 2, 2)
    ]


def test_what_cannot_be_sought() -> None:
    reader = VideoFileReader(OnlyRead(FILE))
    assert reader.index is None
    with pytest.raises(SeekError, match="cannot seek"):
        reader.seek_gop(0)
    assert list(reader.chunks()) == LONG
    reader = VideoFileReader(FILE)
    for number in (-1, 40):
        with pytest.raises(SeekError, match=f"GOP {number} is not in the file, which has 40"):
            reader.seek_gop(number)
    empty = VideoFileReader(written([]))
    assert empty.index is not None
    assert len(empty.index) == 0
    with pytest.raises(SeekError, match="no frames"):
        empty.index.gop_of_pts(0)


def test_cut_file_has_an_index_of_what_is_there() -> None:
    places = chunk_places(FILE)
    whole = VideoFileReader(FILE).index
    assert whole is not None
    for cut in (places[0], *places[20:23], places[30] + 5, places[-3], places[-1], len(FILE) - 1):
        data = FILE[:cut]
        strict_reader = VideoFileReader(data)
        with pytest.raises((TruncatedError, FormatError)):
            _ = strict_reader.index
        reader = VideoFileReader(data, allow_partial=True)
        index = reader.index
        assert index is not None
        assert index[:] == tuple(entry for entry in whole if entry.offset + 15 <= cut)[: len(index)]
        sound = [i for i, entry in enumerate(index) if places_after(places, entry.offset) <= cut]
        assert [gop_at(reader, i) for i in sound] == GOPS[: len(sound)]
        assert len(index) - len(sound) in (0, 1)


def places_after(places: list[int], offset: int) -> int:
    """Where the chunk after the one at `offset` begins."""
    return places[places.index(offset) + 1]


@pytest.mark.parametrize("change", ["flip", "shorter", "longer"])
def test_scan_gets_over_damage_anywhere(change: str) -> None:
    """Of each chunk in turn; the end of the file is missing too."""
    places = chunk_places(FILE)
    for start, end in pairwise(places[1:41]):
        middle = (start + end) // 2
        if change == "flip":
            damage = bytes([FILE[middle] ^ 255]) + FILE[middle + 1 : places[-3]]
        elif change == "shorter":
            damage = FILE[middle + 1 : places[-3]]
        else:
            damage = bytes(20) + FILE[middle : places[-3]]
        reader = VideoFileReader(FILE[:middle] + damage, allow_partial=True)
        index = reader.index
        assert index is not None
        found = [gop_at(reader, i) for i in range(len(index))]
        expected = [gop for gop in GOPS if gop not in found]
        assert len(expected) <= 1
        assert [gop for gop in found if isinstance(gop, Gop)] == [
            gop for gop in GOPS if gop not in expected
        ]


def test_damaged_gop_that_is_sought() -> None:
    index = VideoFileReader(FILE).index
    assert index is not None
    for place in (index[11].offset + 2, index[11].offset + 20):
        data = FILE[:place] + bytes([FILE[place] ^ 1]) + FILE[place + 1 :]
        with pytest.raises((ChecksumError, FormatError)):
            gop_at(VideoFileReader(data), 11)
        assert gop_at(VideoFileReader(data), 12) == GOPS[12]
        reader = VideoFileReader(data, allow_partial=True)
        part = gop_at(reader, 11)
        assert isinstance(part, DamagedGop)
        assert (part.first_frame, part.frames) == (GOPS[11].first_frame, len(GOPS[11].frames))
        assert gops_of(reader.chunks()) == GOPS[12:]


def test_last_gop_is_damaged_and_sought() -> None:
    index = VideoFileReader(FILE).index
    assert index is not None
    place = index[39].offset + 20
    data = FILE[:place] + bytes([FILE[place] ^ 1]) + FILE[place + 1 :]
    part = gop_at(VideoFileReader(data, allow_partial=True), 39)
    assert isinstance(part, DamagedGop)
    assert part.frames == len(GOPS[39].frames)


def test_file_that_ends_elsewhere() -> None:
    """What follows the video in a larger file hides its index."""
    stream = io.BytesIO(b"??" + FILE + b"more")
    stream.seek(2)
    with pytest.raises(TruncatedError, match="does not end with a trailer"):
        _ = VideoFileReader(stream).index
    stream.seek(2)
    reader = VideoFileReader(stream, allow_partial=True)
    assert reader.index is not None
    assert len(reader.index) == 40
    assert gops_of(reader.chunks()) == GOPS


def tail(index_payload: bytes, gops: bytes = b"", frames: int = 0) -> bytes:
    """A file with this index and all checksums right that matter for seeking."""
    header = header_bytes()
    offset = len(header + gops)
    index = chunk(b"i", 9, frames, index_payload)
    end = chunk(b"Z", 10, frames, pack_end(0, 0))
    return header + gops + index + end + pack_trailer(offset, zlib.crc32(header[:-4]))


GOP = chunk(b"G", 0, 0, b"\x00\x01x", first_pts=5)


def test_index_with_right_checksums() -> None:
    reader = VideoFileReader(tail(b"\x30\x01\x0a", GOP, 1))
    assert gop_at(reader, 0) == Gop(0, (5,), (b"x",))


@pytest.mark.parametrize(
    ("payload", "frames", "message"),
    [
        (b"\x30", 1, "inside an integer"),
        (b"\x00\x01\x0a", 1, "GOP at byte 0"),
        (b"\x7f\x01\x0a", 1, "GOP at byte 127"),
        (b"\xff" * 9 + b"\x01\x01\x0a", 1, "which cannot be"),
        (b"\x30\x00\x0a", 0, "GOP of 0 frames"),
        (b"\x30\x81\x08\x0a", 1025, "GOP of 1025 frames"),
        (b"\x30\x01" + b"\xff" * 9 + b"\x01", 1, "from pts"),
        (b"\x30\x01\x0a", 2, "1 frames, and 2 come before"),
    ],
)
def test_index_that_breaks_rules(payload: bytes, frames: int, message: str) -> None:
    data = tail(payload, GOP, frames)
    with pytest.raises(FormatError, match=message):
        _ = VideoFileReader(data).index
    assert gop_at(VideoFileReader(data, allow_partial=True), 0) == Gop(0, (5,), (b"x",))


@pytest.mark.parametrize(
    "payload", [b"\x31\x01\x0a", b"\x30\x01\x0b", b"\x2f\x01\x0a", b"\x01\x01\x0a"]
)
def test_index_that_names_something_else(payload: bytes) -> None:
    with pytest.raises(FormatError, match="names another GOP|no chunk begins"):
        gop_at(VideoFileReader(tail(payload, GOP, 1)), 0)


def test_index_that_names_side_bytes() -> None:
    side = chunk(b"s", 0, 0, b"side")
    with pytest.raises(FormatError, match="names another GOP than the side chunk"):
        gop_at(VideoFileReader(tail(b"\x30\x01\x0a", side, 1)), 0)
    part = gop_at(VideoFileReader(tail(b"\x30\x01\x0a", side, 1), allow_partial=True), 0)
    assert isinstance(part, DamagedGop)


def test_scan_of_heads_with_right_checksums() -> None:
    later = chunk(b"G", 3, 7, b"\x00\x01y", first_pts=9)
    stale = chunk(b"G", 1, 9, b"\x00\x01z", first_pts=9)
    large = chunk(b"G", 4, 8, b"\x00\x01y", length=2**31 - 1)
    reader = VideoFileReader(
        header_bytes() + GOP + later + stale + large + b"rest", allow_partial=True
    )
    assert reader.index is not None
    assert [entry.first_frame for entry in reader.index] == [0, 7]
    newer = VideoFileReader(header_bytes() + GOP + chunk(b"Q", 1, 1), allow_partial=True)
    with pytest.raises(UnsupportedVersionError):
        _ = newer.index


def test_random_access_never_raises_anything_else() -> None:
    """Of a file injured at each of its bytes."""
    short = written(LONG[:4])
    for place in range(48, len(short)):
        data = short[:place] + bytes([short[place] ^ 0x41]) + short[place + 1 :]
        for allow_partial in (False, True):
            reader = VideoFileReader(data, allow_partial=allow_partial)
            try:
                index = reader.index
                assert index is not None
                for number in range(len(index)):
                    part = gop_at(reader, number)
                    assert not isinstance(part, SideBytes)
                    assert isinstance(part, DamagedGop) or part in GOPS
            except (FormatError, LimitError) as error:
                assert isinstance(error, BsqError)
                assert not allow_partial
