"""HEIF and JPEG XL by packages that need not be there: found by themselves, named where missing.

Nothing is registered with Pillow: what a caller's own pictures open with stays as it is.
"""

from __future__ import annotations

import importlib
import io
from typing import Any, BinaryIO, Final

from PIL import Image

from bsqcodec.errors import MediaError
from bsqcodec.media.image.icc import BT709, SRGB_TRANSFER, code_points_of
from bsqcodec.media.image.jxl_header import JxlHeader, is_jxl, read_jxl_header
from bsqcodec.media.image.optional_packages import HEIF, JXL, is_available, missing_extra
from bsqcodec.media.image.pillow_guard import check_size

_HEIF_BRANDS: Final = frozenset(
    (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs")
)
_ANY_BRANDS: Final = frozenset((b"mif1", b"mif2", b"mif3", b"msf1"))
_AVIF_BRANDS: Final = frozenset((b"avif", b"avis"))
_HEAD_BYTES: Final = 2**16
_TIFF_STARTS: Final = (b"II*\0", b"MM\0*")
_SRGB_OF_LIBJXL: Final = ("RGB_D65_SRG_Rel_SRG", "RGB_D65_SRG_Per_SRG", "Gra_D65_Rel_SRG",
                          "Gra_D65_Per_SRG")  # fmt: skip
"""Names of profiles that libjxl makes."""


def optional_format(head: bytes) -> str | None:
    """Return HEIF or JXL for a file that begins with these bytes (64 or more), else None."""
    if is_jxl(head):
        return JXL
    if head[4:8] != b"ftyp":
        return None
    size = int.from_bytes(head[:4], "big")
    brands = {head[at : at + 4] for at in range(16, min(size, len(head)), 4)}
    major = head[8:12]
    if major in _HEIF_BRANDS:
        return HEIF
    if major in _ANY_BRANDS and not brands & _AVIF_BRANDS:
        return HEIF
    return None


def open_picture(file: BinaryIO, name: str, max_pixels: int) -> Image.Image:
    """Open a picture as `PIL.Image.open` does, HEIF and JPEG XL by their packages.

    Call it within `pillow_guard`. Raises MediaError, which names the extra, where one is missing.
    """
    file.seek(0)
    head = file.read(_HEAD_BYTES)
    file.seek(0)
    format = optional_format(head)
    if format is None:
        return Image.open(file)
    if not is_available(format):
        raise MediaError(f"{name}: {missing_extra(format)}")
    if format == HEIF:
        image: Image.Image = _package("pillow_heif").HeifImageFile(file)
        return image
    header = read_jxl_header(head)
    check_size(name, (header.width, header.height), max_pixels)
    return _open_jxl(file.read(), header, name)


def _package(name: str) -> Any:
    """A package that may be missing, so that no type checker wants it."""
    return importlib.import_module(name)


def _open_jxl(data: bytes, header: JxlHeader, name: str) -> Image.Image:
    """A JPEG XL as a Pillow image that is loaded, or the JPEG that it was made of, opened."""
    if header.is_animated:
        raise MediaError(f"{name}: an animation (JPEG XL), which is not supported")
    decoder = _package("pillow_jxl").Decoder(num_threads=-1)
    was_jpeg, facts, samples, icc, boxes = decoder(data)
    if was_jpeg:
        return Image.open(io.BytesIO(samples))
    image = Image.frombytes(facts.mode, (facts.width, facts.height), samples)
    image.format = JXL
    image.info["original_orientation"] = header.orientation
    image.info["bit_depth"] = header.bits
    if icc and not _is_srgb(icc):
        image.info["icc_profile"] = bytes(icc)
    for box in boxes:
        if box.box_type == b"Exif" and "exif" not in image.info:
            image.info["exif"] = _tiff_structure(bytes(box.data))
        elif box.box_type == b"xml " and "xmp" not in image.info:
            image.info["xmp"] = bytes(box.data)
    return image


def _tiff_structure(box: bytes) -> bytes:
    """The EXIF data of a box, which begins with the offset of its TIFF structure."""
    if box.startswith(_TIFF_STARTS):  # as some writers leave it
        return box
    return box[4 + int.from_bytes(box[:4], "big") :]


def _is_srgb(icc: bytes) -> bool:
    """Whether a profile is the one that libjxl makes for sRGB, which no profile means too."""
    if code_points_of(icc) == (BT709, SRGB_TRANSFER):
        return True
    return any(name.encode("utf-16-be") in icc for name in _SRGB_OF_LIBJXL)


def save_heif(image: Image.Image, file: BinaryIO, options: dict[str, Any]) -> None:
    """Write an image as HEIC. options: of pillow-heif's `save`. Raises as Pillow's writers do."""
    _package("pillow_heif").from_pillow(image).save(file, **options)


def save_jxl(image: Image.Image, file: BinaryIO, options: dict[str, Any]) -> None:
    """Write an image of mode L, LA, RGB or RGBA as JPEG XL. options: exif, xmp, lossless."""
    encoder = _package("pillow_jxl").Encoder(
        mode=image.mode,
        lossless=True,
        quality=100,
        decoding_speed=0,
        effort=7,
        use_container=bool(options),
        use_original_profile=False,
        num_threads=-1,
    )
    exif = options.get("exif")
    data = encoder(
        image.tobytes(),
        image.width,
        image.height,
        jpeg_encode=False,
        # a box begins with the offset of the TIFF structure, which the package does not write
        exif=None if exif is None else bytes(4) + exif,
        jumb=None,
        xmp=options.get("xmp"),
        compress=False,
    )
    file.write(data)
