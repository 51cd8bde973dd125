"""Files that are no finished pictures are refused with what to do, and never coded as videos."""

import gzip
import io
import struct
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import tifffile
from PIL import Image

from bsqcodec.errors import MediaError
from bsqcodec.media.foreign import FOREIGN_SUFFIXES, foreign_kind
from bsqcodec.media.image.image_reader import read_picture
from bsqcodec.media.suffixes import PICTURE_SUFFIXES, VIDEO_SUFFIXES
from bsqcodec.media.video.video_files import is_video, open_video

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><path d="M0 0"/></svg>'
PROLOG = (
    b'<?xml version="1.0"?>\n<!-- made > here --><!DOCTYPE svg PUBLIC "-//W3C" [<!ENTITY a "b">]>\n'
)


def saved(image: Image.Image, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


PICTURE = Image.fromarray(np.random.default_rng(3).integers(0, 256, (32, 48, 3), np.uint8))
PDF = saved(PICTURE, "PDF")


def tiff(**tags: tuple[int, int, int]) -> bytes:
    """A small thumbnail as cameras put it in front of their raw data, with more tags."""
    file = io.BytesIO()
    extra = [(tag, kind, 1, value, False) for tag, kind, value in tags.values()]
    tifffile.imwrite(file, np.zeros((8, 8, 3), np.uint8), photometric="rgb", extratags=extra)
    return file.getvalue()


def sensor_data(order: Literal[">", "<"]) -> bytes:
    """A TIFF of a thumbnail whose first sub-directory holds a colour filter array,
    as NEF and ARW."""
    file = io.BytesIO()
    with tifffile.TiffWriter(file, byteorder=order) as writer:
        writer.write(np.zeros((8, 8, 3), np.uint8), photometric="rgb", subifds=1)
        writer.write(np.zeros((64, 64), np.uint16), photometric="cfa")
    return file.getvalue()


DNG_VERSION = (50706, 1, 1)
KINDS = {
    "svg": (SVG, "an SVG drawing", "rsvg-convert"),
    "svg with a prolog": (PROLOG + SVG, "an SVG drawing", "rsvg-convert"),
    "svg behind a mark": (b"\xef\xbb\xbf \n" + SVG, "an SVG drawing", "rsvg-convert"),
    "svg in UTF-16": (SVG.decode().encode("utf-16"), "an SVG drawing", "rsvg-convert"),
    "svg by a prefix": (SVG.replace(b"svg ", b"s:svg ", 1), "an SVG drawing", "rsvg-convert"),
    "svgz": (gzip.compress(PROLOG + SVG, mtime=0), "an SVG drawing", "rsvg-convert"),
    "pdf": (PDF, "a PDF document", "pdftoppm"),
    "pdf behind junk": (b"\n\njunk\n" + PDF, "a PDF document", "pdftoppm"),
    "postscript": (
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "PostScript", "gs -dSAFER"
    ),
    "dng": (tiff(v=DNG_VERSION), "the raw data of a camera", "develop it"),
    "raw in a sub-directory": (sensor_data("<"), "the raw data of a camera", "develop it"),
    "raw, big-endian": (sensor_data(">"), "the raw data of a camera", "develop it"),
    "cr2": (b"II*\0\x10\0\0\0CR\x02\0" + bytes(99), "the raw data of a camera", "develop it"),
    "cr3": (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "the raw data of a camera", "develop it"),
    "crw": (b"II\x1a\0\0\0HEAPCCDR", "the raw data of a camera", "develop it"),
    "raf": (b"FUJIFILMCCD-RAW 0201", "the raw data of a camera", "develop it"),
    "orf": (b"IIRO\x08\0\0\0" + bytes(20), "the raw data of a camera", "develop it"),
    "rw2": (b"IIU\0\x18\0\0\0" + bytes(20), "the raw data of a camera", "develop it"),
    "x3f": (b"FOVb\0\0\2\0" + bytes(20), "the raw data of a camera", "develop it"),
    "xcf": (b"gimp xcf v011\0" + bytes(20), "the working file of a paint program", "export it"),
    "exr": (b"\x76\x2f\x31\x01\x02\0\0\0" + bytes(20), "a picture of linear light", "tones"),
    "radiance": (b"#?RADIANCE\nFORMAT=32-bit", "a picture of linear light", "tones"),
    "djvu": (b"AT&TFORM\0\0\0\0DJVU", "a DjVu document", "ddjvu"),
    "emf": (struct.pack("<II32x4s", 1, 88, b" EMF"), "a Windows metafile", "inkscape"),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["a", "a.png", "a.mp4"])
def test_pictures_and_videos_say_what_to_do(kind: str, name: str, tmp_path: Path) -> None:
    data, title, advice = KINDS[kind]
    path = tmp_path / name
    path.write_bytes(data)
    for read in (read_picture, open_video):
        with pytest.raises(MediaError, match=title) as caught:
            read(path)
        assert advice in str(caught.value) and "\n" not in str(caught.value)
        assert str(caught.value).startswith(f"{path}: ")
    if name != "a.mp4":
        assert not is_video(path)


@pytest.mark.parametrize("kind", KINDS)
def test_streams_say_what_to_do(kind: str) -> None:
    data, title, _ = KINDS[kind]
    for read in (read_picture, open_video):
        with pytest.raises(MediaError, match=title):
            read(io.BytesIO(data))
        with pytest.raises(MediaError, match=title):
            read(io.BufferedReader(Pipe(data)))


class Pipe(io.RawIOBase):
    """A stream that cannot seek."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._data.readinto(buffer)


@pytest.mark.parametrize("suffix", [".nef", ".ARW", ".cr2", ".pef", ".raw"])
def test_a_small_tiff_of_a_raw_files_name(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"photo{suffix}"
    path.write_bytes(tiff())
    with pytest.raises(MediaError, match="the raw data of a camera"):
        read_picture(path)
    assert not is_video(path)


@pytest.mark.parametrize(
    "format", ["PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP", "AVIF", "JPEG2000", "ICO", "PPM", "TGA"]
)
def test_pictures_are_none_of_these(format: str, tmp_path: Path) -> None:
    data = saved(PICTURE, format)
    assert foreign_kind(data) is None
    for suffix in ("", ".pdf", ".svg"):
        path = tmp_path / f"picture{suffix}"
        path.write_bytes(data)
        assert read_picture(path).width == (32 if format == "ICO" else 48)
        assert not is_video(path)


@pytest.mark.parametrize("kind", ["AVIF", "HEIF"])
def test_pictures_that_ffmpeg_takes_for_videos_stay_pictures(kind: str, tmp_path: Path) -> None:
    import pillow_heif

    path = tmp_path / "picture"
    with open(path, "wb") as file:
        if kind == "AVIF":
            PICTURE.save(file, "AVIF")
        else:
            pillow_heif.from_pillow(PICTURE).save(file)
    assert not is_video(path)
    assert read_picture(path).width == 48


@pytest.mark.parametrize(
    "data",
    [
        b"<html><body>" + SVG,
        b"<?xml version='1.0'?><rss/>",
        b"<!--" * 1000,
        b"<!DOCTYPE [" + b"[]" * 20000,
        b"some text on %PDF files" * 100,
        b"",
        b"II*\0",
        b"II*\0\x08\0\0\0\xff\xff" + bytes(40),
        gzip.compress(b"<html>", mtime=0),
        b"\x1f\x8b" + bytes(20),
    ],
)
def test_other_data_is_none_of_these(data: bytes) -> None:
    assert foreign_kind(data) is None


def test_a_directory_that_leads_round_and_round_ends() -> None:
    loop = struct.pack("<2sHIH", b"II", 42, 8, 1) + struct.pack("<HHII", 0x014A, 4, 1, 8)
    assert foreign_kind(loop + struct.pack("<I", 8)) is None


def test_no_suffix_is_of_two_kinds() -> None:
    assert not FOREIGN_SUFFIXES & (PICTURE_SUFFIXES | VIDEO_SUFFIXES)
