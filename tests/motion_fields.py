"""Frames and vector fields for the tests of motion."""

from __future__ import annotations

import torch
from torch import Tensor

from .tiny_models import seeded


def texture(height: int, width: int, seed: int = 0) -> Tensor:
    """Smooth noise [3, height, width] of whole numbers 0..255."""
    with seeded(seed):
        noise = torch.rand(1, 3, height // 4, width // 4)
    smooth = torch.nn.functional.interpolate(noise, (height, width), mode="bicubic")[0]
    return (255 * smooth).round().clamp(0, 255)


def field(rows: int, columns: int, down: int, right: int) -> Tensor:
    """The same vector, in quarters of a pixel, for all blocks."""
    return torch.tensor([down, right]).expand(rows, columns, 2).contiguous()
