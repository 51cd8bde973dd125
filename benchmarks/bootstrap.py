"""How far a BD-rate would change with other pictures: confidence intervals by the bootstrap."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.bd_rate import Curve, bd_rate
from benchmarks.measures import Measure
from benchmarks.results import RdResult

MIN_ITEMS = 10
"""Fewer pictures or clips say nothing of others."""

RESAMPLES, SEED = 200, 0
PERCENTILES = (2.5, 97.5)


@dataclass(frozen=True)
class _Samples:
    """bpp and a measure of each item at each setting, [items, settings], by rising mean bpp."""

    bpp: npt.NDArray[np.float64]
    values: npt.NDArray[np.float64]

    def curve(self, chosen: npt.NDArray[np.int64], measure: Measure) -> Curve:
        """The curve of means over the chosen items, some of them several times."""
        rates, values = self.bpp[chosen].mean(0), self.values[chosen].mean(0)
        return [
            (float(rate), measure.quality(float(value)))
            for rate, value in zip(rates, values, strict=True)
        ]


def interval(anchor: RdResult, test: RdResult, measure: Measure) -> tuple[float, float] | None:
    """The 95 % interval of the BD-rate of `test` against `anchor`, in percent.

    Percentile bootstrap over items (Efron, "Bootstrap methods", 1979): RESAMPLES times as many
    items as there are, drawn with replacement, the same for both codecs; the means at each setting
    and the BD-rate are those of the drawn items. The seed is fixed, so the same results give the
    same interval. It covers the choice of pictures alone, not how the curves are interpolated. None
    for less than MIN_ITEMS items, where a codec lacks the measure, and where the curves of some
    draw do not meet.
    """
    if anchor.dataset["items"] < MIN_ITEMS:
        return None
    first, second = (_samples(result, measure) for result in (anchor, test))
    if first is None or second is None:
        return None
    generator = np.random.default_rng(SEED)
    count = len(first.bpp)
    rates = []
    for _ in range(RESAMPLES):
        chosen = generator.integers(count, size=count)
        found = bd_rate(first.curve(chosen, measure), second.curve(chosen, measure)).percent
        if math.isnan(found):
            return None
        rates.append(found)
    low, high = np.percentile(rates, PERCENTILES)
    return float(low), float(high)


def _samples(result: RdResult, measure: Measure) -> _Samples | None:
    """The values by item and setting; None where one is missing."""
    settings = [mean.setting for mean in result.means()]
    items = {name: place for place, name in enumerate(sorted(result.hashes))}
    tables = [np.full((len(items), len(settings)), np.nan) for _ in range(2)]
    for row in result.rows:
        if row.setting in settings:
            place = items[row.item], settings.index(row.setting)
            tables[0][place] = row.bpp
            value = getattr(row, measure.key)
            tables[1][place] = np.nan if value is None else value
    return None if np.isnan(tables).any() else _Samples(*tables)
