"""The parts of README.md and docs/RESULTS.md that are made from result files."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import markup, runtime, side_by_side, speed, tables, tokenizer
from benchmarks.bd_rate import at_bpp, at_quality
from benchmarks.markup import Block, Paragraph, Table
from benchmarks.measures import (
    LPIPS,
    MS_SSIM,
    PSNR,
    SEARCHING,
    SHOWN,
    curve,
    is_ours,
    with_points,
)
from benchmarks.measures import OURS as OUR_CODEC
from benchmarks.published import Published, published_for
from benchmarks.results import RdResult

SHORT_CODECS = (OUR_CODEC, *SHOWN, SEARCHING, "avif", "jpegxl-7")
SHORT_ANCHOR = "webp"
PAPER = "BSQ-ViT"  # how the labels of the paper's points begin
PAPER_CODED = f"{PAPER}, arithmetic coding"
PAPER_HEADER = ("codec", "bpp", "MS-SSIM", "PSNR (dB)", "LPIPS over WebP's")
PAPER_CURVES = """\
Of a codec with many rates, bpp and PSNR are those at the MS-SSIM of the paper, {ms_ssim:g}, and
LPIPS over WebP's is that at the paper's {bpp:g} bpp; all three are interpolated."""
PAPER_POINTS = """
Of a codec with one rate, all is of that rate, and so is WebP's LPIPS, which is interpolated."""


def sections(found: Mapping[str, Sequence[RdResult]], folder: Path) -> dict[str, str]:
    """The text between the markers of a page, by the names of the markers.

    A data set has a section of its name. `short`, `paper`, `tokenizer`, `speed`, `runtime` and
    `side-by-side` are there where
    `folder` has the result files that they need.
    """
    texts = {name: tables.summary_text(results) for name, results in found.items()}
    kodak = found.get("kodak", [])
    others = {
        "short": short_blocks(kodak),
        "paper": paper_blocks(kodak),
        "tokenizer": tokenizer.blocks(folder),
        "speed": speed_blocks(folder),
        "runtime": runtime.blocks(folder),
        "side-by-side": side_by_side.blocks(folder),
    }
    return texts | {name: markup.markdown(blocks) for name, blocks in others.items() if blocks}


def short_blocks(results: Sequence[RdResult]) -> list[Block]:
    """Rows for the README: bits at equal quality relative to SHORT_ANCHOR.

    Empty if one of the codecs has no result.
    """
    by_codec = {result.codec: result for result in results}
    if not {SHORT_ANCHOR, *SHORT_CODECS} <= set(by_codec):
        return []
    anchor = by_codec[SHORT_ANCHOR]
    pairs = [(anchor, by_codec[codec]) for codec in SHORT_CODECS]
    table = tables.by_codec(pairs, test=True)
    return [Table([f"bits relative to {anchor.label}", *table.header[1:]], table.rows)]


def paper_blocks(results: Sequence[RdResult]) -> list[Block]:
    """Our rates at the paper's MS-SSIM, and LPIPS relative to WebP's at the paper's rate.

    Of what has a single rate, the values at that rate. LPIPS is given relative to WebP's because
    the paper's LPIPS and ours come from different networks.
    """
    published = published_for("kodak")
    coded = next((entry for entry in published if entry.label == PAPER_CODED), None)
    webp = next((result for result in results if result.codec == "webp"), None)
    if coded is None or webp is None:
        return []
    (point,) = coded.points
    rows = [_paper_row(entry) for entry in published if entry.label.startswith(PAPER)]
    text = PAPER_CURVES.format(**point)
    for result in with_points(results, MS_SSIM):
        if not is_ours(result.codec):
            continue
        single = len(curve(result, MS_SSIM)) == 1
        values = (_values_at if single else _values_near)(result, webp, point)
        cells = [_cell(v, n) for v, n in zip(values, (4, 4, 2, 2), strict=True)]
        if single:
            text = PAPER_CURVES.format(**point) + PAPER_POINTS
        rows.append([result.label, *cells])
    return [Paragraph(text), Table(PAPER_HEADER, rows)]


def _values_near(
    result: RdResult, webp: RdResult, point: Mapping[str, float]
) -> tuple[float | None, ...]:
    """bpp, MS-SSIM and PSNR of a curve at the MS-SSIM of a point, LPIPS over WebP's at its bpp."""
    rate = at_quality(curve(result, MS_SSIM), MS_SSIM.quality(point["ms_ssim"]))
    psnr = None if rate is None else at_bpp(curve(result, PSNR), rate)
    similarity = None if rate is None else point["ms_ssim"]
    return rate, similarity, psnr, _lpips_ratio(result, webp, point["bpp"])


def _values_at(
    result: RdResult, webp: RdResult, point: Mapping[str, float]
) -> tuple[float | None, ...]:
    """bpp, MS-SSIM, PSNR and LPIPS over WebP's of a result of one setting."""
    (mean,) = result.means()
    return mean.bpp, mean.ms_ssim, mean.psnr, _lpips_ratio(result, webp, mean.bpp)


def _lpips_ratio(result: RdResult, webp: RdResult, bpp: float) -> float | None:
    ours, theirs = (at_bpp(curve(r, LPIPS), bpp) for r in (result, webp))
    return None if ours is None or theirs is None else ours / theirs


def _paper_row(entry: Published) -> list[str]:
    (point,) = entry.points
    webp = point.get("published_lpips_of_webp")
    ratio = None if webp is None else point["published_lpips"] / webp
    bpp, ms_ssim, psnr = f"{point['bpp']:.4f}", f"{point['ms_ssim']:g}", f"{point['psnr']:g}"
    return [f"{entry.label} (published)", bpp, ms_ssim, psnr, _cell(ratio, 2)]


def _cell(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def speed_blocks(folder: Path) -> list[Block]:
    """Seconds and memory of one picture, from the result file of `benchmarks speed`."""
    path = folder / speed.FILE
    if not path.is_file():
        return []
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    machine, startup, picture = document["machine"], document["startup"], document["picture"]
    by_size: dict[tuple[int, int], dict[str, dict[str, Any]]] = {}
    for entry in document["scaling"]:
        by_size.setdefault((entry["width"], entry["height"]), {})[entry["direction"]] = entry
    rows = [
        [
            f"{width}x{height}",
            f"{ways['encode']['seconds']:.2f}",
            f"{ways['decode']['seconds']:.2f}",
            f"{ways['encode']['peak_rss_mib']:.0f}",
            f"{ways['decode']['peak_rss_mib']:.0f}",
        ]
        for (width, height), ways in by_size.items()
    ]
    text = (
        f"One picture at q {document['options']['quality']:g}, the first of a process whose "
        f"weights are loaded, on {machine['cpu']} with {machine['cores']} cores. Once a process "
        f"has coded a picture, {picture['width']}x{picture['height']} takes "
        f"{picture['encode']['median_seconds']:.2f} seconds to encode and "
        f"{picture['decode']['median_seconds']:.2f} to decode (medians). To import torch and load "
        f"the weights takes {startup['import_and_load_seconds']:.1f} seconds, `bsqcodec info` "
        f"{document['processes']['info']['median_seconds']:.2f}. Measured {document['date']} with "
        f"`{document['command']}`."
    )
    header = [
        "picture",
        "encode (s)",
        "decode (s)",
        "peak memory, encode (MiB)",
        "peak memory, decode (MiB)",
    ]
    return [Paragraph(text), Table(header, rows)]
