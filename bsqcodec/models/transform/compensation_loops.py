"""Compiled loops of motion compensation; `compensation` has the same in tensor operations.

All numbers are integers that float32 holds too.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bsqcodec.machine.compiled import compiled
from bsqcodec.models.transform.compensation import BEFORE, MARGIN, OVERLAP, TAPS, TOKEN

Block = npt.NDArray[np.int32]
Samples = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]

FILTERS = np.array(TAPS, np.int32)
"""The taps of the four filters, which add up to 64."""
_HALF, _SHIFT = 32, 6
_RAMP = 2 * OVERLAP

UNSIGNED = np.uint64
ONE, TWO, THREE, FOUR, FIVE, SIX, SEVEN, EIGHT = (UNSIGNED(i) for i in range(1, 9))
"""Indices without a sign, which cannot count from the end, keep loops simple for a compiler."""


@compiled
def filter_along(x: Samples, top: int, taps: Block, out: Block) -> None:
    """Filter columns of samples x: out [h, w] from the rows from `top` on."""
    a, b, c, d, e, f, g, h = taps
    start = UNSIGNED(top)
    for i in range(UNSIGNED(out.shape[0])):
        k = start + i
        for j in range(UNSIGNED(out.shape[1])):
            value = a * x[k, j] + b * x[k + ONE, j] + c * x[k + TWO, j] + d * x[k + THREE, j]
            value += e * x[k + FOUR, j] + f * x[k + FIVE, j]
            out[i, j] = value + g * x[k + SIX, j] + h * x[k + SEVEN, j]


@compiled
def filter_across(x: Samples, top: int, left: int, taps: Block, out: Block) -> None:
    """Filter rows of samples x: out [h, w] from the place (top, left) on."""
    a, b, c, d, e, f, g, h = taps
    first, start = UNSIGNED(top), UNSIGNED(left)
    for i in range(UNSIGNED(out.shape[0])):
        row = first + i
        for j in range(UNSIGNED(out.shape[1])):
            k = start + j
            value = a * x[row, k] + b * x[row, k + ONE] + c * x[row, k + TWO]
            value += d * x[row, k + THREE] + e * x[row, k + FOUR] + f * x[row, k + FIVE]
            out[i, j] = value + g * x[row, k + SIX] + h * x[row, k + SEVEN]


@compiled
def round_filtered(x: Block) -> None:
    """Divide what was filtered by what the taps add up to, halves up."""
    for i in range(UNSIGNED(x.shape[0])):
        for j in range(UNSIGNED(x.shape[1])):
            x[i, j] = (x[i, j] + _HALF) >> _SHIFT


@compiled
def add_blocks(
    planes: npt.NDArray[np.int32],
    extended: npt.NDArray[np.int32],
    places: Ints,
    vectors: Ints,
    block: int,
) -> None:
    """Add blocks of a frame, weighted at their borders, to planes [C, H + 40, W + 40].

    extended [C, ...]: the reference with its margin; places [n, 2]: top and left of blocks in a
    frame [H + 32, W + 32] with a token more on each side; vectors [n, 2]: in quarters of a pixel.
    """
    size = block + 2 * OVERLAP
    rows = np.empty((size + len(FILTERS[0]) - 1, size), np.int32)
    d = np.empty((size, size), np.int32)
    window = np.empty(size, np.int32)
    for i in range(size):
        window[i] = min(2 * min(i, size - 1 - i) + 1, 2 * _RAMP)
    for b in range(len(places)):
        top = MARGIN + places[b, 0] - TOKEN - OVERLAP - BEFORE + (vectors[b, 0] >> 2)
        left = MARGIN + places[b, 1] - TOKEN - OVERLAP - BEFORE + (vectors[b, 1] >> 2)
        for channel in range(len(planes)):
            filter_across(extended[channel], top, left, FILTERS[vectors[b, 1] & 3], rows)
            round_filtered(rows)
            filter_along(rows, 0, FILTERS[vectors[b, 0] & 3], d)
            round_filtered(d)
            plane = planes[channel]
            first, start = UNSIGNED(places[b, 0]), UNSIGNED(places[b, 1])
            for i in range(UNSIGNED(size)):
                for j in range(UNSIGNED(size)):
                    plane[first + i, start + j] += d[i, j] * window[i] * window[j]
