"""Dead zones of tokens by how well each hides errors, from the pixels alone."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from bsqcodec.models.windows import continued

TYPICAL_DEVIATION = 20.0
"""Deviation of samples inside a token (0..255) at which the dead zone is the typical one."""

DEVIATION_FLOOR = 5.0
"""Deviation that is added (in squares), so that flat tokens differ little from each other."""

TYPICAL_DEAD_ZONE, DEAD_ZONE_SLOPE = 0.54, 0.06
"""Dead zone of a token with the typical deviation, and its increase where the deviation doubles."""

MIN_DEAD_ZONE, MAX_DEAD_ZONE = 0.5, 0.95


def token_variance(pixels: Tensor, patch: int) -> Tensor:
    """Variance of the samples in each token, mean of R, G and B: [B, 3, H, W] -> [B, h, w].

    H and W are multiples of the patch.
    """
    with torch.autocast(pixels.device.type, enabled=False):
        x = pixels.float() - 127.5
        mean, square = F.avg_pool2d(x, patch), F.avg_pool2d(x.square(), patch)
        return (square - mean.square()).clamp_min(0).mean(1)


def dead_zones(variance: Tensor) -> Tensor:
    """Magnitudes [B, h, w], in integer steps, below which values of a token are coded as zero.

    Structural similarity divides errors by the local variance, so busy tokens can lose more.
    variance: of each token; it is averaged over a token and its neighbours, weights 1 2 1.
    """
    v = continued(variance[:, None], 1, 1, 1, 1)
    across = v[..., :-2] + 2 * v[..., 1:-1] + v[..., 2:]
    around = (across[..., :-2, :] + 2 * across[..., 1:-1, :] + across[..., 2:, :])[:, 0] / 16
    octaves = 0.5 * torch.log2((around + DEVIATION_FLOOR**2) / TYPICAL_DEVIATION**2)
    return (TYPICAL_DEAD_ZONE + DEAD_ZONE_SLOPE * octaves).clamp(MIN_DEAD_ZONE, MAX_DEAD_ZONE)


def dead_zones_of(pixels: Tensor, patch: int, *, masked: bool = True) -> Tensor:
    """Dead zones [B, h, w, 1] of pixels [B, 3, H, W]; H and W are multiples of the patch.

    masked: by what tokens hide; otherwise the typical one for all, since squared error does not
    reward that busy tokens lose more.
    """
    if masked:
        return dead_zones(token_variance(pixels, patch))[..., None]
    shape = len(pixels), pixels.shape[2] // patch, pixels.shape[3] // patch, 1
    return torch.full(shape, TYPICAL_DEAD_ZONE, device=pixels.device)
