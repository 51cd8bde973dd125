"""Measures against definitions and against those of the benchmarks;
what is not measured is said."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import save_file

from benchmarks import metrics
from bsqcodec.compare.measures import (
    Measured,
    Measures,
    mean_of,
    psnr_yuv,
)
from bsqcodec.encoder.lpips import LPIPS_ENVIRONMENT, LPIPS_FILE
from bsqcodec.errors import MediaError, WeightsError
from bsqcodec.models import weight_store

from ..encoder.test_lpips import random_weights


@pytest.fixture(autouse=True)
def no_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The only folder of weights, which is empty."""
    monkeypatch.delenv(LPIPS_ENVIRONMENT, raising=False)
    monkeypatch.setattr(weight_store, "folders", lambda: [tmp_path])
    return tmp_path


def pictures() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    coarse = random.integers(0, 200, (24, 26, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    return coarse, (coarse + random.integers(0, 30, coarse.shape)).astype(np.uint8)


def test_the_figures_are_those_of_the_benchmarks() -> None:
    first, second = pictures()
    found = Measures().of(first, second)
    assert found.psnr_db == pytest.approx(metrics.psnr(first, second), abs=1e-3)
    assert found.psnr_yuv_db == pytest.approx(metrics.psnr_yuv(first, second), abs=1e-3)
    assert found.ms_ssim == pytest.approx(metrics.ms_ssim(first, second), abs=1e-4)
    assert found.lpips is None


def test_equal_pictures() -> None:
    first, _ = pictures()
    found = Measures().of(first, first)
    assert math.isinf(found.psnr_db) and found.ms_ssim == pytest.approx(1)
    assert found.facts()["psnr_db"] is None and found.facts()["psnr_yuv_db"] is None


def test_an_error_of_one_colour_counts_by_planes() -> None:
    grey = np.full((16, 16, 3), 100, np.uint8)
    lighter = grey + np.uint8(10)  # an error of luma alone: Cb and Cr are the same
    assert math.isinf(psnr_yuv(lighter, grey)) or psnr_yuv(lighter, grey) > 40
    blue = grey.copy()
    blue[..., 2] += 10
    assert psnr_yuv(blue, grey) == pytest.approx(
        (6 * -20 * math.log10(1.14 / 255) + -20 * math.log10(5 / 255)
         + -20 * math.log10(1.14 / 1.402 / 255)) / 8, abs=1e-2,
    )  # fmt: skip


def test_lpips_is_found_where_it_lies(no_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert any("--lpips" in note and LPIPS_FILE in note for note in Measures().notes)
    save_file(random_weights(), no_weights / LPIPS_FILE)
    first, second = pictures()
    found = Measures().of(first, second)
    assert found.lpips is not None and found.lpips > 0
    assert Measures().of(first, second, perceptual=False).lpips is None
    (no_weights / "other").write_bytes(b"nothing")
    monkeypatch.setenv(LPIPS_ENVIRONMENT, str(no_weights / "other"))
    with pytest.raises(WeightsError, match="not a file of LPIPS weights"):
        Measures()


def test_sizes_that_differ_are_refused() -> None:
    first, second = pictures()
    with pytest.raises(MediaError, match="208x192 and 200x192"):
        Measures().of(first, second[:, :-8])


def test_small_pictures_have_no_structure() -> None:
    found = Measures().of(*(picture[:10, :30] for picture in pictures()))
    assert found.ms_ssim is None and found.psnr_db > 0


def test_means_leave_out_what_was_not_measured() -> None:
    found = mean_of([Measured(30, 31, 0.9, 0.2), Measured(40, 41, 0.8), Measured(50, 51, 0.7)])
    assert found == Measured(40, 41, pytest.approx(0.8), 0.2, None)  # type: ignore[arg-type]


def test_ssimulacra2_where_its_package_is() -> None:
    pytest.importorskip("ssimulacra2", reason="the package ssimulacra2 is not installed")
    first, second = pictures()
    near, same = (Measures().of(first, other).ssimulacra2 for other in (second, first))
    assert near is not None and same is not None and near < same == pytest.approx(100, abs=0.5)
