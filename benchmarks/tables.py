"""Markdown tables and BD-rates, from result files alone."""

import math
from collections.abc import Sequence

import numpy as np

from benchmarks.metrics import BdRate, Curve, bd_rate, pareto
from benchmarks.results import Mean, RdResult

EQUAL_BPP = (0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75)
QUALITIES = {"psnr": "PSNR", "ms_ssim_db": "MS-SSIM"}  # attribute of Mean: name in a table
OURS = "bsqcodec"
MINUS = "\N{MINUS SIGN}"
DEFINITIONS = f"""\
bpp counts whole files. PSNR is over 8-bit RGB, per picture, then the mean; MS-SSIM is the mean
over pictures (RGB, 5 scales). In dB it is {MINUS}10 log10(1 {MINUS} mean).
"""
BD_RATE_DEFINITION = """\
Bits of the codec in the row relative to the anchor in the column at equal quality (negative: fewer
bits), over the qualities that both reach, pchip interpolation, MS-SSIM in dB as above. Where the
shared range of qualities is less than half of the union of both, the share stands beside the
number.
"""


def curve(result: RdResult, metric: str) -> Curve:
    """The (bpp, `metric`) points of a result, by rising rate."""
    return [(mean.bpp, getattr(mean, metric)) for mean in result.means()]


def at_bpp(points: Curve, bpp: float) -> float | None:
    """Quality at a rate, linear in log(bpp) between neighbours, None outside of the curve."""
    front = pareto(points)
    rates = [rate for rate, _ in front]
    if not front or not rates[0] <= bpp <= rates[-1]:
        return None
    return float(np.interp(math.log(bpp), np.log(rates), [quality for _, quality in front]))


def ours_first(results: Sequence[RdResult]) -> list[RdResult]:
    return sorted(results, key=lambda result: (result.codec != OURS, result.codec))


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table: first column left, all others right."""
    lines = ["| " + " | ".join(header) + " |", "|---" + "|--:" * (len(header) - 1) + "|"]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


def equal_bpp_table(results: Sequence[RdResult], metric: str) -> str:
    """Quality of each codec at the same rates: PSNR in dB, MS-SSIM as such."""
    rows = []
    for result in results:
        cells = []
        for bpp in EQUAL_BPP:
            quality = at_bpp(curve(result, metric), bpp)
            if quality is None:
                cells.append("")
            elif metric == "ms_ssim_db":
                cells.append(f"{1 - 10 ** (-quality / 10):.4f}")
            else:
                cells.append(f"{quality:.2f}")
        rows.append([result.label, *cells])
    return markdown_table(["bpp", *(f"{bpp:g}" for bpp in EQUAL_BPP)], rows)


def bd_cell(value: BdRate) -> str:
    """Percent with the sign, and the overlap of the curves when it is below one half."""
    if math.isnan(value.percent):
        return "no overlap"
    text = f"{value.percent:+.1f} %".replace("-", MINUS)
    return text if value.overlap >= 0.5 else f"{text} ({100 * value.overlap:.0f} % overlap)"


def bd_rate_table(results: Sequence[RdResult], metric: str) -> str:
    """Every codec (row) against every anchor (column)."""
    rows = []
    for test in results:
        cells = [
            "" if test is anchor else bd_cell(bd_rate(curve(anchor, metric), curve(test, metric)))
            for anchor in results
        ]
        rows.append([test.label, *cells])
    return markdown_table(["", *(f"vs {result.label}" for result in results)], rows)


def codec_table(result: RdResult) -> str:
    """All settings of one codec."""

    def cells(mean: Mean) -> list[str]:
        return [
            f"{mean.setting:g}",
            f"{mean.bpp:.4f}",
            f"{mean.psnr:.2f}",
            f"{mean.ms_ssim:.4f}",
            f"{mean.ms_ssim_db:.2f}",
        ]

    header = [result.setting_name, "bpp", "PSNR (dB)", "MS-SSIM", "MS-SSIM (dB)"]
    return markdown_table(header, [cells(mean) for mean in result.means()])


def codec_section(result: RdResult) -> str:
    software = ", ".join(f"{name} {number}" for name, number in result.codec_versions.items())
    shown = {name: value for name, value in result.options.items() if name != "source_sha256"}
    options = ", ".join(f"{name}={value}" for name, value in shown.items())
    return (
        f"### {result.label}\n\n{codec_table(result)}\n\n"
        f"Options: {options}. Software: {software}. Measured {result.date} with "
        f"`{result.command}`.\n"
    )


def summary(results: Sequence[RdResult]) -> str:
    """The tables of the README: qualities at equal rate, and the BD-rates of bsqcodec."""
    results = ours_first(results)
    parts = []
    for metric, title in QUALITIES.items():
        unit = " (dB)" if metric == "psnr" else ""
        parts.append(f"{title}{unit} at equal bpp:\n\n{equal_bpp_table(results, metric)}\n")
    ours, *anchors = results
    rows = []
    for metric, title in QUALITIES.items():
        rates = [bd_rate(curve(anchor, metric), curve(ours, metric)) for anchor in anchors]
        rows.append([f"by {title}", *map(bd_cell, rates)])
    parts.append("Bits of bsqcodec relative to others at equal quality (BD-rate):\n")
    parts.append(markdown_table(["", *(anchor.label for anchor in anchors)], rows) + "\n")
    return "\n".join(parts)


def with_section(page: str, name: str, text: str) -> str:
    """A Markdown page with the text between <!-- name --> and <!-- /name --> replaced.

    Raises ValueError if the page has no such section.
    """
    before, start, rest = page.partition(f"<!-- {name} -->\n")
    _, end, after = rest.partition(f"<!-- /{name} -->")
    if not (start and end):
        raise ValueError(f"the page has no section between <!-- {name} --> and <!-- /{name} -->")
    return f"{before}{start}{text}{end}{after}"


def document(results: Sequence[RdResult]) -> str:
    """The whole page of tables for one data set. Raises ValueError for mixed data sets."""
    if len({result.dataset["sha256"] for result in results}) > 1:
        raise ValueError("the result files are about different pictures; measure again")
    results = ours_first(results)
    name, count = results[0].dataset["name"], results[0].dataset["pictures"]
    parts = [
        f"# Rate and distortion on {name} ({count} pictures)\n",
        "Written by `python -m benchmarks.plot` from the result files beside it; do not edit.\n",
        DEFINITIONS,
        "## At equal rate\n",
        "Between measured settings, linear in log(bpp); empty outside of what was measured.\n",
    ]
    for metric, title in QUALITIES.items():
        unit = " (dB)" if metric == "psnr" else ""
        parts.append(f"{title}{unit}\n\n{equal_bpp_table(results, metric)}\n")
    if len(results) > 1:
        parts += ["## BD-rate\n", BD_RATE_DEFINITION]
        for metric, title in QUALITIES.items():
            parts.append(f"By {title}\n\n{bd_rate_table(results, metric)}\n")
    parts.append("## All settings\n")
    parts += [codec_section(result) for result in results]
    return "\n".join(parts)
