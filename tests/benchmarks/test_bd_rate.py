"""BD-rates with known answers, their overlap, and the cut to a range of bpp."""

import math

import numpy as np
import pytest

from benchmarks.bd_rate import at_bpp, at_quality, bd_rate, cut, pareto

CURVE = [(0.1, 26.0), (0.2, 28.5), (0.4, 31.0), (0.8, 34.0), (1.2, 36.0)]


@pytest.mark.parametrize("method", ["pchip", "akima"])
@pytest.mark.parametrize("factor", [0.8, 1.0, 1.3])
def test_bd_rate_of_a_scaled_curve_is_the_scale(factor: float, method: str) -> None:
    test = [(rate * factor, quality) for rate, quality in CURVE]
    found = bd_rate(CURVE, test, method=method)
    assert found.percent == pytest.approx(100 * (factor - 1), abs=1e-9)
    assert found.overlap == 1


def test_bd_rate_of_straight_lines() -> None:
    # log10(rate) rises by .1 per dB on both, .05 apart: a constant factor of 10^.05.
    anchor = [(10 ** (q / 10), float(q)) for q in range(25, 36, 2)]
    test = [(10 ** (q / 10 + 0.05), float(q)) for q in range(30, 41, 2)]
    found = bd_rate(anchor, test)
    assert found.percent == pytest.approx(100 * (10**0.05 - 1))
    assert found.overlap == pytest.approx((35 - 30) / (40 - 25))


def test_bd_rate_does_not_depend_on_the_order_of_points() -> None:
    test = [(rate * 0.9, quality + 0.3) for rate, quality in CURVE]
    assert bd_rate(CURVE[::-1], test) == bd_rate(CURVE, test[::-1])


def test_bd_rate_without_common_qualities() -> None:
    found = bd_rate(CURVE, [(rate, quality + 50) for rate, quality in CURVE])
    assert math.isnan(found.percent)
    assert found.overlap == 0


def test_bd_rate_leaves_out_points_that_are_no_gain() -> None:
    test = [(rate * 0.8, quality) for rate, quality in CURVE]
    assert pareto([*test, (0.5, 30.0)]) == test
    assert bd_rate(CURVE, [*test, (0.5, 30.0)]) == bd_rate(CURVE, test)


def test_bd_rate_needs_two_points() -> None:
    with pytest.raises(ValueError, match="two points"):
        bd_rate(CURVE, CURVE[:1])


def test_a_cut_takes_both_curves_at_the_same_rates() -> None:
    # Halves the bits below 30 dB and saves nothing above: the cut decides what is seen.
    anchor = [(0.1 * 2**k, 27.0 + k) for k in range(7)]
    test = [(rate / 2 if quality < 30 else rate, quality) for rate, quality in anchor]
    low, high = bd_rate(anchor, test, (0.1, 0.4)), bd_rate(anchor, test, (1.6, 6.4))
    assert low.percent == pytest.approx(-50, abs=4)
    assert high.percent == pytest.approx(0, abs=1e-6)
    assert -50 < bd_rate(anchor, test).percent < 0


def test_a_cut_interpolates_its_ends() -> None:
    # 3 dB an octave, straight in log(bpp), so Akima's curve is the line itself.
    line = [(0.05 * 2**k, 20.0 + 3 * k) for k in range(6)]
    found = cut(line, (0.1, 0.6))
    assert found[0] == (0.1, pytest.approx(23))
    assert found[-1] == (0.6, pytest.approx(20 + 3 * math.log2(12)))
    assert cut(line, (0.01, 0.06)) == [(0.05, 20.0), (0.06, pytest.approx(20.789, abs=1e-3))]


def test_a_cut_that_leaves_nothing() -> None:
    assert math.isnan(bd_rate(CURVE, CURVE, (5.0, 6.0)).percent)


def test_quality_at_a_rate() -> None:
    assert at_bpp(CURVE, 0.2) == pytest.approx(28.5)
    assert at_bpp(CURVE, 0.09) is None and at_bpp(CURVE, 1.3) is None
    assert at_bpp([], 0.2) is None
    assert at_bpp(CURVE[:1], 0.1) == 26.0
    assert at_bpp(CURVE[:2], math.sqrt(0.02)) == pytest.approx(27.25)
    fine = [(rate, 30 + 5 * math.log10(rate)) for rate in np.geomspace(0.1, 1, 9)]
    assert at_bpp(fine, 0.33) == pytest.approx(30 + 5 * math.log10(0.33), abs=1e-9)


@pytest.mark.parametrize("rate", [0.1, 0.13, 0.2, 0.55, 1.2])
def test_the_rate_at_a_quality_is_the_inverse(rate: float) -> None:
    quality = at_bpp(CURVE, rate)
    assert quality is not None
    assert at_quality(CURVE, quality) == pytest.approx(rate, rel=1e-6)


def test_no_rate_beyond_a_curve() -> None:
    assert at_quality(CURVE, 25.9) is None and at_quality(CURVE, 36.1) is None
    assert at_quality([], 30.0) is None


def test_lpips_counts_downwards() -> None:
    # Smaller distances are better: the same distances at half the rate are half the bits.
    anchor = [(0.1 * 2**k, -0.5 / (k + 1)) for k in range(5)]
    test = [(rate / 2, quality) for rate, quality in anchor]
    assert bd_rate(anchor, test).percent == pytest.approx(-50)
