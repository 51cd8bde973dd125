"""Rounding of latents to integers, with a dead zone around 0."""

from __future__ import annotations

import torch
from torch import Tensor


def straight_through(hard: Tensor, soft: Tensor) -> Tensor:
    """The value of `hard` with the gradient of `soft`."""
    return soft + (hard - soft).detach()


def quantize_beyond(z: Tensor, dead_zone: Tensor | float) -> Tensor:
    """Nearest integers of z, but 0 where its magnitude is below the dead zone (0.5 .. 1).

    What the encoder decides; straight-through gradient.
    """
    n = torch.round(z)
    return straight_through(torch.where(z.abs() < dead_zone, torch.zeros_like(n), n), z)
