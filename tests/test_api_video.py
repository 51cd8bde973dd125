"""The functions for videos: sources and destinations of every form, their arguments, examples."""

from __future__ import annotations

import doctest
import importlib
import io
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bsqcodec
from bsqcodec import api_video
from bsqcodec.encoder.targets import Bitrate
from bsqcodec.media.video.video_files import OutputOptions

from .media.clips import Read, make_clip

pytestmark = pytest.mark.usefixtures("tiny_video_weights")

FORM: dict[str, Any] = {"width": 32, "height": 32, "pts": range(4)}


@pytest.fixture(autouse=True)
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty current folder, and no codec left from another test."""
    monkeypatch.chdir(tmp_path)
    api_video._codec.cache_clear()
    yield
    api_video._codec.cache_clear()


def test_the_examples_in_the_docstring() -> None:
    result = doctest.testmod(importlib.import_module("bsqcodec.api_video"))
    assert result.attempted >= 4
    assert result.failed == 0


def test_sources_and_destinations_of_every_form() -> None:
    Path("clip.mkv").write_bytes(make_clip(**FORM))
    file = io.BytesIO()
    coded = bsqcodec.encode_video("clip.mkv", file, quality=40)
    assert (coded.frames, coded.width, coded.height, coded.size) == (
        4,
        32,
        32,
        len(file.getvalue()),
    )
    bsqcodec.encode_video(Path("clip.mkv"), Path("path.bsq"), quality=40)
    bsqcodec.encode_video(io.BytesIO(make_clip(**FORM)), "stream.bsq", quality=40)
    assert Path("path.bsq").read_bytes() == Path("stream.bsq").read_bytes() == file.getvalue()
    wanted = np.stack(list(bsqcodec.video_frames(file.getvalue())))
    assert wanted.shape == (4, 32, 32, 3)
    lossless = OutputOptions(container="mkv", lossless=True)
    for source in (file.getvalue(), io.BytesIO(file.getvalue()), "path.bsq", Path("path.bsq")):
        sink = io.BytesIO()
        stored = bsqcodec.decode_video(source, sink, options=lossless)
        assert (stored.frames, stored.format.width) == (4, 32)
        found = np.stack([frame.pixels for frame in Read(sink.getvalue()).frames])
        assert np.abs(found.astype(int) - wanted).max() <= 1
    bsqcodec.decode_video("path.bsq", "frames", options=OutputOptions(container="png"))
    assert len(list(Path("frames").iterdir())) == 4


def test_efforts() -> None:
    files = {effort: io.BytesIO() for effort in range(3)}
    for effort, file in files.items():
        bsqcodec.encode_video(io.BytesIO(make_clip(**FORM)), file, effort=effort)
    assert files[0].getvalue() == files[1].getvalue() != files[2].getvalue()
    bsqcodec.encode_video(io.BytesIO(make_clip(**FORM)), "clip.bsq", effort=2)
    assert Path("clip.bsq").read_bytes() == files[2].getvalue()
    tuned = bsqcodec.encode_video(
        io.BytesIO(make_clip(**FORM)), "tuned.bsq", effort=2, tune="psnr", verify=True
    )
    assert Path("tuned.bsq").read_bytes() not in [file.getvalue() for file in files.values()]
    assert tuned.frames == 4
    with pytest.raises(ValueError, match="'vmaf' is not one of psnr, ms-ssim"):
        bsqcodec.encode_video(
            io.BytesIO(make_clip(**FORM)),
            io.BytesIO(),
            tune="vmaf",  # type: ignore[arg-type]
        )
    with pytest.raises(ValueError, match="effort 3 is not one of 0 to 2"):
        bsqcodec.encode_video(io.BytesIO(make_clip(**FORM)), io.BytesIO(), effort=3)


def test_files_are_overwritten_only_when_asked() -> None:
    clip = io.BytesIO(make_clip(**FORM))
    bsqcodec.encode_video(clip, "clip.bsq")
    clip.seek(0)
    with pytest.raises(bsqcodec.OutputExistsError):
        bsqcodec.encode_video(clip, "clip.bsq")
    clip.seek(0)
    bsqcodec.encode_video(clip, "clip.bsq", overwrite=True)
    bsqcodec.decode_video("clip.bsq", "clip.mp4")
    with pytest.raises(bsqcodec.OutputExistsError):
        bsqcodec.decode_video("clip.bsq", "clip.mp4")
    bsqcodec.decode_video("clip.bsq", "clip.mp4", overwrite=True)


def test_frames_of_a_part_come_as_they_are_asked_for() -> None:
    bsqcodec.encode_video(io.BytesIO(make_clip(**FORM)), "clip.bsq", gop=2)
    assert len(list(bsqcodec.video_frames("clip.bsq", start=0.04, duration=0.08))) == 2
    frames = bsqcodec.video_frames("clip.bsq")
    assert next(frames).shape == (32, 32, 3)
    assert isinstance(frames, Generator)
    frames.close()


def test_errors() -> None:
    with pytest.raises(ValueError, match="only one of"):
        bsqcodec.encode_video("clip.mkv", "clip.bsq", quality=5, bitrate="5k")
    with pytest.raises(bsqcodec.MediaError):
        bsqcodec.encode_video(io.BytesIO(b"no video at all" * 9), "clip.bsq")
    assert not Path("clip.bsq").exists()
    bsqcodec.encode_video(io.BytesIO(make_clip(**FORM)), "clip.bsq")
    with pytest.raises(bsqcodec.SeekError, match="no frames in the part"):
        bsqcodec.decode_video("clip.bsq", "clip.mkv", start=60)
    with pytest.raises(bsqcodec.OutputError, match="name the container"):
        bsqcodec.decode_video("clip.bsq", "clip.xyz")
    with pytest.raises(bsqcodec.FormatError):
        bsqcodec.decode_video(b"no .bsq file", "clip.mkv")
    assert not Path("clip.mkv").exists()


def test_describe_tells_pictures_from_videos() -> None:
    bsqcodec.encode_video(io.BytesIO(make_clip(**FORM)), "clip.bsq", gop=2)
    facts = bsqcodec.describe("clip.bsq")
    assert (facts["format_version"], facts["frames"], facts["gops"]) == (2, 4, 2)
    assert facts == bsqcodec.describe(Path("clip.bsq").read_bytes())
    picture = bsqcodec.describe(bsqcodec.encode(np.zeros((8, 8, 3), np.uint8)))
    assert picture["format_version"] == 1
    bsqcodec.api._codec.cache_clear()


@pytest.mark.parametrize(
    ("text", "bits"), [("500000", 5e5), ("500k", 5e5), ("1.5M", 1.5e6), ("2Mbit/s", 2e6)]
)
def test_bitrates_in_words(text: str, bits: float) -> None:
    assert bsqcodec.api.choose_target(bitrate=text) == Bitrate(bits)


@pytest.mark.parametrize("text", ["", "fast", "-5k", "5 k k", "1Ki"])
def test_what_is_no_bitrate(text: str) -> None:
    with pytest.raises(ValueError, match="is not a bitrate"):
        bsqcodec.api.choose_target(bitrate=text)
