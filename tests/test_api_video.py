"""The functions for videos: sources and destinations of every form, their arguments, examples."""

from __future__ import annotations

import doctest
import importlib
import io
from collections.abc import Generator, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import bsqcodec
from bsqcodec import api_video
from bsqcodec.media.video.video_files import OutputOptions
from bsqcodec.targets import Bitrate

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


def no_weights(*_: object, **__: object) -> None:
    """Takes the place of a codec that must not be made."""
    raise AssertionError("weights were loaded")


@pytest.mark.parametrize(
    ("destination", "error", "message"),
    [
        ("clip2.mp4", bsqcodec.OutputError, r"clip2\.mp4: what is written is a \.bsq file"),
        ("clip2", bsqcodec.OutputError, "a name that ends with .bsq"),
        ("none/clip.bsq", FileNotFoundError, "there is no folder none"),
        ("new.bsq/", bsqcodec.OutputError, "names a folder"),
        ("folder.bsq", bsqcodec.OutputExistsError, "a folder, not a file"),
        ("taken.bsq", bsqcodec.OutputExistsError, "exists already"),
        (50, TypeError, "the destination is a path or a stream to write to, not 50"),
        (b"clip.bsq", TypeError, "the destination is a path or a stream"),
    ],
)
def test_what_no_video_is_coded_to(
    destination: object, error: type, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused before weights are loaded, and nothing is written."""
    Path("clip.mkv").write_bytes(make_clip(**FORM))
    Path("taken.bsq").write_text("mine")
    Path("folder.bsq").mkdir()
    before = sorted(Path().rglob("*"))
    monkeypatch.setattr("bsqcodec.video.codec.VideoCodec", no_weights)
    with pytest.raises(error, match=message):
        bsqcodec.encode_video("clip.mkv", destination)  # type: ignore[arg-type]
    assert sorted(Path().rglob("*")) == before


def test_a_source_is_never_overwritten(monkeypatch: pytest.MonkeyPatch) -> None:
    clip = make_clip(**FORM)
    Path("clip.bsq").write_bytes(clip)
    Path("link.bsq").symlink_to("clip.bsq")
    monkeypatch.setattr("bsqcodec.video.codec.VideoCodec", no_weights)
    for name in ("clip.bsq", "./clip.bsq", "link.bsq"):
        with pytest.raises(bsqcodec.OutputError, match="overwritten by its own output"):
            bsqcodec.encode_video("clip.bsq", name, overwrite=True)
        with pytest.raises(bsqcodec.OutputError, match="overwritten by its own output"):
            options = OutputOptions(container="mkv")
            bsqcodec.decode_video("clip.bsq", Path(name), options=options, overwrite=True)
    assert Path("clip.bsq").read_bytes() == clip


@pytest.mark.parametrize(
    ("destination", "options", "error", "message"),
    [
        ("x.png", {}, bsqcodec.OutputError, "a video gives many pictures"),
        ("x.png", {"container": "png"}, bsqcodec.OutputError, "such as x%05d.png"),
        ("x.xyz", {}, bsqcodec.OutputError, "name the container"),
        ("x.mp4", {"container": "mkv"}, bsqcodec.OutputError, "the name is not one of mkv"),
        ("x.avi", {"container": "mkv"}, bsqcodec.OutputError, "the name is not one of mkv"),
        ("x.mkv", {"container": "ogg"}, bsqcodec.OutputError, "ogg is not among"),
        ("none/x.mkv", {}, FileNotFoundError, "there is no folder none"),
        ("new.mkv/", {}, bsqcodec.OutputError, "names a folder"),
        ("taken.mkv", {}, bsqcodec.OutputExistsError, "exists already"),
        ("x.mp4", {"codec": "huffyuv"}, bsqcodec.OutputError, "mp4 cannot hold huffyuv"),
        ("x.y4m", {"lossless": True}, bsqcodec.OutputError, "y4m holds plain samples"),
        (None, {"container": "mkv"}, TypeError, "a path or a stream to write to, not None"),
    ],
)
def test_what_no_video_is_decoded_to(
    destination: object,
    options: dict[str, object],
    error: type,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path("taken.mkv").write_text("mine")
    before = sorted(Path().rglob("*"))
    monkeypatch.setattr("bsqcodec.video.codec.VideoCodec", no_weights)
    with pytest.raises(error, match=message):
        bsqcodec.decode_video(
            b"whatever",
            destination,  # type: ignore[arg-type]
            options=OutputOptions(**options),  # type: ignore[arg-type]
        )
    assert sorted(Path().rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"quality": "high"}, TypeError, "a quality is a number, not 'high'"),
        ({"bitrate": b"5k"}, TypeError, "a bitrate is a number, not b'5k'"),
        ({"size": "352x288"}, ValueError, "'352x288' is not a size such as 20000, 20k or 1.5M"),
        ({"frame_rate": "fast"}, TypeError, "a frame rate is a number such as 25"),
        ({"frame_rate": 0}, ValueError, "a frame rate of 0 is not above 0"),
        ({"source": None}, TypeError, "a file is given as a path, bytes or a stream, not as None"),
        ({"source": "text.mkv"}, bsqcodec.MediaError, "text.mkv: not a video of any known kind"),
        ({"source": "none.mkv"}, FileNotFoundError, "none.mkv"),
    ],
)
def test_wrong_arguments_of_an_encoder(
    arguments: dict[str, object],
    error: type,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They are found before weights are loaded."""
    Path("clip.mkv").write_bytes(make_clip(**FORM))
    Path("text.mkv").write_text("no video at all" * 9)
    monkeypatch.setattr("bsqcodec.video.codec.VideoCodec", no_weights)
    with pytest.raises(error, match=message):
        bsqcodec.encode_video(
            **{"source": "clip.mkv", "destination": "clip.bsq"} | arguments  # type: ignore[arg-type]
        )
    assert not Path("clip.bsq").exists()


@pytest.mark.parametrize("rate", [30000 / 1001, Fraction(30000, 1001)])
def test_a_frame_rate_may_be_any_number(rate: float | Fraction) -> None:
    for number in range(2):
        Image.new("RGB", (16, 16)).save(f"{number}.png")
    bsqcodec.encode_video("%d.png", "clip.bsq", frame_rate=rate)
    assert bsqcodec.describe("clip.bsq")["frame_rate"] == "30000/1001"


def test_times_that_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bsqcodec.video.codec.VideoCodec", no_weights)
    for name in ("start", "duration"):
        with pytest.raises(TypeError, match=f"{name} is a number of seconds, not '1:30'"):
            bsqcodec.decode_video(b"whatever", "x.mkv", **{name: "1:30"})  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=f"the {name} of -1 seconds is not a time"):
            bsqcodec.decode_video(b"whatever", "x.mkv", **{name: -1})  # type: ignore[arg-type]


def test_the_other_function_is_named() -> None:
    """Which is for pictures, or for videos."""
    clip = make_clip(**FORM)
    Path("clip.mkv").write_bytes(clip)
    with pytest.raises(bsqcodec.MediaError, match=r"clip\.mkv: .*; encode_video codes videos"):
        bsqcodec.encode("clip.mkv")
    bsqcodec.encode_video("clip.mkv", "clip.bsq")
    with pytest.raises(bsqcodec.UnsupportedVersionError, match=r"bsqcodec\.decode_video decodes"):
        bsqcodec.decode("clip.bsq")
    Path("photo.bsq").write_bytes(bsqcodec.encode(np.zeros((8, 8, 3), np.uint8)))
    with pytest.raises(bsqcodec.UnsupportedVersionError, match=r"\(bsqcodec\.decode decodes it"):
        bsqcodec.decode_video("photo.bsq", "photo.mkv")
    bsqcodec.api._codec.cache_clear()


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
