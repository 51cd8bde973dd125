"""Distortion of a reconstruction: squared error, MS-SSIM, and mixes of them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Wang, Simoncelli, Bovik, "Multi-scale structural similarity", 2003."""

MS_SSIM_TO_MSE = 1700.0
"""1 - MS-SSIM of 1 / 1700 goes with a squared error of about 1 (Kodak, .1 to .6 bpp)."""

TAPS = 11
"""Length of the Gaussian window of MS-SSIM, and the shortest side that a picture may have."""


def _blur(x: Tensor) -> Tensor:
    """11-tap Gaussian, sigma 1.5, over both axes of [B, C, H, W], without padding."""
    tap = torch.arange(TAPS, device=x.device, dtype=x.dtype) - TAPS // 2
    kernel = torch.exp(-(tap**2) / (2 * 1.5**2))
    kernel = (kernel / kernel.sum()).expand(x.shape[1], 1, 1, TAPS)
    x = F.conv2d(x, kernel, groups=x.shape[1])
    return F.conv2d(x, kernel.transpose(2, 3), groups=x.shape[1])


def ms_ssim(a: Tensor, b: Tensor) -> Tensor:
    """Multi-scale structural similarity [B] of pictures [B, C, H, W] in 0..255.

    Pictures with a side below 176 have fewer than five scales; their weights are scaled to the same
    sum. Always in float32: the variances are small differences of large numbers.
    Raises ValueError for sides below 11.
    """
    if min(a.shape[2:]) < TAPS:
        raise ValueError(f"MS-SSIM needs sides of {TAPS} pixels")
    with torch.autocast(a.device.type, enabled=False):
        return _ms_ssim(a.float(), b.float())


def _ms_ssim(a: Tensor, b: Tensor) -> Tensor:
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    channels = a.shape[1]
    result = torch.ones_like(a[:, :, 0, 0])
    weights = [w for s, w in enumerate(MS_SSIM_WEIGHTS) if min(a.shape[2:]) >> s >= TAPS]
    used = sum(weights) / sum(MS_SSIM_WEIGHTS)
    for scale, weight in enumerate(weights):
        stacked = _blur(torch.cat([a, b, a * a, b * b, a * b], dim=1))
        mean_a, mean_b, aa, bb, ab = stacked.split(channels, dim=1)
        product, squares = mean_a * mean_b, mean_a**2 + mean_b**2
        similarity = (2 * (ab - product) + c2) / (aa + bb - squares + c2)
        if scale == len(weights) - 1:
            similarity = similarity * (2 * product + c1) / (squares + c1)
        else:
            a, b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
        result = result * similarity.mean((2, 3)).clamp_min(1e-6) ** (weight / used)
    return result.mean(1)


def distortion(reconstruction: Tensor, pixels: Tensor, ms_ssim_weight: float) -> Tensor:
    """Distortion [B] in units of squared pixel error: a mix of MSE and scaled 1 - MS-SSIM."""
    mse = (reconstruction - pixels).square().mean((1, 2, 3))
    if ms_ssim_weight == 0:
        return mse
    structural = MS_SSIM_TO_MSE * (1 - ms_ssim(reconstruction, pixels))
    return (1 - ms_ssim_weight) * mse + ms_ssim_weight * structural
