"""Coding of motion vectors: every field comes back, and costs what its probabilities say."""

from __future__ import annotations

import numpy as np
import pytest

from bsqcodec.entropy.motion_vectors import (
    LIMIT,
    MIN_PROBABILITY,
    TABLE,
    Counter,
    SlotProbabilities,
    Vectors,
    code_vectors,
)
from bsqcodec.video.frame_symbols import FrameSymbolReader, FrameSymbolWriter

from ..tiny_models import vector_probabilities

PROBABILITIES = vector_probabilities().numpy()
GRIDS = [(1, 1), (1, 7), (2, 3), (3, 2), (5, 9)]


def probabilities(prior_count: int = 20) -> SlotProbabilities:
    return SlotProbabilities(PROBABILITIES, prior_count)


def make_field(kind: str, rows: int, columns: int, seed: int = 0) -> Vectors:
    """Vectors [2 rows, 2 columns, 2] of different habits."""
    generator = np.random.default_rng(seed)
    shape = (2 * rows, 2 * columns, 2)
    if kind == "zero":
        return np.zeros(shape, np.int64)
    if kind == "pan":
        return np.zeros(shape, np.int64) + np.array([5, -9])
    if kind == "extreme":
        return generator.choice([-LIMIT, LIMIT], shape)
    if kind == "small":
        return generator.integers(-2, 3, shape)
    tokens = generator.integers(-LIMIT, LIMIT + 1, (rows, columns, 2))
    whole = tokens.repeat(2, axis=0).repeat(2, axis=1)
    if kind == "some split":
        split = generator.random((rows, columns)) < 0.3
        quarters = split.repeat(2, axis=0).repeat(2, axis=1)
        return np.where(quarters[..., None], generator.integers(-40, 41, shape), whole)
    return whole


KINDS = ["zero", "pan", "extreme", "small", "whole tokens", "some split"]


def encode(field: Vectors, before: Vectors, grid: tuple[int, int]) -> FrameSymbolWriter:
    coder = FrameSymbolWriter(np.zeros((0, 1), np.int32), probabilities())
    assert np.array_equal(code_vectors(coder, field, before, *grid), field)
    return coder


@pytest.mark.parametrize("earlier", ["zero", "some split"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_there_and_back(grid: tuple[int, int], kind: str, earlier: str) -> None:
    field, before = make_field(kind, *grid), make_field(earlier, *grid, seed=1)
    data = encode(field, before, grid).finish()
    again = code_vectors(FrameSymbolReader(data, probabilities()), None, before, *grid)
    assert again.dtype == np.int64
    np.testing.assert_array_equal(again, field)


def test_the_frame_before_counts() -> None:
    """With other vectors before, the same bits mean something else."""
    grid = (2, 3)
    field, before = make_field("some split", *grid), make_field("whole tokens", *grid, seed=2)
    data = encode(field, before, grid).finish()
    other = code_vectors(
        FrameSymbolReader(data, probabilities()),
        None,
        make_field("whole tokens", *grid, seed=3),
        *grid,
    )
    assert not np.array_equal(other, field)


def test_whatever_is_read_is_within_the_limits() -> None:
    data = np.random.default_rng(5).integers(0, 256, 4000, np.uint8).tobytes()
    found = code_vectors(
        FrameSymbolReader(data, probabilities()), None, make_field("zero", 5, 9), 5, 9
    )
    assert np.abs(found).max() <= LIMIT


def test_a_counted_table_makes_what_was_counted_cheap() -> None:
    grid = (5, 9)
    counter = Counter()
    fields = [make_field("small", *grid, seed=s) for s in range(5)]
    for field in fields:
        code_vectors(counter, field, make_field("zero", *grid), *grid)
    table = counter.table()
    assert table.shape == (TABLE,) and table.min() >= 1 and table.max() <= 65535
    coder = FrameSymbolWriter(np.zeros((0, 1), np.int32), SlotProbabilities(table, 0))
    plain = FrameSymbolWriter(np.zeros((0, 1), np.int32), probabilities(0))
    for field in fields:
        code_vectors(coder, field, make_field("zero", *grid), *grid)
        code_vectors(plain, field, make_field("zero", *grid), *grid)
    assert coder.ideal_bits == pytest.approx(counter.ideal_bits(), rel=1e-6)
    assert coder.ideal_bits < 0.9 * plain.ideal_bits
    assert 8 * len(coder.finish()) < coder.ideal_bits + 64


def test_probabilities_follow_what_is_coded() -> None:
    """The same fields cost less and less; a larger prior count follows later, 0 never."""
    grid = (5, 9)
    field = make_field("small", *grid)
    costs = {}
    for prior_count in (0, 5, 500):
        coder = FrameSymbolWriter(np.zeros((0, 1), np.int32), probabilities(prior_count))
        seen = [0.0]
        for _ in range(4):
            code_vectors(coder, field, make_field("zero", *grid), *grid)
            seen.append(coder.ideal_bits)
        costs[prior_count] = np.diff(seen)
    assert np.ptp(costs[0]) < 1e-6
    assert (np.diff(costs[5]) < 0).all() and (np.diff(costs[500]) < 0).all()
    assert costs[5][-1] < 0.9 * costs[500][-1] < 0.9 * costs[0][-1]


def test_probabilities_by_hand() -> None:
    slots = np.array([3, 3, 7])
    found = SlotProbabilities(np.full(TABLE, 30000, np.int32), 10)
    assert found.of(slots).tolist() == [30000] * 3
    found.count(slots, np.array([True, False, True]))
    assert found.of(np.array([3, 7, 8])).tolist() == [
        (10 * 30000 + 65536) // 12,
        (10 * 30000 + 65536) // 11,
        30000,
    ]
    always = np.full(100000, 3)
    found.count(always, np.ones(100000, bool))
    found.count(always + 1, np.zeros(100000, bool))
    assert found.of(np.array([3, 4])).tolist() == [65536 - MIN_PROBABILITY, MIN_PROBABILITY]
