"""Videos that break a rule of BITSTREAM_VIDEO.md under right checksums,
and what is said of them."""

import zlib

import pytest

from bsqcodec.errors import (
    ChecksumError,
    FormatError,
    LimitError,
    TruncatedError,
    UnsupportedVersionError,
)
from bsqcodec.format.image_container import unpack
from bsqcodec.format.varint import encode_varint
from bsqcodec.format.video_file_reader import VideoFileReader
from bsqcodec.format.video_gop import Gop
from bsqcodec.format.video_walk import DamagedGop

from .test_image_container import GOLDEN as PICTURE
from .test_video_file_writer import ONE, check_documented_reader
from .video_files import (
    GOLDEN,
    HEADER,
    chunk,
    damage_of,
    gop_at,
    header_bytes,
    partial,
    sealed_header,
    strict,
    written,
)


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (b"", TruncatedError, "empty"),
        (GOLDEN[:5], TruncatedError, "5 bytes in all"),
        (b"hello there", FormatError, "not a .bsq file"),
        (GOLDEN.replace(b"\r\n", b"\n"), FormatError, "text mode"),
        (GOLDEN[:8], TruncatedError, "inside the header"),
        (GOLDEN[:30], TruncatedError, "inside the header"),
        (GOLDEN[:48], TruncatedError, "ends before its end chunk"),
        (GOLDEN[:50], TruncatedError, "inside the head of the chunk at byte 48"),
        (GOLDEN[:65], TruncatedError, "inside the metadata chunk: 6 of 11 bytes missing"),
        (GOLDEN[:104], TruncatedError, "inside the GOP of frames 0 to 3: 2 of 16 bytes missing"),
        (GOLDEN[:108], TruncatedError, "checksum of the GOP of frames 0 to 3: 2 of 4 bytes"),
        (GOLDEN[:-1], TruncatedError, "inside the checksum of the trailer: 1 of 4 bytes"),
        (GOLDEN + b"\0", FormatError, "more data follows"),
        (PICTURE, UnsupportedVersionError, "version 1; that is a picture, and a video has .* 2"),
        (GOLDEN[:8] + b"\x03" + GOLDEN[9:], UnsupportedVersionError, "version 3; .* version 1"),
    ],
)
def test_messages(data: bytes, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        strict(data)


def test_a_video_is_no_picture() -> None:
    with pytest.raises(UnsupportedVersionError, match="version 2; that is a video"):
        unpack(GOLDEN)


def test_max_pixels() -> None:
    assert VideoFileReader(GOLDEN, max_pixels=640 * 360).header == HEADER
    with pytest.raises(LimitError, match="640 x 360 = 230400 pixels, over the limit of 230399"):
        VideoFileReader(GOLDEN, max_pixels=640 * 360 - 1, allow_partial=True)


def bad_header(**change: bytes) -> bytes:
    """A header with a right checksum and some field replaced by other bytes."""
    fields = {
        "start": GOLDEN[:25],
        "flags": b"\0",
        "colour": b"\1\1\1",
        "width": b"\x10",
        "height": b"\x10",
        "time_base": b"\x01\x19",
        "frame_rate": b"\x19\x01",
        "aspect": b"\x01\x01",
    }
    return sealed_header(b"".join((fields | change).values()))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"flags": b"\2"}, UnsupportedVersionError, "flags 02"),
        ({"flags": b"\x81"}, UnsupportedVersionError, "flags 81"),
        ({"width": b"\0"}, FormatError, "width 0"),
        ({"height": b"\0"}, FormatError, "height 0"),
        ({"width": b"\x80\0"}, FormatError, "needless"),
        ({"height": b"\xff\xff\xff\xff\xff"}, FormatError, "longer"),
        ({"time_base": b"\0\1"}, FormatError, "time_base 0"),
        ({"time_base": b"\1\0"}, FormatError, "1/0 is not in lowest"),
        ({"time_base": b"\2\4"}, FormatError, "2/4 is not in lowest"),
        ({"frame_rate": b"\0\2"}, FormatError, "0/2 is not in lowest"),
        ({"frame_rate": b"\0\0"}, FormatError, "0/0 is not in lowest"),
        ({"aspect": b"\0\1"}, FormatError, "sample_aspect_ratio 0"),
    ],
)
def test_malformed_headers(change: dict[str, bytes], error: type[Exception], message: str) -> None:
    assert VideoFileReader(bad_header()).header.frame_rate == 25
    assert VideoFileReader(bad_header(frame_rate=b"\0\1")).header.frame_rate is None
    for allow_partial in (False, True):
        with pytest.raises(error, match=message):
            VideoFileReader(bad_header(**change), allow_partial=allow_partial)


def gop_chunk(payload: str, frames: int, first_pts: int = 0, number: int = 0) -> bytes:
    return chunk(b"G", number, 0, bytes.fromhex(payload), frames=frames, first_pts=first_pts)


BROKEN = {
    "gop-empty": (gop_chunk("", 1), "table of frames is cut"),
    "gop-without-size": (gop_chunk("00", 1), "inside an integer"),
    "gop-size-too-large": (gop_chunk("0005aabb", 1), "take 5 bytes, but 2 are there"),
    "gop-bytes-left": (gop_chunk("0001aabb", 1), "take 1 bytes, but 2 are there"),
    "gop-first-p": (gop_chunk("0100", 1), "another frame than I"),
    "gop-run-of-none": (gop_chunk("00020000", 2), "0 frames in a run"),
    "gop-run-too-long": (gop_chunk("0202000001000100", 2), "2 frames in a run where 1"),
    "gop-runs-alike": (gop_chunk("0102010200000100" + "0100", 3), "same step"),
    "gop-runs-cut": (gop_chunk("0102", 3), "inside an integer"),
    "gop-pts-over": (gop_chunk("01feffffffffffffffff010000", 2), "malformed"),
    "gop-first-pts-over": (gop_chunk("0000", 1, first_pts=2**62), "too large"),
    "gop-of-no-frames": (gop_chunk("", 0), "0 frames"),
    "gop-of-too-many": (gop_chunk("", 1025), "1025 frames"),
    "frames-over": (chunk(b"G", 0, 2**31 - 1), "chunk 0 stands"),
    "metadata-cut": (chunk(b"m", 0, 0, b"\x05a"), "5 bytes of text where 1"),
    "metadata-one-text": (chunk(b"m", 0, 0, b"\x01a"), "without a value"),
    "metadata-empty-key": (chunk(b"m", 0, 0, b"\0\0"), "empty key"),
    "metadata-twice": (chunk(b"m", 0, 0, b"\1a\0\1a\0"), "twice"),
    "metadata-no-utf8": (chunk(b"m", 0, 0, b"\1\xff\0"), "utf-8"),
    "metadata-later": (chunk(b"s", 0, 0, b"x") + chunk(b"m", 1, 0), "not the first"),
    "number-skipped": (chunk(b"s", 1, 0, b"x"), "chunk 1 stands at byte 48"),
    "frame-skipped": (chunk(b"s", 0, 1, b"x"), "chunk 0 stands .* before frame 1"),
    "not-a-letter": (chunk(b"1", 0, 0), "not the name"),
    "small-chunk-too-large": (chunk(b"q", 0, 0, length=2**20 + 1), "over the limit of 1048576"),
    "index-too-large": (chunk(b"i", 0, 0, length=2**24 + 1), "over the limit of 16777216"),
    "gop-too-large": (chunk(b"G", 0, 0, length=2**31 - 1), "over the limit of"),
    "index-of-others": (chunk(b"i", 0, 0, b"\x30\1\0"), "not that of the GOPs"),
    "after-index": (chunk(b"i", 0, 0) + chunk(b"s", 1, 0, b"x"), "after the index"),
    "end-without-index": (chunk(b"Z", 0, 0, bytes(5)), "without an index"),
    "end-of-no-bytes": (chunk(b"i", 0, 0) + chunk(b"Z", 1, 0), "inside an integer"),
    "end-too-short": (chunk(b"i", 0, 0) + chunk(b"Z", 1, 0, bytes(4)), "malformed"),
    "duration-over": (
        chunk(b"i", 0, 0) + chunk(b"Z", 1, 0, b"\xff" * 9 + b"\x01" + bytes(4)),
        "malformed",
    ),
    "wrong-digest": (chunk(b"i", 0, 0) + chunk(b"Z", 1, 0, bytes(5)), "not all .* of this file"),
}


@pytest.mark.parametrize(("chunks", "message"), BROKEN.values(), ids=BROKEN)
def test_broken_rules(chunks: bytes, message: str) -> None:
    data = header_bytes() + chunks
    with pytest.raises((FormatError, LimitError), match=message) as caught:
        strict(data)
    assert "\n" not in str(caught.value)
    last = partial(data)[-1]
    assert isinstance(last, DamagedGop)


def test_broken_gop_costs_only_itself() -> None:
    end = written([ONE])[-70:]
    good = chunk(b"G", 1, 3, b"\x00\x01x", first_pts=9)
    for text in ("", "0302000000000000", "00020000"):
        bad = chunk(b"G", 0, 0, bytes.fromhex(text), frames=3)
        parts = partial(header_bytes() + bad + good + end)
        assert parts[1] == Gop(3, (9,), (b"x",))
        assert isinstance(parts[0], DamagedGop)
        assert (parts[0].first_frame, parts[0].frames, parts[0].side_lost) == (0, 3, False)


def test_trailer_with_a_wrong_offset() -> None:
    index = chunk(b"i", 0, 0)
    digest = zlib.crc32(index[-4:])
    body = index + chunk(b"Z", 1, 0, b"\0" + digest.to_bytes(4, "little"))
    for offset, right in ((48, True), (47, False), (0, False), (2**64 - 1, False)):
        place = offset.to_bytes(8, "little")
        crc = zlib.crc32(place, zlib.crc32(header_bytes()[:-4]))
        data = header_bytes() + body + place + crc.to_bytes(4, "little")
        if right:
            assert strict(data) == []
            continue
        with pytest.raises(FormatError, match=f"names byte {offset}"):
            strict(data)
        with pytest.raises(FormatError):
            _ = VideoFileReader(data).index
        (damaged,) = partial(data)
        assert damaged == DamagedGop(0, 0, damage_of([damaged])[0].reason)


def test_unknown_lower_case_chunk_is_passed_over() -> None:
    later = chunk(b"q", 0, 0, b"of a later version")
    gop = chunk(b"G", 1, 0, b"\x00\x01x")
    index = chunk(b"i", 2, 1, encode_varint(48 + len(later)) + b"\x01\x00")
    digest = zlib.crc32(later[-4:] + gop[-4:] + index[-4:])
    end = chunk(b"Z", 3, 1, b"\x07" + digest.to_bytes(4, "little"))
    place = (48 + len(later + gop)).to_bytes(8, "little")
    crc = zlib.crc32(place, zlib.crc32(header_bytes()[:-4])).to_bytes(4, "little")
    data = header_bytes() + later + gop + index + end + place + crc
    assert strict(data) == [Gop(0, (0,), (b"x",))]
    assert gop_at(VideoFileReader(data), 0) == Gop(0, (0,), (b"x",))
    check_documented_reader(data)


@pytest.mark.parametrize("allow_partial", [False, True])
@pytest.mark.parametrize(
    ("chunks", "message"),
    [
        (chunk(b"Q", 0, 0, b"?"), "'Q' chunk"),
        (chunk(b"G", 0, 0, bytes.fromhex("010000000200"), frames=2), "frames of type 2"),
        (chunk(b"G", 0, 0, bytes.fromhex("0700")), "frames of type 7"),
    ],
)
def test_what_a_newer_decoder_needs_is_refused(
    chunks: bytes, message: str, allow_partial: bool
) -> None:
    reader = VideoFileReader(header_bytes() + chunks, allow_partial=allow_partial)
    for _ in range(2):
        with pytest.raises(UnsupportedVersionError, match=message):
            list(reader.chunks())


def test_an_error_is_raised_again() -> None:
    data = bytearray(GOLDEN)
    data[70] ^= 1
    reader = VideoFileReader(bytes(data))
    for read in (lambda: reader.metadata, lambda: list(reader.chunks())):
        with pytest.raises(ChecksumError, match="metadata chunk is damaged"):
            read()
