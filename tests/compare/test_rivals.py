"""Other codecs: the finest setting that is small enough, and real files of each."""

from __future__ import annotations

import io
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from bsqcodec.compare.rivals import STILL_RIVALS, VIDEO_RIVALS, Fitting, StillRival, VideoRival
from bsqcodec.media.video.video_files import VideoColour, VideoFormat, VideoFrame

from ..golden_files import scene


@pytest.mark.parametrize(
    ("limit", "setting"), [(5, 3), (30, 3), (31, 3), (35, 3), (40, 4), (99, 9)]
)
@pytest.mark.parametrize("downward", [False, True])
def test_the_finest_that_fits(limit: int, setting: int, downward: bool) -> None:
    tried: list[int] = []

    def make(chosen: int) -> bytes:
        tried.append(chosen)
        return bytes(10 * (12 - chosen if downward else chosen))

    fitting = Fitting(make, len, (9, 3) if downward else (3, 9))
    found, made = fitting.below(limit)
    assert found == (12 - setting if downward else setting) and len(made) == 10 * setting
    fitting.below(limit)
    assert len(tried) == len(set(tried)) <= 4


@pytest.mark.parametrize("rival", STILL_RIVALS, ids=lambda rival: rival.name)
def test_pictures(rival: StillRival) -> None:
    if not rival.is_here:
        pytest.skip(f"{rival.label} is not installed")
    pixels = scene(64, 80)
    small, large = (rival.encode(pixels, quality) for quality in (20, 90))
    assert len(small) < len(large)
    errors = [np.abs(rival.decode(data).astype(int) - pixels).mean() for data in (small, large)]
    assert errors[1] < errors[0] < 40
    if rival.name != "jxl":
        with Image.open(io.BytesIO(small)) as image:
            assert image.format == rival.format


@pytest.mark.parametrize("rival", VIDEO_RIVALS, ids=lambda rival: rival.name)
def test_videos(rival: VideoRival) -> None:
    if not rival.is_here:
        pytest.skip(f"FFmpeg lacks {rival.encoder}")
    whole = scene(96, 140)
    frames = [VideoFrame(np.ascontiguousarray(whole[:, i : i + 128]), i) for i in range(6)]
    form = VideoFormat(128, 96, Fraction(1, 25), Fraction(25), VideoColour("bt601"))
    small, large = (rival.encode(form, frames, crf) for crf in (45, 20))
    assert 0 < small.bytes < large.bytes < len(large.data)
    decoded = list(rival.decode(large))
    assert len(decoded) == 6
    assert np.abs(decoded[3].astype(int) - frames[3].pixels).mean() < 12
