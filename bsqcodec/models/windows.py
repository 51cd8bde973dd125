"""Grids of tokens cut into the 8x8 windows in which tokenizer and prior attend."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

WINDOW = 8
"""Side of an attention window, in tokens."""


def to_windows(x: Tensor) -> Tensor:
    """[B, h, w, D] -> [B * h/8 * w/8, 64, D]; h and w are multiples of 8."""
    b, h, w, d = x.shape
    x = x.reshape(b, h // WINDOW, WINDOW, w // WINDOW, WINDOW, d).transpose(2, 3)
    return x.reshape(-1, WINDOW * WINDOW, d)


def from_windows(x: Tensor, h: int, w: int) -> Tensor:
    """Inverse of `to_windows`."""
    d = x.shape[-1]
    x = x.reshape(-1, h // WINDOW, w // WINDOW, WINDOW, WINDOW, d).transpose(2, 3)
    return x.reshape(-1, h, w, d)


def relative_index() -> Tensor:
    """[64, 64] index of each pair's relative position within a window, 0 .. 224.

    On the CPU also where a network is made on the meta device: torch would import its compiler for
    operations there, which takes seconds.
    """
    coordinate = np.indices((WINDOW, WINDOW)).reshape(2, -1)
    delta = coordinate[:, :, None] - coordinate[:, None, :] + WINDOW - 1
    return torch.from_numpy(delta[0] * (2 * WINDOW - 1) + delta[1])


def continued(x: Tensor, top: int, bottom: int, left: int, right: int) -> Tensor:
    """x [..., H, W] continued by its edge: `F.pad` with "replicate", in a tenth of the time."""
    columns = [x[..., :1].expand(*x.shape[:-1], left), x, x[..., -1:].expand(*x.shape[:-1], right)]
    wide = torch.cat(columns, dim=-1) if left or right else x
    parts = [wide[..., :1, :].expand(*wide.shape[:-2], top, -1), wide]
    parts.append(wide[..., -1:, :].expand(*wide.shape[:-2], bottom, -1))
    return torch.cat(parts, dim=-2) if top or bottom else wide
