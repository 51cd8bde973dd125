"""SSIMULACRA2 through the package ssimulacra2, where it is installed.

Source: Sneyers, "SSIMULACRA 2", Cloudinary, 2022.
"""

from __future__ import annotations

import io
from typing import Final

from PIL import Image

from bsqcodec.media.image.picture import Samples

MIN_SIDE: Final = 8
"""Shortest side of a picture in pixels."""


def is_installed() -> bool:
    """Whether `ssimulacra2_score` can be called."""
    try:
        import ssimulacra2  # noqa: F401
    except ImportError:
        return False
    return True


def ssimulacra2_score(reference: Samples, other: Samples) -> float | None:
    """100 for equal pictures [H, W, 3], less for worse ones; None for sides below MIN_SIDE.

    Raises ImportError without the package.
    """
    from ssimulacra2 import compute_ssimulacra2

    if min(reference.shape[:2]) < MIN_SIDE:
        return None
    return float(compute_ssimulacra2(_as_file(reference), _as_file(other)))


def _as_file(pixels: Samples) -> io.BytesIO:
    """The package opens files only: one in memory, which takes no time to compress."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PPM")
    file.seek(0)
    return file
