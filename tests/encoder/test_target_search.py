"""Steps of qualities and the searches for targets,
on made-up pictures whose sizes are known functions."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bsqcodec.encoder.target_search import (
    COARSEST,
    FINEST,
    FULL_OFFSET_QUALITY,
    LAST_STEP,
    OPTIMISED_STEP_OFFSET,
    TOLERANCE,
    quality_of_step,
    search_psnr,
    search_size,
    step_of_quality,
)
from bsqcodec.errors import TargetError


def test_quality_runs_from_the_coarsest_to_the_finest_step() -> None:
    assert step_of_quality(0) == COARSEST
    assert step_of_quality(100) == FINEST
    steps = [step_of_quality(q / 4) for q in range(401)]
    assert steps == sorted(steps, reverse=True)
    assert set(steps) == set(range(FINEST, COARSEST + 1))


def test_searched_pictures_are_coarser_but_at_the_finest_quality() -> None:
    steps = [step_of_quality(q / 4, optimised=True) for q in range(401)]
    assert set(steps) == set(range(FINEST, COARSEST + OPTIMISED_STEP_OFFSET + 1))
    assert steps == sorted(steps, reverse=True)
    for quality in range(FULL_OFFSET_QUALITY + 1):
        assert (
            step_of_quality(quality, optimised=True)
            == step_of_quality(quality) + OPTIMISED_STEP_OFFSET
        )


@pytest.mark.parametrize("searched", [False, True])
def test_the_quality_of_a_step_names_the_step(searched: bool) -> None:
    coarsest = step_of_quality(0, searched)
    for step in range(FINEST, coarsest + 1):
        assert step_of_quality(quality_of_step(step, searched), searched) == step
        assert 0 <= quality_of_step(step, searched) <= 100
    assert quality_of_step(coarsest, searched) == quality_of_step(LAST_STEP, searched) == 0


# Searching for a size ----------------------------------------------------------------------------


class Picture:
    """A picture whose files have base + detail * 2^(-step / octave) bytes, and less when strong.

    noise: each size is changed by up to this share, at random but always the same.
    """

    def __init__(
        self, detail: float, octave: float = 40.0, base: int = 60, noise: float = 0.0
    ) -> None:
        self.detail, self.octave, self.base, self.noise = detail, octave, base, noise
        self.attempts: list[tuple[int, float]] = []

    def size(self, step: int, strength: float) -> int:
        wobble = np.random.default_rng([step, int(1000 * strength)]).uniform(-1, 1) * self.noise
        smooth = self.detail * 2 ** (-step / self.octave) * (1.1 - 0.1 * strength**0.7)
        return self.base + int(max(smooth, 0) * (1 + wobble))

    def attempt(self, step: int, strength: float) -> tuple[int, str]:
        assert FINEST <= step <= LAST_STEP
        self.attempts.append((step, strength))
        return self.size(step, strength), f"file of {step} at {strength}"

    def range(self) -> tuple[int, int]:
        return self.size(LAST_STEP, 1.0), self.size(FINEST, 1.0)


details = st.floats(1e4, 3e7)
octaves = st.floats(18, 70)
positions = st.floats(0, 1)


@pytest.mark.parametrize("noise", [0.0, 0.003])
@given(detail=details, octave=octaves, position=positions)
def test_size_is_met_within_the_tolerance(
    noise: float, detail: float, octave: float, position: float
) -> None:
    picture = Picture(detail, octave, noise=noise)
    smallest, largest = picture.range()
    assume(smallest > 400)  # so that the tolerance is some bytes
    limit = int(smallest * (largest / smallest) ** position)
    found = search_size(picture.attempt, limit, 1.0)
    assert found.figure == picture.size(found.step, found.strength)
    assert found.result == f"file of {found.step} at {found.strength}"
    assert limit * (1 - TOLERANCE) <= found.figure <= limit
    assert len(picture.attempts) <= 20
    assert len(set(picture.attempts)) == len(picture.attempts)


@given(
    detail=st.floats(10, 1e7),
    octave=octaves,
    position=st.floats(0, 1.5),
    noise=st.floats(0, 0.3),
    strength=st.sampled_from([0.0, 0.5, 1.0]),
)
def test_the_limit_is_never_exceeded(
    detail: float, octave: float, position: float, noise: float, strength: float
) -> None:
    picture = Picture(detail, octave, noise=noise)
    smallest, largest = picture.size(LAST_STEP, strength), picture.range()[1]
    limit = int(smallest * (largest / smallest) ** position)
    try:
        found = search_size(picture.attempt, limit, strength)
    except TargetError:
        assert picture.size(LAST_STEP, strength) > limit
        return
    assert found.figure == picture.size(found.step, found.strength) <= limit
    assert len(picture.attempts) <= 22


@given(detail=details, position=positions)
def test_sizes_in_leaps_give_the_largest_that_fits(detail: float, position: float) -> None:
    """A picture that only has a new size every eight steps, whatever the strength."""
    picture = Picture(detail)

    def attempt(step: int, strength: float) -> tuple[int, None]:
        return picture.size(step // 8 * 8, 1.0), None

    sizes = [attempt(step, 1.0)[0] for step in range(FINEST, LAST_STEP + 1)]
    limit = int(min(sizes) * (max(sizes) / min(sizes)) ** position)
    found = search_size(attempt, limit, 1.0)
    largest = max(size for size in sizes if size <= limit)
    assert found.figure == largest or limit * (1 - TOLERANCE) <= found.figure <= largest


@pytest.mark.parametrize("strength", [0.0, 1.0])
def test_strength_fills_the_gaps_between_steps(strength: float) -> None:
    """Steps 10 % apart cannot meet the tolerance alone."""
    picture = Picture(1e6, octave=7.0)
    picture.size = lambda step, strength: (  # type: ignore[method-assign]
        1 + int(1e6 * 1.1 ** ((100 - step) / 1.0) * 0.9 ** (strength / 1.5))
    )
    for limit in np.geomspace(5e5, 2e6, 9).astype(int).tolist():
        found = search_size(picture.attempt, limit, strength)
        assert limit * (1 - TOLERANCE) <= found.figure <= limit


@given(st.integers(1, 10**6), st.floats(0, 0.05))
def test_large_metadata_does_not_make_the_search_long(base: int, position: float) -> None:
    """The size of the file hardly follows the step then."""
    picture = Picture(2e5, base=base)
    smallest, largest = picture.range()
    limit = smallest + int(position * (largest - smallest))
    found = search_size(picture.attempt, limit, 1.0)
    assert limit * (1 - TOLERANCE) <= found.figure <= limit
    assert len(picture.attempts) <= 22


def test_the_finest_step_is_enough_for_any_larger_limit() -> None:
    picture = Picture(1e6)
    for limit in (picture.range()[1], picture.range()[1] + 1, 10**12):
        found = search_size(picture.attempt, limit, 1.0)
        assert found.step == FINEST or found.figure >= limit * (1 - TOLERANCE)
        assert found.figure <= limit


def test_a_stronger_encoder_helps_below_the_coarsest_step() -> None:
    picture = Picture(2e6)
    smallest = picture.range()[0]
    found = search_size(picture.attempt, int(smallest * 0.95), 1.0)
    assert found.step == LAST_STEP and found.strength > 1
    assert found.figure <= smallest * 0.95


def test_a_size_out_of_reach_is_refused() -> None:
    with pytest.raises(TargetError, match=r"smallest file this picture gives is \d+ bytes.* 50 "):
        search_size(Picture(1e6).attempt, 50, 1.0)


@given(details, positions, st.integers(FINEST, LAST_STEP))
def test_a_size_is_found_from_anywhere(detail: float, position: float, near: int) -> None:
    picture = Picture(detail)
    smallest, largest = picture.range()
    assume(smallest > 400)
    limit = int(smallest * (largest / smallest) ** position)
    found = search_size(picture.attempt, limit, 1.0, near)
    assert picture.attempts[0] == (near, 1.0)
    assert limit * (1 - TOLERANCE) <= found.figure <= limit
    assert len(picture.attempts) <= 22


def test_a_size_is_found_sooner_from_near_by() -> None:
    for limit in range(20_000, 200_000, 9_000):
        far, close = Picture(1e6), Picture(1e6)
        expected = search_size(far.attempt, limit, 1.0)
        found = search_size(close.attempt, limit, 1.0, min(expected.step + 1, LAST_STEP))
        assert limit * (1 - TOLERANCE) <= found.figure <= limit
        assert len(close.attempts) <= max(2, len(far.attempts))


# Searching for a PSNR ----------------------------------------------------------------------------


@given(st.floats(15, 60), st.floats(0.02, 0.3))
def test_psnr_takes_the_coarsest_step_that_reaches_it(wanted: float, slope: float) -> None:
    tried: list[int] = []

    def attempt(step: int) -> tuple[float, str]:
        tried.append(step)
        return 55 - slope * step, f"file of {step}"

    reaching = [step for step in range(FINEST, LAST_STEP + 1) if 55 - slope * step >= wanted]
    if not reaching:
        with pytest.raises(TargetError, match="out of reach: the finest step gives"):
            search_psnr(attempt, wanted)
        return
    found = search_psnr(attempt, wanted)
    assert found.step == max(reaching)
    assert found.figure == 55 - slope * found.step >= wanted
    assert found.result == f"file of {found.step}"
    assert len(set(tried)) == len(tried) <= 9


@given(st.floats(15, 54), st.floats(0.1, 0.15), st.integers(FINEST, LAST_STEP))
def test_psnr_is_found_from_anywhere(wanted: float, slope: float, near: int) -> None:
    tried: list[int] = []

    def attempt(step: int) -> tuple[float, None]:
        tried.append(step)
        return 57 - slope * step, None

    reaching = [step for step in range(FINEST, LAST_STEP + 1) if 57 - slope * step >= wanted]
    found = search_psnr(attempt, wanted, near)
    assert found.step == max(reaching)
    assert tried[0] == max(near, FINEST + 1)
    assert len(set(tried)) == len(tried) <= 16
    if abs(found.step - near) <= 4:
        assert len(tried) <= 5


def test_an_exact_picture_has_any_psnr() -> None:
    assert search_psnr(lambda step: (math.inf, step), 80).step == LAST_STEP
