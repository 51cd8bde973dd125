"""Confidence intervals of BD-rates with known answers."""

import dataclasses

import pytest

from benchmarks import bootstrap
from benchmarks.measures import PSNR, PSNR_YUV
from benchmarks.results import RdResult

from .synthetic import synthetic

ITEMS = 12


def scaled(result: RdResult, factors: list[float]) -> RdResult:
    """The same with the rates of item number i times factors[i]."""
    rows = [
        dataclasses.replace(row, bpp=row.bpp * factors[int(row.item[1:])]) for row in result.rows
    ]
    return dataclasses.replace(result, rows=rows)


def test_no_picture_differs_so_the_interval_is_a_point() -> None:
    anchor = synthetic("webp", "WebP", items=ITEMS)
    low, high = bootstrap.interval(anchor, scaled(anchor, [0.8] * ITEMS), PSNR) or (0, 0)
    assert low == pytest.approx(-20) and high == pytest.approx(-20)


def test_half_of_the_pictures_at_half_the_rate() -> None:
    # The mean of 12 draws of .5 and 1 has a deviation of .25 / sqrt(12): 7.2 %.
    anchor = synthetic("webp", "WebP", items=ITEMS)
    low, high = bootstrap.interval(anchor, scaled(anchor, [0.5, 1] * (ITEMS // 2)), PSNR) or (0, 0)
    assert low == pytest.approx(-25 - 1.96 * 7.2, abs=3)
    assert high == pytest.approx(-25 + 1.96 * 7.2, abs=3)


def test_few_pictures_have_no_interval() -> None:
    few = synthetic("webp", "WebP", items=bootstrap.MIN_ITEMS - 1)
    assert bootstrap.interval(few, few, PSNR) is None


def test_a_missing_value_gives_none() -> None:
    anchor = synthetic("webp", "WebP", items=ITEMS)
    rows = [dataclasses.replace(anchor.rows[0], psnr_yuv=None), *anchor.rows[1:]]
    assert bootstrap.interval(anchor, dataclasses.replace(anchor, rows=rows), PSNR_YUV) is None
