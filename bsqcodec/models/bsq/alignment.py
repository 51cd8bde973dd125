"""An earlier frame of a video, moved to where a frame shows the same; the decoder finds how.

Both pictures are decoded ones, so no vectors are in the file. Each 8x8 pixels get the vector whose
surroundings differ least: by a search of all vectors at a quarter of the size, by refinement at a
half and at full size, and by a parabola to quarters of a pixel. Pictures of whole samples have the
same vectors on every machine: differences are added up without rounding.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from bsqcodec.models.transform.compensation import (
    QUARTERS,
    block_positions,
    compensate,
    extended_frame,
    patches_at,
)
from bsqcodec.models.windows import continued

BLOCK = 8
"""Side in pixels of what has one vector."""

SHRINK = 4
"""How much smaller the pictures are in which all vectors are searched."""

REACH = 6
"""The longest vectors of that search in each direction, in its pixels."""

FINEST_RADIUS = 2
"""Whole pixels around a vector that are tried at full size."""

LENGTH_COST = 22
"""Sum of the differences of 6x6 samples that one of these pixels of a vector's length is worth."""

CHANGE_COST = 5 / 128
"""Difference of each sample that a pixel of refinement, or a neighbour's vector, is worth."""


@torch.no_grad()
def aligned(frame: Tensor, earlier: Tensor) -> Tensor:
    """An earlier picture [3, H, W] as it fits a frame of the same size, multiples of 16 pixels.

    Samples are in 0..255.
    """
    return compensate(earlier, vectors_between(frame, earlier))


@torch.no_grad()
def vectors_between(frame: Tensor, earlier: Tensor) -> Tensor:
    """Vectors int64 [H / 8, W / 8, 2] (down, right) in quarters of a pixel, from a frame [3, H, W].

    They lead to what an earlier one shows alike.
    """
    with torch.autocast(frame.device.type, enabled=False):
        own, other = (_brightness(picture) for picture in (frame, earlier))
        small = [F.avg_pool2d(picture, SHRINK) for picture in (own, other)]
        vectors = _search(small[0], small[1])
        half = [F.avg_pool2d(picture, 2) for picture in (own, other)]
        vectors, _ = _refined(half[0], half[1], 2 * vectors, 1)
        vectors, fractions = _refined(own, other, 2 * vectors, FINEST_RADIUS)
        return QUARTERS * vectors + fractions


def _brightness(picture: Tensor) -> Tensor:
    """The mean [1, H, W] of a picture's colours, green twice."""
    red, green, blue = picture.float()
    return ((red + 2 * green + blue) / 4)[None]


def _search(own: Tensor, other: Tensor) -> Tensor:
    """Vectors [h, w, 2] of small pictures [1, H, W]: the best of all up to REACH."""
    side = BLOCK // SHRINK
    wide = continued(other, REACH, REACH, REACH, REACH)
    h, w = own.shape[1:]
    best = torch.full((h // side, w // side), torch.inf, device=own.device)
    found = torch.zeros((*best.shape, 2), dtype=torch.int64, device=own.device)
    offsets = range(-REACH, REACH + 1)
    for vector in sorted((abs(y) + abs(x), y, x) for y in offsets for x in offsets):
        length, down, right = vector
        shifted = wide[:, REACH + down : REACH + down + h, REACH + right : REACH + right + w]
        difference = (own - shifted).abs()
        cost = F.avg_pool2d(difference, 3 * side, side, side, divisor_override=1)[0]
        cost = cost + LENGTH_COST * length
        better = cost < best
        best = torch.where(better, cost, best)
        found[better] = torch.tensor((down, right), device=own.device)
    return found


def _refined(own: Tensor, other: Tensor, vectors: Tensor, radius: int) -> tuple[Tensor, Tensor]:
    """(vectors, fractions in quarters) [h, w, 2]: the best near the best of neighbours' vectors.

    own, other: pictures [1, H, W]. radius: pixels around that are tried, in each direction.
    """
    h, w = vectors.shape[:2]
    side = own.shape[1] // h
    top, left = block_positions(h, w, side, own.device)
    size = 2 * side
    top, left = top - side // 2, left - side // 2
    mine = patches_at(extended_frame(own), top, left, size)
    extended = extended_frame(other)

    def difference(vector: Tensor, margin: int) -> Tensor:
        return patches_at(
            extended, top + vector[:, 0] - margin, left + vector[:, 1] - margin, size + 2 * margin
        )

    choices = torch.stack([moved.reshape(-1, 2) for moved in _with_neighbours(vectors)])
    costs = torch.stack([(difference(v, 0) - mine).abs().sum((1, 2, 3)) for v in choices])
    change = CHANGE_COST * size**2
    costs[1:] += change
    start = choices[costs.argmin(0), torch.arange(h * w, device=own.device)]

    count = 2 * radius + 1
    around = difference(start, radius)
    found = torch.stack(
        [
            (around[:, :, y : y + size, x : x + size] - mine).abs().sum((1, 2, 3))
            for y in range(count)
            for x in range(count)
        ],
        1,
    )
    away = (torch.arange(count, device=own.device) - radius).abs()
    best = (found + change * (away[:, None] + away).flatten()).argmin(1)
    down, right = best // count, best % count
    vector = start + torch.stack([down - radius, right - radius], 1)
    table = F.pad(found.view(-1, count, count), (1, 1, 1, 1), value=torch.inf)
    rows = torch.arange(h * w, device=own.device)
    centre = table[rows, down + 1, right + 1]
    fractions = torch.stack(
        [
            _valley(table[rows, down, right + 1], centre, table[rows, down + 2, right + 1]),
            _valley(table[rows, down + 1, right], centre, table[rows, down + 1, right + 2]),
        ],
        1,
    )
    return vector.view(h, w, 2), fractions.view(h, w, 2)


def _with_neighbours(vectors: Tensor) -> list[Tensor]:
    """Vectors [h, w, 2], and those of the blocks above, below, left and right."""
    wide = continued(vectors.permute(2, 0, 1), 1, 1, 1, 1).permute(1, 2, 0)
    return [vectors, wide[:-2, 1:-1], wide[2:, 1:-1], wide[1:-1, :-2], wide[1:-1, 2:]]


def _valley(before: Tensor, centre: Tensor, after: Tensor) -> Tensor:
    """Quarters of a pixel from a least cost to the lowest point of a parabola; 0 at a border."""
    bend = before - 2 * centre + after
    offset = (before - after) / (2 * bend.clamp_min(2**-8))
    inside = bend.isfinite() & (bend > 0)
    quarters = (QUARTERS * offset).round().clamp(-QUARTERS // 2, QUARTERS // 2)
    return torch.where(inside, quarters, 0.0).nan_to_num(0.0).long()
