"""Exact products of int16 matrices by AVX2 instructions, compiled by numba.

`vpmaddwd` multiplies 16 pairs of int16 and adds neighbours in int32, twice as many as a float32
instruction of the same width multiplies. So where a processor has no instructions for int8 that are
exact, integer layers run faster this way than in float32, and every sum is the same.

numba has no vectors, so the innermost loop is written in LLVM's intermediate language.
"""

from __future__ import annotations

from collections.abc import Callable
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

WIDE, ROWS_AT_ONCE = 64, 48
"""Columns that registers hold at once of a row that is mostly 0, and rows that pass them before the
next columns are loaded."""

CACHE_LINE = 64
"""Bytes."""

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
            _generate(builder, rows, vectors, arguments)
            return context.get_dummy_value()

        return types.void(*[types.intp] * 8), generate

    return multiply


def _sparse_kernel() -> Any:
    """A function of numba that multiplies chosen pairs of factors of a row by 64 columns.

    Arguments: address of the row, address of the numbers of its pairs, how many they are, address
    of the columns, address of the result.
    """

    @intrinsic
    def multiply(context: Any, a: Any, chosen: Any, count: Any, columns: Any, out: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            _generate_sparse(builder, arguments)
            return context.get_dummy_value()

        return types.void(*[types.intp] * 5), generate

    return multiply


class _Writer:
    """Writes code of both kinds of kernels."""

    word, number = ir.IntType(64), ir.IntType(32)
    sums = ir.VectorType(number, LANES)
    factors = ir.VectorType(ir.IntType(16), 2 * LANES)
    floats = ir.VectorType(ir.FloatType(), LANES)

    def __init__(self, builder: Any) -> None:
        self._builder = builder
        name = "llvm.x86.avx2.pmadd.wd"
        self._multiply_add = builder.module.globals.get(name) or ir.Function(
            builder.module, ir.FunctionType(self.sums, [self.factors, self.factors]), name
        )

    def away(self, base: Any, index: Any, size: Any) -> Any:
        """The address of an element of a size in bytes."""
        index, size = (
            ir.Constant(self.word, x) if isinstance(x, int) else x for x in (index, size)
        )
        return self._builder.add(base, self._builder.mul(index, size))

    def load(self, base: Any, index: Any, size: int, kind: Any) -> Any:
        """An element of a size in bytes."""
        place = self._builder.inttoptr(self.away(base, index, size), kind.as_pointer())
        return self._builder.load(place, align=2)

    def total(self) -> Any:
        """A place for a sum, which becomes a register."""
        return cgutils.alloca_once_value(  # type: ignore[no-untyped-call]
            self._builder, ir.Constant(self.sums, None)
        )

    def spread(self, pair: Any) -> Any:
        """A pair of factors in all places of a register."""
        nothing = ir.Constant(self.sums, ir.Undefined)
        one = self._builder.insert_element(nothing, pair, ir.Constant(self.number, 0))
        everywhere = ir.Constant(self.sums, [0] * LANES)
        spread = self._builder.shuffle_vector(one, nothing, everywhere)
        return self._builder.bitcast(spread, self.factors)

    def add_products(self, total: Any, operand: Any, column: Any) -> None:
        """Add the products of pairs to a sum."""
        more = self._builder.call(self._multiply_add, [operand, column])
        self._builder.store(self._builder.add(self._builder.load(total), more), total)

    def store(self, totals: list[Any], out: Any) -> None:
        """Store sums side by side, in float32."""
        for v, total in enumerate(totals):
            value = self._builder.sitofp(self._builder.load(total), self.floats)
            address = self.away(out, v, 4 * LANES)
            place = self._builder.inttoptr(address, self.floats.as_pointer())
            self._builder.store(value, place, align=4)


def _generate_sparse(builder: Any, arguments: Any) -> None:
    """Write the code of `_sparse_kernel`."""
    a, chosen, count, columns, out = arguments
    write = _Writer(builder)
    totals = [write.total() for _ in range(WIDE // LANES)]
    with cgutils.for_range(builder, count) as loop:
        pair = builder.sext(write.load(chosen, loop.index, 4, write.number), write.word)
        operand = write.spread(write.load(a, pair, 4, write.number))
        place = write.away(columns, pair, 4 * WIDE)
        for v, total in enumerate(totals):
            column = write.load(place, v, 4 * LANES, write.factors)
            write.add_products(total, operand, column)
    write.store(totals, out)


def _generate(builder: Any, rows: int, vectors: int, arguments: Any) -> None:
    """Write the code of `_kernel`: sums in registers, loops over parts and pairs, the stores."""
    a, a_row, parts, a_part, pairs, panel, out, out_row = arguments
    write = _Writer(builder)
    totals = [[write.total() for _ in range(vectors)] for _ in range(rows)]
    with cgutils.for_range(builder, parts) as outer:
        part = write.away(a, outer.index, a_part)
        starts = [write.away(part, row, a_row) for row in range(rows)]
        first = write.away(panel, builder.mul(outer.index, pairs), _PAIR_BYTES)
        with cgutils.for_range(builder, pairs) as inner:
            place = write.away(first, inner.index, _PAIR_BYTES)
            columns = [write.load(place, v, 4 * LANES, write.factors) for v in range(vectors)]
            for start, row in zip(starts, totals, strict=True):
                operand = write.spread(write.load(start, inner.index, 4, write.number))
                for total, column in zip(row, columns, strict=True):
                    write.add_products(total, operand, column)
    for index, row in enumerate(totals):
        write.store(row, write.away(out, index, out_row))


_chosen = _sparse_kernel()
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
def _multiply_sparse(a: Shorts, columns: Shorts, out: Floats) -> None:
    """out [n, N] = a [n, K], mostly 0, times columns [N / 64, K / 2, 64, 2]."""
    pairs = columns.shape[1]
    both = a.view(np.int32)  # a pair of factors as one number
    chosen, counts = np.empty((ROWS_AT_ONCE, pairs), np.int32), np.empty(ROWS_AT_ONCE, np.int64)
    first, result, lists = a.ctypes.data, out.ctypes.data, chosen.ctypes.data
    for top in range(0, len(a), ROWS_AT_ONCE):
        bottom = min(top + ROWS_AT_ONCE, len(a))
        for row in range(top, bottom):
            count = 0
            for pair in range(pairs):
                chosen[row - top, count] = pair
                count += both[row, pair] != 0
            counts[row - top] = count
        for i in range(len(columns)):
            place = columns.ctypes.data + i * pairs * 4 * WIDE
            for row in range(top, bottom):
                _chosen(
                    first + 4 * row * pairs,
                    lists + 4 * (row - top) * pairs,
                    counts[row - top],
                    place,
                    result + 4 * (row * out.shape[1] + i * WIDE),
                )


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


def _packed(weight: torch.Tensor, columns: int) -> Shorts:
    """A matrix [N, K], int16, as [N / columns, K / 2, columns, 2], with zeros behind the last.

    It begins where a line of the processor's cache does, so that no load crosses from one to the
    next.
    """
    count, depth = weight.shape
    padded = np.zeros((-(-count // columns) * columns, depth), np.int16)
    padded[:count] = weight.numpy()
    memory = np.empty(padded.nbytes + CACHE_LINE, np.uint8)
    first = -memory.ctypes.data % CACHE_LINE
    packed = memory[first : first + padded.nbytes].view(np.int16)
    packed = packed.reshape(-1, depth // 2, columns, 2)
    packed[:] = padded.reshape(-1, columns, depth // 2, 2).transpose(0, 2, 1, 3)
    return packed


class ShortMatrix:
    """A matrix [N, K] of integers within int16, packed for products; K is even, N of eights.

    Raises ValueError for what is not.
    """

    def __init__(self, weight: torch.Tensor) -> None:
        count, depth = weight.shape
        whole = weight.to(torch.int16)
        if depth % 2 or count % LANES or not torch.equal(whole.to(weight.dtype), weight):
            raise ValueError(f"a matrix [{count}, {depth}] cannot be packed")
        self.shape, self._weight = (count, depth), whole
        self._panels = _packed(whole, PANEL)
        self._columns: Shorts | None = None

    @classmethod
    def of_kernel(cls, kernel: torch.Tensor) -> ShortMatrix:
        """The matrix of a 3x3 kernel [N, K, 3, 3], for `convolved`."""
        return cls(kernel.permute(0, 2, 3, 1).flatten(1))

    def times(self, a: torch.Tensor) -> torch.Tensor:
        """Integers a [..., K] within int16, times the transpose: float32 [..., N].

        Exact where sums stay below 2^24.
        """
        return self._product(_multiply, a, self._panels)

    def times_sparse(self, a: torch.Tensor) -> torch.Tensor:
        """`times` of operands most of which are 0, faster where N is a multiple of 64."""
        if self.shape[0] % WIDE:
            return self.times(a)
        if self._columns is None:
            self._columns = _packed(self._weight, WIDE)
        return self._product(_multiply_sparse, a, self._columns)

    def _product(
        self, multiply: Callable[[Shorts, Shorts, Floats], None], a: torch.Tensor, packed: Shorts
    ) -> torch.Tensor:
        """What a loop makes of a [..., K] and the packed matrix."""
        rows = a.reshape(-1, self.shape[1]).to(torch.int16)
        out = np.empty((len(rows), self.shape[0]), np.float32)
        multiply(rows.numpy(), packed, out)
        return torch.from_numpy(out).view(*a.shape[:-1], self.shape[0])

    def convolved(self, maps: torch.Tensor) -> torch.Tensor:
        """Integers within int16, maps [B, h, w, K], under a 3x3 kernel, zeros around them: float32
        [B, h, w, N], exact where sums stay below 2^24."""
        padded = F.pad(maps.to(torch.int16), (0, 0, 1, 1, 1, 1))
        out = np.empty((*maps.shape[:3], self.shape[0]), np.float32)
        _convolve(padded.contiguous().numpy(), self._panels, out)
        return torch.from_numpy(out)
