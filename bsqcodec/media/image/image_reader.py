"""Reading still pictures of every kind that Pillow opens, and writing them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeAlias

from numpy.typing import NDArray
from PIL import Image

from bsqcodec.errors import AnimationError, BsqError, LimitError, MediaError
from bsqcodec.format.image_container import DEFAULT_MAX_PIXELS
from bsqcodec.format.magic import MAGIC, is_coded
from bsqcodec.media.foreign import refuse_foreign
from bsqcodec.media.image.convert import convert_array, convert_image, raw_modes
from bsqcodec.media.image.deep import deep_samples, mend_tiles, more_tiffs
from bsqcodec.media.image.exif import with_resolution
from bsqcodec.media.image.hidden_colour import hidden_profile
from bsqcodec.media.image.image_writer import write_picture
from bsqcodec.media.image.item_facts import ItemFacts, read_item_facts
from bsqcodec.media.image.lost_parts import drop_lost_parts
from bsqcodec.media.image.metadata import (
    Metadata,
    icc_colour_space,
    pixel_aspect,
    read_metadata,
    stored_resolution,
    turn_metadata,
    turn_upright,
)
from bsqcodec.media.image.named_colour import names_of, profile_of_names
from bsqcodec.media.image.optional_formats import open_picture
from bsqcodec.media.image.optional_packages import HEIF, JXL
from bsqcodec.media.image.orientation import is_swapped
from bsqcodec.media.image.picture import Picture, to_pil
from bsqcodec.media.image.pillow_guard import check_size, pillow_guard
from bsqcodec.media.recognise import HEAD_BYTES, picture_kind

__all__ = ["Picture", "picture_from", "read_picture", "to_pil", "write_picture"]

PictureSource: TypeAlias = str | Path | BinaryIO | bytes

_ANIMATED_FORMATS: Final = ("GIF", "WEBP", "PNG", "AVIF", "FLI")
"""Formats whose further frames are later moments, not pages, layers or previews."""
_PROFILE_HIDDEN: Final = ("JPEG2000", "BMP")
_MAYBE_ANIMATED: Final = ("a GIF picture", "a WebP picture", "a PNG picture", "an AVIF picture")
"""What `picture_kind` says of files that may be animations."""
_BOXED: Final = ("AVIF", HEIF)
_JPEG2000_SIZ: Final = b"\xff\x4f\xff\x51"
_HEAD_BYTES: Final = 2**16
_UNSEEKABLE_BYTES_PER_PIXEL: Final = 8
_UNSEEKABLE_BYTES_MORE: Final = 64 * 2**20


def read_picture(
    source: PictureSource, *, max_pixels: int = DEFAULT_MAX_PIXELS, first_frame: bool = False
) -> Picture:
    """Read a still picture from a path, from bytes, or from a stream (from where it stands).

    The result is upright, 8-bit grey or RGB; `notes` says what was converted or left out.
    first_frame: take an animation's first frame; without it AnimationError is raised for one.
    Raises MediaError for what is no still picture or is damaged, LimitError for more than
    `max_pixels` pixels, OSError where the file cannot be read.
    """
    name = _name(source)
    with _opened(source, name, max_pixels) as file:
        first = file.read(len(MAGIC))
        if not first:
            raise MediaError(f"{name}: the file is empty")
        if is_coded(first):
            raise MediaError(f"{name}: a .bsq file, which is coded already; decode it first")
        file.seek(0)
        refuse_foreign(file, name)
        with (
            pillow_guard(name, max_pixels),
            more_tiffs(),
            open_picture(file, name, max_pixels) as image,
        ):
            return _picture_of(image, file, name, max_pixels, first_frame=first_frame)


def is_animation(path: Path) -> bool:
    """Return whether a file is an animation (GIF, WebP, APNG, AVIF), whatever it is called.

    A file that cannot be read is none.
    """
    try:
        with open(path, "rb") as file:
            if picture_kind(file.read(HEAD_BYTES)) not in _MAYBE_ANIMATED:
                return False
            file.seek(0)
            with pillow_guard(str(path), DEFAULT_MAX_PIXELS), Image.open(file) as image:
                return image.format in _ANIMATED_FORMATS and getattr(image, "is_animated", False)
    except (BsqError, OSError):
        return False


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
        with pillow_guard(name, max_pixels), more_tiffs():
            return _picture_of(image, _copy_of_file(image), name, max_pixels)
    notes: list[str] = []
    pixels, alpha = convert_array(image, notes)
    picture = Picture(pixels, alpha, notes=notes)
    check_size(name, (picture.width, picture.height), max_pixels)
    return picture


def _picture_of(
    image: Image.Image,
    file: BinaryIO | None,
    name: str,
    max_pixels: int,
    *,
    first_frame: bool = False,
) -> Picture:
    """The Picture of an open Pillow image; runs inside pillow_guard and more_tiffs.

    file: what the image was opened from, at its start, where that can be read once more.
    """
    check_size(name, image.size, max_pixels)
    notes: list[str] = []
    if getattr(image, "is_animated", False):
        is_animation = image.format in _ANIMATED_FORMATS
        if is_animation and not first_frame:
            raise AnimationError(f"{name}: an animation ({image.format}), no still picture")
        count = getattr(image, "n_frames", 2)
        what = "frames of an animation" if is_animation else "pictures"
        kept = "primary one" if image.format == HEIF else "first"
        notes.append(f"the file holds {count} {what}; only the {kept} is kept")
    place = file.tell() if file is not None else 0
    mend_tiles(image)
    raw = raw_modes(image)
    facts = read_item_facts(file) if file is not None and image.format in _BOXED else None
    deep = deep_samples(file, image) if file is not None else None
    if file is not None:
        file.seek(place)  # where the image, if it reads the same file, wants to go on
    image.load()
    check_size(name, image.size, max_pixels)  # of ICO and others the size is certain only now
    is_hidden = file is not None and image.format in _PROFILE_HIDDEN
    metadata = read_metadata(image, notes, hidden_profile(file) if file and is_hidden else None)
    drop_lost_parts(image, file, metadata, facts, notes)
    pixels, alpha = convert_image(image, metadata.icc, raw, notes, deep)
    _note_depth(image, file, facts, notes)
    picture = Picture(pixels, alpha, None, metadata.exif, metadata.xmp, notes)
    picture.icc = _fitting_icc(metadata, image.mode, picture.is_grey, notes)
    if image.mode not in ("CMYK", "LAB"):
        names = names_of(image, file, picture.exif, _code_points(image, facts), notes)
        picture.icc = profile_of_names(names, picture.icc, is_grey=picture.is_grey, notes=notes)
    _keep_resolution(image, picture, notes)
    if (
        "original_orientation" in image.info or image.format == JXL
    ):  # the decoder has turned the samples
        turned = image.info.get("original_orientation") or 1
        size = (picture.width, picture.height)
        turn_metadata(picture, turned, size[::-1] if is_swapped(turned) else size)
    else:
        turn_upright(picture)
    return picture


def _code_points(image: Image.Image, facts: ItemFacts | None) -> tuple[int, int] | None:
    """Primaries and transfer of ITU-T H.273 that a HEIF or AVIF names,
    by the file or its plugin."""
    if facts is not None:
        return facts.code_points[:2] if facts.code_points else None
    named = image.info.get("nclx_profile")
    if not isinstance(named, dict):
        return None
    return int(named["color_primaries"]), int(named["transfer_characteristics"])


def _note_depth(
    image: Image.Image, file: BinaryIO | None, facts: ItemFacts | None, notes: list[str]
) -> None:
    """Say that samples had more than 8 bits, of formats whose decoders keep 8 without a word."""
    bits = facts.bits if facts is not None else image.info.get("bit_depth", 8)
    if image.format == "JPEG2000" and file is not None and image.mode != "I;16":
        bits = _jpeg2000_bits(file)
    if isinstance(bits, int) and bits > 8 and not any("reduced to 8 bits" in n for n in notes):
        notes.append(f"{bits}-bit samples were reduced to 8 bits")


def _jpeg2000_bits(file: BinaryIO) -> int:
    """Bits of a sample by the SIZ marker of ISO/IEC 15444-1; 8 where it is not found."""
    file.seek(0)
    head = file.read(_HEAD_BYTES)
    at = head.find(_JPEG2000_SIZ)
    if at < 0 or at + 41 > len(head):
        return 8
    count = int.from_bytes(head[at + 40 : at + 42], "big")
    depths = head[at + 42 : at + 42 + 3 * count : 3]
    return max([8, *(1 + (depth & 0x7F) for depth in depths)])


def _keep_resolution(image: Image.Image, picture: Picture, notes: list[str]) -> None:
    """Have the EXIF data name the resolution that the file names elsewhere."""
    found = stored_resolution(image)
    if found is not None:
        picture.exif = with_resolution(picture.exif, *found)
    shape = pixel_aspect(image)
    if shape is not None:
        notes.append(
            f"its pixels are not square ({shape[0]} : {shape[1]}), which is not carried on"
        )


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


def _copy_of_file(image: Image.Image) -> BinaryIO | None:
    """What a Pillow image that is not loaded was opened from, where it can be read once more."""
    file: Any = getattr(image, "fp", None)
    if file is None or not getattr(image, "tile", None):
        return None
    try:
        place = file.tell()
        file.seek(0)
        data = file.read()
        file.seek(place)
    except (OSError, ValueError, AttributeError):
        return None
    return io.BytesIO(data)


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
