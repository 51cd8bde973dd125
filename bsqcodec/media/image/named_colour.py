"""Colour that a picture file names in another way than by an ICC profile."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

from PIL import Image, TiffImagePlugin

from bsqcodec.media.image.exif import colour_of_exif
from bsqcodec.media.image.hidden_colour import bmp_colour
from bsqcodec.media.image.icc import (
    ADOBE_RGB_CURVE,
    ADOBE_RGB_PRIMARIES,
    HDR_NAMES,
    SRGB_CURVE,
    SRGB_PRIMARIES,
    UNSPECIFIED,
    Curve,
    Gamma,
    NamedColour,
    Primaries,
    Table,
    build_profile,
    colour_of_code_points,
)

_PNG_START: Final = b"\x89PNG\r\n\x1a\n"
_MAX_CHUNKS: Final = 10_000
_MAX_CHUNK_BYTES: Final = 64
_COLOUR_CHUNKS: Final = (b"cICP", b"sRGB", b"gAMA", b"cHRM")

_SRGB_SPACE: Final = 1
_ADOBE_SPACE: Final = 2
_ADOBE_INDEX: Final = b"R03"
_DEFAULT_GAMMA: Final = 2.2
"""Of TIFF where chromaticities are given and no curve is."""
_GAMMAS: Final = (0.1, 10.0)
_TIFF_WHITE, _TIFF_PRIMARIES, _TIFF_TRANSFER = 318, 319, 301
_MAX_TABLE: Final = 2**16


def png_colour_chunks(file: BinaryIO) -> dict[bytes, bytes]:
    """Return the chunks of a PNG that name its colour, by their names."""
    found: dict[bytes, bytes] = {}
    file.seek(0)
    if file.read(len(_PNG_START)) != _PNG_START:
        return found
    for _ in range(_MAX_CHUNKS):
        head = file.read(8)
        if len(head) < 8 or head[4:] == b"IDAT":
            break
        size = int.from_bytes(head[:4], "big")
        if head[4:] in _COLOUR_CHUNKS and size <= _MAX_CHUNK_BYTES:
            found.setdefault(head[4:], file.read(size))
            size = 0
        file.seek(size + 4, 1)
    return found


@dataclass(frozen=True)
class ColourNames:
    """All that a file says of colour beside a profile.

    code_points: primaries and transfer of ITU-T H.273; they count more than a profile where
    `over_profile` is set, as PNG's cICP does. chunks: PNG's. exif: as in Picture. tiff: its tags.
    bmp: what the header of a BMP names.
    """

    code_points: tuple[int, int] | None = None
    over_profile: bool = False
    chunks: dict[bytes, bytes] | None = None
    exif: bytes | None = None
    tiff: Any = None
    bmp: NamedColour | None = None


def profile_of_names(
    names: ColourNames, icc: bytes | None, *, is_grey: bool, notes: list[str]
) -> bytes | None:
    """Return a picture's ICC profile: `icc`, or one made of how else the colour is named.

    None where that is sRGB, or nothing is named. notes: gets a sentence where names have no
    meaning here, and for HDR, which 8 bits hold badly.
    """
    if icc is not None and not (names.over_profile and names.code_points):
        return icc
    colour = _colour(names, notes)
    if colour is None or colour.is_srgb:
        return icc if colour is None else None
    try:
        profile = build_profile(colour, grey=is_grey)
    except (ValueError, struct.error, OverflowError):
        notes.append("the chromaticities that the file names make no sense and were dropped")
        return icc
    if colour.code_points and colour.code_points[1] in HDR_NAMES:
        name = HDR_NAMES[colour.code_points[1]]
        notes.append(f"HDR ({name}) is kept at 8 bits, which may show bands")
    return profile


def _colour(names: ColourNames, notes: list[str]) -> NamedColour | None:
    """What the file names, by the first way that counts."""
    if names.code_points is not None and names.code_points != (UNSPECIFIED, UNSPECIFIED):
        colour = colour_of_code_points(*names.code_points)
        if colour is None:
            primaries, transfer = names.code_points
            notes.append(
                f"the colour (primaries {primaries}, transfer {transfer} of ITU-T H.273) is not"
                " known here and was dropped"
            )
        return colour
    chunks = names.chunks or {}
    if b"sRGB" in chunks:
        return NamedColour(SRGB_PRIMARIES, SRGB_CURVE, "sRGB")
    if b"gAMA" in chunks or b"cHRM" in chunks:
        return _png_colour(chunks, notes)
    found = _tiff_colour(names.tiff) if names.tiff is not None else names.bmp
    return found or _exif_colour(names.exif)


def _png_colour(chunks: dict[bytes, bytes], notes: list[str]) -> NamedColour | None:
    """By gAMA and cHRM, one of which may be missing."""
    primaries, curve = SRGB_PRIMARIES, SRGB_CURVE
    if len(chunks.get(b"cHRM", b"")) == 32:
        primaries = _primaries([v / 1e5 for v in struct.unpack(">8I", chunks[b"cHRM"])])
    gamma = chunks.get(b"gAMA", b"")
    if len(gamma) == 4:
        power = int.from_bytes(gamma, "big") / 1e5
        if not _GAMMAS[0] <= power <= _GAMMAS[1]:
            notes.append("the gamma that the file names makes no sense and was dropped")
        else:
            return NamedColour(primaries, Gamma(1 / power), f"gamma {1 / power:.3g}")
    return NamedColour(primaries, curve, "chromaticities of the file")


def _exif_colour(exif: bytes | None) -> NamedColour | None:
    found = colour_of_exif(exif) if exif is not None else None
    if found is None or found.space == _SRGB_SPACE:
        return None
    if found.space == _ADOBE_SPACE or found.interoperability == _ADOBE_INDEX:
        return NamedColour(ADOBE_RGB_PRIMARIES, ADOBE_RGB_CURVE, "Adobe RGB (1998)")
    if not found.chromaticities:
        return None
    gamma = found.gamma if found.gamma is not None else _DEFAULT_GAMMA
    if not _GAMMAS[0] <= gamma <= _GAMMAS[1]:
        return None
    return NamedColour(
        _primaries(list(found.chromaticities)), Gamma(gamma), "chromaticities of the file"
    )


def _tiff_colour(tags: Any) -> NamedColour | None:
    """By WhitePoint, PrimaryChromaticities and TransferFunction of a TIFF, which may be missing."""
    try:
        white = [float(value) for value in tags.get(_TIFF_WHITE, ())]
        colours = [float(value) for value in tags.get(_TIFF_PRIMARIES, ())]
        values = tuple(int(value) for value in tags.get(_TIFF_TRANSFER, ()))
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    if len(white) != 2 or len(colours) != 6:
        return None
    bits = tags.get(TiffImagePlugin.BITSPERSAMPLE, (8,))
    entries = 1 << min(bits[0] if isinstance(bits, tuple) else bits, 16)
    curve: Curve = Gamma(_DEFAULT_GAMMA)
    if len(values) in (entries, 3 * entries) and entries <= _MAX_TABLE:
        step = max(1, (entries - 1) // 255)
        one = values[:entries]
        same = all(one == values[at : at + entries] for at in range(0, len(values), entries))
        if same and max(one) <= 65535 and min(one) >= 0:
            curve = Table(one[::step] if (entries - 1) % step == 0 else one)
    return NamedColour(_primaries([*white, *colours]), curve, "chromaticities of the file")


def _primaries(values: list[float]) -> Primaries:
    """Of white, red, green and blue, x and y each."""
    points = [(values[at], values[at + 1]) for at in range(0, 8, 2)]
    return Primaries(*points)


def code_points_of_png(chunks: dict[bytes, bytes], notes: list[str]) -> tuple[int, int] | None:
    """Return primaries and transfer of a PNG's cICP chunk;
    notes a range that is not the full one."""
    data = chunks.get(b"cICP", b"")
    if len(data) != 4 or data[2] != 0:
        return None
    if data[3] == 0:
        notes.append("its samples are of the narrow range and were taken as they are")
    return data[0], data[1]


def names_of(
    image: Image.Image,
    file: BinaryIO | None,
    exif: bytes | None,
    items: tuple[int, int] | None,
    notes: list[str],
) -> ColourNames:
    """Return what a picture names, of Pillow's image and of the file below it where it is there.

    items: code points that the boxes of a HEIF or AVIF file name.
    """
    if image.format == "PNG" or (image.format is None and "gamma" in image.info):
        chunks = png_colour_chunks(file) if file is not None else _chunks_of_info(image.info)
        points = code_points_of_png(chunks, notes)
        return ColourNames(points, True, chunks, exif)
    tags = image.tag_v2 if isinstance(image, TiffImagePlugin.TiffImageFile) else None
    bmp = bmp_colour(file) if file is not None and image.format == "BMP" else None
    return ColourNames(items, False, None, exif, tags, bmp)


def _chunks_of_info(info: dict[Any, Any]) -> dict[bytes, bytes]:
    """PNG's chunks again from what Pillow keeps of them, which is all but cICP."""
    found: dict[bytes, bytes] = {}
    if "srgb" in info:
        found[b"sRGB"] = b"\0"
    try:
        if "gamma" in info:
            found[b"gAMA"] = struct.pack(">I", round(info["gamma"] * 1e5))
        if "chromaticity" in info:
            values = [round(value * 1e5) for value in info["chromaticity"]]
            found[b"cHRM"] = struct.pack(">8I", *values)
    except (TypeError, ValueError, struct.error):
        pass
    return found
