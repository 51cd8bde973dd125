"""What the prior sees of the bits decoded so far; integers only, shared by training and coding.

All tensors hold integers (in any dtype that represents them exactly). v [B, h, w, C] are the
partial values: the sum of the digits decoded so far, each times 3^plane; unknown digits are 0.
"""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

CLIP = 7
"""Values are shown to the transformer in units of the current plane, clipped to -7 .. 7."""

OWN, MAGNITUDE, TREND = 4, 8, 5
CONTEXTS = OWN * MAGNITUDE * TREND
"""Number of contexts of a digit: own value so far, size and trend of the neighbours' values."""

MAGNITUDE_EDGES = (1.0, 3.0, 6.0, 10.0, 16.0, 26.0, 44.0)
TREND_EDGES = (-12.0, -4.0, 5.0, 13.0)
OWN_KINDS = (3, 2, 2, 2, 2, 0, 1, 1, 1, 1, 3)
"""Kinds of own values -5 or less, -4 .. 4, 5 or more: 0 zero, 1 and 2 the signs, 3 larger."""


def divide_by_power(v: Tensor, power: Tensor) -> Tensor:
    """v / 3^p rounded towards zero, for partial values (multiples of 3^p or nearly).

    float32 division of integers below 2^24 is correctly rounded and truncating it is exact:
    the quotient of two such integers cannot round up to the next integer.
    """
    return torch.trunc(v / power)


def clipped(v: Tensor, power: Tensor) -> Tensor:
    """Values in units of 3^plane within +-CLIP; power: 3^plane, broadcasts against v."""
    return divide_by_power(v, power).clamp(-CLIP, CLIP)


def features(v: Tensor, power: Tensor) -> Tensor:
    """Input of the transformer [B, h, w, 2 C]: clipped values and magnitudes."""
    u = clipped(v, power)
    return torch.cat([u, u.abs()], dim=-1)


def _sum_of_neighbours(x: Tensor) -> tuple[Tensor, Tensor]:
    """(sum over the 4 nearest, sum over the 4 diagonal) neighbours of x [B, h, w, C]."""
    p = F.pad(x, (0, 0, 1, 1, 1, 1))
    row = p[:, :, :-2] + p[:, :, 2:]
    column = p[:, :-2] + p[:, 2:]
    return row[:, 1:-1] + column[:, :, 1:-1], row[:, :-2] + row[:, 2:]


def neighbour_sums(v: Tensor) -> tuple[Tensor, Tensor]:
    """(magnitude, trend) [B, h, w, C]: weighted sums over the 8 neighbours of |v| and of v.

    Nearest neighbours count 2, diagonal ones 1, so a flat neighbourhood sums to 12 times its value;
    positions outside the grid count 0.
    """
    near, diagonal = _sum_of_neighbours(v.abs())
    near_signed, diagonal_signed = _sum_of_neighbours(v)
    return 2 * near + diagonal, 2 * near_signed + diagonal_signed


def contexts(v: Tensor, magnitude: Tensor, trend: Tensor, power: Tensor) -> Tensor:
    """Context of each digit, int32 of v's shape, 0 .. CONTEXTS - 1.

    v, magnitude, trend: of the same positions (any selection of them); power: 3^plane, broadcasts.
    """
    kinds, sizes, slopes = _tables(v.device)
    u = divide_by_power(v, power).clamp(-5, 5)
    own = kinds.index_select(0, u.int().reshape(-1) + 5).view(u.shape)
    # a quotient of such integers cannot round up to an edge that it is below
    size = torch.bucketize(magnitude / power, sizes, right=True, out_int32=True)
    slope = torch.bucketize((trend - 12 * v) / power, slopes, right=True, out_int32=True)
    return (own * MAGNITUDE + size) * TREND + slope


@cache
def _tables(device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    edges = (MAGNITUDE_EDGES, TREND_EDGES)
    sizes, slopes = (torch.tensor(e, dtype=torch.float32, device=device) for e in edges)
    return torch.tensor(OWN_KINDS, dtype=torch.int32, device=device), sizes, slopes
