"""PSNR of 8-bit samples."""

import math

import numpy as np
import pytest

from bsqcodec.encoder.psnr import psnr, psnr_of_error


@pytest.mark.parametrize(("error", "db"), [(255.0**2, 0.0), (1.0, 48.1308), (65.025, 30.0)])
def test_psnr_of_an_error(error: float, db: float) -> None:
    assert psnr_of_error(error) == pytest.approx(db, abs=1e-4)


def test_no_error_is_infinite() -> None:
    assert psnr_of_error(0) == math.inf
    picture = np.full((3, 4, 3), 7, np.uint8)
    assert psnr(picture, picture) == math.inf


def test_differences_do_not_wrap_around() -> None:
    black, white = np.zeros((5, 5), np.uint8), np.full((5, 5), 255, np.uint8)
    assert psnr(black, white) == psnr(white, black) == 0
    assert psnr(black, black + np.uint8(1)) == pytest.approx(48.1308, abs=1e-4)
