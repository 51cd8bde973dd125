"""Metrics against their definitions and against known answers."""

import math

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from benchmarks import metrics
from benchmarks.datasets import generated_picture

CURVE = [(0.1, 26.0), (0.2, 28.5), (0.4, 31.0), (0.8, 34.0), (1.2, 36.0)]


def picture(seed: int = 0, width: int = 200, height: int = 170) -> np.ndarray:
    return np.asarray(generated_picture(width, height, seed))


def blurred(values: np.ndarray) -> np.ndarray:
    """Convolve [H, W] with the 11-tap Gaussian of sigma 1.5, whole windows only."""
    taps = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    taps /= taps.sum()
    for axis in (0, 1):
        values = sliding_window_view(values, 11, axis) @ taps
    return values


def defined_ms_ssim(x: np.ndarray, y: np.ndarray) -> float:
    """MS-SSIM of two float planes [H, W] whose sides can be halved four times, from the paper."""
    weights = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    product = 1.0
    for scale, weight in enumerate(weights):
        if scale:
            x, y = (v.reshape(v.shape[0] // 2, 2, -1, 2).mean((1, 3)) for v in (x, y))
        mean_x, mean_y = blurred(x), blurred(y)
        var_x, var_y = blurred(x * x) - mean_x**2, blurred(y * y) - mean_y**2
        covariance = blurred(x * y) - mean_x * mean_y
        value = (2 * covariance + c2) / (var_x + var_y + c2)
        if scale == len(weights) - 1:
            value = value * (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
        product *= max(float(value.mean()), 0) ** weight
    return product


def test_bpp_counts_every_byte() -> None:
    assert metrics.bpp(3000, 100, 60) == 4.0


def test_psnr_of_a_uniform_error() -> None:
    reference = np.full((4, 5, 3), 100, np.uint8)
    assert metrics.psnr(reference, reference + np.uint8(1)) == pytest.approx(48.1308, abs=1e-4)
    assert metrics.psnr(reference, reference - np.uint8(10)) == pytest.approx(28.1308, abs=1e-4)


def test_psnr_does_not_wrap_around() -> None:
    black, white = np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 255, np.uint8)
    assert metrics.psnr(black, white) == metrics.psnr(white, black) == 0


def test_identical_pictures() -> None:
    same = picture()
    assert metrics.psnr(same, same.copy()) == metrics.MAX_DB
    assert metrics.ms_ssim(same, same.copy()) == pytest.approx(1, abs=1e-6)


def test_ms_ssim_is_what_the_paper_defines() -> None:
    reference = picture(width=192, height=176)
    noise = np.random.default_rng(1).normal(0, 25, reference.shape)
    decoded = np.clip(reference + noise, 0, 255).astype(np.uint8)
    x, y = reference.astype(np.float64), decoded.astype(np.float64)
    expected = np.mean([defined_ms_ssim(x[..., c], y[..., c]) for c in range(3)])
    assert 0.5 < expected < 0.98
    assert metrics.ms_ssim(reference, decoded) == pytest.approx(expected, abs=1e-4)


def test_ms_ssim_names_the_smallest_side() -> None:
    with pytest.raises(ValueError, match="161 pixels a side, not 200x160"):
        metrics.ms_ssim(picture(height=160), picture(height=160))
    metrics.ms_ssim(picture(height=161), picture(height=161))


def test_pairs_are_checked() -> None:
    with pytest.raises(ValueError, match="shape"):
        metrics.psnr(picture(), picture(width=201))
    with pytest.raises(ValueError, match="uint8"):
        metrics.psnr(picture(), picture().astype(np.float32))  # type: ignore[arg-type]


@pytest.mark.parametrize(("value", "db"), [(0.9, 10.0), (0.99, 20.0), (0.0, 0.0), (1.0, 100.0)])
def test_ms_ssim_db(value: float, db: float) -> None:
    assert metrics.ms_ssim_db(value) == pytest.approx(db)


@pytest.mark.parametrize("method", ["pchip", "akima"])
@pytest.mark.parametrize("factor", [0.8, 1.0, 1.3])
def test_bd_rate_of_a_scaled_curve_is_the_scale(factor: float, method: str) -> None:
    test = [(rate * factor, quality) for rate, quality in CURVE]
    found = metrics.bd_rate(CURVE, test, method)
    assert found.percent == pytest.approx(100 * (factor - 1), abs=1e-9)
    assert found.overlap == 1


def test_bd_rate_of_straight_lines() -> None:
    # log10(rate) rises by .1 per dB on both, .05 apart: a constant factor of 10^.05.
    anchor = [(10 ** (q / 10), float(q)) for q in range(25, 36, 2)]
    test = [(10 ** (q / 10 + 0.05), float(q)) for q in range(30, 41, 2)]
    found = metrics.bd_rate(anchor, test)
    assert found.percent == pytest.approx(100 * (10**0.05 - 1))
    assert found.overlap == pytest.approx((35 - 30) / (40 - 25))


def test_bd_rate_does_not_depend_on_the_order_of_points() -> None:
    test = [(rate * 0.9, quality + 0.3) for rate, quality in CURVE]
    assert metrics.bd_rate(CURVE[::-1], test) == metrics.bd_rate(CURVE, test[::-1])


def test_bd_rate_without_common_qualities() -> None:
    found = metrics.bd_rate(CURVE, [(rate, quality + 50) for rate, quality in CURVE])
    assert math.isnan(found.percent)
    assert found.overlap == 0


def test_bd_rate_leaves_out_points_that_are_no_gain() -> None:
    test = [(rate * 0.8, quality) for rate, quality in CURVE]
    assert metrics.pareto([*test, (0.5, 30.0)]) == test
    assert metrics.bd_rate(CURVE, [*test, (0.5, 30.0)]) == metrics.bd_rate(CURVE, test)


def test_bd_rate_needs_two_points() -> None:
    with pytest.raises(ValueError, match="two points"):
        metrics.bd_rate(CURVE, CURVE[:1])
