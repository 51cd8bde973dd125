"""What the tokenizer is trained with: distortions, and an entropy model in place of the prior."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bsqcodec.tokenizer.model import StepTable


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
