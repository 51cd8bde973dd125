"""Figures of results: rate-distortion curves, and speed against BD-rate."""

import io
import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from benchmarks.bd_rate import bd_rate, cut
from benchmarks.measures import (
    FIXED,
    INTRA,
    MEASURES,
    MS_SSIM,
    OURS,
    SSIMULACRA2,
    VMAF,
    Measure,
    curve,
    with_curves,
    with_points,
)
from benchmarks.published import MARK as PUBLISHED_MARK
from benchmarks.published import Published, published_for
from benchmarks.results import RdResult, items_text

MAX_BPP = {"pictures": 1.25, "clips": 0.4}
# The anchor of the scatter plots: the oldest codec that is still everywhere.
SPEED_REFERENCE = {"pictures": "jpeg", "clips": "x264-medium"}
# Colours that people with any colour vision can tell apart (Okabe and Ito), and a marker each.
STYLES = {
    "bsqcodec": ("#D55E00", "o"),
    "bsqcodec-intra": ("#D55E00", "o"),
    "bsqcodec-effort2": ("#7F3300", "o"),
    "bsqcodec-effort2-psnr": ("#7F3300", "<"),
    "bsqcodec-effort2-ms-ssim": ("#7F3300", ">"),
    "bsqcodec-effort2-lpips": ("#7F3300", "^"),
    "bsqcodec-natural": ("#D55E00", "d"),
    **{name: ("#D55E00", mark) for name, mark in zip(FIXED, "*P", strict=True)},
    "jpeg": ("#777777", "s"),
    "jpeg2000": ("#0072B2", "^"),
    "webp": ("#009E73", "D"),
    "avif": ("#CC79A7", "v"),
    "jpegxl-7": ("#56B4E9", "p"),
    "jpegxl-9": ("#56B4E9", "h"),
    "vvc": ("#B8860B", "X"),
    "x264-medium": ("#0072B2", "^"),
    "x264-veryslow": ("#56B4E9", "v"),
    "x265-medium": ("#009E73", "D"),
    "x265-veryslow": ("#8DB600", "s"),
    "svtav1": ("#CC79A7", "P"),
    "svtav1-preset2": ("#882255", "P"),
    "libaom": ("#CC79A7", "d"),
}
PUBLISHED = (
    ("#000000", "*"),
    ("#000000", "X"),
    ("#999999", "1"),
    ("#666666", "2"),
    ("#333333", "+"),
    ("#332288", "+"),
    ("#117733", "x"),
    ("#AA4499", "3"),
    ("#661100", "4"),
)
LEGEND_WIDTH = 34  # characters
MS_SSIM_TICKS = (0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.96, 0.97, 0.98, 0.985, 0.99, 0.993, 0.995)
LOW_DELAY = ("-zerolatency", "-lowdelay")


def family(codec: str) -> str:
    """The codec whose setting with low delay this is, or itself."""
    for suffix in LOW_DELAY:
        codec = codec.removesuffix(suffix)
    return codec


def style(codec: str) -> dict[str, Any]:
    """How a codec is drawn: ours bold; low-delay settings dashed, in the colour of their codec."""
    base = family(codec)
    colour, marker = STYLES.get(base, ("#000000", "x"))
    return {
        "color": colour,
        "marker": marker,
        "markersize": 5,
        "linewidth": 2.4 if codec == OURS else 1.3,
        "zorder": 4 if codec == OURS else 2,
        "linestyle": ":" if codec == INTRA else "-" if base == codec else "--",
        "markerfacecolor": colour if base == codec and codec != INTRA else "white",
    }


def rd_figure(
    results: Sequence[RdResult], measure: Measure, published: Sequence[Published] = ()
) -> Figure:
    """One curve per codec over bpp, and points of what others published.

    A codec with a single setting is a large mark. Clips get a panel for the anchors with default
    settings and one for low delay; what is ours or published stands in both.
    """
    panels = _panels(with_points(results, measure))
    limit = MAX_BPP[results[0].dataset["kind"]]
    figure = Figure(figsize=(10.0 if len(panels) == 1 else 12.5, 5.6), layout="constrained")
    row = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    shown: list[float] = []
    for axes, (title, chosen) in zip(row, panels.items(), strict=True):
        for result in chosen:
            points = curve(result, measure)
            shown += [quality for _, quality in cut(points, (0, limit))]
            look = style(result.codec)
            if len(points) == 1:
                look = _points_style(points, look["color"], look["marker"])
            axes.plot(*_columns(points), label=result.label, **look)
        for entry, (colour, marker) in zip(published, PUBLISHED, strict=False):
            points = [point for point in entry.curve(measure) if point[0] <= limit]
            if points:
                shown += [quality for _, quality in points]
                label = entry.legend(results[0].dataset["name"])
                axes.plot(*_columns(points), label=label, **_points_style(points, colour, marker))
        if title:
            axes.set_title(title, fontsize=10)
        axes.set_xlabel("bits per pixel (whole files)")
        axes.set_xlim(0, limit)
        axes.grid(alpha=0.3)
    figure.suptitle(_title(results))
    row[0].set_ylabel(measure.axis)
    if min(shown, default=0) < max(shown, default=0):
        pad = 0.04 * (max(shown) - min(shown))
        row[0].set_ylim(min(shown) - pad, max(shown) + pad)
    _label_axis(row[0], row[-1], measure)
    _legend_beside(figure, row)
    return figure


def _panels(results: Sequence[RdResult]) -> dict[str, list[RdResult]]:
    """What is drawn in which panel, by the panel's title."""
    low = [result for result in results if family(result.codec) != result.codec]
    if not low:
        return {"": list(results)}
    defaults = [result for result in results if result not in low]
    ours = [result for result in defaults if result.codec in (OURS, INTRA)]
    return {"anchors with B-frames and look-ahead": defaults, "anchors with low delay": ours + low}


def _points_style(
    points: Sequence[tuple[float, float]], colour: str, marker: str
) -> dict[str, Any]:
    """A large mark for a single point, a thin line for more."""
    single = len(points) == 1
    return {
        "color": colour,
        "marker": marker,
        "markersize": 11 if single else 7,
        "linestyle": "" if single else ":",
        "linewidth": 0.8,
        "zorder": 5 if single else 1,
        "markeredgecolor": "white" if single else colour,
    }


def speed_figure(results: Sequence[RdResult], measure: Measure) -> Figure | None:
    """Bits saved against seconds a megapixel, encoding and decoding; None without reference.

    Codecs without a BD-rate, as their qualities and those of the reference do not meet, are left
    out.
    """
    chosen = with_curves(results, measure)
    kind = results[0].dataset["kind"]
    reference = next((r for r in chosen if r.codec == SPEED_REFERENCE[kind]), None)
    if reference is None:
        return None
    figure = Figure(figsize=(10.0, 4.6), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, direction in zip(panels, ("encode", "decode"), strict=True):
        times = []
        for result in chosen:
            means = result.means()
            seconds = sum(getattr(mean, f"{direction}_seconds") for mean in means) / len(means)
            percent = bd_rate(curve(reference, measure), curve(result, measure)).percent
            if math.isnan(percent):
                continue
            look = {**style(result.codec), "linestyle": "", "markersize": 9}
            axes.plot([seconds], [percent], label=result.label, **look)
            times.append(seconds)
        axes.set_xscale("log")
        axes.set_xlabel(f"seconds a megapixel to {direction}")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: f"{seconds:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.margins(0.12)
        low, high = min(times) / 1.3, max(times) * 1.3  # room for the marks
        axes.set_xlim(10 ** math.floor(math.log10(low)), 10 ** math.ceil(math.log10(high)))
        axes.grid(alpha=0.3)
        axes.axhline(0, color="#AAAAAA", linewidth=0.8, zorder=0)
    panels[0].set_ylabel(f"bits against {reference.label} (BD-rate, {measure.title}, %)")
    figure.suptitle(f"{_title(results)}: less time is left, fewer bits is down", fontsize=11)
    _legend_beside(figure, panels)
    return figure


def _legend_beside(figure: Figure, panels: Sequence[Axes]) -> None:
    """To the right of everything, where it hides no curve; published points last."""
    found: dict[str, Artist] = {}
    for axes in panels:
        handles, labels = axes.get_legend_handles_labels()
        found |= {str(label): handle for handle, label in zip(handles, labels, strict=True)}
    labels = sorted(found, key=lambda label: label.endswith(PUBLISHED_MARK))
    texts = [textwrap.fill(label, LEGEND_WIDTH) for label in labels]
    handles = [found[label] for label in labels]
    figure.legend(handles, texts, loc="outside right center", fontsize=8, frameon=False)


def all_figures(results: Sequence[RdResult]) -> dict[str, Figure]:
    """Every figure of a data set by the end of its file's name.

    One codec alone by SSIMULACRA2 or VMAF has none: nothing stands beside it.
    """
    published = published_for(results[0].dataset["name"])
    found: dict[str, Figure] = {}
    for measure in MEASURES:
        least = 2 if measure in (SSIMULACRA2, VMAF) else 1
        if len(with_points(results, measure)) >= least:
            found[measure.key] = rd_figure(results, measure, published)
    measure = MS_SSIM if with_curves(results, MS_SSIM) else MEASURES[0]
    speed = speed_figure(results, measure)
    if speed is not None:
        found["speed"] = speed
    return found


def save(figure: Figure, path: Path) -> None:
    """Write a PNG or SVG; the same numbers give the same file with the same matplotlib."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(render(figure, path.suffix[1:]))


def render(figure: Figure, format: str) -> bytes:
    """A figure as "png" or "svg", without dates, versions or random ids inside."""
    buffer = io.BytesIO()
    metadata = {"Software": None} if format == "png" else {"Date": None, "Creator": None}
    with matplotlib.rc_context({"svg.hashsalt": "bsqcodec"}):
        figure.savefig(buffer, format=format, dpi=110, metadata=metadata)
    return buffer.getvalue()


def _columns(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [rate for rate, _ in points], [quality for _, quality in points]


def _title(results: Sequence[RdResult]) -> str:
    dataset = results[0].dataset
    name = {"kodak": "Kodak", "uvg": "UVG"}.get(dataset["name"], dataset["name"])
    return f"{name}, {'mean of ' if dataset['items'] > 1 else ''}{items_text(dataset)}"


def _label_axis(left: Axes, last: Axes, measure: Measure) -> None:
    """MS-SSIM: its plain values on the right. LPIPS: plain values, better ones still on top."""
    if measure.falls:
        left.yaxis.set_major_formatter(FuncFormatter(lambda q, _: f"{measure.value(q):g}"))
    if measure is MS_SSIM:
        low, high = left.get_ylim()
        shown = [value for value in MS_SSIM_TICKS if low <= measure.quality(value) <= high]
        right = last.secondary_yaxis("right")
        right.set_yticks([measure.quality(value) for value in shown], [f"{v:g}" for v in shown])
        right.set_ylabel("MS-SSIM")
