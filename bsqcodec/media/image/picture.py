"""The picture as the codec sees it: 8-bit samples, alpha and metadata apart from each other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Samples: TypeAlias = NDArray[np.uint8]


@dataclass
class Picture:
    """A still picture, upright, with 8-bit samples.

    pixels: uint8 [H, W, 3] for RGB or [H, W] for grey, 0..255, at least 1x1.
    alpha: uint8 [H, W] with 255 for opaque, or None where the picture has no alpha channel.
    icc: an ICC profile whose colour space is that of `pixels`. exif: a TIFF structure, as in
    PNG's eXIf chunk (without JPEG's "Exif" prefix). xmp: an XML packet. None where absent.
    notes: what was converted or dropped on the way in, one short sentence each.
    """

    pixels: Samples
    alpha: Samples | None = None
    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        shape = self.pixels.shape
        if self.pixels.dtype != np.uint8 or not (
            len(shape) == 2 or (len(shape) == 3 and shape[2] == 3)
        ):
            raise ValueError(f"pixels are {self.pixels.dtype} {shape}, not uint8 [H, W(, 3)]")
        if 0 in shape:
            raise ValueError(f"the picture is empty: {shape}")
        if self.alpha is not None and (
            self.alpha.dtype != np.uint8 or self.alpha.shape != shape[:2]
        ):
            raise ValueError(f"alpha is {self.alpha.dtype} {self.alpha.shape}, not uint8 [H, W]")

    @property
    def width(self) -> int:
        """Columns of pixels."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """Rows of pixels."""
        return int(self.pixels.shape[0])

    @property
    def is_grey(self) -> bool:
        """True where `pixels` has one channel."""
        return self.pixels.ndim == 2


EXIF_PREFIX = b"Exif\x00\x00"
"""What stands before the TIFF structure in JPEG, and what Pillow wants before it everywhere."""


def reduce_samples(samples: Samples, factor: int) -> Samples:
    """Return samples [H, W] or [H, W, 3] of 1/factor of the size, rounded up: means of squares."""
    return np.asarray(Image.fromarray(np.ascontiguousarray(samples)).reduce(factor))


def to_pil(picture: Picture) -> Image.Image:
    """Return a Pillow image of mode L, LA, RGB or RGBA, the metadata in its `info`."""
    pixels = np.ascontiguousarray(picture.pixels)
    image = Image.fromarray(pixels)
    if picture.alpha is not None:
        image.putalpha(Image.fromarray(np.ascontiguousarray(picture.alpha)))
    if picture.icc is not None:
        image.info["icc_profile"] = picture.icc
    if picture.exif is not None:
        image.info["exif"] = EXIF_PREFIX + picture.exif
    if picture.xmp is not None:
        image.info["xmp"] = picture.xmp
    return image
