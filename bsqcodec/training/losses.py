"""Distortions, and the entropy model that stands in for the prior while the tokenizer trains."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bsqcodec.tokenizer.model import StepTable

MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Wang, Simoncelli, Bovik, "Multi-scale structural similarity", 2003."""

MS_SSIM_TO_MSE = 1700.0
"""1 - MS-SSIM of 1 / 1700 goes with a squared error of about 1 (Kodak, .1 to .6 bpp)."""


def _blur(x: Tensor) -> Tensor:
    """11-tap Gaussian, sigma 1.5, over both axes of [B, C, H, W], without padding."""
    tap = torch.arange(11, device=x.device, dtype=x.dtype) - 5
    kernel = torch.exp(-(tap**2) / (2 * 1.5**2))
    kernel = (kernel / kernel.sum()).expand(x.shape[1], 1, 1, 11)
    x = F.conv2d(x, kernel, groups=x.shape[1])
    return F.conv2d(x, kernel.transpose(2, 3), groups=x.shape[1])


def ms_ssim(a: Tensor, b: Tensor) -> Tensor:
    """Multi-scale structural similarity [B] of pictures [B, C, H, W] in 0..255, sides > 160.

    Always in float32: the variances are small differences of large numbers.
    """
    with torch.autocast(a.device.type, enabled=False):
        return _ms_ssim(a.float(), b.float())


def _ms_ssim(a: Tensor, b: Tensor) -> Tensor:
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    channels = a.shape[1]
    result = torch.ones(a.shape[:2], device=a.device)
    for scale, weight in enumerate(MS_SSIM_WEIGHTS):
        stacked = _blur(torch.cat([a, b, a * a, b * b, a * b], dim=1))
        mean_a, mean_b, aa, bb, ab = stacked.split(channels, dim=1)
        product, squares = mean_a * mean_b, mean_a**2 + mean_b**2
        similarity = (2 * (ab - product) + c2) / (aa + bb - squares + c2)
        if scale == len(MS_SSIM_WEIGHTS) - 1:
            similarity = similarity * (2 * product + c1) / (squares + c1)
        else:
            a, b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
        result = result * similarity.mean((2, 3)).clamp_min(1e-6) ** weight
    return result.mean(1)


def distortion(reconstruction: Tensor, pixels: Tensor, ms_ssim_share: float) -> Tensor:
    """Distortion [B] in units of squared pixel error: a mix of MSE and scaled 1 - MS-SSIM."""
    mse = (reconstruction - pixels).square().mean((1, 2, 3))
    if ms_ssim_share == 0:
        return mse
    structural = MS_SSIM_TO_MSE * (1 - ms_ssim(reconstruction, pixels))
    return (1 - ms_ssim_share) * mse + ms_ssim_share * structural


def multiplier(step_size: Tensor) -> Tensor:
    """Bits that one unit of squared error (summed over samples) is worth at a quantizer step.

    The slope of uniform quantization at high rate, as used in H.264 and HEVC reference encoders
    (lambda = 0.134 step^2).
    """
    return 1.0 / (0.134 * step_size**2)


def laplace_bits(n: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """-log2 of the mass that a Laplace density gives to the unit interval around n; elementwise."""
    inverse = torch.exp(-log_scale)
    d = (n - mean).abs()
    tail = -(d - 0.5) * inverse + torch.log(-torch.expm1(-inverse)) - math.log(2)
    near = d.clamp(max=0.5)
    middle = 1 - 0.5 * (torch.exp((near - 0.5) * inverse) + torch.exp((-near - 0.5) * inverse))
    log_p = torch.where(d > 0.5, tail, torch.log(middle.clamp_min(1e-9)))
    return -log_p / math.log(2)


class CausalRate(nn.Module):
    """Rate of integers [B, h, w, C]: Laplace, mean and scale from the tokens above and to the left.

    A stand-in for the prior that one pass evaluates; an upper bound of what the prior reaches.
    """

    mask: Tensor

    def __init__(self, channels: int, width: int = 384, knots: int = 9) -> None:
        super().__init__()
        self.context = nn.Conv2d(2 * channels, width, 5, padding=2)
        self.step = StepTable(knots, width)
        self.hidden = nn.Linear(width, width)
        self.out = nn.Linear(width, 2 * channels)
        self.channel_step = StepTable(knots, 2 * channels)
        nn.init.zeros_(self.out.weight)
        mask = torch.zeros(5, 5)
        mask[:2, 1:4] = 1
        mask[2, :2] = 1
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, n: Tensor, noisy: Tensor, step: Tensor) -> Tensor:
        """Bits [B, h, w, C] of noisy [B, h, w, C], given the context n, its rounded version."""
        magnitude = torch.log1p(n.abs())
        features = torch.cat([n.sign() * magnitude, magnitude], dim=-1).permute(0, 3, 1, 2)
        x = F.conv2d(features, self.context.weight * self.mask, self.context.bias, padding=2)
        x = F.relu(x.permute(0, 2, 3, 1) + self.step(step)[:, None, None].to(x.dtype))
        x = F.relu(self.hidden(x))
        parameters = self.out(x).float() + self.channel_step(step)[:, None, None]
        mean, log_scale = parameters.chunk(2, dim=-1)
        return laplace_bits(noisy, mean, log_scale.clamp(-3.5, 6.0))
