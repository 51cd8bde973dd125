"""Rectangles of pixels: what they are given as, and what is none."""

import numpy as np
import pytest

from bsqcodec.errors import CropError
from bsqcodec.media.crop import Crop


@pytest.mark.parametrize("value", ["3,0,20x5", (3, 0, 20, 5), [3, 0, np.int64(20), 5]])
def test_all_forms_mean_the_same(value: object) -> None:
    crop = Crop.of(value)  # type: ignore[arg-type]
    assert crop == Crop(3, 0, 20, 5) == Crop.of(crop)
    assert str(crop) == "3,0,20x5" and (crop.right, crop.bottom) == (23, 5)
    assert Crop.of(None) is None


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ("20x5", ValueError),
        ("20x5+3+0", ValueError),
        ("-3,0,20x5", ValueError),
        ("3,0,0x5", ValueError),
        ("3,0,20x5,1", ValueError),
        ((3, 0, 0, 5), ValueError),
        ((3, -1, 20, 5), ValueError),
        ((3, 0, 20), TypeError),
        ((3, 0, 20.5, 5), TypeError),
        (7, TypeError),
    ],
)
def test_what_is_no_crop(value: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        Crop.of(value)  # type: ignore[arg-type]


def test_it_cuts_what_it_fits_into() -> None:
    crop = Crop(3, 1, 2, 4)
    crop.check(5, 5)
    samples = np.arange(25, dtype=np.uint8).reshape(5, 5)
    assert crop.cut(samples).tolist() == [[8, 9], [13, 14], [18, 19], [23, 24]]
    for width, height in ((4, 5), (5, 4)):
        with pytest.raises(CropError, match=f"{width}x{height}"):
            crop.check(width, height)
