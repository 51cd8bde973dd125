"""Samples of 16 bits of PNG and TIFF pictures, which Pillow reduces, mixes up or refuses."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, TiffImagePlugin

_INTEL: Final = b"II"
_MOTOROLA: Final = b"MM"
_WHITE_IS_ZERO: Final = 0
_BLACK_IS_ZERO: Final = 1
_PREMULTIPLIED: Final = 1
_SEPARATE_PLANES: Final = 2
_BYTES: Final = "RGBA"
"""Mode and raw mode by which four bytes of a pixel, whatever they mean, come as they are."""

_MORE_TIFFS: Final[dict[Any, tuple[str, str]]] = {
    (_MOTOROLA, _WHITE_IS_ZERO, (1,), 1, (16,), ()): ("I;16B", "I;16B"),
} | {
    (order, photometric, (1,), 1, (16, 16), (extra,)): (_BYTES, _BYTES)
    for order in (_INTEL, _MOTOROLA)
    for photometric in (_WHITE_IS_ZERO, _BLACK_IS_ZERO)
    for extra in (0, 1, 2)
}  # fmt: skip
"""Kinds of TIFF that Pillow's table lacks, in its form."""

_CHANNELS: Final = {"LA": "LA", "RGB": "RGB", "RGBX": "RGB", "RGBA": "RGBA", "RGBa": "RGBA",
                    "CMYK": "CMYK"}  # fmt: skip
"""What the samples are, by the first part of Pillow's raw mode."""


@dataclass(frozen=True)
class DeepSamples:
    """Samples of 16 bits. mode: "LA", "RGB", "RGBA" or "CMYK". values: uint16 [H, W, C]."""

    mode: str
    values: NDArray[np.uint16]


@contextmanager
def more_tiffs() -> Iterator[None]:
    """Have Pillow open kinds of TIFF that it does not know, for `deep_samples`.

    The table is one of the process: call it within `silent_pillow`, whose lock guards it.
    """
    before = dict(TiffImagePlugin.OPEN_INFO)
    TiffImagePlugin.OPEN_INFO.update(_MORE_TIFFS)
    try:
        yield
    finally:
        TiffImagePlugin.OPEN_INFO.clear()
        TiffImagePlugin.OPEN_INFO.update(before)


def is_inverted(image: Image.Image) -> bool:
    """Return whether an open image's grey samples are stored with white as 0, and come as stored.

    Pillow itself inverts samples of up to 8 bits alone.
    """
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return False
    tags = image.tag_v2
    return (
        tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == _WHITE_IS_ZERO and _depth(image) > 8
    )


def mend_tiles(image: Image.Image) -> None:
    """Correct how Pillow is to read an open, unloaded TIFF, where it would be wrong without a word.

    libtiff gives floats in the order of the machine; Pillow turns those of a big-endian file once
    more. Uncompressed planes of 16 bits are taken for planes of 8, so libtiff must read them.
    Raises SyntaxError for 16-bit grey with alpha in planes, which nothing here reads.
    """
    if not isinstance(image, TiffImagePlugin.TiffImageFile) or not image.tile:
        return
    tile = image.tile[0]
    args = tile.args if isinstance(tile.args, tuple) else (tile.args,)
    if tile.codec_name == "libtiff" and args[0] == "F;32BF":
        image.tile = [tile._replace(args=("F;32NF", *args[1:]))]
    elif _depth(image) == 16 and _has_planes(image) and _samples(image) == 2:
        raise SyntaxError("16-bit grey and alpha in separate planes")
    elif tile.codec_name == "raw" and _depth(image) == 16 and _has_planes(image):
        raw_mode = f"{image.mode};16N"
        image.tile = [
            tile._replace(
                codec_name="libtiff",
                extents=(0, 0, *image.size),
                offset=0,
                args=(raw_mode, False, image.tag_v2.offset),
            )
        ]
        image.use_load_libtiff = True


def deep_samples(file: BinaryIO, image: Image.Image) -> DeepSamples | None:
    """Return all bits of a PNG or TIFF with 16 bits and several samples a pixel; None of others.

    file: the picture, from its start. image: the same, open but not loaded. Call it within
    `more_tiffs`. Raises as Pillow does where the data is damaged.
    """
    tiff = image if isinstance(image, TiffImagePlugin.TiffImageFile) else None
    if not isinstance(image, ImageFile.ImageFile) or image.format not in ("PNG", "TIFF"):
        return None
    if not image.tile or (tiff is not None and _has_planes(tiff)):
        return None
    tile = image.tile[0]
    raw = tile.args[0] if isinstance(tile.args, tuple) else tile.args
    big_endian = tiff is None or tiff.tag_v2.prefix == _MOTOROLA
    if tile.codec_name == "libtiff":
        big_endian = sys.byteorder == "big"
    if raw == "LA;16B" or (tiff is not None and raw == _BYTES and _depth(tiff) == 16):
        mode, four = "LA", _loaded(file, _BYTES)
        values = _joined(four[:, :, 0::2], four[:, :, 1::2], big_endian)
    elif isinstance(raw, str) and raw[-4:-1] == ";16" and raw[:-4] in _CHANNELS:
        stored = raw[:-4].replace("RGBa", "RGBA")
        mode = _CHANNELS[stored]
        first, second = _loaded(file, f"{stored};16B"), _loaded(file, f"{stored};16L")
        values = _joined(first, second, big_endian)
    else:
        return None
    if tiff is not None and _PREMULTIPLIED in tiff.tag_v2.get(TiffImagePlugin.EXTRASAMPLES, ()):
        values = _unmultiplied(values)
    if is_inverted(image):
        values[:, :, :1] = 65535 - values[:, :, :1]
    return DeepSamples(mode, values)


def _loaded(file: BinaryIO, raw_mode: str) -> NDArray[np.uint8]:
    """The picture in `file` as Pillow gives it when told that its samples lie as `raw_mode`."""
    file.seek(0)
    with Image.open(file) as image:
        image.tile = [
            tile._replace(
                args=(raw_mode, *tile.args[1:]) if isinstance(tile.args, tuple) else raw_mode
            )
            for tile in image.tile
        ]
        image.load()
        return np.array(image)


def _joined(
    first: NDArray[np.uint8], second: NDArray[np.uint8], big_endian: bool
) -> NDArray[np.uint16]:
    """Samples of the first and second bytes in the file's order."""
    high, low = (first, second) if big_endian else (second, first)
    joined = high.astype(np.uint16)
    joined <<= 8
    joined |= low
    return joined


def _unmultiplied(values: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Colours that were multiplied by the alpha in the last channel, as they were before."""
    wide = values.astype(np.uint32)
    alpha = wide[:, :, -1:]
    wide[:, :, :-1] = (wide[:, :, :-1] * 65535 + alpha // 2) // np.maximum(alpha, 1)
    return np.minimum(wide, 65535).astype(np.uint16)


def _depth(image: TiffImagePlugin.TiffImageFile) -> int:
    """Bits of a sample."""
    bits: Any = image.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE, (1,))
    return int(max(bits) if isinstance(bits, tuple) else bits)


def _samples(image: TiffImagePlugin.TiffImageFile) -> int:
    """Samples of a pixel."""
    return int(image.tag_v2.get(TiffImagePlugin.SAMPLESPERPIXEL, 1))


def _has_planes(image: TiffImagePlugin.TiffImageFile) -> bool:
    return bool(image.tag_v2.get(TiffImagePlugin.PLANAR_CONFIGURATION) == _SEPARATE_PLANES)
