"""Motion compensation: the prediction of a frame from the decoded one before it, by motion vectors.

Vectors are integers [rows, columns, 2], (down, right) in quarters of a pixel: where in the
reference a block's content comes from, relative to its own place. Samples between pixels come from
the interpolation filters of HEVC (ITU-T H.265, 8.5.3.3.3: 8 taps); blocks overlap, so that there
are no seams where vectors differ.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import torch
from torch import Tensor

from bsqcodec.machine.compiled import count_tokens, loops_pay
from bsqcodec.models.windows import continued

QUARTERS = 4
"""Units of a vector in a pixel."""

TOKEN = 16
"""Side in pixels of the blocks that have one vector, or four, one for each quarter."""

SAMPLE_UNITS = 64
"""A prediction is made of samples in whole 64ths, in which all its arithmetic is exact."""

OVERLAP = 4
"""Pixels on each side of a block's border over which neighbouring vectors are blended."""

MARGIN = 128
"""Pixels by which a frame is continued on each side: 96 for the vectors, the rest for a block."""

TAPS = (
    (0, 0, 0, 64, 0, 0, 0, 0),
    (-1, 4, -10, 58, 17, -5, 1, 0),
    (-1, 4, -11, 40, 40, -11, 4, -1),
    (0, 1, -5, 17, 58, -10, 4, -1),
)
BEFORE, AFTER = 3, 4
"""Samples that the interpolation filters take before and after a position."""


@cache
def interpolation_filters(size: int, device: torch.device) -> Tensor:
    """Matrices [4, size, size + 7] that interpolate `size` samples at each quarter of a pixel."""
    with torch.inference_mode(False):  # they are kept, also for where gradients are wanted
        result = torch.zeros(
            QUARTERS, size, size + BEFORE + AFTER, device=device, dtype=torch.float32
        )
        for fraction, taps in enumerate(TAPS):
            row = torch.tensor(taps, device=device, dtype=torch.float32) / 64
            for i in range(size):
                result[fraction, i, i : i + 8] = row
    return result


def extended_frame(frame: Tensor) -> Tensor:
    """A frame [C, H, W] continued by its edge, MARGIN on each side."""
    return continued(frame, MARGIN, MARGIN, MARGIN, MARGIN)


def patches_at(extended: Tensor, top: Tensor, left: Tensor, size: int) -> Tensor:
    """Squares [B, C, size, size] of an extended frame; top, left [B]:
    positions in the frame itself."""
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


def block_positions(
    rows: int, columns: int, block: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Top and left [rows * columns] of all blocks."""
    top = torch.arange(rows, device=device).repeat_interleave(columns) * block
    return top, torch.arange(columns, device=device).repeat(rows) * block


def _window(block: int, device: torch.device) -> Tensor:
    """Weights [block + 2 OVERLAP] of a block's prediction, in sixteenths; with those of its
    neighbours they add up to 16."""
    ramp = 2 * torch.arange(2 * OVERLAP, device=device, dtype=torch.float32) + 1
    flat = torch.full((block - 2 * OVERLAP,), 4.0 * OVERLAP, device=device, dtype=torch.float32)
    return torch.cat([ramp, flat, ramp.flip(0)])


WINDOW_UNITS = (4 * OVERLAP) ** 2
"""What the weights of a sample add up to."""


def compensate(reference: Tensor, vectors: Tensor) -> Tensor:
    """Prediction [C, H, W] from a reference [C, H, W] by vectors [H / 8, W / 8, 2].

    H and W are multiples of 16; samples of the reference are 0 to 255, in float32. A token whose
    quarters agree is one block of 16, which comes to the same as four of 8. The result is the same
    on every machine, unless gradients are wanted: then nothing is rounded.
    """
    with torch.autocast(reference.device.type, enabled=False):
        exact = not (torch.is_grad_enabled() and reference.requires_grad)
        if not exact:
            return _compensate(reference, vectors, exact=False)
        count_tokens(vectors.numel() // 8)
        samples = torch.round(reference * SAMPLE_UNITS)
        return _compensate(samples, vectors, exact=True) / SAMPLE_UNITS


def _compensate(reference: Tensor, vectors: Tensor, exact: bool) -> Tensor:
    h, w = reference.shape[1:]
    # tokens around the frame continue it, so that the weights add up to the same everywhere
    v = continued(vectors.permute(2, 0, 1), 2, 2, 2, 2).permute(1, 2, 0).contiguous()
    rows, columns = v.shape[0] // 2, v.shape[1] // 2
    parts = v.view(rows, 2, columns, 2, 2).permute(0, 2, 1, 3, 4).reshape(-1, 4, 2)
    split = (parts != parts[:, :1]).any(2).any(1)
    top, left = block_positions(rows, columns, TOKEN, reference.device)
    size = rows * TOKEN + 2 * OVERLAP, columns * TOKEN + 2 * OVERLAP
    planes = _Planes.of(extended_frame(reference), size, exact)
    whole = (~split).nonzero()[:, 0]
    planes.add_blocks(top[whole], left[whole], parts[whole, 0], TOKEN)
    tokens = split.nonzero()[:, 0]
    half = TOKEN // 2
    for k in range(4):
        down, right = half * (k // 2), half * (k % 2)
        planes.add_blocks(top[tokens] + down, left[tokens] + right, parts[tokens, k], half)
    start = TOKEN + OVERLAP
    found = planes.sums()[:, start : start + h, start : start + w]
    return found / WINDOW_UNITS


class _Planes:
    """Planes [C, height, width] to which blocks of a reference are added.

    extended: the reference with its margin. exact: its samples are integers, and so are those that
    are added.
    """

    def __init__(self, extended: Tensor, size: tuple[int, int], exact: bool) -> None:
        self._extended, self._size, self._exact = extended, size, exact
        self._planes = [  # not one tensor: its parts cannot be added to where gradients are wanted
            torch.zeros(math.prod(size), device=extended.device, dtype=extended.dtype)
            for _ in range(len(extended))
        ]

    @staticmethod
    def of(extended: Tensor, size: tuple[int, int], exact: bool) -> _Planes:
        """Such planes; by compiled loops where these are there."""
        if exact and extended.device.type == "cpu" and loops_pay():
            return _CompiledPlanes(extended, size)
        return _Planes(extended, size, exact)

    def sums(self) -> Tensor:
        """The planes [C, height, width]."""
        return torch.stack(self._planes).view(len(self._planes), *self._size)

    def add_blocks(self, top: Tensor, left: Tensor, vectors: Tensor, block: int) -> None:
        """Add weighted blocks [n] at top, left, of a frame with a token more on each side."""
        size = block + 2 * OVERLAP
        order = _fraction(vectors).argsort()
        top, left, vectors = top[order], left[order], vectors[order]
        patches = patches_at(
            self._extended,
            top - TOKEN - OVERLAP - BEFORE + (vectors[:, 0] >> 2),
            left - TOKEN - OVERLAP - BEFORE + (vectors[:, 1] >> 2),
            size + BEFORE + AFTER,
        )
        filters = interpolation_filters(size, self._extended.device)
        window = _window(block, self._extended.device)
        weighted = self._interpolated(patches, vectors, filters) * (window[:, None] * window)
        offset = torch.arange(size, device=self._extended.device)
        rows, columns = (top[:, None] + offset)[:, None], (left[:, None] + offset)[:, :, None]
        index = (rows * self._size[1] + columns).reshape(-1)
        for plane, values in zip(self._planes, weighted.unbind(1), strict=True):
            plane.index_add_(0, index, values.reshape(-1))

    def _interpolated(self, patches: Tensor, vectors: Tensor, filters: Tensor) -> Tensor:
        """Interpolated patches [B, C, columns, rows] (transposed!) of patches [B, C, size, size].

        vectors [B, 2] in the order of `_fraction`, so that all with the same fraction are one
        product.
        """
        counts = torch.bincount(_fraction(vectors), minlength=QUARTERS**2).view(QUARTERS, QUARTERS)
        parts = patches.split(counts.sum(1).tolist())
        across = torch.cat([part @ f.t() for part, f in zip(parts, filters, strict=True)])
        runs = self._rounded(across).transpose(-1, -2).split(counts.view(-1).tolist())
        down = list(filters) * QUARTERS
        return self._rounded(torch.cat([run @ f.t() for run, f in zip(runs, down, strict=True)]))

    def _rounded(self, x: Tensor) -> Tensor:
        """x in whole numbers, halves up, if the arithmetic is exact."""
        return torch.floor(x + 0.5) if self._exact else x


class _CompiledPlanes(_Planes):
    """Planes to which compiled loops add blocks, in integers."""

    def __init__(self, extended: Tensor, size: tuple[int, int]) -> None:
        from bsqcodec.models.transform import compensation_loops

        self._loops = compensation_loops
        self._reference = extended.to(torch.int32).numpy()
        self._made = np.zeros((len(extended), *size), np.int32)

    def sums(self) -> Tensor:
        return torch.from_numpy(self._made).float()

    def add_blocks(self, top: Tensor, left: Tensor, vectors: Tensor, block: int) -> None:
        places = torch.stack([top, left], 1).numpy()
        mine = vectors.long().contiguous().numpy()
        self._loops.add_blocks(self._made, self._reference, places, mine, block)


def _fraction(vectors: Tensor) -> Tensor:
    """Number [n] of each vector's pair of fractions."""
    return QUARTERS * (vectors[:, 1] & 3) + (vectors[:, 0] & 3)
