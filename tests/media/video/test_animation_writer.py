"""Animated GIF, animated WebP and WebM of a video: frames, times and what is said of the rest."""

import io
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from bsqcodec.errors import OutputError
from bsqcodec.media.video.animation_writer import with_last_duration
from bsqcodec.media.video.video_files import (
    OutputOptions,
    VideoColour,
    VideoFormat,
    VideoFrame,
    container_of,
    create_video,
)

from ..clips import Read, frames_of, write_video

FORMAT = VideoFormat(64, 48, Fraction(1, 1000), Fraction(10), VideoColour("bt601"))
ANIMATED = pytest.mark.parametrize("container", ["gif", "webp"])


def animation(
    container: str,
    frames: list[VideoFrame],
    format: VideoFormat = FORMAT,
    notes: list[str] | None = None,
    side: bytes = b"",
    **options: Any,
) -> bytes:
    file = io.BytesIO()
    chosen = OutputOptions(container=container, **options)
    with create_video(file, format, chosen, io.BytesIO(side)) as writer:
        for frame in frames:
            writer.write(frame)
    if notes is not None:
        notes += writer.notes
    return file.getvalue()


def played(data: bytes) -> tuple[list[np.ndarray], list[int], int | None]:
    """RGB of the frames, how long each is shown in ms,
    and how often all are played (0: for ever)."""
    with Image.open(io.BytesIO(data)) as image:
        frames, durations = [], []
        for index in range(getattr(image, "n_frames", 1)):
            image.seek(index)
            image.load()
            durations.append(int(image.info["duration"]))
            frames.append(np.asarray(image.convert("RGB")))
        return frames, durations, image.info.get("loop")


@ANIMATED
def test_frames_and_times(container: str) -> None:
    times = [0, 100, 300, 350, 1000]
    frames = frames_of(64, 48, times)
    shown, durations, loop = played(animation(container, frames))
    assert durations == [100, 200, 50, 650, 100]
    assert loop == 0
    assert len(shown) == len(frames)
    for got, frame in zip(shown, frames, strict=True):
        error = np.abs(got.astype(int) - frame.pixels).mean()
        assert error < (8 if container == "gif" else 3)


@ANIMATED
def test_a_first_frame_later_than_0_comes_at_0(container: str) -> None:
    _, durations, _ = played(animation(container, frames_of(64, 48, [5000, 5100, 5200])))
    assert durations == [100, 100, 100]


def test_webp_gives_samples_back_without_loss() -> None:
    frames = frames_of(64, 48, [0, 100, 200])
    shown, _, _ = played(animation("webp", frames, lossless=True))
    for got, frame in zip(shown, frames, strict=True):
        np.testing.assert_array_equal(got, frame.pixels)


@pytest.mark.parametrize("rate", [24, 50, 60, 240])
def test_gif_shows_50_frames_a_second_at_most(rate: int) -> None:
    format = replace(FORMAT, time_base=Fraction(1, rate), frame_rate=Fraction(rate))
    notes: list[str] = []
    count = rate
    shown, durations, _ = played(animation("gif", frames_of(64, 48, range(count)), format, notes))
    assert min(durations) >= 20
    assert abs(sum(durations) - 1000) <= 20
    # frames that look alike become one, so the count of those shown says little
    assert len(shown) <= min(rate, 50) + 1
    if rate <= 50:
        assert notes == []
    else:
        (note,) = notes
        assert note.startswith("gif shows 50 frames a second at most: ")


@ANIMATED
def test_one_frame(container: str) -> None:
    data = animation(container, frames_of(64, 48, [7]))
    with Image.open(io.BytesIO(data)) as image:
        assert image.size == (64, 48)


@ANIMATED
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (65, 47)])
def test_odd_sizes(container: str, size: tuple[int, int]) -> None:
    format = replace(FORMAT, width=size[0], height=size[1])
    frames, _, _ = played(animation(container, frames_of(*size, [0, 100]), format))
    assert frames[0].shape == (size[1], size[0], 3)


@ANIMATED
def test_what_the_formats_do_not_hold_is_said(container: str) -> None:
    notes: list[str] = []
    hdr = replace(FORMAT, colour=VideoColour("bt2020nc", False, 9, 16))
    animation(container, frames_of(64, 48, [0, 100]), hdr, notes, side=b"a side stream")
    assert notes == [
        f"{container} holds no sound, subtitles or chapters",
        f"{container} cannot name HDR (PQ): colours will look dull",
    ]


@ANIMATED
def test_files_are_whole_or_fail(container: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{container}"
    assert container_of(path) == container
    with create_video(path, FORMAT) as writer:
        for frame in frames_of(64, 48, [0, 100]):
            writer.write(frame)
        with pytest.raises(ValueError, match="is not after"):
            writer.write(frames_of(64, 48, [100])[0])
        with pytest.raises(ValueError, match="the frame is 32 x 48"):
            writer.write(frames_of(32, 48, [300])[0])
    assert len(played(path.read_bytes())[0]) == 2
    with pytest.raises(OutputError, match="no frames were written"):
        create_video(io.BytesIO(), FORMAT, OutputOptions(container=container)).close()


def test_too_large_a_webp() -> None:
    with pytest.raises(OutputError, match="webp cannot hold 16384 x 1 pixels: its limit is 16383"):
        create_video(
            io.BytesIO(), replace(FORMAT, width=16384, height=1), OutputOptions(container="webp")
        )


def test_the_same_video_gives_the_same_bytes() -> None:
    for container in ("gif", "webp"):
        frames = frames_of(64, 48, [0, 100, 200])
        assert animation(container, frames) == animation(container, frames)


def test_a_duration_of_what_is_no_animation_changes_nothing() -> None:
    assert with_last_duration(b"RIFF\0\0\0\0WEBPVP8 \4\0\0\0abcd", 5) == (
        b"RIFF\0\0\0\0WEBPVP8 \4\0\0\0abcd"
    )


@pytest.mark.parametrize("lossless", [False, True])
def test_webm(lossless: bool) -> None:
    notes: list[str] = []
    frames = frames_of(64, 48, [0, 100, 300, 350])
    data = write_video(FORMAT, frames, "webm", notes=notes, lossless=lossless)
    with av.open(io.BytesIO(data), "r") as container:
        assert container.streams.video[0].codec_context.name in ("vp9", "libvpx-vp9")
    assert b"webm" in data[:64]
    read = Read(data)
    assert read.seconds == [Fraction(time, 1000) for time in (0, 100, 300, 350)]
    assert notes == []
    for got, frame in zip(read.frames, frames, strict=True):
        if lossless:
            np.testing.assert_array_equal(got.pixels, frame.pixels)
        else:
            assert np.abs(got.pixels.astype(int) - frame.pixels).mean() < 6


@ANIMATED
def test_a_pipe_gets_the_same_bytes(container: str) -> None:
    frames = frames_of(64, 48, [0, 100, 200])
    assert write_video(FORMAT, frames, container, pipe=True) == animation(container, frames)


@ANIMATED
def test_the_last_frame_is_shown_as_long_as_it_says(container: str) -> None:
    frames = frames_of(64, 48, [0, 100, 200, 300])
    object.__setattr__(frames[-1], "duration", 3000)
    _, durations, _ = played(animation(container, frames))
    assert durations == [100, 100, 100, 3000]
