"""Figures that others published, which stand in the plots as points and are never measured here.

A point has `bpp` and the keys of benchmarks.measures. Plots do not show keys that begin with
`published_`, since these do not compare: `published_lpips` is an LPIPS of another network than that
of our plots (see benchmarks/lpips.py), `published_lpips_of_webp` what the same source has for WebP
at that rate, `published_psnr` the PSNR on a data set whose points stand in plots of other clips, or
of models that were trained for MS-SSIM.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.measures import Measure

MARK = "(published)"  # in legends
FILE = Path(__file__).parent / "published.json"


@dataclass(frozen=True)
class Published:
    """One codec on one data set. shown_on: other sets on whose plots it stands, saying so."""

    label: str
    dataset: str
    source: str
    points: list[dict[str, float]] = field(hash=False)
    shown_on: tuple[str, ...] = ()

    def curve(self, measure: Measure) -> list[tuple[float, float]]:
        """(bpp, quality) of the points that have the measure, by rising rate."""
        return sorted(
            (point["bpp"], measure.quality(point[measure.key]))
            for point in self.points
            if measure.key in point
        )

    def legend(self, dataset: str) -> str:
        """Marked as published, and as measured on other items where that is so."""
        other = "" if dataset == self.dataset else f", on {self.dataset}"
        return f"{self.label}{other} {MARK}"


def published_for(dataset: str, path: Path = FILE) -> list[Published]:
    """What stands in the plots of a data set."""
    entries = json.loads(path.read_text(encoding="utf-8"))
    found = [Published(**{**e, "shown_on": tuple(e.get("shown_on", ()))}) for e in entries]
    return [entry for entry in found if dataset in (entry.dataset, *entry.shown_on)]
