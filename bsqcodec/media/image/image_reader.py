"""Reading still pictures of every kind that Pillow opens, and writing them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeAlias

from numpy.typing import NDArray
from PIL import Image

from bsqcodec.errors import LimitError, MediaError
from bsqcodec.format.image_container import DEFAULT_MAX_PIXELS
from bsqcodec.media.image.convert import convert_array, convert_image, raw_modes
from bsqcodec.media.image.image_writer import write_picture
from bsqcodec.media.image.metadata import Metadata, icc_colour_space, read_metadata, turn_upright
from bsqcodec.media.image.picture import Picture, to_pil
from bsqcodec.media.image.pillow_guard import check_size, pillow_guard

__all__ = ["Picture", "picture_from", "read_picture", "to_pil", "write_picture"]

PictureSource: TypeAlias = str | Path | BinaryIO | bytes

_ANIMATED_FORMATS: Final = ("GIF", "WEBP", "PNG", "AVIF", "FLI")
"""Formats whose further frames are later moments, not pages, layers or previews."""
_UNSEEKABLE_BYTES_PER_PIXEL: Final = 8
_UNSEEKABLE_BYTES_MORE: Final = 64 * 2**20


def read_picture(source: PictureSource, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Picture:
    """Read a still picture from a path, from bytes, or from a stream (from where it stands).

    The result is upright, 8-bit grey or RGB; `notes` says what was converted or left out.
    Raises MediaError for what is no still picture or is damaged, LimitError for more than
    `max_pixels` pixels, OSError where the file cannot be read.
    """
    name = _name(source)
    with _opened(source, name, max_pixels) as file:
        if not file.read(1):
            raise MediaError(f"{name}: the file is empty")
        file.seek(0)
        with pillow_guard(name, max_pixels), Image.open(file) as image:
            return _picture_of(image, name, max_pixels)


def picture_from(
    image: Image.Image | NDArray[Any] | Picture, *, max_pixels: int = DEFAULT_MAX_PIXELS
) -> Picture:
    """Return a Picture of a Pillow image or of an array [H, W] or [H, W, C] (see convert_array).

    Raises MediaError or LimitError as `read_picture` does.
    """
    name = "the picture"
    if isinstance(image, Picture):
        check_size(name, (image.width, image.height), max_pixels)
        return image
    if isinstance(image, Image.Image):
        with pillow_guard(name, max_pixels):
            return _picture_of(image, name, max_pixels)
    notes: list[str] = []
    pixels, alpha = convert_array(image, notes)
    picture = Picture(pixels, alpha, notes=notes)
    check_size(name, (picture.width, picture.height), max_pixels)
    return picture


def _picture_of(image: Image.Image, name: str, max_pixels: int) -> Picture:
    """The Picture of an open Pillow image; runs inside pillow_guard."""
    check_size(name, image.size, max_pixels)
    notes: list[str] = []
    if getattr(image, "is_animated", False):
        if image.format in _ANIMATED_FORMATS:
            raise MediaError(
                f"{name}: an animation ({image.format}), no still picture; it can be coded as a video"
            )
        count = getattr(image, "n_frames", 2)
        notes.append(f"the file holds {count} pictures; only the first is kept")
    raw = raw_modes(image)
    image.load()
    check_size(name, image.size, max_pixels)  # of ICO and others the size is certain only now
    metadata = read_metadata(image, notes)
    pixels, alpha = convert_image(image, metadata.icc, raw, notes)
    picture = Picture(pixels, alpha, None, metadata.exif, metadata.xmp, notes)
    picture.icc = _fitting_icc(metadata, image.mode, picture.is_grey, notes)
    turn_upright(picture)
    return picture


def _fitting_icc(metadata: Metadata, mode: str, is_grey: bool, notes: list[str]) -> bytes | None:
    """The colour profile, unless it is not about the samples as they are now."""
    if metadata.icc is None or mode in ("CMYK", "LAB"):
        return None
    space = icc_colour_space(metadata.icc)
    if space == ("GRAY" if is_grey else "RGB"):
        return metadata.icc
    kind = "grey" if is_grey else "RGB"
    notes.append(f"the colour profile is for {space}, the picture is {kind}: it was dropped")
    return None


@contextmanager
def _opened(source: PictureSource, name: str, max_pixels: int) -> Iterator[BinaryIO]:
    """The source as a stream that can seek and begins at 0."""
    if isinstance(source, (str, Path)):
        if Path(source).is_dir():
            raise MediaError(f"{name}: a folder, not a picture")
        with open(source, "rb") as file:
            yield file if file.seekable() else _in_memory(file, name, max_pixels)
    elif isinstance(source, (bytes, bytearray, memoryview)):
        yield io.BytesIO(source)
    elif source.seekable() and source.tell() == 0:
        yield source
    else:
        yield _in_memory(source, name, max_pixels)


def _in_memory(file: BinaryIO, name: str, max_pixels: int) -> BinaryIO:
    """The rest of a stream, as long as it is no longer than any picture within the limit."""
    limit = max_pixels * _UNSEEKABLE_BYTES_PER_PIXEL + _UNSEEKABLE_BYTES_MORE
    data = io.BytesIO()
    while piece := file.read(2**20):
        data.write(piece)
        if data.tell() > limit:
            raise LimitError(f"{name}: more data than a picture of {max_pixels} pixels has")
    data.seek(0)
    return data


def _name(source: PictureSource) -> str:
    """What to call the source in messages."""
    if isinstance(source, (str, Path)):
        return str(source)
    name = getattr(source, "name", None)
    if name == "<stdin>":
        return "standard input"
    return name if isinstance(name, str) else "the picture"
