"""The video codec end to end with the tiny models: streams, times, parts, damage, memory."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bsqcodec.errors import (
    ChecksumError,
    CropError,
    FormatError,
    LimitError,
    TruncatedError,
    VerifyError,
)
from bsqcodec.format.video_file_reader import VideoFileReader, VideoPart
from bsqcodec.format.video_gop import Gop
from bsqcodec.media.crop import Crop
from bsqcodec.media.video.video_files import VideoFrame
from bsqcodec.targets import Quality, Size
from bsqcodec.video.codec import VideoCodec
from bsqcodec.video.decode_frames import DecodedVideo
from bsqcodec.video.encode_frames import default_gop

from .scenes import ListReader, clip, coded, moving, psnr

FRAMES, GOP = 8, 3
GROUPS = (3, 3, 2)


@pytest.fixture(scope="module")
def data(video_codec: VideoCodec) -> bytes:
    """A video of groups of 3, 3 and 2 frames, with a side stream."""
    return coded(video_codec, ListReader(clip(FRAMES), side=[b"one", b"", b"two"]), gop=GOP)


@pytest.fixture(scope="module")
def whole(video_codec: VideoCodec, data: bytes) -> list[VideoFrame]:
    return list(video_codec.decode(data).frames())


class Slow(io.RawIOBase):
    """A pipe: it does not seek, and gives and takes a few bytes at a time."""

    def __init__(self, data: bytes = b"") -> None:
        self._source = io.BytesIO(data)
        self.written = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._source.read(min(size, 777))

    def write(self, data: Any) -> int:
        self.written += bytes(data[:555])
        return min(len(data), 555)


def same(found: list[VideoFrame], wanted: list[VideoFrame]) -> bool:
    """Whether frames are the same, but for the odd rounding."""
    if [frame.pts for frame in found] != [frame.pts for frame in wanted]:
        return False
    pairs = zip(found, wanted, strict=True)
    return all(np.abs(a.pixels.astype(int) - b.pixels).max() <= 1 for a, b in pairs)


# There and back -----------------------------------------------------------------------------------


def test_what_is_known_about_a_coded_video(video_codec: VideoCodec) -> None:
    file = io.BytesIO()
    done: list[int] = []
    reader = ListReader(clip(FRAMES))
    encoded = video_codec.encode(reader, file, Quality(60), gop=GOP, progress=done.append)
    assert encoded.frames == FRAMES and encoded.groups == GROUPS
    assert done == list(range(1, FRAMES + 1))
    assert encoded.size == len(file.getvalue())
    assert encoded.bpp == 8 * encoded.size / (FRAMES * 32 * 48)
    parts = list(VideoFileReader(file.getvalue()).chunks())
    assert encoded.picture_bytes == sum(
        len(payload) for gop in parts if isinstance(gop, Gop) for payload in gop.frames
    )
    frames = [frame.pixels for frame in video_codec.decode(file.getvalue()).frames()]
    error = np.mean((np.stack(frames).astype(float) - np.stack(clip(FRAMES))) ** 2)
    assert encoded.psnr == pytest.approx(10 * math.log10(255**2 / error), abs=0.01)


def test_frames_come_back(whole: list[VideoFrame]) -> None:
    assert [frame.pts for frame in whole] == list(range(FRAMES))
    assert all(psnr(frame.pixels, moving(32, 48, i)) > 15 for i, frame in enumerate(whole))


def test_format_and_side_stream_come_back(video_codec: VideoCodec, data: bytes) -> None:
    decoded = video_codec.decode(data)
    assert decoded.format == ListReader(clip(1)).format
    side: list[bytes] = []
    decoded.on_side_bytes(side.append)
    assert len(list(decoded.frames())) == FRAMES
    assert b"".join(side) == b"onetwo"


def test_the_same_bytes_every_time_and_with_any_number_of_threads(
    video_codec: VideoCodec, data: bytes, whole: list[VideoFrame]
) -> None:
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            reader = ListReader(clip(FRAMES), side=[b"one", b"", b"two"])
            assert coded(video_codec, reader, gop=GOP) == data
            assert same(list(video_codec.decode(data).frames()), whole)
    finally:
        torch.set_num_threads(before)


def test_pipes(video_codec: VideoCodec, data: bytes, whole: list[VideoFrame]) -> None:
    sink = Slow()
    reader = ListReader(clip(FRAMES), side=[b"one", b"", b"two"])
    video_codec.encode(reader, sink, Quality(60), gop=GOP)
    assert sink.written == data
    assert same(list(video_codec.decode(Slow(data)).frames()), whole)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (33, 17)], ids=str)
def test_odd_sizes(video_codec: VideoCodec, size: tuple[int, int]) -> None:
    frames = list(video_codec.decode(coded(video_codec, ListReader(clip(3, *size)))).frames())
    assert [frame.pixels.shape for frame in frames] == [(*size, 3)] * 3


def test_one_frame(video_codec: VideoCodec) -> None:
    frames = list(video_codec.decode(coded(video_codec, ListReader(clip(1)))).frames())
    assert [frame.pts for frame in frames] == [0]


def test_no_frames(video_codec: VideoCodec) -> None:
    file = io.BytesIO()
    encoded = video_codec.encode(ListReader([], size=(8, 8)), file, Quality(50))
    assert (encoded.frames, encoded.groups) == (0, ())
    for start in (None, 0.5):
        assert list(video_codec.decode(file.getvalue(), start=start).frames()) == []


def test_uneven_times_come_back_exactly(video_codec: VideoCodec) -> None:
    pts = [-7, -6, 0, 1000, 1001, 90_000, 90_001]
    reader = ListReader(clip(7), pts, time_base=Fraction(1, 90_000), frame_rate=None)
    decoded = video_codec.decode(coded(video_codec, reader, gop=3))
    assert [frame.pts for frame in decoded.frames()] == pts
    assert decoded.format.time_base == Fraction(1, 90_000)
    assert decoded.format.frame_rate is None


def test_a_new_scene_begins_a_group(video_codec: VideoCodec) -> None:
    noise = np.random.default_rng(2).integers(0, 256, (32, 48, 3), np.uint8)
    frames = [*clip(2), noise, noise]
    encoded = video_codec.encode(ListReader(frames), io.BytesIO(), Quality(50), gop=50)
    assert encoded.groups == (2, 2)


def test_groups_last_a_second_by_default() -> None:
    form = ListReader(clip(1), frame_rate=Fraction(30000, 1001)).format
    assert default_gop(form) == 30
    assert default_gop(ListReader(clip(1), frame_rate=None).format) == 25
    assert default_gop(ListReader(clip(1), frame_rate=Fraction(1, 10)).format) == 1


def test_impossible_requests(video_codec: VideoCodec, data: bytes) -> None:
    for gop in (0, 1025):
        with pytest.raises(ValueError, match="is outside 1..1024"):
            coded(video_codec, ListReader(clip(1)), gop=gop)
    with pytest.raises(ValueError, match="length is known"):
        coded(video_codec, ListReader(clip(1)), Size(1000))
    for name in ("start", "duration"):
        for value in (-1.0, math.nan, math.inf):
            with pytest.raises(ValueError, match=f"the {name} of"):
                wrong: dict[str, Any] = {name: value}
                video_codec.decode(data, **wrong)
    with pytest.raises(LimitError, match="over the limit of 100"):
        video_codec.decode(data, max_pixels=100)


def test_long_videos_take_no_more_memory(video_weights: Path) -> None:
    """Frames die as groups are done, on both sides, of which one thread has one at a time."""
    video_codec = VideoCodec(video_weights, device="cpu", threads=1)
    reader = ListReader(clip(24, 16, 16))
    data = coded(video_codec, reader, gop=3)
    assert reader.most_alive <= 3 + 2
    alive = ListReader([], size=(1, 1))
    for frame in video_codec.decode(data).frames():
        alive._alive.add(frame)
        alive.most_alive = max(alive.most_alive, len(alive._alive))
    assert alive.most_alive <= 3


# Parts --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("piped", [False, True])
@pytest.mark.parametrize(
    ("start", "duration", "wanted"),
    [
        (None, None, range(8)),
        (0.0, None, range(8)),
        (0.04, None, range(1, 8)),
        (0.2, None, range(5, 8)),
        (0.13, 0.1, range(4, 6)),
        (None, 0.12, range(3)),
        (0.24, 10.0, range(6, 8)),
        (0.1, 0.0, range(0)),
        (9.0, None, range(0)),
    ],
)
def test_a_part(
    video_codec: VideoCodec,
    data: bytes,
    whole: list[VideoFrame],
    start: float | None,
    duration: float | None,
    wanted: range,
    piped: bool,
) -> None:
    source = Slow(data) if piped else data
    found = video_codec.decode(source, start=start, duration=duration)
    assert same(list(found.frames()), whole[wanted.start : wanted.stop])


def test_a_part_needs_only_its_groups(video_codec: VideoCodec, data: bytes) -> None:
    """Damage elsewhere is not even seen."""
    frames = list(video_codec.decode(damaged_group(data, 1), start=0.24).frames())
    assert [frame.pts for frame in frames] == [6, 7]


def test_a_crop(video_codec: VideoCodec, data: bytes, whole: list[VideoFrame]) -> None:
    decoded = video_codec.decode(data, crop=Crop(5, 2, 21, 13))
    assert (decoded.format.width, decoded.format.height) == (21, 13)
    cut = [replace(frame, pixels=frame.pixels[2:15, 5:26]) for frame in whole]
    assert same(list(decoded.frames()), cut)
    with pytest.raises(CropError, match="not inside"):
        video_codec.decode(data, crop=Crop(0, 0, 10**6, 1))


# Damage -------------------------------------------------------------------------------------------


def place_of_group(data: bytes, number: int) -> int:
    index = VideoFileReader(data).index
    assert index is not None
    return index[number].offset


def damaged_group(data: bytes, number: int) -> bytes:
    """A file with a flipped bit in the middle of a group."""
    places = [place_of_group(data, i) for i in range(len(GROUPS))] + [len(data) - 90]
    damaged = bytearray(data)
    damaged[(places[number] + places[number + 1]) // 2] ^= 4
    return bytes(damaged)


def partial(codec: VideoCodec, data: bytes) -> tuple[DecodedVideo, list[int]]:
    decoded = codec.decode(data, partial=True)
    return decoded, [frame.pts for frame in decoded.frames()]


@pytest.mark.parametrize("number", range(3))
def test_a_damaged_group_costs_only_itself(
    video_codec: VideoCodec, data: bytes, number: int
) -> None:
    damaged = damaged_group(data, number)
    with pytest.raises(ChecksumError):
        list(video_codec.decode(damaged).frames())
    decoded, found = partial(video_codec, damaged)
    first = sum(GROUPS[:number])
    lost = range(first, first + GROUPS[number])
    assert found == [i for i in range(FRAMES) if i not in lost]
    (missing,) = decoded.missing
    assert (missing.first_frame, missing.frames) == (lost.start, len(lost))


def test_a_cut_file(video_codec: VideoCodec, data: bytes) -> None:
    cut = data[: place_of_group(data, 2) + 30]
    with pytest.raises(TruncatedError):
        list(video_codec.decode(cut).frames())
    decoded, found = partial(video_codec, cut)
    assert found == list(range(6))
    assert [(lost.first_frame, lost.frames) for lost in decoded.missing] == [(6, None)]


def test_wrong_bits_under_right_checksums(
    video_codec: VideoCodec, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A group whose own CRC is wrong: an error, or with `partial` a group that is listed."""
    chunks = VideoFileReader.chunks

    def spoiled(self: VideoFileReader) -> Iterator[VideoPart]:
        for part in chunks(self):
            if isinstance(part, Gop) and part.first_frame == 3:
                first = bytes([part.frames[0][0] ^ 1]) + part.frames[0][1:]
                part = Gop(3, part.pts, (first, *part.frames[1:]))
            yield part

    monkeypatch.setattr(VideoFileReader, "chunks", spoiled)
    with pytest.raises(FormatError, match="checksum"):
        list(video_codec.decode(data).frames())
    decoded, found = partial(video_codec, data)
    assert found[:3] == [0, 1, 2] and found[-2:] == [6, 7]
    assert [(lost.first_frame, lost.frames) for lost in decoded.missing] == [(3, 3)]
    with pytest.raises(VerifyError, match="does not decode"):
        video_codec.verify(data, FRAMES)


def test_verify(video_codec: VideoCodec, data: bytes) -> None:
    video_codec.verify(data, FRAMES)
    with pytest.raises(VerifyError, match="8 frames of 9; nothing was written"):
        video_codec.verify(data, 9)
    with pytest.raises(VerifyError, match="does not decode"):
        video_codec.verify(damaged_group(data, 1), FRAMES)


def test_other_data_is_no_video(video_codec: VideoCodec, data: bytes) -> None:
    with pytest.raises(FormatError, match=r"not a \.bsq file"):
        video_codec.decode(b"something else, and long enough")
    with pytest.raises(TruncatedError):
        video_codec.decode(data[:20])
