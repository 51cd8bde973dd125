"""Drawing bits: the same for a seed, only where they are not known,
by the prior's probabilities."""

import zlib
from typing import Any

import numpy as np
import pytest

from bsqcodec.models.bsq import generation
from bsqcodec.models.bsq.generation import (
    Drawing,
    RandomBits,
    _means,
    draw_sub_codes,
    expected_signs,
    fill,
    left_after,
)
from bsqcodec.models.bsq.integer_bit_prior import IntegerBitPrior

from ...tiny_models import BSQ_PRIOR, fixed_bit_tensors
from .test_bit_walk import integer_prior


def known_but_a_hole() -> np.ndarray:
    signs = np.where(np.random.default_rng(0).random((16, 16, 18)) < 0.5, 1, -1).astype(np.int8)
    signs[4:9, 3:12] = 0
    return signs


INSIDE = np.ones((16, 16), bool)


def test_what_is_known_stays_and_the_hole_is_filled() -> None:
    signs = known_but_a_hole()
    filled = fill(integer_prior(), signs, INSIDE, Drawing(1))
    assert np.array_equal(filled[signs != 0], signs[signs != 0])
    assert (np.abs(filled) == 1).all()
    assert not signs[4:9, 3:12].any()  # the argument is left alone


def test_padding_stays_empty() -> None:
    inside = INSIDE.copy()
    inside[12:] = False
    filled = fill(integer_prior(), np.zeros((16, 16, 18), np.int8), inside, Drawing(1))
    assert not filled[12:].any() and (np.abs(filled[:12]) == 1).all()


def test_seeds() -> None:
    empty = np.zeros((16, 16, 18), np.int8)
    prior = integer_prior()
    first, again, other = (fill(prior, empty, INSIDE, Drawing(s, 4)) for s in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


@pytest.mark.parametrize("int8", [True, False])
def test_a_seed_gives_the_same_bits_everywhere(int8: bool) -> None:
    prior = IntegerBitPrior(BSQ_PRIOR, fixed_bit_tensors(BSQ_PRIOR), int8=int8)
    empty = np.zeros((16, 16, 18), np.int8)
    found = [
        zlib.crc32(fill(prior, empty, INSIDE, Drawing(7, 5, t)).tobytes()) for t in (1.0, 0.7, 0.0)
    ]
    assert found == [2294609680, 4187277766, 2223036355]


def test_the_number_of_trees_at_once_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    signs, prior = known_but_a_hole(), integer_prior()
    whole = fill(prior, signs, INSIDE, Drawing(1))
    monkeypatch.setattr(generation, "TOKENS_AT_ONCE", 7)
    assert np.array_equal(fill(prior, signs, INSIDE, Drawing(1)), whole)


def test_no_temperature_takes_the_likelier_bit() -> None:
    """With one step and no temperature nothing is left to chance."""
    empty = np.zeros((16, 16, 18), np.int8)
    prior = integer_prior()
    first, second = (fill(prior, empty, INSIDE, Drawing(s, 1, 0)) for s in (1, 2))
    assert (first == second).mean() > 0.999  # 65535 of 65536


def test_bits_are_drawn_by_their_probabilities() -> None:
    trees = np.tile(np.array([49152, 16384, 58982], np.int32), (40000, 1))
    bits = draw_sub_codes(trees, 2, RandomBits(3))
    assert bits[:, 0].mean() == pytest.approx(0.75, abs=0.01)
    assert bits[~bits[:, 0], 1].mean() == pytest.approx(0.25, abs=0.015)
    assert bits[bits[:, 0], 1].mean() == pytest.approx(0.9, abs=0.01)


def test_means_of_sub_codes_are_those_of_their_trees() -> None:
    trees = np.array([[49152, 16384, 58982], [1, 65535, 1]], np.int32)
    found = _means(trees, 2)
    second = 0.25 * 0.25 + 0.75 * 58982 / 65536
    assert found[0] == pytest.approx([0.5, 2 * second - 1], abs=1e-6)
    assert found[1] == pytest.approx([-1, 1], abs=1e-3)
    assert _means(trees[:0], 2).shape == (0, 2)


def test_what_is_expected_keeps_what_is_known() -> None:
    signs = known_but_a_hole()
    inside = INSIDE.copy()
    inside[:, 15] = False
    signs[~inside] = 0
    found = expected_signs(integer_prior(), signs, inside)
    assert np.array_equal(found[signs != 0], signs[signs != 0])
    hole = found[4:9, 3:12]
    assert np.abs(hole).max() < 1 and (hole != 0).mean() > 0.99
    assert not found[~inside].any()
    whole = np.where(signs == 0, 1, signs).astype(np.int8)
    whole[~inside] = 0
    assert np.array_equal(expected_signs(integer_prior(), whole, inside), whole)


def test_the_mean_of_many_draws_is_what_is_expected() -> None:
    """In one step draws of different tokens know nothing of each other, as expectations do."""
    empty = np.zeros((8, 8, 18), np.int8)
    inside = np.ones((8, 8), bool)
    prior = integer_prior()
    drawn = [fill(prior, empty, inside, Drawing(seed, 1)) for seed in range(300)]
    expected = expected_signs(prior, empty, inside)
    assert np.abs(np.mean(drawn, 0) - expected).mean() < 0.06


def test_the_cosine() -> None:
    left = [left_after(step, 8, 1000) for step in range(8)]
    assert left == sorted(left, reverse=True)
    assert left[0] == 980 and left[3] == 707 and left[-1] == 0
    assert left_after(0, 1, 5) == 0
    assert [left_after(step, 12, 1) for step in range(3)] == [0, 0, 0]


def test_random_bits_are_pcg64s() -> None:
    """The first words of PCG64(42), as numpy has given them since 1.17."""
    words = np.random.PCG64(42).random_raw(2)
    parts = [int(word) >> shift & 0xFFFF for word in words for shift in (0, 16, 32, 48)]
    assert RandomBits(42).draw(7).tolist() == parts[:7]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"steps": 0}, "0 steps"),
        ({"temperature": -1.0}, "temperature of -1"),
        ({"temperature": np.inf}, "temperature of inf"),
        ({"seed": -1}, "seed -1"),
        ({"seed": 2**63}, "outside 0"),
    ],
)
def test_impossible_options_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Drawing(**wrong)
