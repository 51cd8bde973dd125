"""Subsampled chroma lies where the codecs have it, on the way in and on the way out."""

import io
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest

from bsqcodec.media.video.video_colour import FromRgb, ToRgb
from bsqcodec.media.video.video_files import RawVideo, VideoColour, VideoFormat, VideoFrame

from ..clips import Read, scene, write_video

WIDTH, HEIGHT = 32, 16
BLUE_PER_COLUMN = 7
CB_PER_BLUE = 0.5 * 224 / 255


def ramp() -> Any:
    """A picture whose blue rises from left to right, uint8 [H, W, 3]."""
    blue = np.broadcast_to(16 + BLUE_PER_COLUMN * np.arange(WIDTH), (HEIGHT, WIDTH))
    return np.stack([np.full_like(blue, 128), np.full_like(blue, 128), blue], -1).astype(np.uint8)


@pytest.mark.parametrize(("siting", "offset"), [("left", 0), ("center", 0.5)])
def test_chroma_is_taken_from_where_it_lies(siting: str, offset: float) -> None:
    frame = FromRgb("yuv420p", VideoColour("bt601"), (WIDTH, HEIGHT), siting)(ramp())
    plane = frame.planes[1]
    found = np.frombuffer(bytes(plane), np.uint8).reshape(-1, plane.line_size)[4, 3:-3]
    found = found[: WIDTH // 2 - 6]
    columns = 2 * np.arange(3, WIDTH // 2 - 3) + offset
    blue = 16 + BLUE_PER_COLUMN * columns
    expected = 128 + (blue - (0.886 * 128 + 0.114 * blue)) / 1.772 * 224 / 255
    assert np.abs(found - expected).max() < 0.7 < 0.5 * BLUE_PER_COLUMN * CB_PER_BLUE


@pytest.mark.parametrize("siting", ["left", "center"])
def test_chroma_is_put_to_where_it_lies(siting: str) -> None:
    slope = 6
    chroma = np.broadcast_to(96 + slope * np.arange(WIDTH // 2), (HEIGHT // 2, WIDTH // 2))
    planes = [
        np.full((HEIGHT, WIDTH), 128),
        chroma,
        np.full((HEIGHT // 2, WIDTH // 2), 128),
    ]
    samples = b"".join(plane.astype(np.uint8).tobytes() for plane in planes)
    if siting == "left":
        read = Read(samples, raw=RawVideo(WIDTH, HEIGHT))
    else:
        head = f"YUV4MPEG2 W{WIDTH} H{HEIGHT} F25:1 Ip A1:1 C420jpeg\nFRAME\n"
        read = Read(head.encode() + samples)
    blue = read.frames[0].pixels[8, :, 2].astype(float)
    columns = np.arange(6, WIDTH - 6)
    cb = 96 + slope * (columns - (0.5 if siting == "center" else 0)) / 2
    expected = (128 - 16) * 255 / 219 + 1.772 * 255 / 224 * (cb - 128)
    half_a_column = 1.772 * 255 / 224 * slope / 4
    assert np.abs(blue[6:-6] - expected).max() < 1.5 < half_a_column


@pytest.mark.parametrize("container", ["mp4", "mkv", "mov", "y4m"])
def test_chroma_does_not_wander(container: str) -> None:
    format = VideoFormat(WIDTH, HEIGHT, Fraction(1, 25), Fraction(25), VideoColour("bt601"))
    pixels = ramp()
    options: dict[str, Any] = {} if container == "y4m" else {"crf": 1}
    for _ in range(3):
        frames = [VideoFrame(pixels, 0)]
        pixels = Read(write_video(format, frames, container, **options)).frames[0].pixels
    shift = (pixels.astype(int) - ramp())[:, 6:-6, 2].mean()
    assert abs(shift) < 1 < 3 * BLUE_PER_COLUMN / 2


def test_the_output_names_its_tags() -> None:
    colour = VideoColour("bt709", True, 9, 16)
    format = VideoFormat(WIDTH, HEIGHT, Fraction(1, 25), Fraction(25), colour)
    for container in ("mp4", "mkv"):
        output = write_video(format, [VideoFrame(ramp(), 0)], container)
        with av.open(io.BytesIO(output), "r") as opened:
            context: Any = opened.streams.video[0].codec_context
            tags = [context.colorspace, context.color_range]
            tags += [context.color_primaries, context.color_trc]
        assert tags == [1, 2, 9, 16]


@pytest.mark.parametrize("matrix", ["bt709", "bt601", "bt2020nc"])
@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("pix_fmt", ["yuv444p", "yuv420p", "yuv422p10le"])
def test_no_tint(matrix: str, full_range: bool, pix_fmt: str) -> None:
    """Rounding is even: there and back no colour grows at the cost of others."""
    colour = VideoColour(matrix, full_range)
    pixels = scene(64, 48) // 2 + 60  # nothing that is clipped
    there = FromRgb(pix_fmt, colour, (64, 48))(pixels)
    back = ToRgb(colour, colour, 1)(there)
    assert np.abs(back.mean((0, 1)) - pixels.mean((0, 1))).max() < 0.2
    assert np.abs(back.astype(int) - pixels).mean() < 3
