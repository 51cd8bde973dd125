"""Compiled loops of motion estimation; `motion_estimation` has the same in tensor operations.

Samples are integers, and so is every sum of differences, so that both find the same vectors. Planes
are int16 [H + 2 MARGIN, W + 2 MARGIN], continued by their edge; positions are those of the frame
without its margin. Vectors [n, 2] are in quarters of a pixel.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bsqcodec.machine.compiled import compiled
from bsqcodec.models.transform.compensation import BEFORE, MARGIN
from bsqcodec.models.transform.compensation_loops import (
    EIGHT,
    FILTERS,
    FIVE,
    FOUR,
    ONE,
    SEVEN,
    SIX,
    THREE,
    TWO,
    UNSIGNED,
    Block,
    filter_across,
    filter_along,
)

Plane = npt.NDArray[np.int16]
Ints = npt.NDArray[np.int64]
Costs = npt.NDArray[np.float32]


SHIFT = 12
"""Two filters, whose taps add up to 64, multiply samples by two to this power."""
HALF = 1 << (SHIFT - 1)


@compiled
def sad(current: Plane, reference: Plane, place: Ints, vector: Ints, block: int) -> np.int32:
    """Sum of absolute differences of a block at a place (top, left), for a vector of whole
    pixels."""
    top, left = UNSIGNED(MARGIN + place[0]), UNSIGNED(MARGIN + place[1])
    down = UNSIGNED(MARGIN + place[0] + (vector[0] >> 2))
    right = UNSIGNED(MARGIN + place[1] + (vector[1] >> 2))
    total = np.int32(0)
    if block == 8:
        for i in range(EIGHT):
            for j in range(EIGHT):
                apart = np.int32(current[top + i, left + j]) - reference[down + i, right + j]
                total += abs(apart)
        return total
    for i in range(UNSIGNED(block)):
        for j in range(UNSIGNED(block)):
            total += abs(np.int32(current[top + i, left + j]) - reference[down + i, right + j])
    return total


@compiled
def take_difference(d: Block, current: Plane, place: Ints) -> None:
    """Round filtered samples d, halves up, and take the block at a place (top, left) from them."""
    top, left = UNSIGNED(MARGIN + place[0]), UNSIGNED(MARGIN + place[1])
    for i in range(UNSIGNED(d.shape[0])):
        for j in range(UNSIGNED(d.shape[1])):
            d[i, j] = ((d[i, j] + HALF) >> SHIFT) - current[top + i, left + j]


@compiled
def transform_columns(d: Block) -> None:
    """The Hadamard transform of each 8 samples of columns of d, in place."""
    for block in range(UNSIGNED(len(d)) // EIGHT):
        k = EIGHT * block
        for j in range(UNSIGNED(d.shape[1])):
            a, b, c, e = d[k, j], d[k + ONE, j], d[k + TWO, j], d[k + THREE, j]
            f, g, h, i = d[k + FOUR, j], d[k + FIVE, j], d[k + SIX, j], d[k + SEVEN, j]
            a, f, b, g, c, h, e, i = a + f, a - f, b + g, b - g, c + h, c - h, e + i, e - i
            a, c, b, e, f, h, g, i = a + c, a - c, b + e, b - e, f + h, f - h, g + i, g - i
            d[k, j], d[k + ONE, j], d[k + TWO, j], d[k + THREE, j] = a + b, a - b, c + e, c - e
            d[k + FOUR, j], d[k + FIVE, j] = f + g, f - g
            d[k + SIX, j], d[k + SEVEN, j] = h + i, h - i


@compiled
def hadamard_sum(d: Block, turned: Block) -> np.int32:
    """Sum of the magnitudes of the 8x8 Hadamard transforms of differences d [size, size].

    d and `turned`, of the same shape, are changed.
    """
    transform_columns(d)
    size = UNSIGNED(len(d))
    for i in range(size):
        for j in range(size):
            turned[i, j] = d[j, i]
    transform_columns(turned)
    total = np.int32(0)
    for i in range(size):
        for j in range(size):
            total += abs(turned[i, j])
    return total


@compiled
def satd(
    current: Plane,
    reference: Plane,
    place: Ints,
    vector: Ints,
    rows: Block,
    d: Block,
    turned: Block,
) -> np.int32:
    """Sum of the magnitudes of transformed differences of a block at a place (top, left).

    d, turned [size, size], rows [size + 7, size]: memory.
    """
    top, left = 4 * place[0] + vector[0], 4 * place[1] + vector[1]
    down, right = MARGIN + (top >> 2) - BEFORE, MARGIN + (left >> 2) - BEFORE
    filter_across(reference, down, right, FILTERS[left & 3], rows)
    filter_along(rows, 0, FILTERS[top & 3], d)
    take_difference(d, current, place)
    return hadamard_sum(d, turned)


@compiled
def errors(
    current: Plane,
    reference: Plane,
    places: Ints,
    vectors: Ints,
    block: int,
    transformed: bool,
    out: Ints,
) -> None:
    """Sums [n] of blocks at places [n, 2] for vectors [n, 2]."""
    rows = np.empty((block + len(FILTERS[0]) - 1, block), np.int32)
    d, turned = np.empty((block, block), np.int32), np.empty((block, block), np.int32)
    for b in range(len(places)):
        if transformed:
            out[b] = satd(current, reference, places[b], vectors[b], rows, d, turned)
        else:
            out[b] = sad(current, reference, places[b], vectors[b], block)


@compiled
def errors_around(
    current: Plane, reference: Plane, places: Ints, vectors: Ints, block: int, near: int, out: Ints
) -> None:
    """Sums [(2 near + 1)^2, n] for vectors of whole pixels around those given, row by row."""
    vector = np.empty(2, np.int64)
    for b in range(len(places)):
        k = 0
        for down in range(-near, near + 1):
            for right in range(-near, near + 1):
                vector[0], vector[1] = vectors[b, 0] + 4 * down, vectors[b, 1] + 4 * right
                out[k, b] = sad(current, reference, places[b], vector, block)
                k += 1


@compiled
def subpel_errors(
    current: Plane, reference: Plane, places: Ints, centres: Ints, block: int, near: int, out: Ints
) -> None:
    """Sums [n, 2 near + 1, 2 near + 1] for vectors up to `near` quarters from whole pixels.

    centres [n, 2]: vectors of whole pixels, in quarters.
    """
    side = 2 * near + 1
    rows = np.empty((side, block + len(FILTERS[0]), block), np.int32)
    d, turned = np.empty((block, block), np.int32), np.empty((block, block), np.int32)
    for b in range(len(places)):
        top = MARGIN + places[b, 0] + (centres[b, 0] >> 2) - 1 - BEFORE
        left = MARGIN + places[b, 1] + (centres[b, 1] >> 2) - BEFORE
        for across in range(side):
            shift = across - near
            filter_across(reference, top, left + (shift >> 2), FILTERS[shift & 3], rows[across])
        for down in range(side):
            shift = down - near
            for across in range(side):
                filter_along(rows[across], 1 + (shift >> 2), FILTERS[shift & 3], d)
                take_difference(d, current, places[b])
                out[b, down, across] = hadamard_sum(d, turned)


@compiled
def window_errors(
    tiny: npt.NDArray[np.int32], other: npt.NDArray[np.int32], reach: int, size: int, out: Costs
) -> None:
    """Mean differences [shifts, h, w] of blocks with two samples around them, for every shift.

    tiny [H, W]: a frame; other [H + 2 reach, W + 2 reach]: another, continued; size: of a block.
    What is beyond the frame does not count.
    """
    height, width = tiny.shape
    apart = np.empty((height, width), np.int32)
    added = np.empty(width, np.int32)
    _, h, w = out.shape
    shift = 0
    for down in range(2 * reach + 1):
        for right in range(2 * reach + 1):
            for i in range(height):
                for j in range(width):
                    apart[i, j] = abs(other[down + i, right + j] - tiny[i, j])
            for y in range(h):
                top, bottom = max(y * size - 2, 0), min(y * size + size + 2, height)
                added[:] = 0
                for i in range(top, bottom):
                    for j in range(width):
                        added[j] += apart[i, j]
                for x in range(w):
                    left, end = max(x * size - 2, 0), min(x * size + size + 2, width)
                    total = np.int32(0)
                    for j in range(left, end):
                        total += added[j]
                    count = (bottom - top) * (end - left)
                    out[shift, y, x] = np.float32(total) / np.float32(count)
            shift += 1
