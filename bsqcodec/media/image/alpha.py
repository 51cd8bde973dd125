"""Alpha beside a coded picture: two bytes where it is constant, a PNG of one channel elsewhere."""

from __future__ import annotations

import io
from typing import Final

import numpy as np
from PIL import Image

from bsqcodec.errors import FormatError, LimitError, MediaError
from bsqcodec.media.image.picture import Samples
from bsqcodec.media.image.pillow_guard import pillow_guard

CONSTANT: Final = 0
PNG: Final = 1


def pack_alpha(alpha: Samples) -> bytes:
    """Return alpha, uint8 [H, W], as bytes that `unpack_alpha` turns back into the same values.

    Byte 0 is the mode. 0: one more byte, the value of every pixel. 1: a PNG, of 1 bit a pixel
    where all values are 0 or 255, else of 8.
    """
    first = int(alpha.flat[0])
    if bool((alpha == first).all()):
        return bytes([CONSTANT, first])
    image = Image.fromarray(np.ascontiguousarray(alpha))
    if bool(((alpha == 0) | (alpha == 255)).all()):
        image = image.convert("1", dither=Image.Dither.NONE)
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return bytes([PNG]) + file.getvalue()


def unpack_alpha(data: bytes, width: int, height: int) -> Samples:
    """Return alpha, uint8 [height, width], that `pack_alpha` packed.

    Raises FormatError where the data is damaged or belongs to a picture of another size; no
    memory beyond that of width x height pixels is taken before the size is checked.
    """
    if len(data) < 2 or data[0] not in (CONSTANT, PNG):
        raise FormatError("the alpha chunk is malformed")
    if data[0] == CONSTANT:
        if len(data) != 2:
            raise FormatError("the alpha chunk is malformed: data follows a constant")
        return np.full((height, width), data[1], np.uint8)
    try:
        return _unpack_png(data[1:], width, height)
    except (MediaError, LimitError, OSError) as error:
        raise FormatError(f"the alpha chunk is damaged: {error}") from error


def _unpack_png(data: bytes, width: int, height: int) -> Samples:
    """The samples of a grey PNG of exactly this size; raises MediaError for any other data."""
    with (
        pillow_guard("its PNG", width * height),
        Image.open(io.BytesIO(data), formats=["PNG"]) as image,
    ):
        if image.mode not in ("1", "L") or image.size != (width, height):
            raise MediaError(
                f"it is {image.width} x {image.height} pixels of mode {image.mode},"
                f" not {width} x {height} of grey"
            )
        if getattr(image, "is_animated", False):
            raise MediaError("it is animated")
        return np.array(image.convert("L"))
