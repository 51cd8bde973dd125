"""What the first bytes of a stream tell."""

import io

import pytest
from PIL import Image

from bsqcodec.media.video.video_files import begins_video

from ..clips import make_clip

HEAD = 189


def clip_of(container: str, codec: str) -> bytes:
    return make_clip(container, codec, width=64, height=48, pts=range(30))


@pytest.mark.parametrize(
    ("container", "codec"),
    [
        ("matroska", "libx264"),
        ("webm", "libvpx-vp9"),
        ("mp4", "libx264"),
        ("mov", "mpeg4"),
        ("avi", "mpeg4"),
        ("yuv4mpegpipe", "wrapped_avframe"),
        ("mpegts", "libx264"),
        ("flv", "libx264"),
        ("asf", "msmpeg4"),
        ("ivf", "libvpx"),
        ("nut", "ffv1"),
        ("mpeg", "mpeg2video"),
        ("mpeg2video", "mpeg2video"),
        ("h264", "libx264"),
        ("hevc", "libx265"),
    ],
)
def test_videos(container: str, codec: str) -> None:
    assert begins_video(clip_of(container, codec)[:HEAD])


@pytest.mark.parametrize(
    "name",
    ["PNG", "JPEG", "WEBP", "AVIF", "GIF", "BMP", "TIFF", "PPM", "TGA", "ICO", "JPEG2000", "PSD"],
)
def test_pictures(name: str) -> None:
    file = io.BytesIO()
    if name == "PSD":
        file.write(b"8BPS\0\1" + bytes(200))
    else:
        Image.radial_gradient("L").convert("RGB").resize((40, 32)).save(file, name)
    assert not begins_video(file.getvalue()[:HEAD])


@pytest.mark.parametrize("head", [b"", b"G", b"text that nobody drew", bytes(HEAD), b"RIFF"])
def test_neither(head: bytes) -> None:
    assert not begins_video(head)


@pytest.mark.parametrize("brand", [b"avif", b"avis", b"mif1", b"heic", b"hevc"])
def test_pictures_in_iso_files(brand: bytes) -> None:
    assert not begins_video(b"\0\0\0\x20ftyp" + brand + bytes(20))
