"""Writing a decoded picture in the formats people ask for, without a further loss where possible."""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

from PIL import Image, PngImagePlugin

from bsqcodec.errors import MediaError
from bsqcodec.media.image.metadata import icc_colour_space, photograph_exif
from bsqcodec.media.image.picture import EXIF_PREFIX, Picture, to_pil
from bsqcodec.media.image.pillow_guard import silent_pillow

_JPEG_SEGMENT: Final = 65533
_XMP_SEGMENT_HEAD: Final = 29
_TIFF_XMP_TAG: Final = 700


@dataclass(frozen=True)
class OutputFormat:
    """A format that pictures are written in.

    name: Pillow's. suffixes: in lower case, the first is the usual one. alpha: modes with alpha
    that it holds. grey: whether grey stays one channel. max_side: the most pixels in a row or
    column. metadata: what it holds, by Pillow's names. options: how Pillow is to save it.
    """

    name: str
    suffixes: tuple[str, ...]
    alpha: tuple[str, ...] = ()
    grey: bool = True
    max_side: int = 2**31 - 1
    metadata: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


_ALL_METADATA: Final = ("icc_profile", "exif", "xmp")
OUTPUT_FORMATS: Final = (
    OutputFormat("PNG", (".png",), ("LA", "RGBA"), metadata=_ALL_METADATA),
    OutputFormat(
        "JPEG",
        (".jpg", ".jpeg", ".jpe", ".jfif"),
        max_side=65535,
        metadata=_ALL_METADATA,
        options={"quality": 95, "subsampling": 0, "optimize": True},
    ),
    OutputFormat(
        "WEBP",
        (".webp",),
        ("RGBA",),
        grey=False,
        max_side=16383,
        metadata=_ALL_METADATA,
        options={"lossless": True, "exact": True},
    ),
    OutputFormat(
        "AVIF",
        (".avif",),
        ("RGBA",),
        grey=False,
        max_side=65536,
        metadata=_ALL_METADATA,
        options={"quality": 95, "subsampling": "4:4:4"},
    ),
    OutputFormat("TIFF", (".tif", ".tiff"), ("LA", "RGBA"), metadata=_ALL_METADATA),
    OutputFormat("JPEG2000", (".jp2", ".j2k", ".jpx"), ("LA", "RGBA")),
    OutputFormat("BMP", (".bmp",)),
    OutputFormat("TGA", (".tga",), ("LA", "RGBA"), max_side=65535),
    OutputFormat("PPM", (".ppm", ".pgm", ".pnm")),
)


def output_format(target: str | Path | None, name: str | None = None) -> OutputFormat:
    """Return the format called `name` ("png", "jpg", any case), or else that of target's suffix.

    PNG where there is neither. Raises MediaError for a format that cannot be written.
    """
    suffix = f".{name}" if name else Path(target).suffix if target is not None else ""
    if not suffix:
        return OUTPUT_FORMATS[0]
    for candidate in OUTPUT_FORMATS:
        if suffix.lower() in candidate.suffixes or suffix[1:].upper() == candidate.name:
            return candidate
    known = ", ".join(candidate.suffixes[0][1:] for candidate in OUTPUT_FORMATS)
    raise MediaError(f"cannot write pictures as {suffix[1:]!r}; choose one of {known}")


def write_picture(
    picture: Picture, target: str | Path | BinaryIO, *, format: str | None = None
) -> list[str]:
    """Write a picture; return notes on what the format cannot hold, such as a long EXIF block.

    format: "png", "jpeg" and so on; without it the target's suffix decides, and PNG where there
    is none. JPEG and AVIF are written at quality 95 with full colour, all others without loss.
    Raises MediaError where the format cannot hold the samples (transparency in JPEG, a side of
    more than 16383 pixels in WebP) or is not known, OSError where writing fails.
    """
    chosen = output_format(target if isinstance(target, (str, Path)) else None, format)
    notes: list[str] = []
    with silent_pillow(picture.width * picture.height):
        image = _fit(picture, chosen)
        image.info.clear()  # else Pillow writes metadata of its own choice beside the options'
        options = dict(chosen.options) | _metadata_options(picture, chosen, notes)
        data = _saved(image, chosen, options)
    if isinstance(target, (str, Path)):
        Path(target).write_bytes(data)
    else:
        target.write(data)
    return notes


def _saved(image: Image.Image, chosen: OutputFormat, options: Mapping[str, Any]) -> bytes:
    """The bytes of the file; in memory first, as several of Pillow's writers must seek."""
    file = io.BytesIO()
    try:
        image.save(file, chosen.name, **options)
    except (OSError, ValueError, LookupError, SyntaxError, struct.error) as error:
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


def _metadata_options(picture: Picture, chosen: OutputFormat, notes: list[str]) -> dict[str, Any]:
    """Arguments of Pillow's `save` that carry the metadata; notes what the format cannot hold."""
    found: dict[str, bytes] = {}
    profile = "the grey colour profile" if picture.is_grey else "the colour profile"
    for key, name, value in (
        ("icc_profile", profile, picture.icc),
        ("exif", "the EXIF data", picture.exif),
        ("xmp", "the XMP data", picture.xmp),
    ):
        if value is None:
            continue
        if key not in chosen.metadata or not _fits(key, value, chosen):
            notes.append(f"{chosen.name} cannot hold {name}: it was dropped")
        else:
            found[key] = value
    options: dict[str, Any] = dict(found)
    if "exif" in found:
        options["exif"] = EXIF_PREFIX + found["exif"]
    if "xmp" in found and chosen.name == "PNG":
        text = PngImagePlugin.PngInfo()
        text.add_itxt("XML:com.adobe.xmp", options.pop("xmp").decode())
        options["pnginfo"] = text
    if chosen.name == "TIFF":
        options["exif"] = _tiff_tags(picture, notes)
        options.pop("xmp", None)
    return options


def _fits(key: str, value: bytes, chosen: OutputFormat) -> bool:
    """Whether the format has room for this metadata, and it is still about the samples in it."""
    if key == "icc_profile":
        return chosen.grey or icc_colour_space(value) != "GRAY"
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
        except (ValueError, SyntaxError, struct.error):
            notes.append("TIFF cannot hold the EXIF data: it was dropped")
    if picture.xmp is not None:
        tags[_TIFF_XMP_TAG] = picture.xmp
    return tags
