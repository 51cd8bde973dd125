"""What the levels of a video take: the sum is the frames' bytes, and each share is its own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bsqcodec.errors import FormatError, WeightsError
from bsqcodec.format.video_file_reader import VideoFileReader
from bsqcodec.format.video_gop import FrameType, Gop
from bsqcodec.targets import Quality
from bsqcodec.video.codec import VideoCodec
from bsqcodec.video.describe_video import describe_video, format_video_lines

from .scenes import ListReader, clip, coded

HEADS = {"I": 4 + 1, "P": 2}
"""Bytes of a frame that are not range-coded: a group's CRC and the step;
the step and the planes."""

ROUNDING = 8
"""Bytes a frame at most that a range coder ends with, in whole words."""


@pytest.fixture(scope="module")
def data(video_codec: VideoCodec) -> bytes:
    return coded(video_codec, ListReader(clip(8)), Quality(80), gop=4)


def test_levels_add_up_to_the_frames(video_codec: VideoCodec, data: bytes) -> None:
    facts = describe_video(data, codec=video_codec)
    for kind in "IP":
        count, size = facts[f"{kind.lower()}_frames"], facts[f"{kind.lower()}_bytes"]
        found = sum(row["bytes"] for row in facts["levels"] if row["frames"] == kind)
        assert found > 0
        rest = size - HEADS[kind] * count - found
        assert -count < rest <= ROUNDING * count


def test_vectors_come_first_then_planes_from_the_highest(
    video_codec: VideoCodec, data: bytes
) -> None:
    rows = describe_video(data, codec=video_codec)["levels"]
    of_first = [row["plane"] for row in rows if row["frames"] == "I"]
    assert len(of_first) > 1 and of_first == sorted(of_first, reverse=True)
    others = [row["plane"] for row in rows if row["frames"] == "P"]
    assert others[0] is None and others[1:] == sorted(others[1:], reverse=True)
    assert [row["frames"] for row in rows] == ["I"] * len(of_first) + ["P"] * len(others)


def test_frames_that_repeat_take_no_level(video_codec: VideoCodec) -> None:
    file = coded(video_codec, ListReader(clip(1) * 3), Quality(80))
    facts = describe_video(file, codec=video_codec)
    assert facts["p_frames"] == 2
    assert {row["frames"] for row in facts["levels"]} == {"I"}


def test_without_a_codec_there_are_none(data: bytes) -> None:
    facts = describe_video(data)
    assert facts["levels"] is None
    assert "plane" not in format_video_lines(facts)


def test_lines(video_codec: VideoCodec, data: bytes) -> None:
    facts = describe_video(data, codec=video_codec)
    lines = format_video_lines(facts).splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("  I frames"))
    planes = [row for row in facts["levels"] if row["frames"] == "I"]
    for line, row in zip(lines[first + 1 :], planes, strict=False):
        assert line.split() == ["plane", str(row["plane"]), f"{row['bytes']:.0f}", "bytes"]
    named = sum(row["bytes"] for row in planes)
    rest = lines[first + len(planes) + 1].split()
    assert rest == ["rest", f"{facts['i_bytes'] - named:.0f}", "bytes"]
    assert lines[first + len(planes) + 2].startswith("  P frames")
    assert lines[first + len(planes) + 3].split()[0] == "vectors"


def test_a_group_counts_whole_or_not_at_all(video_codec: VideoCodec, data: bytes) -> None:
    file = VideoFileReader(data)
    meter = video_codec.level_meter(file.header)
    (first, second) = (part for part in file.chunks() if isinstance(part, Gop))
    meter.add(first)
    rows = meter.rows()
    damaged = bytearray(second.frames[-1])
    damaged[len(damaged) // 2] ^= 255
    with pytest.raises(FormatError):
        meter.add(Gop(second.first_frame, second.pts, (*second.frames[:-1], bytes(damaged))))
    assert meter.rows() == rows
    meter.add(second)
    assert [row["plane"] for row in meter.rows()] == [row["plane"] for row in rows]
    assert all(b["bytes"] > a["bytes"] for a, b in zip(rows, meter.rows(), strict=True))
    assert {kind for kind in second.types} == {FrameType.I, FrameType.P}


def test_weights_that_are_not_there(video_codec: VideoCodec, data: bytes) -> None:
    header = replace(VideoFileReader(data).header, video_model_id=bytes(8))
    with pytest.raises(WeightsError):
        video_codec.level_meter(header)


def test_the_rate_of_a_damaged_file_is_that_of_its_sound_frames(data: bytes) -> None:
    """A file of which half is lost does not take twice the bits a pixel."""
    whole = describe_video(data)
    index = VideoFileReader(data).index
    assert index is not None
    broken = bytearray(data)
    broken[index[1].offset + 40] ^= 1
    facts = describe_video(bytes(broken))
    assert facts["frames"] == 4 and facts["damage"]
    pixels = facts["frames"] * facts["width"] * facts["height"]
    assert 8 * (facts["i_bytes"] + facts["p_bytes"]) / pixels < facts["bpp"] < 1.3 * whole["bpp"]
    facts = describe_video(data[:-1])
    assert facts["damage"] and facts["frames"] == whole["frames"]
    assert 0.7 * whole["bpp"] < facts["bpp"] < whole["bpp"]
