"""Samples of a picture as the networks take them and as people have them: grey and RGB."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def to_rgb(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """[H, W, 3] of grey [H, W] or RGB [H, W, 3]."""
    return np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels


def to_grey(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The mean [H, W] of R, G and B [H, W, 3], rounded: the inverse of `to_rgb` for grey."""
    return np.rint(pixels.mean(axis=2, dtype=np.float32)).astype(np.uint8)
