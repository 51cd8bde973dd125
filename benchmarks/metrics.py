"""Distortion of one decoded picture as the field measures it: PSNR, MS-SSIM, SSIM; and bpp."""

import math

import numpy as np
import pytorch_msssim
import torch

from benchmarks.colour import Frame, Pixels, planes, rgb_to_ycbcr
from bsqcodec.encoder.psnr import psnr as psnr_of_pictures
from bsqcodec.encoder.psnr import psnr_of_error

MAX_DB = 100.0  # stands for "identical", so that means stay finite
MS_SSIM_MIN_SIDE = 161  # pixels: an 11-tap window must fit after four halvings
YUV_WEIGHTS = (6, 1, 1)


def bpp(size: int, width: int, height: int, frames: int = 1) -> float:
    """Bits per pixel of a whole file of `size` bytes, header and all."""
    return 8 * size / (width * height * frames)


def psnr(reference: Pixels, decoded: Pixels) -> float:
    """PSNR in dB over all samples of two uint8 arrays of one shape, at most MAX_DB."""
    _check_pair(reference, decoded)
    return min(MAX_DB, psnr_of_pictures(decoded, reference))


def psnr_yuv(reference: Pixels, decoded: Pixels) -> float:
    """PSNR 6:1:1 in dB of two uint8 RGB pictures [H, W, 3].

    (6 PSNR_Y + PSNR_Cb + PSNR_Cr) / 8 after BT.601 at full range and full resolution, unrounded.
    """
    _check_pair(reference, decoded)
    difference = rgb_to_ycbcr(reference) - rgb_to_ycbcr(decoded)
    return _weighted([float(np.mean(np.square(difference[..., c]))) for c in range(3)])


def psnr_yuv_frame(reference: Frame, decoded: Frame) -> float:
    """PSNR 6:1:1 in dB of two 4:2:0 frames [3 H / 2, W], on their own planes."""
    _check_pair(reference, decoded)
    pairs = zip(planes(reference), planes(decoded), strict=True)
    return _weighted(
        [float(np.mean(np.square(a.astype(np.float32) - b), dtype=np.float64)) for a, b in pairs]
    )


def ms_ssim(reference: Pixels, decoded: Pixels) -> float | None:
    """MS-SSIM of two uint8 RGB pictures [H, W, 3]: 5 scales, the mean over R, G and B, 0 to 1.

    Wang, Simoncelli, Bovik, "Multiscale structural similarity", 2003, as in pytorch-msssim.
    None for pictures with a side below MS_SSIM_MIN_SIDE, for which it is not defined.
    """
    _check_pair(reference, decoded)
    if min(reference.shape[:2]) < MS_SSIM_MIN_SIDE:
        return None
    with torch.inference_mode():
        pair = _tensor(reference), _tensor(decoded)
        return float(pytorch_msssim.ms_ssim(*pair, data_range=255))


def ssim(reference: Pixels, decoded: Pixels) -> float:
    """SSIM of two uint8 RGB pictures [H, W, 3]: 11-tap Gaussian window, the mean over R, G, B."""
    _check_pair(reference, decoded)
    with torch.inference_mode():
        return float(pytorch_msssim.ssim(_tensor(reference), _tensor(decoded), data_range=255))


def ms_ssim_db(value: float) -> float:
    """MS-SSIM on a logarithmic scale, -10 log10(1 - x), on which curves can be told apart."""
    remainder = 1 - value
    return MAX_DB if remainder <= 0 else min(MAX_DB, -10 * math.log10(remainder))


def _decibels(error: float) -> float:
    """PSNR of a mean squared error of 8-bit samples."""
    return min(MAX_DB, psnr_of_error(error))


def _weighted(errors: list[float]) -> float:
    terms = [w * _decibels(error) for w, error in zip(YUV_WEIGHTS, errors, strict=True)]
    return sum(terms) / sum(YUV_WEIGHTS)


def _tensor(pixels: Pixels) -> torch.Tensor:
    # With the batch in front before permuting, convolutions see plain channels-last: twice as fast.
    return torch.from_numpy(pixels.astype(np.float32)[None]).permute(0, 3, 1, 2)


def _check_pair(reference: Pixels, decoded: Pixels) -> None:
    if reference.dtype != np.uint8 or decoded.dtype != np.uint8:
        raise ValueError(f"metrics compare uint8 pictures, not {reference.dtype}, {decoded.dtype}")
    if reference.shape != decoded.shape:
        raise ValueError(f"pictures differ in shape: {reference.shape}, {decoded.shape}")
