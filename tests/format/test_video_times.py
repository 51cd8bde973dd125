"""Times of frames by section "Times" of BITSTREAM_VIDEO.md: they grow, whatever the pts do."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from random import Random

import pytest

from bsqcodec.format.video_chunks import MAX_PTS
from bsqcodec.format.video_times import ShownTimes

from .video_files import HEADER

BASE = replace(HEADER, time_base=Fraction(1, 1000), frame_rate=Fraction(25))


def times_of(pts: Sequence[int], cuts: Sequence[int] = ()) -> tuple[list[int], int]:
    """Times of frames whose groups begin at `cuts`, and how many were moved."""
    shown = ShownTimes(BASE)
    edges = [0, *cuts, len(pts)]
    found = [time for a, b in itertools.pairwise(edges) for time in shown.of(pts[a:b])]
    return found, shown.moved


@pytest.mark.parametrize(
    ("pts", "times", "moved"),
    [
        ((), (), 0),
        ((-7,), (-7,), 0),
        ((0, 40, 81, 82, 5000), (0, 40, 81, 82, 5000), 0),
        ((0, 0, 0), (0, 40, 80), 2),  # as if nobody had set them
        ((0, -40, -80), (0, 40, 80), 2),
        ((0, 40, 0, 40, 0, 40), (0, 40, 80, 120, 160, 200), 2),  # a clock that starts over
        ((100, 140, 20, 70, 120), (100, 140, 180, 230, 280), 1),
        ((0, 40, 40, 200, 240), (0, 40, 80, 200, 240), 1),  # one that stands, and goes on
        ((0, 40, 40, 80, 120, 400), (0, 40, 80, 120, 160, 400), 3),
        ((0, 1, 2, 1), (0, 1, 2, 42), 1),
        ((MAX_PTS, -MAX_PTS, 0), (MAX_PTS, MAX_PTS + 40, 2 * MAX_PTS + 40), 1),
    ],
)
def test_the_rule(pts: tuple[int, ...], times: tuple[int, ...], moved: int) -> None:
    for cuts in ((), range(1, len(pts))):
        assert times_of(pts, cuts) == (list(times), moved)


@pytest.mark.parametrize("seed", range(20))
def test_times_always_grow(seed: int) -> None:
    rng = Random(seed)
    pts = [rng.choice((0, 1, 40, -3, rng.randrange(-9999, 9999))) for _ in range(100)]
    times, moved = times_of(pts, [rng.randrange(100)])
    assert all(a < b for a, b in itertools.pairwise(times))
    assert times[0] == pts[0]
    assert (moved == 0) == (times == pts)


@pytest.mark.parametrize(
    ("rate", "base", "step"),
    [
        (Fraction(25), Fraction(1, 25), 1),
        (Fraction(30000, 1001), Fraction(1, 90000), 3003),
        (None, Fraction(1, 1000), 40),
        (Fraction(1000), Fraction(1), 1),  # never less than a unit
        (Fraction(2, 5), Fraction(1), 2),  # 2.5, to the even one
        (Fraction(2**31 - 1), Fraction(2**31 - 1), 1),
    ],
)
def test_how_long_a_step_is(rate: Fraction | None, base: Fraction, step: int) -> None:
    shown = ShownTimes(replace(HEADER, frame_rate=rate, time_base=base))
    assert shown.of((0, 0)) == (0, step)


def test_notes() -> None:
    shown = ShownTimes(BASE)
    assert shown.of((0, 40)) == (0, 40) and shown.notes == ()
    shown.of((40,))
    assert shown.notes == ("a timestamp was repeated or went back: set anew",)
    shown.of((0, 0))
    assert shown.notes == ("3 timestamps were repeated or went back: set anew",)
