"""BD-rates: how many more or fewer bits a codec needs than an anchor at equal quality."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import bjontegaard
import numpy as np
from bjontegaard.interpolation import interpolate

Curve = Sequence[tuple[float, float]]  # (bpp, quality): quality rises, in dB or as minus LPIPS
Range = tuple[float, float]  # bpp


@dataclass(frozen=True)
class BdRate:
    """Bjontegaard delta rate of a codec against an anchor."""

    percent: float  # bits at equal quality: -20 is a fifth fewer; nan when the curves do not meet
    overlap: float  # shared part of the two quality ranges over their union, 0 to 1


def pareto(curve: Curve) -> list[tuple[float, float]]:
    """The points of a curve that no cheaper point equals or beats, by rising rate."""
    front: list[tuple[float, float]] = []
    for rate, quality in sorted(curve, key=lambda point: (point[0], -point[1])):
        if not front or quality > front[-1][1]:
            front.append((rate, quality))
    return front


def at_bpp(curve: Curve, bpp: float) -> float | None:
    """Quality at a rate by Akima interpolation over log(bpp); None outside of the curve.

    Linear between the points of a curve of two; Akima's needs more.
    """
    front = pareto(curve)
    if not front or not front[0][0] <= bpp <= front[-1][0]:
        return None
    rates, qualities = np.log([rate for rate, _ in front]), [quality for _, quality in front]
    if len(front) == 1:
        return qualities[0]
    return float(interpolate(rates, np.array(qualities), "akima")(math.log(bpp)))


def at_quality(curve: Curve, quality: float) -> float | None:
    """Rate in bpp at a quality, the inverse of `at_bpp`; None outside of the curve."""
    front = pareto(curve)
    if not front or not front[0][1] <= quality <= front[-1][1]:
        return None
    low, high = math.log(front[0][0]), math.log(front[-1][0])
    while high - low > 1e-9:
        middle = (low + high) / 2
        reached = at_bpp(front, math.exp(middle))
        low, high = (low, middle) if reached is None or reached >= quality else (middle, high)
    return math.exp((low + high) / 2)


def cut(curve: Curve, limits: Range) -> list[tuple[float, float]]:
    """The part of a curve within a range of bpp, its ends interpolated where the curve goes on."""
    inside = [point for point in pareto(curve) if limits[0] <= point[0] <= limits[1]]
    ends = [(bpp, quality) for bpp in limits if (quality := at_bpp(curve, bpp)) is not None]
    return pareto([*inside, *ends])


def bd_rate(
    anchor: Curve, test: Curve, limits: Range | None = None, method: str = "akima"
) -> BdRate:
    """Mean rate difference over the qualities that both curves reach.

    Bjontegaard, VCEG-M33, 2001, with `method` "akima" or "pchip" instead of one cubic (Herglotz et
    al., "The Bjontegaard bible", IEEE TIP 2024). limits: take only this range of bpp of both
    curves. Points that a cheaper one equals or beats are left out, as interpolation needs rising
    curves. nan where less than two points a curve are left. Raises ValueError if that is so
    without limits.
    """
    anchor, test = pareto(anchor), pareto(test)
    if min(len(anchor), len(test)) < 2:
        raise ValueError("a BD-rate needs two points or more on each curve")
    if limits is not None:
        anchor, test = cut(anchor, limits), cut(test, limits)
        if min(len(anchor), len(test)) < 2:
            return BdRate(math.nan, 0.0)
    rates, qualities = zip(*anchor, strict=True)
    test_rates, test_qualities = zip(*test, strict=True)
    shared = min(qualities[-1], test_qualities[-1]) - max(qualities[0], test_qualities[0])
    union = max(qualities[-1], test_qualities[-1]) - min(qualities[0], test_qualities[0])
    if shared <= 0:
        return BdRate(math.nan, 0.0)
    with warnings.catch_warnings():
        # The overlap is reported beside the number, which says more than a warning on stderr.
        warnings.simplefilter("ignore", UserWarning)
        percent = bjontegaard.bd_rate(
            rates,
            qualities,
            test_rates,
            test_qualities,
            method=method,
            require_matching_points=False,
            min_overlap=0,
        )
    return BdRate(float(percent), shared / union)
