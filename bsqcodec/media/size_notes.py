"""Notes on a coded file that is larger than its source, or than another format would be."""

from __future__ import annotations

import io
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bsqcodec.media.image.picture import Picture, to_pil
from bsqcodec.media.remarks import LARGER, LOSSLESS_IS_SMALLER

FEWEST_BYTES: Final = 1000
"""Of smaller results it does not matter what else would hold the picture."""

_TIMES_SMALLER: Final = 4
_MAX_WEBP_SIDE: Final = 16383

_TILE, _TILES_A_SIDE = 64, 3
"""Size of the samples by which a picture is judged, in pixels, and how many there are."""

_QUICK: Final = {"method": 1, "quality": 0}
"""Pillow's arguments of a first look."""
_LEAST_EVEN: Final = 0.4
"""Fraction of samples that their neighbours foretell exactly: .8 and more of screenshots,
.36 and less of 36 photographs."""
_SAMPLE_SLACK, _SAMPLE_BITS = 6, 3
"""How many times the bytes of the whole picture (for their size) samples may take, and how many
bits a pixel. A page of text took 5 times as many and .13 bits, a desktop 1.5 times and .5 bits."""
_WHOLE_SLACK: Final = 1.5
"""How many times the bytes that the default arguments give the whole picture may
take with quick ones."""
_DEFAULTS: Final = {"method": 4, "quality": 80}
"""Arguments that a user of Pillow gets."""


def size_notes(
    picture: Picture, coded_bytes: int, source_bytes: int | None, *, strip: bool
) -> list[str]:
    """Return `larger_note` and `lossless_note` of a coded picture, as far as there are any."""
    notes = (
        larger_note(coded_bytes, source_bytes),
        lossless_note(picture, coded_bytes, strip=strip),
    )
    return [note for note in notes if note is not None]


def larger_note(coded_bytes: int, source_bytes: int | None) -> str | None:
    """Return a note on a result that is larger than its source, None for any other.

    source_bytes: None where it is not known.
    """
    if source_bytes is None or coded_bytes <= source_bytes:
        return None
    return f"{LARGER}: {coded_bytes} bytes, not {source_bytes}"


def lossless_note(picture: Picture, coded_bytes: int, *, strip: bool = False) -> str | None:
    """Return a note on a picture that WebP holds without loss in a quarter of the result or less.

    These are screenshots, drawings and the like. strip: whether the result is without metadata,
    which WebP would hold, too. A photograph costs a few milliseconds.
    """
    kept = (
        0 if strip else sum(len(data or b"") for data in (picture.icc, picture.exif, picture.xmp))
    )
    room = coded_bytes // _TIMES_SMALLER - kept
    if coded_bytes < FEWEST_BYTES or room <= 0:
        return None
    size = _webp_bytes(picture, room)
    if size is None:
        return None
    return (
        f"{LOSSLESS_IS_SMALLER} in {size + kept} bytes, not {coded_bytes}:"
        " it suits screenshots and drawings better"
    )


def _webp_bytes(picture: Picture, room: int) -> int | None:
    """Bytes of a picture as lossless WebP, or None for more than `room`.

    Samples of the picture tell first whether that can be: they take more bytes for their size than
    the whole, in which WebP finds more that repeats.
    """
    if max(picture.width, picture.height) > _MAX_WEBP_SIDE:
        return None
    sample = _sample(to_pil(picture))
    if _even(np.asarray(sample)) < _LEAST_EVEN:
        return None
    pixels = sample.width * sample.height
    size = _size(sample, _QUICK)
    scale = picture.width * picture.height / pixels
    if size * scale > _SAMPLE_SLACK * room or 8 * size > _SAMPLE_BITS * pixels:
        return None
    image = to_pil(picture)
    if _size(image, _QUICK) > _WHOLE_SLACK * room:
        return None
    size = _size(image, _DEFAULTS)
    return size if size <= room else None


def _even(samples: NDArray[np.uint8]) -> float:
    """Fraction of pixels [H, W(, C)] that are left + top - top left neighbour in all channels."""
    deep = samples.reshape(*samples.shape[:2], -1).astype(np.int16)
    errors = np.diff(np.diff(deep, axis=0), axis=1)
    return float((errors == 0).all(axis=2).mean()) if errors.size else 1.0


def _sample(image: Image.Image) -> Image.Image:
    """Tiles from all over an image side by side, or the middle of one that is narrow."""
    side = _TILE * _TILES_A_SIDE
    if image.width <= side or image.height <= side:
        width, height = min(image.width, side), min(image.height, side)
        left, top = (image.width - width) // 2, (image.height - height) // 2
        return image.crop((left, top, left + width, top + height))
    sample = Image.new(image.mode, (side, side))
    for row, top in enumerate(np.linspace(0, image.height - _TILE, _TILES_A_SIDE, dtype=int)):
        for column, left in enumerate(
            np.linspace(0, image.width - _TILE, _TILES_A_SIDE, dtype=int)
        ):
            tile = image.crop((left, top, left + _TILE, top + _TILE))
            sample.paste(tile, (column * _TILE, row * _TILE))
    return sample


def _size(image: Image.Image, options: dict[str, int]) -> int:
    """Bytes of an image as lossless WebP."""
    file = io.BytesIO()
    image.info.clear()
    image.save(file, "WEBP", lossless=True, **options)
    return file.tell()
