"""The eight orientations of EXIF (and TIFF 6.0): what they do to samples and to points."""

from __future__ import annotations

from typing import Any

import numpy as np


def is_swapped(orientation: int) -> bool:
    """Return whether an orientation 1..8 makes rows of columns."""
    return orientation >= 5


def oriented(samples: np.ndarray[Any, Any], orientation: int) -> np.ndarray[Any, Any]:
    """Return samples [H, W, ...] as EXIF orientation 1..8 wants them shown; 5..8 swap the sides."""
    if is_swapped(orientation):
        samples = samples.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        samples = samples[::-1]
    if orientation in (2, 3, 6, 7):
        samples = samples[:, ::-1]
    return np.ascontiguousarray(samples)


def turned_point(
    point: tuple[int, int], orientation: int, size: tuple[int, int]
) -> tuple[int, int]:
    """Return where a pixel (x, y) of a picture of `size` (width, height) is once it is upright."""
    (x, y), (width, height) = point, size
    if is_swapped(orientation):
        x, y, width, height = y, x, height, width
    if orientation in (3, 4, 7, 8):
        y = height - 1 - y
    if orientation in (2, 3, 6, 7):
        x = width - 1 - x
    return x, y
