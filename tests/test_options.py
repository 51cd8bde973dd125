"""One object for all options of encoding, one for those of decoding; what cannot be is refused."""

from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bsqcodec
from bsqcodec.cli.command_options import ENCODING_NAMES, ENCODING_OPTIONS
from bsqcodec.media.crop import Crop
from bsqcodec.options import (
    DecodeOptions,
    EncodeOptions,
    PictureDecodeKeywords,
    PictureKeywords,
    VideoDecodeKeywords,
    VideoKeywords,
)
from bsqcodec.targets import Bitrate, Quality


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"effort": 3}, "effort 3 is not one of 0 to 2"),
        ({"effort": -1}, "effort -1 is not one of"),
        ({"tune": "vmaf"}, "'vmaf' is not one of psnr, ms-ssim"),
        ({"gop": 0}, r"a group of 0 frames is outside 1\.\.1024"),
        ({"gop": 1025}, "a group of 1025 frames"),
        ({"audio": "mp3"}, "audio 'mp3' is not copy"),
    ],
)
def test_options_of_encoding_that_cannot_be(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        EncodeOptions(**options)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"levels": 0}, ValueError, "0 levels cannot be decoded"),
        ({"reduction": 3}, ValueError, "a reduction of 3 is not one of"),
        ({"start": -1.0}, ValueError, "the start of -1 seconds is not a time"),
        ({"duration": float("inf")}, ValueError, "the duration of inf seconds"),
        ({"start": "1"}, TypeError, "start is a number of seconds"),
    ],
)
def test_options_of_decoding_that_cannot_be(
    options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        DecodeOptions(**options)


def test_they_stay_as_they_were_made() -> None:
    with pytest.raises(FrozenInstanceError):
        EncodeOptions().effort = 2  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        DecodeOptions().levels = 2  # type: ignore[misc]


def test_a_part_is_not_all() -> None:
    assert DecodeOptions(levels=2, partial=True).takes_all
    assert not DecodeOptions(start=0.0).takes_all
    assert not DecodeOptions(duration=1.0).takes_all


def test_what_python_takes_by_name_are_options() -> None:
    names = {field.name for field in fields(EncodeOptions)} - {"target"}
    assert set(PictureKeywords.__annotations__) == names - {"gop", "audio"}
    assert set(VideoKeywords.__annotations__) == names - {"look", "pixel_checksum"}
    options = EncodeOptions.for_video(Quality(7), gop=3, effort=2, strip=True, max_pixels=99)
    assert options == EncodeOptions(Quality(7), gop=3, effort=2, strip=True, max_pixels=99)


def test_what_python_takes_by_name_are_options_of_decoding() -> None:
    names = {field.name for field in fields(DecodeOptions)}
    pictures, videos = (
        set(keywords.__annotations__) for keywords in (PictureDecodeKeywords, VideoDecodeKeywords)
    )
    assert pictures == names - {"start", "duration"}
    assert videos == names - {"levels", "fill", "reduction"}
    crop = Crop(1, 2, 3, 4)
    assert DecodeOptions.for_picture(levels=2, crop="1,2,3x4") == DecodeOptions(2, crop=crop)
    assert DecodeOptions.for_video(start=1, crop=(1, 2, 3, 4)) == DecodeOptions(start=1, crop=crop)
    with pytest.raises(TypeError, match="'start' is not an option of decoding a picture"):
        DecodeOptions.for_picture(start=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="'levels' is not an option of decoding a video"):
        DecodeOptions.for_video(levels=1)  # type: ignore[call-arg]


def test_the_command_line_has_every_option_of_encoding() -> None:
    names = {field.name for field in fields(EncodeOptions)} - {"target", "max_pixels"}
    assert set(ENCODING_NAMES) == names | {"quality", "bpp", "size", "psnr", "bitrate"}
    assert len(ENCODING_OPTIONS) == len(set(ENCODING_NAMES)) == len(ENCODING_NAMES)


@pytest.mark.usefixtures("tiny_weights")
def test_python_refuses_names_that_are_no_options(tmp_path: Path) -> None:
    grey = np.zeros((8, 8), np.uint8)
    with pytest.raises(TypeError, match="'gop' is not an option of encoding a picture: strip, ver"):
        bsqcodec.encode(grey, gop=3)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="'speed' is not an option of encoding a video"):
        bsqcodec.encode_video("clip.mp4", tmp_path / "clip.bsq", speed=3)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="a bitrate is of videos"):
        bsqcodec.Codec(device="cpu").encode(grey, Bitrate(1000))
