"""What came of a sweep: as JSON, as a table and as a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bsqcodec.cli.compare import COLUMNS, cells
from bsqcodec.cli.console import format_bytes

if TYPE_CHECKING:
    from bsqcodec.compare.measures import Measured
    from bsqcodec.compare.page import Page

OURS: Final = "bsqcodec"

_MEASURES: Final = ("psnr_db", "psnr_yuv_db", "ms_ssim", "lpips", "ssimulacra2")
"""Names in JSON of what COLUMNS are."""


@dataclass(frozen=True)
class Point:
    """One codec at one size: what it made of the input. picture: data URLs for a page.

    quality: bsqcodec's, whose size this one has. setting: the codec's own, of a single input.
    """

    codec: str
    quality: float
    setting: str
    bytes: int
    bpp: float
    measured: Measured
    pictures: Sequence[str] = ()

    def facts(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "codec": self.codec,
            "quality": self.quality,
            "setting": self.setting,
            "output_bytes": self.bytes,
            "bpp": self.bpp,
            **self.measured.facts(),
        }


@dataclass(frozen=True)
class Result:
    """All points, and the original for a page. shape: height and width of what the page shows."""

    points: list[Point]
    shape: tuple[int, int]
    original: Sequence[str]
    times: Sequence[float] | None
    inputs: int
    notes: list[str]

    def facts(self) -> dict[str, Any]:
        """What --json reports."""
        return {
            "inputs": self.inputs,
            "width": self.shape[1],
            "height": self.shape[0],
            "points": [point.facts() for point in self.points],
            "notes": self.notes,
        }

    def table(self) -> list[str]:
        """Rows for people, in columns."""
        rows = [["codec", "setting", "bytes", "bpp", *COLUMNS]]
        rows += [
            [p.codec, p.setting, format_bytes(p.bytes), f"{p.bpp:.3f}", *cells(p.measured)]
            for p in self.points
        ]
        used = [i for i in range(len(rows[0])) if any(row[i] for row in rows[1:])]
        widths = [max(len(row[i]) for row in rows) for i in used]
        return [
            "  ".join(
                row[i].ljust(w) if i < 2 else row[i].rjust(w)
                for i, w in zip(used, widths, strict=True)
            ).rstrip()
            for row in rows
        ]

    def page(self, source: str) -> Page:
        """The page: all points beside the original, and plots over bits per pixel."""
        from bsqcodec.compare.page import Page, Plot, Series, Side

        sides = [Side("original", [""] * (2 + len(COLUMNS)), self.original)]
        for point in self.points:
            label = f"{point.codec}, {point.setting}" if point.setting else point.codec
            if not point.codec.startswith(OURS) and self.inputs > 1:
                label += f" (size of q {point.quality:g})"
            row = [format_bytes(point.bytes), f"{point.bpp:.3f}", *cells(point.measured)]
            sides.append(Side(label, row, point.pictures))
        plots = []
        for name, title in zip(_MEASURES, COLUMNS, strict=True):
            lines: dict[str, list[tuple[float, ...]]] = {}
            for number, point in enumerate(self.points, 1):
                value = point.measured.facts()[name]
                if value is not None:
                    lines.setdefault(point.codec, []).append((point.bpp, value, number))
            if lines:
                series = [Series(codec, sorted(points)) for codec, points in lines.items()]
                plots.append(Plot(title, "bits per pixel", "at equal sizes", series))
        notes = list(self.notes)
        if self.inputs > 1:
            notes.append(f"Figures are means over {self.inputs} pictures; the first one is shown.")
        return Page(
            title=f"bsqcodec sweep: {Path(source).name}",
            width=self.shape[1],
            height=self.shape[0],
            columns=["bytes", "bpp", *COLUMNS],
            sides=sides,
            plots=plots,
            notes=notes,
            times=self.times,
        )
