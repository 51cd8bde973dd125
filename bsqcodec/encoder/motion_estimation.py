"""Motion estimation: integer-pel search between source frames, then subpel refinement.

Vectors are those of `bsqcodec.models.transform.compensation`, in quarters of a pixel. The
integer-pel search needs no decoded frame, so it can run ahead of the encoding loop; the subpel
refinement compares with the decoded frame. Both minimise the sum of absolute differences plus a
rate weight times the estimated bits of the vectors.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from bsqcodec.machine.compiled import count_tokens, loops_pay
from bsqcodec.models.token_grid import TokenGrid
from bsqcodec.models.transform.compensation import (
    AFTER,
    BEFORE,
    MARGIN,
    QUARTERS,
    TOKEN,
    block_positions,
    extended_frame,
    interpolation_filters,
    patches_at,
)
from bsqcodec.models.windows import continued

MAX_VECTOR_PIXELS = 92
"""Largest component of a vector, in pixels."""

SPLIT_BITS = 28.0
"""Estimated bits that four vectors of a token cost more than one, with those of later vectors."""

DIFFERENT_BITS, OCTAVE_BITS = 1.0, 0.7
"""Estimated bits of a vector that differs from its neighbours,
and of each octave of the difference."""

SPLIT_CANDIDATE_RATIO = 1.0
"""A token may be split if its four vectors of whole pixels cost less than this
times the cost of one."""

WINDOW_PIXELS = 3
"""The search tries every vector of whole pixels within so many pixels of a start."""

SUBPEL_QUARTERS = 2
"""The subpel refinement tries every vector within so many quarters of one of whole pixels."""

COARSE_WEIGHT = 0.02
"""What the square root of a component of a coarse vector costs, in mean differences of luma."""

DOWNSAMPLING = 4
"""The search begins on frames smaller by twice this factor,
and goes on with frames smaller by it."""

MOTION_RATE_WEIGHT = 14.0
"""Sums of absolute differences that a bit of motion is worth at the step index 176."""


def motion_rate_weight(step: int) -> float:
    """The rate weight of motion at a step index: in proportion to the quantizer step."""
    return float(MOTION_RATE_WEIGHT * 2 ** ((step - 176) / 32))


def load_frame(pixels: npt.NDArray[np.uint8], grid: TokenGrid, device: torch.device) -> Tensor:
    """pixels [H, W, 3] -> [3, rows 16, columns 16] float, padded by their edge."""
    x = torch.from_numpy(pixels).to(device).permute(2, 0, 1).float()
    height, width = grid.pixels
    return continued(x, 0, height - x.shape[1], 0, width - x.shape[2])


def luma(frame: Tensor) -> Tensor:
    """Luma [1, H, W] (BT.601 weights) of a frame [3, H, W]."""
    r, g, b = frame
    return (0.299 * r + 0.587 * g + 0.114 * b)[None]


def _samples(luma: Tensor) -> Tensor:
    """Luma [1, H, W] in whole quarters, so that sums of differences are exact in float32."""
    return torch.round(4 * luma)


@cache
def _hadamard(size: int, device: torch.device) -> Tensor:
    """The transform of each 8 of `size` samples, [size, size], symmetric, of 1, -1 and 0."""
    h = torch.ones(1, 1, device=device, dtype=torch.float32)
    while len(h) < 8:
        h = torch.cat([torch.cat([h, h], 1), torch.cat([h, -h], 1)])
    return torch.block_diag(*[h] * (size // 8))


@cache
def _component_bits(device: torch.device) -> Tensor:
    """Estimated bits of a component of a vector by its distance from what was predicted."""
    distance = np.arange(2 * QUARTERS * MARGIN)
    bits = OCTAVE_BITS * np.log2(1 + distance)
    return torch.from_numpy(bits.astype(np.float32)).to(device)


@dataclass(frozen=True)
class IntegerPelMotion:
    """Vectors of whole pixels, in quarters of a pixel: the result of the integer-pel search.

    tokens [h, w, 2]: one vector for each token; quarters [2 h, 2 w, 2]: one for each quarter of a
    token; split_candidates [h, w]: tokens for which four vectors may cost less than one.
    """

    tokens: Tensor
    quarters: Tensor
    split_candidates: Tensor


@torch.inference_mode()
def search_frame_integer_pel(
    grid: TokenGrid,
    device: torch.device,
    before: npt.NDArray[np.uint8],
    pixels: npt.NDArray[np.uint8],
    rate_weight: float,
    motion_before: IntegerPelMotion | None,
) -> IntegerPelMotion:
    """Integer-pel motion between two frames [H, W, 3] of the source, from `before` to `pixels`.

    motion_before: the result for `before`, or None.
    """
    current, reference = (luma(load_frame(x, grid, device)) for x in (pixels, before))
    return search_integer_pel(current, reference, rate_weight, motion_before)


def search_integer_pel(
    current: Tensor,
    reference: Tensor,
    rate_weight: float,
    motion_before: IntegerPelMotion | None = None,
) -> IntegerPelMotion:
    """Vectors of whole pixels that predict `current` from `reference`, luma [1, H, W].

    H and W are multiples of 16. The reference may be a frame of the source, so that the search does
    not wait for the decoded frame. rate_weight: of a bit, in sums of absolute differences.
    motion_before: the result for the previous frame, whose vectors become further candidates.
    """
    count_tokens(current.numel() // TOKEN**2)
    current, reference = _samples(current), _samples(reference)
    of_tokens = _BlockSearch(current, reference, TOKEN, rate_weight)
    of_quarters = _BlockSearch(current, reference, TOKEN // 2, rate_weight)
    coarse = _search_downsampled(current, reference, TOKEN)
    fields = [coarse, torch.zeros_like(coarse)]
    if motion_before is not None:
        fields.append(motion_before.tokens)
    tokens = of_tokens.best_integer_pel(of_tokens.choose(fields, coarse), 1)
    for _ in range(2):
        tokens = of_tokens.choose([tokens, *_neighbours(tokens)], tokens)
    tokens, quarters = _search_window(of_quarters, tokens)
    quarters = of_quarters.choose([quarters, *_neighbours(quarters)], quarters)
    split = of_quarters.of_tokens(quarters) + SPLIT_BITS * rate_weight
    whole = of_quarters.of_tokens(_per_quarter(tokens))
    return IntegerPelMotion(tokens, quarters, split < SPLIT_CANDIDATE_RATIO * whole)


def refine_subpel(
    start: IntegerPelMotion, current: Tensor, reference: Tensor, rate_weight: float
) -> Tensor:
    """Vectors [H / 8, W / 8, 2] int64 in quarters of a pixel, found near those of whole pixels.

    current: luma [1, H, W] of a frame; reference: that of the decoded frame before it. The four
    blocks of a token have the same vector unless four vectors cost less.
    """
    current, reference = _samples(current), _samples(reference)
    of_tokens = _BlockSearch(current, reference, TOKEN, rate_weight, transformed=True)
    of_quarters = _BlockSearch(current, reference, TOKEN // 2, rate_weight, transformed=True)
    found = of_tokens.best_subpel(start.tokens)
    tokens = of_tokens.choose([found, *_neighbours(found)], found)
    again = of_tokens.best_subpel(tokens, (tokens != found).any(-1))
    tokens = of_tokens.choose([tokens, again, *_neighbours(tokens)], tokens)
    whole = _per_quarter(tokens)
    where = _per_quarter(start.split_candidates[..., None])[..., 0]
    quarters = of_quarters.best_subpel(start.quarters, where)
    quarters = of_quarters.choose([quarters, *_neighbours(quarters)], quarters, where)
    split = of_quarters.of_tokens(quarters, where) + SPLIT_BITS * rate_weight
    pays = start.split_candidates & (split < of_quarters.of_tokens(whole, where))
    return torch.where(_per_quarter(pays[..., None]), quarters, whole)


def _per_quarter(field: Tensor) -> Tensor:
    """Repeat a field of tokens [h, w, k] for each quarter, [2 h, 2 w, k]."""
    return field.repeat_interleave(2, 0).repeat_interleave(2, 1)


def _search_window(search: _BlockSearch, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """The cheapest vectors of whole pixels near those of tokens: of tokens, and of quarters.

    search: of quarters.
    """
    h, w = tokens.shape[:2]
    start = _per_quarter(tokens)
    predicted = _median(start).reshape(-1, 2)
    vectors, errors = search.errors_around(start, WINDOW_PIXELS)
    cost = errors + search.rate_cost(vectors, predicted)
    quarters = vectors[cost.argmin(0), torch.arange(len(predicted))].view(start.shape)
    total = errors.view(-1, h, 2, w, 2).sum((2, 4))
    candidates = vectors.view(-1, h, 2, w, 2, 2)[:, :, 0, :, 0]
    total = total + search.rate_cost(candidates, _median(tokens))
    best = total.argmin(0)
    chosen = candidates.gather(0, best[None, ..., None].expand(1, h, w, 2))[0]
    return chosen, quarters


def _neighbours(field: Tensor) -> list[Tensor]:
    """Fields of the vectors of each of the four neighbours, and the field of medians."""
    f = continued(field.permute(2, 0, 1), 1, 1, 1, 1).permute(1, 2, 0)
    near = [f[:-2, 1:-1], f[2:, 1:-1], f[1:-1, :-2], f[1:-1, 2:]]
    return [*near, _median(field)]


def _median(field: Tensor) -> Tensor:
    """Componentwise median of the 3 x 3 vectors around each.

    With each column of three in order, it is the median of the largest of the first, the median of
    the middle and the smallest of the last ones: few passes over whole fields.
    """
    f = continued(field.permute(2, 0, 1), 1, 1, 1, 1)
    low, middle, high = (
        (x[..., :-2], x[..., 1:-1], x[..., 2:]) for x in _ordered(f[:, :-2], f[:, 1:-1], f[:, 2:])
    )
    largest = torch.maximum(torch.maximum(low[0], low[1]), low[2])
    smallest = torch.minimum(torch.minimum(high[0], high[1]), high[2])
    return _ordered(largest, _ordered(*middle)[1], smallest)[1].permute(1, 2, 0)


def _ordered(a: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The least, the median and the largest of three tensors, in each place."""
    low, high = torch.minimum(a, b), torch.maximum(a, b)
    middle = torch.maximum(low, torch.minimum(high, c))
    return torch.minimum(low, c), middle, torch.maximum(high, c)


def _search_downsampled(current: Tensor, reference: Tensor, block: int) -> Tensor:
    """Vectors of whole pixels (in quarters) by a full search on frames 8 times smaller.

    Then every vector near the best one is tried on frames 4 times smaller.
    """
    small, other = (_added(x, DOWNSAMPLING) for x in (current, reference))
    tiny, tiny_other = (_added(x, 2)[0] for x in (small, other))
    reach = MAX_VECTOR_PIXELS // (2 * DOWNSAMPLING)
    extended = continued(tiny_other[None], reach, reach, reach, reach)[0]
    size = block // (2 * DOWNSAMPLING)
    count = 2 * reach + 1
    errors = _window_errors(tiny, extended, reach, size)
    longer = np.sqrt(np.abs(np.arange(-reach, reach + 1)))
    length = torch.from_numpy(np.add.outer(longer, longer).ravel().astype(np.float32))
    samples = 4 * (2 * DOWNSAMPLING) ** 2  # quarters of luma, added up
    cost = errors + length.to(errors.device)[:, None, None] * (COARSE_WEIGHT * samples)
    best = cost.argmin(0)
    field = torch.stack([best // count - reach, best % count - reach], dim=-1) * (2 * QUARTERS)
    search = _BlockSearch(small, other, block // DOWNSAMPLING, 0.0, beside=1)
    chosen = search.choose([field, torch.zeros_like(field)], field)
    return search.best_integer_pel(chosen, WINDOW_PIXELS) * DOWNSAMPLING


def _added(x: Tensor, size: int) -> Tensor:
    """Sums of squares of samples of x [1, H, W]: [1, H / size, W / size], exact."""
    return F.avg_pool2d(x[None], size)[0] * size**2


def _window_errors(tiny: Tensor, other: Tensor, reach: int, size: int) -> Tensor:
    """Mean differences [shifts, h, w] of blocks with two samples around them, for every shift.

    tiny [H, W]: a frame; other [H + 2 reach, W + 2 reach]: another, continued; size: of a block.
    """
    h, w = tiny.shape
    count = 2 * reach + 1
    loops = _loops(tiny)
    if loops is not None:
        out = torch.empty(count**2, h // size, w // size, dtype=torch.float32)
        planes = tiny.to(torch.int32).contiguous(), other.to(torch.int32).contiguous()
        loops.window_errors(*(plane.numpy() for plane in planes), reach, size, out.numpy())
        return out
    errors = []
    for down in range(count):
        moved = other[down : down + h].unfold(1, w, 1).transpose(0, 1)  # without a copy
        apart = (moved - tiny).abs_()[:, None]
        errors.append(F.avg_pool2d(apart, size + 4, size, 2, count_include_pad=False)[:, 0])
    return torch.cat(errors)


def _loops(x: Tensor) -> Any:
    """The compiled loops for tensors as x, if there are any; else None."""
    if x.device.type != "cpu" or not loops_pay():
        return None
    from bsqcodec.encoder import motion_loops

    return motion_loops


def _block_indices(where: Tensor | None, count: int, device: torch.device) -> Tensor:
    """Flat indices of the blocks where a mask [h, w] is set, or of all `count` blocks."""
    if where is None:
        return torch.arange(count, device=device)
    return where.reshape(-1).nonzero()[:, 0]


class _BlockSearch:
    """Costs of candidate vectors of all blocks of a frame.

    beside: samples on each side of a block that count too. transformed: sum the differences of 8x8
    Hadamard transforms; they predict the bits of the residual better than differences of samples.
    """

    def __init__(
        self,
        current: Tensor,
        reference: Tensor,
        block: int,
        rate_weight: float,
        beside: int = 0,
        transformed: bool = False,
    ) -> None:
        rows, columns = current.shape[1] // block, current.shape[2] // block
        self.top, self.left = block_positions(rows, columns, block, current.device)
        self.top, self.left = self.top - beside, self.left - beside
        self.block, self.rate_weight = block + 2 * beside, rate_weight
        self.transformed = transformed
        self.unit = 1 / 4 / (8 if transformed else 1)  # quarters of luma, orthonormal transforms
        self.current, self.reference = extended_frame(current), extended_frame(reference)
        self._loops = _loops(current)
        if self._loops is not None:
            planes = self.current, self.reference
            self._planes = tuple(plane[0].to(torch.int16).numpy() for plane in planes)
            self._places = torch.stack([self.top, self.left], 1).numpy()

    @cached_property
    def blocks(self) -> Tensor:
        """The blocks [n, block, block] of the current frame."""
        return patches_at(self.current, self.top, self.left, self.block)[:, 0]

    def rate_cost(self, vectors: Tensor, predicted: Tensor) -> Tensor:
        """Estimated bits of vectors [..., 2] beside predicted ones, times the rate weight."""
        distance = (vectors - predicted).abs()
        bits = _component_bits(vectors.device)[distance].sum(-1)
        return self.rate_weight * (bits + DIFFERENT_BITS * (distance > 0).any(-1).float())

    def error(self, vectors: Tensor, where: Tensor | None = None) -> Tensor:
        """Sum of absolute differences of vectors [n, 2] of blocks `where` [n], or of all."""
        if self._loops is not None:
            places = self._places if where is None else self._places[where.numpy()]
            sums = torch.empty(len(vectors), dtype=torch.int64)
            mine = vectors.contiguous().numpy()
            self._loops.errors(
                *self._planes, places, mine, self.block, self.transformed, sums.numpy()
            )
            return sums.float() * self.unit
        top, left, blocks = self.top, self.left, self.blocks
        if where is not None:
            top, left, blocks = top[where], left[where], blocks[where]
        top, left = top + (vectors[:, 0] >> 2), left + (vectors[:, 1] >> 2)
        f = vectors & 3
        if not f.any():
            found = patches_at(self.reference, top, left, self.block)[:, 0]
        else:
            size = self.block + BEFORE + AFTER
            patches = patches_at(self.reference, top - BEFORE, left - BEFORE, size)[:, 0]
            filters = interpolation_filters(self.block, vectors.device)
            found = filters[f[:, 0]] @ patches @ filters[f[:, 1]].transpose(-1, -2)
        return self._sums(_half_up(found) - blocks) * self.unit

    def _sums(self, differences: Tensor) -> Tensor:
        """Sums of the magnitudes of differences [..., block, block], transformed if wanted."""
        if self.transformed:
            h = _hadamard(self.block, differences.device)
            differences = h @ differences @ h
        return differences.abs().sum((-1, -2))

    def of_tokens(self, field: Tensor, where: Tensor | None = None) -> Tensor:
        """Costs [h, w] of tokens: the sums over the quarters of a field [2 h, 2 w, 2].

        where: a mask [2 h, 2 w] of the quarters that count, None for all.
        """
        flat = field.reshape(-1, 2)
        index = _block_indices(where, len(flat), flat.device)
        vectors, predicted = flat[index], _median(field).reshape(-1, 2)[index]
        cost = torch.zeros(len(flat), device=flat.device, dtype=torch.float32)
        cost[index] = self.error(vectors, index) + self.rate_cost(vectors, predicted)
        return cost.view(field.shape[0] // 2, 2, field.shape[1] // 2, 2).sum((1, 3))

    def choose(self, fields: list[Tensor], around: Tensor, where: Tensor | None = None) -> Tensor:
        """The cheapest vector of several fields for each block; around:
        the vectors of its neighbours.

        where: a mask [h, w] of the blocks that choose, None for all;
        the others keep the first field.
        """
        predicted = _median(around).reshape(-1, 2)
        flat = torch.stack([f.reshape(-1, 2) for f in fields])
        index = _block_indices(where, flat.shape[1], flat.device)
        flat, predicted = flat[:, index], predicted[index]
        best = flat[0].clone()
        lowest = self.error(best, index) + self.rate_cost(best, predicted)
        for i, candidate in enumerate(flat[1:], 1):
            new = (candidate != flat[:i]).any(2).all(0).nonzero()[:, 0]
            vectors = candidate[new]
            cost = self.error(vectors, index[new]) + self.rate_cost(vectors, predicted[new])
            better = cost < lowest[new]
            chosen = new[better]
            best[chosen], lowest[chosen] = vectors[better], cost[better]
        result = fields[0].reshape(-1, 2).clone()
        result[index] = best
        return result.view(around.shape)

    def errors_around(self, field: Tensor, near: int) -> tuple[Tensor, Tensor]:
        """Vectors [k, n, 2] of whole pixels within `near` pixels of a field,
        and their errors [k, n]."""
        centre = (field.reshape(-1, 2) + 2) >> 2
        steps = torch.arange(-near, near + 1, device=field.device)
        offsets = torch.cartesian_prod(steps, steps)
        limit = QUARTERS * MAX_VECTOR_PIXELS
        vectors = QUARTERS * (centre + offsets[:, None])
        if self._loops is not None:
            sums = torch.empty(vectors.shape[:2], dtype=torch.int64)
            middle = (QUARTERS * centre).numpy()
            self._loops.errors_around(
                *self._planes, self._places, middle, self.block, near, sums.numpy()
            )
            return vectors.clamp(-limit, limit), sums.float() * self.unit
        size = self.block + 2 * near
        patches = patches_at(
            self.reference, self.top + centre[:, 0] - near, self.left + centre[:, 1] - near, size
        )[:, 0]
        errors = []
        for down in range(2 * near + 1):
            for right in range(2 * near + 1):
                found = patches[:, down : down + self.block, right : right + self.block]
                errors.append(self._sums(found - self.blocks))
        return vectors.clamp(-limit, limit), torch.stack(errors) * self.unit

    def best_integer_pel(self, field: Tensor, near: int) -> Tensor:
        """The cheapest vectors of whole pixels within `near` pixels of a field."""
        predicted = _median(field).reshape(-1, 2)
        vectors, errors = self.errors_around(field, near)
        best = (errors + self.rate_cost(vectors, predicted)).argmin(0)
        return vectors[best, torch.arange(len(predicted))].view(field.shape)

    def best_subpel(self, field: Tensor, where: Tensor | None = None) -> Tensor:
        """The cheapest vectors within half a pixel of a field, whose vectors are rounded to pixels.

        where: a mask [h, w] of the blocks that are searched, None for all;
        the others keep their vectors.
        """
        flat = field.reshape(-1, 2)
        index = _block_indices(where, len(flat), flat.device)
        predicted = _median(field).reshape(-1, 2)[index]
        centre = (flat[index] + 2) >> 2
        offset = torch.arange(-SUBPEL_QUARTERS, SUBPEL_QUARTERS + 1, device=flat.device)
        cost = self._subpel_errors(index, centre)
        down = QUARTERS * centre[:, 0, None] + offset
        right = QUARTERS * centre[:, 1, None] + offset
        grid = torch.stack(torch.broadcast_tensors(down[:, :, None], right[:, None, :]), -1)
        cost = cost + self.rate_cost(grid, predicted[:, None, None])
        count = len(offset) ** 2
        best = cost.view(-1, count).argmin(1)
        limit = QUARTERS * MAX_VECTOR_PIXELS
        chosen = grid.view(-1, count, 2)[torch.arange(len(best)), best]
        result = flat.clone()
        result[index] = chosen.clamp(-limit, limit)
        return result.view(field.shape)

    def _subpel_errors(self, index: Tensor, centre: Tensor) -> Tensor:
        """Errors [n, 5, 5] of blocks `index` [n] for vectors around centres [n, 2] in pixels."""
        if self._loops is not None:
            side = 2 * SUBPEL_QUARTERS + 1
            sums = torch.empty(len(index), side, side, dtype=torch.int64)
            places, middle = self._places[index.numpy()], (QUARTERS * centre).numpy()
            self._loops.subpel_errors(
                *self._planes, places, middle, self.block, SUBPEL_QUARTERS, sums.numpy()
            )
            return sums.float() * self.unit
        size = self.block + 1 + BEFORE + AFTER
        patches = patches_at(
            self.reference,
            self.top[index] + centre[:, 0] - 1 - BEFORE,
            self.left[index] + centre[:, 1] - 1 - BEFORE,
            size,
        )[:, 0]
        filters = interpolation_filters(self.block, centre.device)
        shifts = range(-SUBPEL_QUARTERS, SUBPEL_QUARTERS + 1)
        matrices = torch.zeros(len(shifts), self.block, size, device=centre.device)
        for i, shift in enumerate(shifts):
            start = 1 + (shift >> 2)
            matrices[i, :, start : start + size - 1] = filters[shift & 3]
        stacked = matrices.view(-1, size)
        found = (stacked @ patches @ stacked.t()).view(
            -1, len(shifts), self.block, len(shifts), self.block
        )
        blocks = self.blocks[index, None, None]
        return self._sums(_half_up(found.transpose(2, 3)) - blocks) * self.unit


def _half_up(x: Tensor) -> Tensor:
    """x in whole numbers, halves up."""
    return torch.floor(x + 0.5)
