"""Rate and distortion as the field measures them: bpp, PSNR, MS-SSIM and BD-rate."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import bjontegaard
import numpy as np
import numpy.typing as npt
import pytorch_msssim
import torch

Pixels = npt.NDArray[np.uint8]
Curve = Sequence[tuple[float, float]]  # (bpp, quality), quality in dB

MAX_DB = 100.0  # stands for "identical", so that means stay finite
MS_SSIM_MIN_SIDE = 161  # pixels: an 11-tap window must fit after four halvings


def bpp(size: int, width: int, height: int) -> float:
    """Bits per pixel of a whole file of `size` bytes, header and all."""
    return 8 * size / (width * height)


def psnr(reference: Pixels, decoded: Pixels) -> float:
    """PSNR in dB over all samples of two uint8 pictures of one shape, at most MAX_DB."""
    _check_pair(reference, decoded)
    difference = reference.astype(np.float64) - decoded
    error = float(np.mean(np.square(difference)))
    return MAX_DB if error == 0 else min(MAX_DB, 10 * math.log10(255**2 / error))


def ms_ssim(reference: Pixels, decoded: Pixels) -> float:
    """MS-SSIM of two uint8 RGB pictures [H, W, 3]: 5 scales, the mean over R, G and B, 0 to 1.

    Wang, Simoncelli, Bovik, "Multiscale structural similarity", 2003, as in pytorch-msssim.
    Raises ValueError for pictures with a side below MS_SSIM_MIN_SIDE.
    """
    _check_pair(reference, decoded)
    height, width = reference.shape[:2]
    if min(height, width) < MS_SSIM_MIN_SIDE:
        raise ValueError(
            f"MS-SSIM with 5 scales needs {MS_SSIM_MIN_SIDE} pixels a side, not {width}x{height}"
        )
    with torch.inference_mode():
        pair = [
            torch.from_numpy(picture.astype(np.float32)).permute(2, 0, 1)[None]
            for picture in (reference, decoded)
        ]
        return float(pytorch_msssim.ms_ssim(pair[0], pair[1], data_range=255))


def ms_ssim_db(value: float) -> float:
    """MS-SSIM on a logarithmic scale, -10 log10(1 - x), on which curves can be told apart."""
    remainder = 1 - value
    return MAX_DB if remainder <= 0 else min(MAX_DB, -10 * math.log10(remainder))


@dataclass(frozen=True)
class BdRate:
    """Bjontegaard delta rate of a codec against an anchor."""

    percent: float  # bits at equal quality: -20 is a fifth fewer; nan when the curves do not meet
    overlap: float  # shared part of the two quality ranges over their union, 0 to 1


def pareto(curve: Curve) -> list[tuple[float, float]]:
    """The points of a curve that no cheaper point equals or beats, by rising rate."""
    front: list[tuple[float, float]] = []
    for rate, quality in sorted(curve, key=lambda point: (point[0], -point[1])):
        if not front or quality > front[-1][1]:
            front.append((rate, quality))
    return front


def bd_rate(anchor: Curve, test: Curve, method: str = "pchip") -> BdRate:
    """Mean rate difference over the qualities that both curves reach.

    Curves are (bpp, dB) points: PSNR, or MS-SSIM through `ms_ssim_db`. Bjontegaard, VCEG-M33, 2001,
    with `method` "pchip" or "akima" instead of one cubic. Points that a cheaper one equals or beats
    are left out, as interpolation needs rising curves. Raises ValueError below two points a curve.
    """
    anchor, test = pareto(anchor), pareto(test)
    if min(len(anchor), len(test)) < 2:
        raise ValueError("a BD-rate needs two points or more on each curve")
    rates, qualities = zip(*anchor, strict=True)
    test_rates, test_qualities = zip(*test, strict=True)
    shared = min(qualities[-1], test_qualities[-1]) - max(qualities[0], test_qualities[0])
    union = max(qualities[-1], test_qualities[-1]) - min(qualities[0], test_qualities[0])
    if shared <= 0:
        return BdRate(math.nan, 0.0)
    with warnings.catch_warnings():
        # The overlap is reported beside the number, which says more than a warning on stderr.
        warnings.simplefilter("ignore", UserWarning)
        percent = bjontegaard.bd_rate(
            rates,
            qualities,
            test_rates,
            test_qualities,
            method=method,
            require_matching_points=False,
            min_overlap=0,
        )
    return BdRate(float(percent), shared / union)


def _check_pair(reference: Pixels, decoded: Pixels) -> None:
    if reference.dtype != np.uint8 or decoded.dtype != np.uint8:
        raise ValueError(f"metrics compare uint8 pictures, not {reference.dtype}, {decoded.dtype}")
    if reference.shape != decoded.shape:
        raise ValueError(f"pictures differ in shape: {reference.shape}, {decoded.shape}")
