"""What files are by their first bytes, and what bare samples are not taken for."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bsqcodec.media.recognise import HEAD_BYTES, kind_of, picture_kind, video_kind

from .clips import make_clip

CASES = Path(__file__).parents[1] / "cases"


@pytest.mark.parametrize(
    ("format", "kind"),
    [
        ("PNG", "a PNG picture"),
        ("JPEG", "a JPEG picture"),
        ("GIF", "a GIF picture"),
        ("WEBP", "a WebP picture"),
        ("AVIF", "an AVIF picture"),
        ("TIFF", "a TIFF picture"),
        ("BMP", "a BMP picture"),
        ("PPM", "a PNM picture"),
        ("JPEG2000", "a JPEG 2000 picture"),
        ("DDS", "a DDS picture"),
        ("QOI", "a QOI picture"),
    ],
)
def test_pictures(format: str, kind: str) -> None:
    file = io.BytesIO()
    Image.new("RGB", (40, 30), (200, 90, 3)).save(file, format)
    head = file.getvalue()[:HEAD_BYTES]
    assert picture_kind(head) == kind_of(head) == kind
    assert video_kind(head) is None


@pytest.mark.parametrize(
    ("container", "codec", "kind"),
    [
        ("matroska", "libx264", "a Matroska or WebM video"),
        ("mp4", "libx264", "a video of the MP4 family"),
        ("mov", "libx264", "a video of the MP4 family"),
        ("avi", "mpeg4", "an AVI video"),
        ("mpegts", "libx264", "an MPEG transport stream"),
        ("yuv4mpegpipe", "rawvideo", "a y4m video"),
        ("flv", "libx264", "an FLV video"),
        ("ivf", "libvpx-vp9", "an IVF video"),
        ("asf", "mpeg4", "an ASF video"),
        ("nut", "mpeg4", "a NUT video"),
        ("mpeg", "mpeg2video", "an MPEG video"),
        ("mxf", "mpeg2video", "an MXF video"),
    ],
)
def test_videos(container: str, codec: str, kind: str) -> None:
    head = make_clip(container, codec)[:HEAD_BYTES]
    assert video_kind(head) == kind_of(head) == kind
    assert picture_kind(head) is None


@pytest.mark.parametrize(
    "head",
    [b"\x1f\x8b\x08\0", b"PK\x03\x04", b"\x89BSQ\r\n\x1a\n\x02", b"%PDF-1.4", b"RIFF....WAVE"],
)
def test_other_files(head: bytes) -> None:
    assert kind_of(head) is not None
    assert picture_kind(head) is video_kind(head) is None


def test_cases_of_their_own() -> None:
    """The small files that the tests have, each by its suffix."""
    kinds = {
        ".avi": "an AVI video",
        ".avif": "an AVIF picture",
        ".bsq": "a .bsq file",
        ".gif": "a GIF picture",
        ".ivf": "an IVF video",
        ".jpg": "a JPEG picture",
        ".mkv": "a Matroska or WebM video",
        ".mp4": "a video of the MP4 family",
        ".png": "a PNG picture",
        ".tif": "a TIFF picture",
        ".ts": "an MPEG transport stream",
        ".webm": "a Matroska or WebM video",
        ".webp": "a WebP picture",
    }
    for path in CASES.iterdir():
        assert kind_of(path.read_bytes()[:HEAD_BYTES]) == kinds.get(path.suffix), path


@pytest.mark.parametrize("value", range(256))
def test_flat_samples_are_nothing_else(value: int) -> None:
    assert kind_of(bytes([value]) * HEAD_BYTES) is None


def test_samples_are_nothing_else() -> None:
    """Noise, and slopes of every steepness from every value."""
    random = np.random.default_rng(1)
    for _ in range(2000):
        assert kind_of(random.bytes(400)) is None
    steps = np.arange(HEAD_BYTES // 8)
    for start in range(0, 256, 5):
        for step in range(-8, 9):
            samples = ((start + steps * step) % 256).astype(np.uint8)
            assert kind_of(samples.tobytes()) is None
            assert kind_of(np.repeat(samples, 3).tobytes()) is None
