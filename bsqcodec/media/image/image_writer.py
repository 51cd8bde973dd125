"""Writing a decoded picture in the formats people ask for,
without a further loss where possible."""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

from PIL import ExifTags, Image, PngImagePlugin

from bsqcodec.errors import MediaError
from bsqcodec.media.files import open_named
from bsqcodec.media.formats import OutputFormat, output_format
from bsqcodec.media.image.convert import to_srgb
from bsqcodec.media.image.exif import is_only_resolution, resolution
from bsqcodec.media.image.icc import code_points_of
from bsqcodec.media.image.metadata import icc_colour_space, photograph_exif
from bsqcodec.media.image.optional_formats import save_heif, save_jxl
from bsqcodec.media.image.optional_packages import HEIF, JXL
from bsqcodec.media.image.picture import EXIF_PREFIX, Picture, to_pil
from bsqcodec.media.image.pillow_guard import silent_pillow

_JPEG_SEGMENT: Final = 65533
_XMP_SEGMENT_HEAD: Final = 29
_TIFF_XMP_TAG: Final = 700
_SAVERS: Final = {HEIF: save_heif, JXL: save_jxl}


def write_picture(
    picture: Picture, target: str | Path | BinaryIO, *, format: str | None = None
) -> list[str]:
    """Write a picture; return notes on what the format cannot hold, such as a long EXIF block.

    format: "png", "jpeg" and so on; without it the target's suffix decides, and PNG where there
    is none. JPEG, AVIF and HEIC are written at quality 95 with full colour, all others without
    loss. Raises MediaError where the format cannot hold the samples (transparency in JPEG, a side
    of more than 16383 pixels in WebP), is not known or needs a package that is missing, OSError
    where writing fails.
    """
    chosen = output_format(target if isinstance(target, (str, Path)) else None, format)
    notes: list[str] = []
    with silent_pillow(picture.width * picture.height):
        image = _fit(picture, chosen)
        image.info.clear()  # else Pillow writes metadata of its own choice beside the options'
        if chosen.name == JXL and picture.icc is not None:
            image = to_srgb(image, picture.icc, notes)
        metadata = _metadata_options(picture, chosen, image.mode, notes)
        options = dict(chosen.options) | metadata
        data = _saved(image, chosen, options)
    if isinstance(target, (str, Path)):
        with open_named(Path(target), target) as file:
            file.write(data)
    else:
        target.write(data)
    return notes


def _saved(image: Image.Image, chosen: OutputFormat, options: Mapping[str, Any]) -> bytes:
    """The bytes of the file; in memory first, as several of Pillow's writers must seek."""
    file = io.BytesIO()
    try:
        if chosen.name in _SAVERS:
            _SAVERS[chosen.name](image, file, dict(options))
        else:
            image.save(file, chosen.name, **options)
    except (OSError, ValueError, LookupError, SyntaxError, RuntimeError, struct.error) as error:
        raise MediaError(f"cannot write this picture as {chosen.name}: {error}") from error
    return file.getvalue()


def _fit(picture: Picture, chosen: OutputFormat) -> Image.Image:
    """The Pillow image in a mode that the format holds; raises MediaError where there is none."""
    if max(picture.width, picture.height) > chosen.max_side:
        raise MediaError(
            f"{chosen.name} cannot hold {picture.width} x {picture.height} pixels:"
            f" its limit is {chosen.max_side} a side"
        )
    image = to_pil(picture)
    if picture.alpha is None:
        return image
    if image.mode in chosen.alpha:
        return image
    if chosen.alpha:
        return image.convert("RGBA")
    if picture.alpha.min() == 255:
        return image.convert("L" if picture.is_grey else "RGB")
    raise MediaError(f"{chosen.name} cannot hold this picture's transparency; choose png")


def _metadata_options(
    picture: Picture, chosen: OutputFormat, mode: str, notes: list[str]
) -> dict[str, Any]:
    """Arguments of the writer that carry the metadata; notes what the format cannot hold.

    mode: Pillow's, of the image that is written.
    """
    dpi = resolution(picture.exif)
    exif, icc = picture.exif, picture.icc
    exif_name = "the EXIF data"
    if exif is not None and is_only_resolution(exif):
        exif, exif_name = (None if chosen.has_dpi else exif), "the resolution"
    if chosen.name == JXL:
        icc = None  # the samples are sRGB by now
    found: dict[str, bytes] = {}
    profile = "the grey colour profile" if picture.is_grey else "the colour profile"
    for key, name, value in (
        ("icc_profile", profile, icc),
        ("exif", exif_name, exif),
        ("xmp", "the XMP data", picture.xmp),
    ):
        if value is None:
            continue
        if key not in chosen.metadata or not _fits(key, value, chosen, mode):
            notes.append(f"{chosen.name} cannot hold {name}: it was dropped")
        else:
            found[key] = value
    options: dict[str, Any] = dict(found)
    if dpi is not None and chosen.has_dpi:
        options["dpi"] = tuple(map(float, dpi))
    if chosen.name == "TIFF":
        options["exif"] = _tiff_tags(picture, notes)
        options.pop("xmp", None)
    elif "exif" in found and chosen.name != JXL:
        options["exif"] = EXIF_PREFIX + found["exif"]
    if chosen.name == "PNG":
        options["pnginfo"] = _png_chunks(options.pop("xmp", None), found.get("icc_profile"))
    return options


def _png_chunks(xmp: bytes | None, icc: bytes | None) -> PngImagePlugin.PngInfo:
    """XMP, and the code points that a profile names: a cICP chunk says HDR to more readers."""
    chunks = PngImagePlugin.PngInfo()
    code_points = code_points_of(icc) if icc is not None else None
    if code_points is not None:
        chunks.add(b"cICP", bytes([*code_points, 0, 1]))
    if xmp is not None:
        chunks.add_itxt("XML:com.adobe.xmp", xmp.decode())
    return chunks


def _fits(key: str, value: bytes, chosen: OutputFormat, mode: str) -> bool:
    """Whether the format has room for this metadata, and it is still about the samples in it."""
    if key == "icc_profile":
        return (chosen.grey and mode in ("L", "LA")) or icc_colour_space(value) != "GRAY"
    if chosen.name == "JPEG" and key == "exif":
        return len(value) + len(EXIF_PREFIX) <= _JPEG_SEGMENT
    if chosen.name == "JPEG" and key == "xmp":
        return len(value) + _XMP_SEGMENT_HEAD <= _JPEG_SEGMENT
    if chosen.name == "PNG" and key == "xmp":
        try:
            value.decode()
        except UnicodeDecodeError:
            return False
    return True


def _tiff_tags(picture: Picture, notes: list[str]) -> Image.Exif:
    """EXIF and XMP as tags for a TIFF file; of EXIF only what describes the photograph.

    The file is written without compression, as libtiff fails on many EXIF tags.
    """
    tags = Image.Exif()
    if picture.exif is not None:
        try:
            source = Image.Exif()
            source.load(picture.exif)
            tags.load(photograph_exif(source))
            # Pillow would write the offset of a directory that it leaves out
            tags.get_ifd(ExifTags.IFD.Exif).pop(ExifTags.IFD.Interop, None)
        except (ValueError, SyntaxError, struct.error):
            notes.append("TIFF cannot hold the EXIF data: it was dropped")
    if picture.xmp is not None:
        tags[_TIFF_XMP_TAG] = picture.xmp
    return tags
