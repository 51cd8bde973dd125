"""Videos whose timestamps repeat or go back: every frame comes out, at times that grow."""

from __future__ import annotations

import io
import itertools
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import pytest

from bsqcodec.errors import OutputError
from bsqcodec.format.video_file_reader import VideoFileReader
from bsqcodec.format.video_file_writer import VideoFileWriter
from bsqcodec.format.video_gop import Gop
from bsqcodec.media.video.video_files import OutputOptions, VideoFrame
from bsqcodec.options import DecodeOptions
from bsqcodec.video.codec import VideoCodec
from bsqcodec.video.decode_file import decode_video_file
from bsqcodec.video.describe_video import describe_video, format_video_lines

from .scenes import ListReader, clip, coded

CASES = Path(__file__).parents[1] / "cases"
FRAMES, GOP = 8, 3
KINDS = {
    "equal": (0,) * 8,
    "back": (0, -1, -2, -3, -4, -5, -6, -7),
    "over again": (5, 6, 7, 8, 5, 6, 7, 8),
    "over again at a group": (5, 6, 7, 5, 6, 7, 5, 6),
    "back by a group": (30, 31, 32, 20, 21, 22, 10, 11),
    "doubled": (0, 0, 1, 1, 2, 2, 3, 3),
    "far apart": (2**62 - 1, 0, -(2**62 - 1), 5, 5, 2**62 - 1, 0, 0),
}


@pytest.fixture(scope="module")
def data(video_codec: VideoCodec) -> bytes:
    """A video of groups of 3, 3 and 2 frames."""
    return coded(video_codec, ListReader(clip(FRAMES)), gop=GOP)


@pytest.fixture(scope="module")
def whole(video_codec: VideoCodec, data: bytes) -> list[VideoFrame]:
    return list(video_codec.decode(data).frames())


def with_pts(data: bytes, pts: Sequence[int]) -> bytes:
    """The video with other times."""
    reader, sink = VideoFileReader(data), io.BytesIO()
    writer = VideoFileWriter(sink, reader.header)
    for part in reader.chunks():
        assert isinstance(part, Gop)
        first = part.first_frame
        writer.gop(Gop(first, tuple(pts[first : first + len(part.frames)]), part.frames))
    writer.close()
    return sink.getvalue()


def alike(found: list[VideoFrame], wanted: list[VideoFrame]) -> bool:
    """Whether the pixels are the same, but for the odd rounding."""
    return len(found) == len(wanted) and all(
        np.abs(a.pixels.astype(int) - b.pixels).max() <= 1
        for a, b in zip(found, wanted, strict=True)
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("partial", [False, True])
def test_all_frames_come_in_order(
    video_codec: VideoCodec, data: bytes, whole: list[VideoFrame], kind: str, partial: bool
) -> None:
    odd = with_pts(data, KINDS[kind])
    for source in (odd, io.BytesIO(odd)):
        decoded = video_codec.decode(source, partial=partial)
        frames = list(decoded.frames())
        assert alike(frames, whole)
        times = [frame.pts for frame in frames]
        assert times[0] == KINDS[kind][0]
        assert all(a < b for a, b in itertools.pairwise(times))
        assert len(decoded.notes) == 1 and not decoded.missing


def test_ordinary_times_stay_and_nothing_is_said(
    video_codec: VideoCodec, data: bytes, whole: list[VideoFrame]
) -> None:
    decoded = video_codec.decode(with_pts(data, range(-9, 7, 2)))
    assert [frame.pts for frame in decoded.frames()] == list(range(-9, 7, 2))
    assert decoded.notes == ()
    facts = describe_video(data)
    assert facts["moved_timestamps"] == 0 and "timestamps" not in format_video_lines(facts)


@pytest.mark.parametrize("kind", ["over again", "over again at a group", "back by a group"])
def test_a_part_of_a_video_whose_clock_starts_over(
    video_codec: VideoCodec, data: bytes, whole: list[VideoFrame], kind: str
) -> None:
    """Its groups cannot be found by their times, so it is read from its start."""
    odd = with_pts(data, KINDS[kind])
    everything = list(video_codec.decode(odd).frames())
    first = everything[0].pts
    for begin, end in ((2, 5), (4, 8), (6, 7)):
        part = video_codec.decode(odd, start=begin / 25, duration=(end - begin) / 25)
        frames = list(part.frames())
        wanted = [f for f in everything if begin <= f.pts - first < end]
        assert [f.pts for f in frames] == [f.pts for f in wanted] and alike(frames, wanted)


@pytest.mark.parametrize(
    ("kind", "container"),
    [
        *(("equal", name) for name in ("mkv", "mp4", "mov", "y4m", "png")),
        *(("over again", name) for name in ("mkv", "mp4", "y4m")),
        *(("back by a group", "mkv"), ("doubled", "mp4"), ("far apart", "y4m")),
    ],
)
def test_every_container_takes_them(
    video_codec: VideoCodec, data: bytes, tmp_path: Path, kind: str, container: str
) -> None:
    out = tmp_path / ("out" if container == "png" else f"out.{container}")
    source = io.BytesIO(with_pts(data, KINDS[kind]))
    stored = decode_video_file(video_codec, source, out, OutputOptions(container=container))
    assert stored.frames == FRAMES
    assert any("repeated or went back: set anew" in note for note in stored.notes)
    if container == "png":
        assert len(list(out.iterdir())) == FRAMES
        return
    if kind == "far apart":
        assert out.stat().st_size < 10**9  # y4m repeats frames, but not for ever
        return
    with av.open(str(out)) as file:
        times = [frame.time for frame in file.decode(video=0)]
    steps = [b - a for a, b in itertools.pairwise(times)]
    assert len(times) == FRAMES and min(steps) > 0.03


@pytest.mark.parametrize(
    ("pts", "message"),
    [
        (KINDS["far apart"], "no container holds a frame at 1.84e\\+17 s"),
        ((0, 1, 2, 3, 4, 5, 6, 2**62 - 1), "no container holds a frame at 1.84e\\+17 s"),
        ((-(2**62 - 1), 0, 1, 2, 3, 4, 5, 6), "no container holds a frame at 1.84e\\+17 s"),
        ((0, 1, 2, 3, 4, 5, 6, 2**33), "mp4 does not hold a frame that is shown for 3.44e\\+08 s"),
    ],
)
def test_times_that_no_container_holds(
    video_codec: VideoCodec, data: bytes, tmp_path: Path, pts: Sequence[int], message: str
) -> None:
    out = tmp_path / "out.mp4"
    with pytest.raises(OutputError, match=message):
        decode_video_file(video_codec, io.BytesIO(with_pts(data, pts)), out, OutputOptions())
    assert not out.exists()


@pytest.mark.parametrize("container", ["gif", "webp"])
def test_times_that_no_animation_holds(
    video_codec: VideoCodec, data: bytes, tmp_path: Path, container: str
) -> None:
    source = io.BytesIO(with_pts(data, (0, 1, 2, 3, 4, 5, 6, 2**40)))
    message = f"{container} does not hold a frame that is shown after 4.4e\\+10 s"
    with pytest.raises(OutputError, match=message):
        decode_video_file(video_codec, source, tmp_path / f"out.{container}", OutputOptions())


@pytest.mark.parametrize("name", ["pts_back", "pts_equal"])
def test_two_files(name: str, tmp_path: Path) -> None:
    """With the shipped weights, which they name."""
    codec = VideoCodec(device="cpu", threads=1)
    for container in ("mkv", "mp4", "y4m"):
        out = tmp_path / f"out.{container}"
        with (CASES / f"{name}.bsq").open("rb") as source:
            stored = decode_video_file(codec, source, out, OutputOptions())
        assert stored.frames == 3
        assert "2 timestamps were repeated or went back: set anew" in stored.notes
        with av.open(str(out)) as file:
            assert [f.time for f in file.decode(video=0)] == [0, 0.04, 0.08]
    facts = describe_video((CASES / f"{name}.bsq").read_bytes())
    assert facts["frames"] == 3 and facts["moved_timestamps"] == 2 and facts["problem"] is None
    assert "2 repeated or going back" in format_video_lines(facts)


def test_a_part_with_sound_of_such_a_file(video_codec: VideoCodec, data: bytes) -> None:
    source = io.BytesIO(with_pts(data, KINDS["over again"]))
    sink = io.BytesIO()
    options = OutputOptions(container="mkv")
    stored = decode_video_file(
        video_codec, source, sink, options, DecodeOptions(start=0.08, duration=0.12)
    )
    assert stored.frames == 3


def test_a_reader_with_such_times_is_coded_with_times_that_grow(video_codec: VideoCodec) -> None:
    file = io.BytesIO()
    encoded = video_codec.encode(ListReader(clip(6), [0, 1, 1, 0, 1, 2]), file, gop=2)
    assert "2 timestamps were repeated or went back: set anew" in encoded.notes
    parts = VideoFileReader(file.getvalue()).chunks()
    pts = [time for part in parts if isinstance(part, Gop) for time in part.pts]
    assert pts == [0, 1, 2, 3, 4, 5]
