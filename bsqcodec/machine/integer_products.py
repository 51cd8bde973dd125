"""Exact products of int16 matrices by AVX2 instructions, compiled by numba.

`vpmaddwd` multiplies 16 pairs of int16 and adds neighbours in int32, twice as many as a float32
instruction of the same width multiplies. So where a processor has no instructions for int8 that are
exact, integer layers run faster this way than in float32, and every sum is the same.

numba has no vectors, so the innermost loop is written in LLVM's intermediate language.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from bsqcodec.machine.compiled import compiled

Shorts = npt.NDArray[np.int16]
Floats = npt.NDArray[np.float32]

ROWS, PANEL, LANES = 6, 16, 8
"""Rows and columns of a result that registers hold at once; columns in one register."""

_PAIR_BYTES = 4 * PANEL
"""Bytes of a pair of factors of each column of a panel."""


def are_supported() -> bool:
    """Return whether the processor has AVX2, and neither torch nor numba is told to do without."""
    settings = numba.config
    is_host = not (settings.CPU_NAME or settings.CPU_FEATURES)  # type: ignore[attr-defined]
    return is_host and torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")


def pay() -> bool:
    """Return whether these products are faster than torch's in float32: not where it has AVX-512,
    whose instructions are twice as wide."""
    return are_supported() and torch.backends.cpu.get_cpu_capability() == "AVX2"


def _kernel(rows: int, vectors: int) -> Any:
    """A function of numba that multiplies a few rows by a panel of 8 columns for each vector.

    Arguments: address of the first row, bytes from row to row, how many parts rows have, bytes from
    part to part, pairs of factors in a part, address of the panel, address of the result, bytes
    from row to row there.
    """

    @intrinsic
    def multiply(
        context: Any,
        a: Any,
        a_row: Any,
        parts: Any,
        a_part: Any,
        pairs: Any,
        panel: Any,
        out: Any,
        out_row: Any,
    ) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            _generate(builder, rows, vectors, *arguments)
            return context.get_dummy_value()

        return types.void(*[types.intp] * 8), generate

    return multiply


def _generate(
    builder: Any,
    rows: int,
    vectors: int,
    a: Any,
    a_row: Any,
    parts: Any,
    a_part: Any,
    pairs: Any,
    panel: Any,
    out: Any,
    out_row: Any,
) -> None:
    """Write the code of `_kernel`: sums in registers, loops over parts and pairs, the stores."""
    word, number = ir.IntType(64), ir.IntType(32)
    sums = ir.VectorType(number, LANES)
    factors = ir.VectorType(ir.IntType(16), 2 * LANES)
    floats = ir.VectorType(ir.FloatType(), LANES)
    name = "llvm.x86.avx2.pmadd.wd"
    multiply_add = builder.module.globals.get(name) or ir.Function(
        builder.module, ir.FunctionType(sums, [factors, factors]), name
    )

    def away(base: Any, index: Any, size: Any) -> Any:
        """The address of an element of a size in bytes."""
        index, size = (ir.Constant(word, x) if isinstance(x, int) else x for x in (index, size))
        return builder.add(base, builder.mul(index, size))

    def at(base: Any, index: Any, size: int, kind: Any) -> Any:
        return builder.inttoptr(away(base, index, size), kind.as_pointer())

    def total() -> Any:
        """A place for a sum, which becomes a register."""
        return cgutils.alloca_once_value(  # type: ignore[no-untyped-call]
            builder, ir.Constant(sums, None)
        )

    totals = [[total() for _ in range(vectors)] for _ in range(rows)]
    with cgutils.for_range(builder, parts) as outer:
        part = away(a, outer.index, a_part)
        starts = [away(part, row, a_row) for row in range(rows)]
        first = away(panel, builder.mul(outer.index, pairs), _PAIR_BYTES)
        with cgutils.for_range(builder, pairs) as inner:
            place = away(first, inner.index, _PAIR_BYTES)
            columns = [
                builder.load(at(place, v, 4 * LANES, factors), align=2) for v in range(vectors)
            ]
            for start, row in zip(starts, totals, strict=True):
                pair = builder.load(at(start, inner.index, 4, number), align=2)
                nothing = ir.Constant(sums, ir.Undefined)
                one = builder.insert_element(nothing, pair, ir.Constant(number, 0))
                spread = builder.shuffle_vector(one, nothing, ir.Constant(sums, [0] * LANES))
                operand = builder.bitcast(spread, factors)
                for so_far, column in zip(row, columns, strict=True):
                    more = builder.call(multiply_add, [operand, column])
                    builder.store(builder.add(builder.load(so_far), more), so_far)
    for index, row in enumerate(totals):
        place = away(out, index, out_row)
        for v, so_far in enumerate(row):
            value = builder.sitofp(builder.load(so_far), floats)
            builder.store(value, at(place, v, 4 * LANES, floats), align=4)


_six_wide, _one_wide = _kernel(ROWS, 2), _kernel(1, 2)
_six_narrow, _one_narrow = _kernel(ROWS, 1), _kernel(1, 1)


@compiled
def _times_panel(
    count: int,
    wide: bool,
    a: int,
    a_row: int,
    parts: int,
    a_part: int,
    pairs: int,
    panel: int,
    out: int,
    out_row: int,
) -> None:
    """Multiply `count` rows by a panel; see `_kernel`."""
    full = count - count % ROWS
    for row in range(0, full, ROWS):
        here, there = a + row * a_row, out + row * out_row
        if wide:
            _six_wide(here, a_row, parts, a_part, pairs, panel, there, out_row)
        else:
            _six_narrow(here, a_row, parts, a_part, pairs, panel, there, out_row)
    for row in range(full, count):
        here, there = a + row * a_row, out + row * out_row
        if wide:
            _one_wide(here, a_row, parts, a_part, pairs, panel, there, out_row)
        else:
            _one_narrow(here, a_row, parts, a_part, pairs, panel, there, out_row)


@compiled
def _multiply(a: Shorts, panels: Shorts, out: Floats) -> None:
    """out [n, N] = a [n, K] times panels [N / 16, K / 2, 16, 2]; N is a multiple of 8."""
    pairs = panels.shape[1]
    a_row, out_row = 4 * pairs, 4 * out.shape[1]
    for i in range(len(panels)):
        wide = PANEL * (i + 1) <= out.shape[1]
        panel = panels.ctypes.data + i * pairs * _PAIR_BYTES
        place = out.ctypes.data + 4 * PANEL * i
        _times_panel(len(a), wide, a.ctypes.data, a_row, 1, 0, pairs, panel, place, out_row)


@compiled
def _convolve(maps: Shorts, panels: Shorts, out: Floats) -> None:
    """out [B, h, w, N] = maps [B, h + 2, w + 2, K] under kernels of 3x3, packed as [N, 3, 3, K].

    A row of the result takes three parts of each pixel's surroundings, one for each row of these.
    """
    batch, height, width, count = out.shape
    depth = maps.shape[3]
    pairs = 3 * depth // 2
    a_part, out_line = 2 * (width + 2) * depth, 4 * width * count
    for i in range(len(panels)):
        wide = PANEL * (i + 1) <= count
        panel = panels.ctypes.data + 3 * i * pairs * _PAIR_BYTES
        for b in range(batch):
            for y in range(height):
                a = maps.ctypes.data + (b * (height + 2) + y) * a_part
                place = out.ctypes.data + (b * height + y) * out_line + 4 * PANEL * i
                _times_panel(width, wide, a, 2 * depth, 3, a_part, pairs, panel, place, 4 * count)


class ShortMatrix:
    """A matrix [N, K] of integers within int16, packed for products; K is even, N of eights.

    Raises ValueError for what is not.
    """

    def __init__(self, weight: torch.Tensor) -> None:
        count, depth = weight.shape
        whole = weight.to(torch.int16)
        if depth % 2 or count % LANES or not torch.equal(whole.to(weight.dtype), weight):
            raise ValueError(f"a matrix [{count}, {depth}] cannot be packed")
        padded = np.zeros((-(-count // PANEL) * PANEL, depth), np.int16)
        padded[:count] = whole.numpy()
        panels = padded.reshape(-1, PANEL, depth // 2, 2).transpose(0, 2, 1, 3)
        self.shape = count, depth
        self._panels: Shorts = np.ascontiguousarray(panels)

    @classmethod
    def of_kernel(cls, kernel: torch.Tensor) -> ShortMatrix:
        """The matrix of a 3x3 kernel [N, K, 3, 3], for `convolved`."""
        return cls(kernel.permute(0, 2, 3, 1).flatten(1))

    def times(self, a: torch.Tensor) -> torch.Tensor:
        """Integers a [..., K] within int16, times the transpose: float32 [..., N].

        Exact where sums stay below 2^24.
        """
        rows = a.reshape(-1, self.shape[1]).to(torch.int16)
        out = np.empty((len(rows), self.shape[0]), np.float32)
        _multiply(rows.numpy(), self._panels, out)
        return torch.from_numpy(out).view(*a.shape[:-1], self.shape[0])

    def convolved(self, maps: torch.Tensor) -> torch.Tensor:
        """Integers within int16, maps [B, h, w, K], under a 3x3 kernel, zeros around them: float32
        [B, h, w, N], exact where sums stay below 2^24."""
        padded = F.pad(maps.to(torch.int16), (0, 0, 1, 1, 1, 1))
        out = np.empty((*maps.shape[:3], self.shape[0]), np.float32)
        _convolve(padded.contiguous().numpy(), self._panels, out)
        return torch.from_numpy(out)
