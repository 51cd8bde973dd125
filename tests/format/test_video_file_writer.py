"""The video container: golden bytes, the page on it, round trips, sizes, what may be written."""

import io
import re
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bsqcodec.errors import (
    FormatError,
    LimitError,
    TruncatedError,
)
from bsqcodec.format import video_file_writer
from bsqcodec.format.video_chunks import MAX_GOP_FRAMES, MAX_PTS
from bsqcodec.format.video_file_reader import SideBytes, VideoFileReader
from bsqcodec.format.video_file_writer import VideoFileWriter
from bsqcodec.format.video_gop import FrameType, Gop
from bsqcodec.format.video_header import ColourCodes, VideoHeader
from bsqcodec.format.video_tail import VideoTotals

from .video_files import (
    GOLDEN,
    HEADER,
    METADATA,
    PARTS,
    OnlyRead,
    OnlyWrite,
    gop_at,
    gops_of,
    header_bytes,
    partial,
    random_parts,
    strict,
    written,
)

PAGE = Path(__file__).parents[2] / "docs" / "BITSTREAM_VIDEO.md"
ONE = Gop(0, (0,), (b"one",))


def documented_reader() -> Any:
    """The function `read_bsq_video` that docs/BITSTREAM_VIDEO.md gives."""
    (block,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(block, str(PAGE), "exec"), names)  # noqa: S102 - our own page
    return names["read_bsq_video"]


READER = documented_reader()


def check_documented_reader(data: bytes) -> None:
    """The reader of the page must find in a video what the package does."""
    reader = VideoFileReader(data)
    parts = list(reader.chunks())
    fields, metadata, frames, side, duration = READER(data)
    h = reader.header
    rate = h.frame_rate or Fraction(0)
    ratios = (h.time_base, rate, h.sample_aspect_ratio)
    numbers = [number for ratio in ratios for number in ratio.as_integer_ratio()]
    c = h.colour
    codes = (int(c.full_range), c.matrix, c.primaries, c.transfer)
    ids = (h.image_model_id, h.video_model_id)
    assert fields == (*ids, *codes, h.width, h.height, *numbers)
    assert metadata == reader.metadata
    assert frames == [
        frame
        for gop in gops_of(parts)
        for frame in zip(gop.pts, gop.types, gop.frames, strict=True)
    ]
    assert side == b"".join(part.data for part in parts if isinstance(part, SideBytes))
    assert reader.totals == VideoTotals(len(frames), duration)


# Golden bytes and the page ------------------------------------------------------------------------


def test_golden_file_is_written() -> None:
    assert written(PARTS, HEADER, METADATA) == GOLDEN


def test_golden_file_is_read() -> None:
    reader = VideoFileReader(GOLDEN)
    assert reader.header == HEADER
    assert reader.totals is None
    assert tuple(reader.chunks()) == PARTS
    assert reader.metadata == METADATA
    assert reader.totals == VideoTotals(6, 10010)
    assert all(isinstance(kind, FrameType) for gop in gops_of(PARTS) for kind in gop.types)


def test_documented_example_is_the_golden_file() -> None:
    (block,) = re.findall(r"```hex\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert bytes.fromhex(re.sub(r"#.*", "", block)) == GOLDEN


def test_documented_reader_agrees() -> None:
    check_documented_reader(GOLDEN)
    check_documented_reader(written([]))
    for seed in range(30):
        data = written(random_parts(seed, seed), metadata={"a": "", "ä": "b" * seed})
        check_documented_reader(data)


def test_documented_reader_sees_every_flip() -> None:
    for position in range(len(GOLDEN)):
        with pytest.raises(ValueError, match=r"cut|damaged|not a"):
            READER(GOLDEN[:position] + bytes([GOLDEN[position] ^ 1]) + GOLDEN[position + 1 :])


# Round trips --------------------------------------------------------------------------------------

AWKWARD: dict[str, list[Gop | SideBytes]] = {
    "no-gop": [],
    "side-only": [SideBytes(b"x")],
    "one-frame": [ONE],
    "empty-frames": [Gop(0, (0, 1, 2), (b"", b"", b""))],
    "negative-pts": [Gop(0, (-90000, -1, 5), (b"a", b"b", b"c"))],
    "huge-pts": [Gop(0, (-MAX_PTS, MAX_PTS, -MAX_PTS), (b"a", b"b", b"c"))],
    "same-pts": [Gop(0, (7, 7, 7), (b"a", b"b", b"c")), Gop(3, (7,), (b"d",))],
    "backward-pts": [Gop(0, (9, 8, 3), (b"a", b"b", b"c")), Gop(3, (-5,), (b"d",))],
    "variable-rate": [Gop(0, (0, 33, 66, 100, 133, 5000), (b"",) * 6)],
    "all-i": [Gop(0, (0, 1), (b"a", b"b"), (FrameType.I, FrameType.I))],
    "longest": [Gop(0, tuple(range(MAX_GOP_FRAMES)), (b"x",) * MAX_GOP_FRAMES)],
    "thousand": [Gop(2 * i, (40 * i, 40 * i + 20), (b"i" * 9, b"p")) for i in range(1000)],
    "large-frame": [Gop(0, (0, 1), (bytes(range(256)) * 3000, b"p"))],
}


@pytest.mark.parametrize("parts", AWKWARD.values(), ids=AWKWARD)
def test_round_trip(parts: list[Gop | SideBytes]) -> None:
    data = written(parts)
    assert strict(data) == parts
    assert partial(data) == parts
    assert list(VideoFileReader(OnlyRead(data)).chunks()) == parts
    index = VideoFileReader(data).index
    assert index is not None
    assert [(e.first_frame, e.frames, e.first_pts) for e in index] == [
        (gop.first_frame, len(gop.frames), gop.pts[0]) for gop in gops_of(parts)
    ]


@given(st.integers(0, 10**6), st.integers(0, 12))
def test_round_trip_of_random_videos(seed: int, gops: int) -> None:
    parts = random_parts(seed, gops)
    assert strict(written(parts)) == parts


positive = st.builds(Fraction, st.integers(1, 2**31 - 1), st.integers(1, 2**31 - 1))
codes = st.integers(0, 255)


@given(
    st.builds(
        VideoHeader,
        image_model_id=st.binary(min_size=8, max_size=8),
        video_model_id=st.binary(min_size=8, max_size=8),
        width=st.integers(1, 15000),
        height=st.integers(1, 15000),
        time_base=positive,
        frame_rate=st.none() | positive,
        sample_aspect_ratio=positive,
        colour=st.builds(ColourCodes, codes, st.booleans(), codes, codes),
    ),
    st.dictionaries(st.text(min_size=1), st.text()),
)
def test_round_trip_of_headers_and_metadata(header: VideoHeader, metadata: dict[str, str]) -> None:
    data = written([ONE], header, metadata)
    reader = VideoFileReader(data)
    assert reader.header == header
    assert reader.metadata == metadata
    assert list(reader.metadata) == list(metadata)
    assert list(reader.chunks()) == [ONE]


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 9000), (2**31 - 1, 2**31 - 1)])
def test_extreme_sizes(width: int, height: int) -> None:
    header = replace(HEADER, width=width, height=height)
    reader = VideoFileReader(written([ONE], header), max_pixels=width * height)
    assert reader.header == header
    assert list(reader.chunks()) == [ONE]


@pytest.mark.parametrize("most", [1, 2, 3, 7])
def test_streams_with_short_reads_and_writes(most: int) -> None:
    sink = OnlyWrite(most)
    writer = VideoFileWriter(sink, HEADER, METADATA)
    for part in PARTS:
        writer.gop(part) if isinstance(part, Gop) else writer.side(part.data)
    writer.close()
    assert sink.data == GOLDEN
    assert writer.bytes_written == len(GOLDEN)
    assert tuple(VideoFileReader(OnlyRead(GOLDEN, most)).chunks()) == PARTS


def test_a_pipe_is_read_no_further_than_needed() -> None:
    stream = OnlyRead(GOLDEN)
    reader = VideoFileReader(stream)
    assert stream.taken == 48
    assert reader.metadata == METADATA
    assert stream.taken == 75
    parts = reader.chunks()
    assert next(parts) == PARTS[0]
    assert stream.taken == 110


def test_metadata_is_read_when_it_is_asked_for_late_or_missing() -> None:
    reader = VideoFileReader(GOLDEN)
    assert next(reader.chunks()) == PARTS[0]
    assert reader.metadata == METADATA
    plain = VideoFileReader(OnlyRead(written(PARTS)))
    assert plain.metadata == {}
    assert tuple(plain.chunks()) == PARTS
    assert VideoFileReader(written([], metadata={})).metadata == {}


def test_long_side_bytes_are_split() -> None:
    data = bytes(range(256)) * 10000
    parts = strict(written([SideBytes(data), SideBytes(b"")]))
    pieces = [part.data for part in parts if isinstance(part, SideBytes)]
    assert b"".join(pieces) == data
    assert [len(piece) for piece in pieces] == [2**20, 2**20, 2560000 - 2**21]


def test_video_is_read_from_where_the_stream_stands() -> None:
    stream = io.BytesIO(b"before" + GOLDEN)
    stream.seek(6)
    reader = VideoFileReader(stream)
    assert tuple(reader.chunks()) == PARTS
    assert gop_at(reader, 1) == PARTS[2]


def test_non_blocking_streams() -> None:
    class Idle:
        def read(self, size: int, /) -> None:
            return None

        def write(self, data: bytes, /) -> None:
            return None

    with pytest.raises(BlockingIOError):
        VideoFileReader(Idle())
    with pytest.raises(BlockingIOError):
        VideoFileWriter(Idle(), HEADER)


# Sizes --------------------------------------------------------------------------------------------


def test_overhead() -> None:
    base = len(written([]))
    assert len(header_bytes()) == 48
    assert base - 48 < 55
    one = Gop(0, tuple(1001 * i for i in range(32)), (bytes(2000),) * 32)
    gops = [replace(one, first_frame=32 * k, pts=tuple(p + k for p in one.pts)) for k in range(50)]
    overhead = len(written(gops)) - base - 50 * 32 * 2000
    assert overhead <= 50 * (24 + 7 + 3 * 32)


# What may be written ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"image_model_id": bytes(7)},
        {"video_model_id": bytes(9)},
        {"width": 0},
        {"height": 2**31},
        {"time_base": Fraction(0)},
        {"time_base": Fraction(-1, 25)},
        {"time_base": Fraction(1, 2**31)},
        {"frame_rate": Fraction(2**31)},
        {"frame_rate": Fraction(0)},
        {"sample_aspect_ratio": Fraction(0)},
    ],
)
def test_header_fields_are_range_checked(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"id|width|height|time_base|frame_rate|aspect"):
        replace(HEADER, **change)


@pytest.mark.parametrize("change", [{"matrix": 256}, {"primaries": -1}, {"transfer": 256}])
def test_colour_codes_are_range_checked(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"outside 0\.\.255"):
        ColourCodes(**change)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ((0, (), ()), "0 frames"),
        ((0, tuple(range(1025)), (b"",) * 1025), "1025 frames"),
        ((0, (0, 1), (b"",)), "2 pts"),
        ((0, (0, 1), (b"", b""), (FrameType.I,)), "1 types"),
        ((0, (0,), (b"",), (FrameType.P,)), "another frame than I"),
        ((-1, (0,), (b"",)), "frame number -1"),
        ((2**31 - 1, (0,), (b"",)), "frame number 2147483647"),
        ((0, (2**62,), (b"",)), "pts"),
        ((0, (-(2**62),), (b"",)), "pts"),
    ],
)
def test_gop_fields_are_range_checked(fields: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Gop(*fields)


def test_what_the_writer_refuses_leaves_the_file_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    small = replace(HEADER, width=16, height=16)
    sink = io.BytesIO()
    writer = VideoFileWriter(sink, small)
    writer.gop(ONE)
    with pytest.raises(FormatError, match="begins with frame 0, not 1"):
        writer.gop(ONE)
    most = small.max_gop_bytes(1)
    assert most == 65536 + 64 + 2048
    with pytest.raises(LimitError, match=f"over the limit of {most}"):
        writer.gop(Gop(1, (1,), (bytes(most),)))
    with pytest.raises(ValueError, match="outside"):
        writer.close(duration=-1)
    with monkeypatch.context() as patch:
        patch.setattr(video_file_writer, "MAX_INDEX_BYTES", 64)
        with pytest.raises(LimitError, match="too many GOPs"):
            writer.gop(Gop(1, (1,), (b"",)))
    writer.close()
    uses: list[Callable[[], object]] = [
        writer.close,
        lambda: writer.gop(ONE),
        lambda: writer.side(b"x"),
    ]
    for use in uses:
        with pytest.raises(ValueError, match="closed"):
            use()
    assert strict(sink.getvalue()) == [ONE]


def test_metadata_that_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        VideoFileWriter(io.BytesIO(), HEADER, {"": "x"})
    with pytest.raises(ValueError, match="surrogates"):
        VideoFileWriter(io.BytesIO(), HEADER, {"a": "\ud800"})
    with pytest.raises(LimitError, match="metadata takes"):
        VideoFileWriter(io.BytesIO(), HEADER, {"a": "x" * 2**20})


def test_a_file_that_was_not_closed_is_a_cut_one() -> None:
    sink = io.BytesIO()
    writer = VideoFileWriter(sink, HEADER)
    writer.gop(ONE)
    with pytest.raises(TruncatedError):
        strict(sink.getvalue())
    writer.close()
    assert strict(sink.getvalue()) == [ONE]
    with pytest.raises(ValueError, match="closed"):
        writer.close()


@pytest.mark.parametrize(
    ("pts", "rate", "given_duration", "duration"),
    [
        ((), Fraction(25), None, 0),
        ((5,), Fraction(25), None, 40),
        ((5,), None, None, 0),
        ((-10, 0, 10), None, None, 30),
        ((0, 33, 100), Fraction(30), None, 167),
        ((0, 40), Fraction(25), 1000, 1000),
        ((7, 7), None, None, 0),
        ((-MAX_PTS, MAX_PTS), None, None, 2**63 - 1),
    ],
)
def test_duration(
    pts: tuple[int, ...], rate: Fraction | None, given_duration: int | None, duration: int
) -> None:
    header = replace(HEADER, time_base=Fraction(1, 1000), frame_rate=rate)
    gops = [Gop(0, pts, (b"",) * len(pts))] if pts else []
    reader = VideoFileReader(written(gops, header, duration=given_duration))
    assert list(reader.chunks()) == gops
    assert reader.totals == VideoTotals(len(pts), duration)
