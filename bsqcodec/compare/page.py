"""A self-contained HTML page with a slider over two pictures or videos, and figures about them."""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib import resources
from typing import Final

from PIL import Image

from bsqcodec.media.image.picture import Samples

_MAX_WEBP_SIDE: Final = 16383
"""Pixels of a side that WebP holds."""

FRAME_QUALITY: Final = 90
"""WebP's quality of frames of videos in a page; pictures are embedded without loss."""


@dataclass(frozen=True)
class Side:
    """One of what can be compared. pictures: data URLs, one a frame. cells: of the table's row."""

    label: str
    cells: Sequence[str]
    pictures: Sequence[str]


@dataclass(frozen=True)
class Series:
    """A line of a plot. points: (x, y), or (x, y, index of the side that it is about)."""

    name: str
    points: Sequence[tuple[float, ...]]


@dataclass(frozen=True)
class Plot:
    """Lines over each other. x, y: what the axes show, with units."""

    title: str
    x: str
    y: str
    series: Sequence[Series]


@dataclass(frozen=True)
class Page:
    """What a page shows. sides: at least two, the original first. times: of frames, in seconds."""

    title: str
    width: int
    height: int
    columns: Sequence[str]
    sides: Sequence[Side]
    plots: Sequence[Plot] = ()
    notes: Sequence[str] = ()
    times: Sequence[float] | None = None

    def html(self) -> str:
        """The page, which needs nothing beside itself."""
        template = resources.files("bsqcodec.compare").joinpath("page.html").read_text("utf-8")
        data = json.dumps(asdict(self._without_empty_columns())).replace("<", "\\u003c")
        return template.replace("{{title}}", html.escape(self.title)).replace("{{data}}", data)

    def _without_empty_columns(self) -> Page:
        """The page without the columns of what was measured of no side."""
        used = [i for i in range(len(self.columns)) if any(side.cells[i] for side in self.sides)]
        sides = [replace(side, cells=[side.cells[i] for i in used]) for side in self.sides]
        return replace(self, columns=[self.columns[i] for i in used], sides=sides)


def picture_url(pixels: Samples, quality: int | None = None) -> str:
    """A data URL of a picture [H, W, 3]; quality: of WebP, None for one without loss."""
    file = io.BytesIO()
    if max(pixels.shape) > _MAX_WEBP_SIDE:
        kind = "png"
        Image.fromarray(pixels).save(file, "PNG")
    else:
        kind = "webp"
        lossless = quality is None
        Image.fromarray(pixels).save(
            file, "WEBP", lossless=lossless, quality=30 if quality is None else quality, method=1
        )
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"
