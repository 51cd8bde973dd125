"""Coding of motion vectors: a few vectorised passes over a hierarchy of lattices.

A token has one vector, or four, one for each quarter. Passes go from every fourth token to all of
them; a token's vector is coded as the difference from the median of the neighbours that are known
and of the vector that its place had in the frame before. Probabilities come from a table, by how
much those disagree, and adapt to the vectors of the group's frames. Integers only; one function
encodes and decodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.int64]
Bits = npt.NDArray[np.bool_]
Probabilities = npt.NDArray[np.int32]
"""Probabilities of a 1, in 65536ths."""

LIMIT = 4 * 96
"""Components are clipped to +- this, in quarters of a pixel."""

SPREADS = 8
"""Contexts: octaves of the disagreement of what a vector is predicted from."""

OCTAVES = 10
"""Octaves of a component's difference, less one."""

KINDS = 2
"""Vectors of tokens, and of the later quarters of split ones."""

MERGES = 5
"""Vectors that a vector may simply equal, besides the predicted one."""

_SPLIT, _ZERO, _SIGN, _SAME = 0, 1, 2, 3
_OCTAVE = _SAME + MERGES + 1
_TOP = _OCTAVE + OCTAVES
SLOTS = _TOP + OCTAVES
"""Binary decisions with a probability of their own, in each context of a kind."""

TABLE = KINDS * SPREADS * SLOTS


MIN_PROBABILITY = 32
"""Probabilities are at least this, and at most 65536 less this, in 65536ths."""


class SlotProbabilities:
    """Probabilities of a 1 in each slot, which adapt to the bits that have been coded.

    table: the probabilities at the start, in 65536ths, int [TABLE]. prior_count: how many bits of a
    slot the table's probability counts for; 0 for probabilities that stay as in the table.
    """

    def __init__(self, table: Probabilities, prior_count: int) -> None:
        self._table, self._prior_count = table.astype(np.int64), prior_count
        self._ones, self._all = np.zeros(TABLE, np.int64), np.zeros(TABLE, np.int64)

    def of(self, slots: npt.NDArray[np.int64]) -> Probabilities:
        """Probabilities of a 1 in each of these slots, in 65536ths."""
        probability = self._table[slots]
        if self._prior_count:
            counted = self._prior_count * probability + 65536 * self._ones[slots]
            probability = counted // (self._prior_count + self._all[slots])
            probability = probability.clip(MIN_PROBABILITY, 65536 - MIN_PROBABILITY)
        return probability.astype(np.int32)

    def count(self, slots: npt.NDArray[np.int64], bits: Bits) -> None:
        """Count bits in slots; the probabilities of later bits depend on them."""
        if self._prior_count:
            self._all += np.bincount(slots, minlength=TABLE)
            self._ones += np.bincount(slots[bits], minlength=TABLE)


class BitCoder(Protocol):
    """Writes bits and returns them, or reads them."""

    def bits(self, wanted: Bits | None, slots: npt.NDArray[np.int64]) -> Bits:
        """Bits [n] in slots [n] of the table; wanted is None for a decoder."""


@dataclass(frozen=True)
class _Pass:
    """Tokens of a pass (flat indices), and the known neighbours of each: [n, 4], or -1."""

    tokens: npt.NDArray[np.int64]
    near: npt.NDArray[np.int64]


def _passes(rows: int, columns: int) -> list[_Pass]:
    row, column = np.mgrid[:rows, :columns]
    diagonal = [(-1, -1), (-1, 1), (1, -1), (1, 1)]
    axial = [(-1, 0), (1, 0), (0, -1), (0, 1)]
    result = []
    known = np.zeros((rows, columns), bool)
    pattern = [(4, None, 4), (4, diagonal, 2), (2, axial, 2), (2, diagonal, 1), (1, axial, 1)]
    for grid, offsets, distance in pattern:
        if offsets is diagonal:
            mine = (row % grid == grid // 2) & (column % grid == grid // 2)
        else:
            mine = (row % grid == 0) & (column % grid == 0)
        mine &= ~known
        r, c = row[mine], column[mine]
        near = np.full((len(r), 4), -1)
        for k, (down, right) in enumerate(offsets or []):
            i, j = r + down * distance, c + right * distance
            there = (i >= 0) & (i < rows) & (j >= 0) & (j < columns)
            there[there] = known[i[there], j[there]]
            near[there, k] = i[there] * columns + j[there]
        known |= mine
        result.append(_Pass(r * columns + c, near))
    return [p for p in result if len(p.tokens)]


def _octave(x: npt.NDArray[np.int64], most: int) -> npt.NDArray[np.int64]:
    """0 for 0, 1 for 1, 2 for 2..3, 3 for 4..7 .., at most `most`; exact."""
    edges = 2 ** np.arange(most)
    return np.searchsorted(edges, x, side="right").clip(max=most)


def _median(values: npt.NDArray[np.int64], valid: Bits) -> npt.NDArray[np.int64]:
    """Lower median over axis 1 of the valid values [n, k]; 0 where there is none."""
    high = np.iinfo(np.int64).max
    ordered = np.sort(np.where(valid, values, high), axis=1)
    count = valid.sum(1)
    middle = np.maximum(count - 1, 0) // 2
    found = np.take_along_axis(ordered, middle[:, None], axis=1)[:, 0]
    return np.where(count > 0, found, 0)


def _components(
    coder: BitCoder, wanted: npt.NDArray[np.int64] | None, base: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Code differences [n]; base [n]: first slot of each one's context."""
    n = len(base)
    zero = coder.bits(None if wanted is None else wanted == 0, base + _ZERO)
    result = np.zeros(n, np.int64)
    left = np.flatnonzero(~zero)
    w = None if wanted is None else wanted[left]
    negative = coder.bits(None if w is None else w < 0, base[left] + _SIGN)
    magnitude = None if w is None else np.abs(w)
    octave = np.zeros(len(left), np.int64)
    going = np.arange(len(left))
    for k in range(OCTAVES - 1):
        more = coder.bits(
            None if magnitude is None else magnitude[going] >= 2 ** (k + 1),
            base[left[going]] + _OCTAVE + k,
        )
        going = going[more]
        octave[going] = k + 1
        if not len(going):
            break
    value = np.left_shift(1, octave)
    ranks = np.arange(OCTAVES - 2, -1, -1)
    rank, which = np.nonzero(octave > ranks[:, None])
    rank = ranks[rank]
    highest = octave[which] - 1 == rank
    low = coder.bits(
        None if magnitude is None else (magnitude[which] >> rank) & 1 == 1,
        base[left[which]] + np.where(highest, _TOP + octave[which], _TOP),
    )
    np.add.at(value, which, low.astype(np.int64) << rank)
    result[left] = np.where(negative, -value, value)
    return result


def _code(
    coder: BitCoder,
    wanted: npt.NDArray[np.int64] | None,
    predicted: npt.NDArray[np.int64],
    others: npt.NDArray[np.int64],
    base: npt.NDArray[np.int64],
) -> npt.NDArray[np.int64]:
    """Code vectors [n, 2] beside predicted ones; others [n, k, 2]: what they may equal, k <= 5."""
    result = np.zeros_like(predicted)
    rest = np.arange(len(predicted))
    candidates = np.concatenate([predicted[:, None], others], axis=1)
    for k in range(candidates.shape[1]):
        if not len(rest):
            return result
        mine = candidates[rest, k]
        # what it has been found not to equal is not asked again
        new = (candidates[rest, :k] != mine[:, None]).any(2).all(1)
        asked = rest[new]
        equal = None if wanted is None else (wanted[asked] == candidates[asked, k]).all(1)
        same = coder.bits(equal, base[asked] + _SAME + k)
        result[asked[same]] = candidates[asked[same], k]
        rest = np.setdiff1d(rest, asked[same], assume_unique=True)
    d = None if wanted is None else (wanted[rest] - predicted[rest]).T.ravel()
    found = _components(coder, d, np.tile(base[rest], 2))
    result[rest] = predicted[rest] + found.reshape(2, -1).T
    return result.clip(-LIMIT, LIMIT)


def code_vectors(
    coder: BitCoder, wanted: Vectors | None, before: Vectors, rows: int, columns: int
) -> Vectors:
    """Vectors [2 rows, 2 columns, 2] of rows x columns tokens, within +- LIMIT.

    before: those of the frame before (zeros if it has none).
    """
    quarters = None if wanted is None else _by_token(wanted, rows, columns)
    earlier = _by_token(before, rows, columns)[:, 0]
    result = np.zeros((rows * columns, 4, 2), np.int64)
    split = np.zeros(rows * columns, bool)
    for p in _passes(rows, columns):
        there = p.near >= 0
        near = np.where(there, p.near, 0)
        # a neighbour's nearest quarter would be closer, but its first is all that most have
        candidates = np.concatenate([result[near, 0], earlier[p.tokens][:, None]], axis=1)
        valid = np.concatenate([there, np.ones((len(near), 1), bool)], axis=1)
        known = there.sum(1) >= 3
        valid[:, -1] &= ~known  # the frame before counts where fewer than 3 neighbours are known
        predicted = np.stack([_median(candidates[..., k], valid) for k in (0, 1)], axis=1)
        off = np.abs(candidates - predicted[:, None]).sum(2) * np.concatenate(
            [there, np.ones((len(near), 1), bool)], axis=1
        )
        spread = _octave(off.sum(1) // np.maximum(there.sum(1) + 1, 1), SPREADS - 1)
        base = spread * SLOTS
        own = None if quarters is None else quarters[p.tokens]
        vectors = _code(coder, None if own is None else own[:, 0], predicted, candidates, base)
        result[p.tokens, :] = vectors[:, None]
        parts = None if own is None else (own != own[:, :1]).any((1, 2))
        neighbours = (split[near] & there).sum(1)
        base = (spread // 2 + 4 * (neighbours > 0)) * SLOTS
        divided = coder.bits(parts, base + _SPLIT)
        split[p.tokens] = divided
        mine = p.tokens[divided]
        base = SPREADS * SLOTS + spread[divided] * SLOTS
        for k in (1, 2, 3):
            w = None if own is None else own[divided][:, k]
            # the quarter above for the lower right one, else the first
            like = result[mine, 1 if k == 3 else 0]
            others = np.concatenate([result[mine, :k], candidates[divided, :2]], axis=1)
            result[mine, k] = _code(coder, w, like, others, base)
    return result.reshape(rows, columns, 2, 2, 2).swapaxes(1, 2).reshape(2 * rows, 2 * columns, 2)


def _by_token(vectors: Vectors, rows: int, columns: int) -> npt.NDArray[np.int64]:
    """[2 rows, 2 columns, 2] -> [tokens, 4, 2]."""
    parts = vectors.reshape(rows, 2, columns, 2, 2).swapaxes(1, 2)
    return parts.reshape(rows * columns, 4, 2).astype(np.int64)


class Counter:
    """Counts the bits in each slot, to make a table of probabilities."""

    def __init__(self) -> None:
        self.counts = np.zeros((TABLE, 2), np.int64)

    def bits(self, wanted: Bits | None, slots: npt.NDArray[np.int64]) -> Bits:
        assert wanted is not None
        np.add.at(self.counts, (slots, wanted.astype(np.int64)), 1)
        return wanted

    def table(self) -> Probabilities:
        """Probabilities of a 1 in each slot, in 65536ths, int32 [TABLE]."""
        counts = self.counts + 0.4
        probability = np.round(65536 * counts[:, 1] / counts.sum(1)).astype(np.int32)
        return np.clip(probability, MIN_PROBABILITY, 65536 - MIN_PROBABILITY)

    def ideal_bits(self) -> float:
        """Bits that the counted bits cost with the table that they give."""
        p = self.table() / 65536
        return float(-(self.counts[:, 1] * np.log2(p) + self.counts[:, 0] * np.log2(1 - p)).sum())
