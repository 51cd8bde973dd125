"""PSNR of 8-bit samples."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt


def psnr_of_error(mean_squared_error: float) -> float:
    """PSNR in dB of a mean squared error of samples 0..255, infinite for none."""
    if mean_squared_error == 0:
        return math.inf
    return 10 * math.log10(255**2 / mean_squared_error)


def psnr(decoded: npt.NDArray[np.uint8], original: npt.NDArray[np.uint8]) -> float:
    """PSNR in dB of a picture, infinite for equal ones."""
    error = np.mean((decoded.astype(np.float32) - original) ** 2, dtype=np.float64)
    return psnr_of_error(float(error))
