"""ICC profile, EXIF and XMP of a picture: taken out, checked, and orientation settled."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from PIL import ExifTags, Image, TiffImagePlugin

from bsqcodec.media.image.exif import orientation_of, turned_exif
from bsqcodec.media.image.orientation import oriented
from bsqcodec.media.image.picture import EXIF_PREFIX, Picture
from bsqcodec.media.image.xmp import turned_xmp

_NO_EXIF: Final = Image.Exif().tobytes().removeprefix(EXIF_PREFIX)
_LEAST_RESOLUTION: Final = 1
"""Pillow's word, as dots an inch, for a file that names none."""
_MAX_RESOLUTION: Final = 10**7
_STEP_OF_PNG: Final = 0.0254
"""Dots an inch in one dot a metre, the unit of PNG and BMP."""

_PHOTOGRAPH_TAGS: Final = (
    ExifTags.Base.ImageDescription,
    ExifTags.Base.Make,
    ExifTags.Base.Model,
    ExifTags.Base.XResolution,
    ExifTags.Base.YResolution,
    ExifTags.Base.ResolutionUnit,
    ExifTags.Base.Software,
    ExifTags.Base.DateTime,
    ExifTags.Base.Artist,
    ExifTags.Base.Copyright,
)
_PHOTOGRAPH_FOLDERS: Final = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)


@dataclass
class Metadata:
    """What a picture carries beside its samples; see Picture for the fields' forms."""

    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None


def read_metadata(
    image: Image.Image, notes: list[str], hidden_icc: bytes | None = None
) -> Metadata:
    """Return the metadata of a loaded Pillow image; damaged parts are dropped with a note.

    hidden_icc: a profile of the file that Pillow does not see.
    """
    info = image.info
    icc = _as_bytes(info.get("icc_profile")) or hidden_icc
    if icc is not None and icc_colour_space(icc) is None:
        notes.append("the colour profile is damaged and was dropped")
        icc = None
    exif = _read_exif(image)
    if exif is not None and exif[:4] not in (b"II*\x00", b"MM\x00*"):
        notes.append("the EXIF data is damaged and was dropped")
        exif = None
    return Metadata(icc, exif, _as_bytes(info.get("xmp")))


def icc_colour_space(icc: bytes) -> str | None:
    """Return the signature of a profile's colour space ("RGB", "GRAY", "CMYK"), None if damaged."""
    if len(icc) < 128 or icc[36:40] != b"acsp":
        return None
    return icc[16:20].decode("latin-1").strip()


def turn_upright(picture: Picture) -> None:
    """Apply the EXIF orientation to `picture`, in place: samples,
    and what metadata says of them."""
    if picture.exif is None:
        return
    orientation = orientation_of(picture.exif)
    if orientation == 1:
        return
    size = picture.width, picture.height
    picture.pixels = oriented(picture.pixels, orientation)
    if picture.alpha is not None:
        picture.alpha = oriented(picture.alpha, orientation)
    turn_metadata(picture, orientation, size)


def turn_metadata(picture: Picture, orientation: int, size: tuple[int, int]) -> None:
    """Change EXIF and XMP for samples that have been turned from an orientation 1..8, in place.

    size: width and height before that. The EXIF data may name another orientation, as in JPEG XL,
    where it counts for nothing.
    """
    if picture.exif is not None and (orientation, orientation_of(picture.exif)) != (1, 1):
        picture.exif = turned_exif(picture.exif, orientation, size)
    if picture.xmp is not None and orientation != 1:
        picture.xmp = turned_xmp(picture.xmp, orientation)


def stored_resolution(image: Image.Image) -> tuple[Fraction, Fraction] | None:
    """Return the pixels an inch across and down that the file itself names, beside EXIF, or None.

    A TIFF names them by tags that are taken for its EXIF data.
    """
    if image.format in ("JPEG", "MPO"):
        units = {1: Fraction(1), 2: Fraction(254, 100)}
        unit = units.get(image.info.get("jfif_unit", 0))
        values = image.info.get("jfif_density") if unit is not None else None
        factor = unit or Fraction(1)
    else:
        values, factor = image.info.get("dpi"), Fraction(1)
        if isinstance(image, TiffImagePlugin.TiffImageFile):
            return None
    try:
        across, down = (_as_resolution(value) * factor for value in values or ())
    except (TypeError, ValueError, OverflowError, ZeroDivisionError):
        return None
    is_one = _LEAST_RESOLUTION < min(across, down) and max(across, down) < _MAX_RESOLUTION
    return (across, down) if is_one else None


def pixel_aspect(image: Image.Image) -> tuple[int, int] | None:
    """Return the width and height of a pixel where a file names others than equal ones."""
    info = image.info
    shape = info.get("aspect") if image.format == "PNG" else None
    if image.format in ("JPEG", "MPO") and info.get("jfif_unit") == 0:
        shape = info.get("jfif_density")
    if image.format == "HEIF":
        shape = info.get("pixel_aspect_ratio")
    if not isinstance(shape, tuple) or len(shape) != 2 or min(shape) < 1 or shape[0] == shape[1]:
        return None
    # pixels a unit of length, so the more there are across, the narrower they are
    return (shape[0], shape[1]) if image.format == "HEIF" else (shape[1], shape[0])


def _as_resolution(value: Any) -> Fraction:
    """A resolution; whole where the file's own unit is too coarse to tell it from that."""
    number = float(value)
    whole = round(number)
    if abs(number - whole) < _STEP_OF_PNG / 2:
        return Fraction(whole)
    return Fraction(number).limit_denominator(10_000)


def photograph_exif(source: Image.Exif) -> bytes:
    """Return the tags that describe the photograph, not the layout of a TIFF file, as bytes.

    The result is EXIF as in `Picture`. Raises ValueError where the tags are damaged.
    """
    kept = Image.Exif()
    try:
        for tag in _PHOTOGRAPH_TAGS:
            if tag in source:
                kept[tag] = source[tag]
        for folder in _PHOTOGRAPH_FOLDERS:
            if tags := dict(source.get_ifd(folder)):
                # the tag's value is the offset of a directory, in the file that it came from
                if tags.pop(ExifTags.IFD.Interop, None) is not None:
                    index = dict(source.get_ifd(ExifTags.IFD.Interop))
                    if index:
                        tags[ExifTags.IFD.Interop] = index
                kept.get_ifd(folder).update(tags)
        return kept.tobytes().removeprefix(EXIF_PREFIX)
    except (TypeError, LookupError, OverflowError, struct.error, SyntaxError) as error:
        raise ValueError(f"damaged EXIF tags: {error}") from error


def _read_exif(image: Image.Image) -> bytes | None:
    """The EXIF data as a TIFF structure, unchecked; b"" for one that cannot be read at all."""
    exif = _as_bytes(image.info.get("exif"))
    if exif is not None:
        return exif.removeprefix(EXIF_PREFIX)
    profile = image.info.get("Raw profile type exif")  # as ImageMagick writes it into PNG
    if isinstance(profile, str):
        try:
            return bytes.fromhex("".join(profile.split("\n")[3:])).removeprefix(EXIF_PREFIX)
        except ValueError:
            return b""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        try:
            exif = photograph_exif(image.getexif())
        except ValueError:
            return b""
        return exif if len(exif) > len(_NO_EXIF) else None
    return None


def _as_bytes(value: object) -> bytes | None:
    """The value as bytes where it holds any: Pillow gives bytes, text or a tuple of one of them."""
    if isinstance(value, tuple) and len(value) == 1:
        value = value[0]
    if isinstance(value, str):
        value = value.encode()
    return value if isinstance(value, bytes) and value else None
