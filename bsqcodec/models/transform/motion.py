"""Motion of blocks between two frames: estimated by the encoder, compensated by both sides.

Vectors are integers [rows, columns, 2], (down, right) in quarters of a pixel: where in the reference
a block's content comes from, relative to its own place. Samples between pixels come from the
interpolation filters of HEVC (ITU-T H.265, 8.5.3.3.3: 8 taps); blocks overlap, so that there are no
seams where vectors differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from bsqcodec.models.windows import continued

QUARTERS = 4
"""Vectors are in units of 1 / 4 pixel."""

REACH = 92
"""Largest component of a vector, in pixels."""

TOKEN = 16
"""Side of the blocks that have a vector of their own, or four, one for each quarter."""

SPLIT_BITS = 28.0
"""About what four vectors cost more than one: their own bits, and those of what follows them."""

OTHER_BITS, OCTAVE_BITS = 1.0, 0.7
"""About what a vector costs that differs from those around it, and what each octave of it does."""

HOPE = 1.0
"""Tokens whose split costs less than this times the whole, before fractions, are looked at."""

NEAR = 3
"""Pixels around a vector in which every whole-pixel vector is tried."""

OVERLAP = 4
"""Pixels on each side of a block's border over which neighbouring vectors are blended."""

MARGIN = 128
"""Pixels beyond the frame that vectors can point to: 96, and what a block there takes."""

COARSE = 4
"""The first searches are on frames smaller by twice this and by this."""

_TAPS = (
    (0, 0, 0, 64, 0, 0, 0, 0),
    (-1, 4, -10, 58, 17, -5, 1, 0),
    (-1, 4, -11, 40, 40, -11, 4, -1),
    (0, 1, -5, 17, 58, -10, 4, -1),
)
BEFORE, AFTER = 3, 4
"""Samples that the interpolation filters take before and after a position."""


def luma(frame: Tensor) -> Tensor:
    """Luma [1, H, W] (BT.601 weights) of a frame [3, H, W]."""
    r, g, b = frame
    return (0.299 * r + 0.587 * g + 0.114 * b)[None]


@cache
def _interpolation(size: int, device: torch.device) -> Tensor:
    """Matrices [4, size, size + 7] that interpolate `size` samples at each quarter."""
    result = torch.zeros(QUARTERS, size, size + BEFORE + AFTER, device=device, dtype=torch.float32)
    for fraction, taps in enumerate(_TAPS):
        for i in range(size):
            result[fraction, i, i : i + 8] = (
                torch.tensor(taps, device=device, dtype=torch.float32) / 64
            )
    return result


@cache
def _hadamard(size: int, device: torch.device) -> Tensor:
    """The orthonormal transform of each 8 of `size` samples, [size, size], symmetric."""
    h = torch.ones(1, 1, device=device, dtype=torch.float32)
    while len(h) < 8:
        h = torch.cat([torch.cat([h, h], 1), torch.cat([h, -h], 1)])
    return torch.block_diag(*[h / 8**0.5] * (size // 8))


def _extended(frame: Tensor) -> Tensor:
    """A frame [C, H, W] continued by its edge, MARGIN on each side."""
    return continued(frame, MARGIN, MARGIN, MARGIN, MARGIN)


def _patches(extended: Tensor, top: Tensor, left: Tensor, size: int) -> Tensor:
    """Squares [B, C, size, size] of an extended frame, at places in the frame itself."""
    channels, height, width = extended.shape
    offset = torch.arange(size, device=extended.device)
    first = torch.arange(channels, device=extended.device)[:, None] * height + MARGIN + offset
    starts = ((top[:, None, None] + first) * width + (left + MARGIN)[:, None, None]).reshape(-1)
    if extended.requires_grad:  # an index whose gradient is no larger than itself
        index = (starts[:, None] + offset).reshape(-1)
        rows = extended.reshape(-1).index_select(0, index)
    else:
        count = extended.numel() - size + 1
        rows = extended.as_strided((count, size), (1, 1)).index_select(0, starts)
    return rows.view(len(top), channels, size, size)


def _places(rows: int, columns: int, block: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Top and left [rows * columns] of all blocks."""
    top = torch.arange(rows, device=device).repeat_interleave(columns) * block
    return top, torch.arange(columns, device=device).repeat(rows) * block


def _window(block: int, device: torch.device) -> Tensor:
    """Weights [block + 2 OVERLAP] of a block's prediction; those of neighbours add up to 1."""
    ramp = (torch.arange(2 * OVERLAP, device=device, dtype=torch.float32) + 0.5) / (2 * OVERLAP)
    flat = torch.ones(block - 2 * OVERLAP, device=device, dtype=torch.float32)
    return torch.cat([ramp, flat, ramp.flip(0)])


def compensate(reference: Tensor, vectors: Tensor) -> Tensor:
    """Prediction [C, H, W] from a reference [C, H, W] by vectors [H / 8, W / 8, 2].

    H and W are multiples of 16. A token whose quarters agree is one block of 16, which comes to the
    same as four of 8.
    """
    with torch.autocast(reference.device.type, enabled=False):
        return _compensate(reference, vectors)


def _compensate(reference: Tensor, vectors: Tensor) -> Tensor:
    channels, h, w = reference.shape
    # tokens around the frame continue it, so that the weights add up to 1 everywhere
    v = continued(vectors.permute(2, 0, 1), 2, 2, 2, 2).permute(1, 2, 0).contiguous()
    rows, columns = v.shape[0] // 2, v.shape[1] // 2
    parts = v.view(rows, 2, columns, 2, 2).permute(0, 2, 1, 3, 4).reshape(-1, 4, 2)
    split = (parts != parts[:, :1]).any(2).any(1)
    extended = _extended(reference)
    top, left = _places(rows, columns, TOKEN, reference.device)
    height, width = rows * TOKEN + 2 * OVERLAP, columns * TOKEN + 2 * OVERLAP
    planes = [  # not one tensor: its parts cannot be added to where gradients are wanted
        torch.zeros(height * width, device=reference.device, dtype=reference.dtype)
        for _ in range(channels)
    ]
    whole = (~split).nonzero()[:, 0]
    _add_blocks(planes, width, extended, top[whole], left[whole], parts[whole, 0], TOKEN)
    tokens = split.nonzero()[:, 0]
    half = TOKEN // 2
    for k in range(4):
        down, right = half * (k // 2), half * (k % 2)
        at = top[tokens] + down, left[tokens] + right
        _add_blocks(planes, width, extended, *at, parts[tokens, k], half)
    start = TOKEN + OVERLAP
    padded = torch.stack(planes).view(channels, height, width)
    return padded[:, start : start + h, start : start + w]


def _add_blocks(
    planes: list[Tensor],
    width: int,
    extended: Tensor,
    top: Tensor,
    left: Tensor,
    vectors: Tensor,
    block: int,
) -> None:
    """Add weighted blocks [n] at top, left to planes.

    These are of a frame with a token more on each side, flat, rows of a width.
    """
    size = block + 2 * OVERLAP
    order = _fraction(vectors).argsort()
    top, left, vectors = top[order], left[order], vectors[order]
    patches = _patches(
        extended,
        top - TOKEN - OVERLAP - BEFORE + (vectors[:, 0] >> 2),
        left - TOKEN - OVERLAP - BEFORE + (vectors[:, 1] >> 2),
        size + BEFORE + AFTER,
    )
    window = _window(block, extended.device)
    filters = _interpolation(size, extended.device) * window[:, None]
    weighted = _interpolated(patches, vectors, filters)
    offset = torch.arange(size, device=extended.device)
    rows, columns = (top[:, None] + offset)[:, None], (left[:, None] + offset)[:, :, None]
    index = (rows * width + columns).reshape(-1)
    for plane, values in zip(planes, weighted.unbind(1), strict=True):
        plane.index_add_(0, index, values.reshape(-1))


def _fraction(vectors: Tensor) -> Tensor:
    """Number [n] of each vector's pair of fractions."""
    return QUARTERS * (vectors[:, 1] & 3) + (vectors[:, 0] & 3)


def _interpolated(patches: Tensor, vectors: Tensor, filters: Tensor) -> Tensor:
    """Interpolated patches [B, C, columns, rows] (transposed!) of patches [B, C, size, size].

    vectors [B, 2] in the order of `_fraction`, so that all with the same fraction are one product.
    """
    counts = torch.bincount(_fraction(vectors), minlength=QUARTERS**2).view(QUARTERS, QUARTERS)
    parts = patches.split(counts.sum(1).tolist())
    across = torch.cat([part @ f.t() for part, f in zip(parts, filters, strict=True)])
    runs = across.transpose(-1, -2).split(counts.view(-1).tolist())
    down = list(filters) * QUARTERS
    return torch.cat([run @ f.t() for run, f in zip(runs, down, strict=True)])


@dataclass(frozen=True)
class Rough:
    """Vectors of whole pixels: of tokens [h, w, 2] and of their quarters [2 h, 2 w, 2].

    promising [h, w]: tokens whose quarters may pay.
    """

    whole: Tensor
    finer: Tensor
    promising: Tensor


def estimate_roughly(
    current: Tensor, reference: Tensor, price: float, before: Rough | None = None
) -> Rough:
    """Whole-pixel vectors that predict `current` from `reference`, luma [1, H, W].

    H and W are multiples of 16. The reference may be the frame before as it was, so that this needs
    no decoded frame. price: of a bit, in sums of absolute differences. before: what was found for
    the previous frame, further candidates.
    """
    tokens = _Search(current, reference, TOKEN, price)
    quarters = _Search(current, reference, TOKEN // 2, price)
    coarse = _coarse(current, reference, TOKEN)
    fields = [coarse, torch.zeros_like(coarse)]
    if before is not None:
        fields.append(before.whole)
    whole = tokens.refine(tokens.choose(fields, coarse), 1)
    for _ in range(2):
        whole = tokens.choose([whole, *_neighbours(whole)], whole)
    whole, finer = _near(quarters, whole)
    finer = quarters.choose([finer, *_neighbours(finer)], finer)
    split = quarters.of_tokens(finer) + SPLIT_BITS * price
    return Rough(whole, finer, split < HOPE * quarters.of_tokens(_halves(whole)))


def refine(rough: Rough, current: Tensor, reference: Tensor, price: float) -> Tensor:
    """Vectors [H / 8, W / 8, 2] int64 from `reference`, the decoded frame before, luma [1, H, W].

    The four blocks of a token have the same vector unless different ones pay.
    """
    tokens = _Search(current, reference, TOKEN, price, transformed=True)
    quarters = _Search(current, reference, TOKEN // 2, price, transformed=True)
    found = tokens.fractions(rough.whole)
    whole = tokens.choose([found, *_neighbours(found)], found)
    again = tokens.fractions(whole, (whole != found).any(-1))
    whole = tokens.choose([whole, again, *_neighbours(whole)], whole)
    halves = _halves(whole)
    where = _halves(rough.promising[..., None])[..., 0]
    finer = quarters.fractions(rough.finer, where)
    finer = quarters.choose([finer, *_neighbours(finer)], finer, where)
    split = quarters.of_tokens(finer, where) + SPLIT_BITS * price
    pays = rough.promising & (split < quarters.of_tokens(halves, where))
    return torch.where(_halves(pays[..., None]), finer, halves)


def _halves(field: Tensor) -> Tensor:
    """A field of tokens [h, w, k] for their quarters, [2 h, 2 w, k]."""
    return field.repeat_interleave(2, 0).repeat_interleave(2, 1)


def _near(quarters: _Search, whole: Tensor) -> tuple[Tensor, Tensor]:
    """The cheapest whole-pixel vectors near those of tokens: of tokens, and of quarters."""
    h, w = whole.shape[:2]
    start = _halves(whole)
    beside = _median(start).reshape(-1, 2)
    vectors, errors = quarters.around(start, NEAR)
    cost = errors + quarters.cost(vectors, beside)
    finer = vectors[cost.argmin(0), torch.arange(len(beside))].view(start.shape)
    total = errors.view(-1, h, 2, w, 2).sum((2, 4))
    candidates = vectors.view(-1, h, 2, w, 2, 2)[:, :, 0, :, 0]
    total = total + quarters.cost(candidates, _median(whole))
    best = total.argmin(0)
    chosen = candidates.gather(0, best[None, ..., None].expand(1, h, w, 2))[0]
    return chosen, finer


def _neighbours(field: Tensor) -> list[Tensor]:
    """Fields whose vectors are those of the four neighbours, and the medians."""
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


def _coarse(current: Tensor, reference: Tensor, block: int) -> Tensor:
    """Whole-pixel vectors (in quarters) by a full search on frames 8 times smaller.

    On frames half as small, all that is near is tried.
    """
    small, other = (F.avg_pool2d(x[None], COARSE)[0] for x in (current, reference))
    tiny, tiny_other = (F.avg_pool2d(x[None], 2)[0, 0] for x in (small, other))
    reach = REACH // (2 * COARSE)
    extended = continued(tiny_other, reach, reach, reach, reach)
    h, w = tiny.shape
    size = block // (2 * COARSE)
    count = 2 * reach + 1
    across = torch.arange(-reach, reach + 1, device=current.device)
    costs = []
    for down in range(-reach, reach + 1):
        band = extended[down + reach : down + reach + h]
        moved = band.unfold(1, w, 1).transpose(0, 1)  # [count, h, w], without a copy
        error = F.avg_pool2d((moved - tiny).abs_(), size + 4, size, 2, count_include_pad=False)
        costs.append(error + 0.02 * (abs(down) + across.abs().float()[:, None, None]).sqrt())
    best = torch.cat(costs).argmin(0)
    field = torch.stack([best // count - reach, best % count - reach], dim=-1) * (2 * QUARTERS)
    search = _Search(small, other, block // COARSE, 0.0, beside=1)
    chosen = search.choose([field, torch.zeros_like(field)], field)
    return search.refine(chosen, NEAR) * COARSE


def _picked(where: Tensor | None, count: int, device: torch.device) -> Tensor:
    """Flat indices of blocks: where a mask [h, w] is set, or all of `count`."""
    if where is None:
        return torch.arange(count, device=device)
    return where.reshape(-1).nonzero()[:, 0]


class _Search:
    """Costs of candidate vectors of all blocks of a frame.

    beside: samples on each side of a block that count too. transformed: sum up the differences of
    8x8 Hadamard transforms, which tell better than those of samples what is left to code.
    """

    def __init__(
        self,
        current: Tensor,
        reference: Tensor,
        block: int,
        price: float,
        beside: int = 0,
        transformed: bool = False,
    ) -> None:
        rows, columns = current.shape[1] // block, current.shape[2] // block
        self.top, self.left = _places(rows, columns, block, current.device)
        self.top, self.left = self.top - beside, self.left - beside
        block += 2 * beside
        self.reference, self.block, self.price = _extended(reference), block, price
        self.wanted = _patches(_extended(current), self.top, self.left, block)[:, 0]
        self.filters = _interpolation(block, current.device)
        self.transformed = transformed
        if transformed:  # the filters' results too, at no cost
            h = _hadamard(block, current.device)
            self.wanted = h @ self.wanted @ h
            self.filters = h @ self.filters

    def cost(self, vectors: Tensor, around: Tensor) -> Tensor:
        """About what vectors [..., 2] cost beside those around."""
        distance = (vectors - around).abs().float()
        bits = OCTAVE_BITS * torch.log2(1 + distance).sum(-1)
        return self.price * (bits + OTHER_BITS * (distance > 0).any(-1).float())

    def error(self, vectors: Tensor, where: Tensor | None = None) -> Tensor:
        """Sum of absolute differences of vectors [n, 2] of blocks `where` [n], or of all."""
        top, left, wanted = self.top, self.left, self.wanted
        if where is not None:
            top, left, wanted = top[where], left[where], wanted[where]
        top, left = top + (vectors[:, 0] >> 2), left + (vectors[:, 1] >> 2)
        f = vectors & 3
        if not f.any():
            return (
                (_patches(self.reference, top, left, self.block)[:, 0] - wanted).abs_().sum((1, 2))
            )
        size = self.block + BEFORE + AFTER
        patches = _patches(self.reference, top - BEFORE, left - BEFORE, size)[:, 0]
        found = self.filters[f[:, 0]] @ patches @ self.filters[f[:, 1]].transpose(-1, -2)
        return (found - wanted).abs_().sum((1, 2))

    def of_tokens(self, field: Tensor, where: Tensor | None = None) -> Tensor:
        """Costs [h, w] of a field of quarters [2 h, 2 w, 2], added up for each token.

        where: quarters [2 h, 2 w] that count, if not all do.
        """
        flat = field.reshape(-1, 2)
        picked = _picked(where, len(flat), flat.device)
        vectors, beside = flat[picked], _median(field).reshape(-1, 2)[picked]
        cost = torch.zeros(len(flat), device=flat.device, dtype=torch.float32)
        cost[picked] = self.error(vectors, picked) + self.cost(vectors, beside)
        return cost.view(field.shape[0] // 2, 2, field.shape[1] // 2, 2).sum((1, 3))

    def choose(self, fields: list[Tensor], around: Tensor, where: Tensor | None = None) -> Tensor:
        """The cheapest of several fields for each block, given the vectors around it.

        where: blocks [h, w] that may choose, if not all; the others keep those of the first field.
        """
        beside = _median(around).reshape(-1, 2)
        flat = torch.stack([f.reshape(-1, 2) for f in fields])
        picked = _picked(where, flat.shape[1], flat.device)
        flat, beside = flat[:, picked], beside[picked]
        best = flat[0].clone()
        lowest = self.error(best, picked) + self.cost(best, beside)
        for i, candidate in enumerate(flat[1:], 1):
            new = (candidate != flat[:i]).any(2).all(0).nonzero()[:, 0]
            vectors = candidate[new]
            cost = self.error(vectors, picked[new]) + self.cost(vectors, beside[new])
            better = cost < lowest[new]
            chosen = new[better]
            best[chosen], lowest[chosen] = vectors[better], cost[better]
        result = fields[0].reshape(-1, 2).clone()
        result[picked] = best
        return result.view(around.shape)

    def around(self, field: Tensor, near: int) -> tuple[Tensor, Tensor]:
        """Whole-pixel vectors [k, n, 2] near those of a field, and their errors [k, n]."""
        centre = (field.reshape(-1, 2) + 2) >> 2
        size = self.block + 2 * near
        patches = _patches(
            self.reference, self.top + centre[:, 0] - near, self.left + centre[:, 1] - near, size
        )[:, 0]
        offsets, errors = [], []
        for down in range(2 * near + 1):
            for right in range(2 * near + 1):
                found = patches[:, down : down + self.block, right : right + self.block]
                errors.append((found - self.wanted).abs_().sum((1, 2)))
                offsets.append([down - near, right - near])
        limit = QUARTERS * REACH
        vectors = QUARTERS * (centre + torch.tensor(offsets)[:, None])
        return vectors.clamp(-limit, limit), torch.stack(errors)

    def refine(self, field: Tensor, near: int) -> Tensor:
        """The cheapest whole-pixel vectors at most `near` pixels from those of a field."""
        beside = _median(field).reshape(-1, 2)
        vectors, errors = self.around(field, near)
        best = (errors + self.cost(vectors, beside)).argmin(0)
        return vectors[best, torch.arange(len(beside))].view(field.shape)

    def fractions(self, field: Tensor, where: Tensor | None = None) -> Tensor:
        """The cheapest vectors at most half a pixel from those of a field, rounded to pixels.

        where: blocks [h, w] at which to look, else all; the others keep their vectors.
        """
        flat = field.reshape(-1, 2)
        picked = _picked(where, len(flat), flat.device)
        beside = _median(field).reshape(-1, 2)[picked]
        centre = (flat[picked] + 2) >> 2
        size = self.block + 1 + BEFORE + AFTER
        patches = _patches(
            self.reference,
            self.top[picked] + centre[:, 0] - 1 - BEFORE,
            self.left[picked] + centre[:, 1] - 1 - BEFORE,
            size,
        )[:, 0]
        shifts = range(-2, 3)
        matrices = torch.zeros(
            len(shifts), self.block, size, device=flat.device, dtype=torch.float32
        )
        for i, shift in enumerate(shifts):
            start = 1 + (shift >> 2)
            matrices[i, :, start : start + size - 1] = self.filters[shift & 3]
        stacked = matrices.view(-1, size)
        found = (stacked @ patches @ stacked.t()).view(
            -1, len(shifts), self.block, len(shifts), self.block
        )
        found -= self.wanted[picked, None, :, None, :]
        cost = found.abs_().sum((2, 4))
        offset = torch.tensor(list(shifts), device=flat.device)
        down = QUARTERS * centre[:, 0, None] + offset
        right = QUARTERS * centre[:, 1, None] + offset
        grid = torch.stack(torch.broadcast_tensors(down[:, :, None], right[:, None, :]), -1)
        cost = cost + self.cost(grid, beside[:, None, None])
        count = len(shifts) ** 2
        best = cost.view(-1, count).argmin(1)
        limit = QUARTERS * REACH
        chosen = grid.view(-1, count, 2)[torch.arange(len(best)), best]
        result = flat.clone()
        result[picked] = chosen.clamp(-limit, limit)
        return result.view(field.shape)
