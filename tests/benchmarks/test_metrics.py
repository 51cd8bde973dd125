"""Metrics against their definitions and against known answers."""

import math

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from benchmarks import metrics
from benchmarks.datasets import generated_picture


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
    assert metrics.bpp(3000, 100, 60, frames=8) == 0.5


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


def test_ms_ssim_is_absent_for_small_pictures() -> None:
    assert metrics.ms_ssim(picture(height=160), picture(height=160)) is None
    assert metrics.ms_ssim(picture(height=161), picture(height=161)) == pytest.approx(1)


def test_ssim_is_that_of_one_scale() -> None:
    reference = picture(width=60, height=50)
    noise = np.random.default_rng(1).normal(0, 25, reference.shape)
    decoded = np.clip(reference + noise, 0, 255).astype(np.uint8)
    values = []
    for channel in range(3):
        x, y = (v[..., channel].astype(np.float64) for v in (reference, decoded))
        mean_x, mean_y = blurred(x), blurred(y)
        var_x, var_y = blurred(x * x) - mean_x**2, blurred(y * y) - mean_y**2
        covariance = blurred(x * y) - mean_x * mean_y
        c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
        luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
        values.append((luminance * (2 * covariance + c2) / (var_x + var_y + c2)).mean())
    assert metrics.ssim(reference, decoded) == pytest.approx(np.mean(values), abs=1e-4)


def test_psnr_yuv_of_a_grey_error_is_of_luma_only() -> None:
    # The same error in R, G and B is an error of luma; chroma is exact, which counts as MAX_DB.
    reference = picture(width=40, height=30) // 2 + np.uint8(40)
    decoded = reference + np.uint8(5)
    luma = 10 * math.log10(255**2 / 25)
    assert metrics.psnr_yuv(reference, decoded) == pytest.approx((6 * luma + 200) / 8)


def test_psnr_yuv_of_a_blue_error() -> None:
    reference = np.full((4, 4, 3), 100, np.uint8)
    decoded = reference.copy()
    decoded[..., 2] += 10
    # BT.601: dY = .114 d, dCb = .5 d, dCr = -.114 / 1.402 d
    errors = [(0.114 * 10) ** 2, 5.0**2, (0.114 / 1.402 * 10) ** 2]
    y, cb, cr = (10 * math.log10(255**2 / error) for error in errors)
    assert metrics.psnr_yuv(reference, decoded) == pytest.approx((6 * y + cb + cr) / 8)


def test_psnr_yuv_of_frames_is_on_their_planes() -> None:
    reference = np.full((6, 4), 100, np.uint8)  # 4x4
    decoded = reference.copy()
    decoded[:4] += 1
    decoded[4] += 2  # U
    decoded[5] += 4  # V
    y, u, v = (10 * math.log10(255**2 / error) for error in (1, 4, 16))
    assert metrics.psnr_yuv_frame(reference, decoded) == pytest.approx((6 * y + u + v) / 8)


def test_pairs_are_checked() -> None:
    with pytest.raises(ValueError, match="shape"):
        metrics.psnr(picture(), picture(width=201))
    with pytest.raises(ValueError, match="uint8"):
        metrics.psnr(picture(), picture().astype(np.float32))


@pytest.mark.parametrize(("value", "db"), [(0.9, 10.0), (0.99, 20.0), (0.0, 0.0), (1.0, 100.0)])
def test_ms_ssim_db(value: float, db: float) -> None:
    assert metrics.ms_ssim_db(value) == pytest.approx(db)
