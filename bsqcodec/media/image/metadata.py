"""ICC profile, EXIF and XMP of a picture: taken out, checked, and orientation settled."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from PIL import ExifTags, Image, TiffImagePlugin

from bsqcodec.media.image.picture import EXIF_PREFIX, Picture

_ORIENTATION: Final = ExifTags.Base.Orientation
_NO_EXIF: Final = Image.Exif().tobytes().removeprefix(EXIF_PREFIX)
_ENTRY_BYTES: Final = 12
_ENTRY_VALUE: Final = {1: "B", 3: "H", 4: "I"}
"""TIFF's integer types in an IFD entry, as struct letters."""

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

_XMP_ORIENTATION: Final = re.compile(rb"(tiff:Orientation(?:\s*=\s*[\"']|>))[2-8](?=[\"'<])")


@dataclass
class Metadata:
    """What a picture carries beside its samples; see Picture for the fields' forms."""

    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None


def read_metadata(image: Image.Image, notes: list[str]) -> Metadata:
    """Return the metadata of a loaded Pillow image; damaged parts are dropped with a note."""
    info = image.info
    icc = _as_bytes(info.get("icc_profile"))
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
    """Apply the EXIF orientation to the samples of `picture` and reset the tag, in place."""
    if picture.exif is None:
        return
    orientation, exif = reset_orientation(picture.exif)
    if orientation == 1:
        return
    picture.exif = exif
    picture.pixels = oriented(picture.pixels, orientation)
    if picture.alpha is not None:
        picture.alpha = oriented(picture.alpha, orientation)
    if picture.xmp is not None:
        picture.xmp = _XMP_ORIENTATION.sub(rb"\g<1>1", picture.xmp)


def oriented(samples: np.ndarray[Any, Any], orientation: int) -> np.ndarray[Any, Any]:
    """Return samples [H, W, ...] as EXIF orientation 1..8 wants them shown; 5..8 swap the sides."""
    if orientation >= 5:
        samples = samples.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        samples = samples[::-1]
    if orientation in (2, 3, 6, 7):
        samples = samples[:, ::-1]
    return np.ascontiguousarray(samples)


def reset_orientation(exif: bytes) -> tuple[int, bytes]:
    """Return the orientation 1..8 that a TIFF structure names, and the structure with it set to 1.

    Only that one value is touched: offsets, and maker notes that hang on them, stay valid.
    Damage, or an orientation outside 1..8, counts as upright.
    """
    order = "<" if exif[:2] == b"II" else ">"
    try:
        (start,) = struct.unpack_from(order + "I", exif, 4)
        (entries,) = struct.unpack_from(order + "H", exif, start)
        for at in range(start + 2, start + 2 + entries * _ENTRY_BYTES, _ENTRY_BYTES):
            tag, kind, count = struct.unpack_from(order + "HHI", exif, at)
            if tag != _ORIENTATION or kind not in _ENTRY_VALUE or count != 1:
                continue
            letter = order + _ENTRY_VALUE[kind]
            (orientation,) = struct.unpack_from(letter, exif, at + 8)
            if not 1 <= orientation <= 8:
                break
            patched = bytearray(exif)
            struct.pack_into(letter, patched, at + 8, 1)
            return orientation, bytes(patched)
    except struct.error:
        pass
    return 1, exif


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
            if tags := source.get_ifd(folder):
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
