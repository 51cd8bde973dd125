"""The parts of README.md and docs/RESULTS.md that are made from result files."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import markup, speed, tables, tokenizer
from benchmarks.bd_rate import at_bpp, at_quality, bd_rate
from benchmarks.markup import Block, Paragraph, Table
from benchmarks.measures import LPIPS, MS_SSIM, PSNR, SEARCHING, curve, with_curves
from benchmarks.measures import OURS as OUR_CODEC
from benchmarks.published import Published, published_for
from benchmarks.results import RdResult

SHORT_CODECS = (OUR_CODEC, SEARCHING, "avif", "jpeg2000", "jpeg")
SHORT_ANCHOR = "webp"
PAPER = "BSQ-ViT"  # how the labels of the paper's points begin
PAPER_CODED = f"{PAPER}, arithmetic coding"


def sections(found: Mapping[str, Sequence[RdResult]], folder: Path) -> dict[str, str]:
    """The text between the markers of a page, by the names of the markers.

    A data set has a section of its name. `short`, `paper`, `tokenizer` and `speed` are there where
    `folder` has the result files that they need.
    """
    texts = {name: tables.summary_text(results) for name, results in found.items()}
    kodak = found.get("kodak", [])
    others = {
        "short": short_blocks(kodak),
        "paper": paper_blocks(kodak),
        "tokenizer": tokenizer.blocks(folder),
        "speed": speed_blocks(folder),
    }
    return texts | {name: markup.markdown(blocks) for name, blocks in others.items() if blocks}


def short_blocks(results: Sequence[RdResult]) -> list[Block]:
    """Five rows for the README: bits at equal quality relative to SHORT_ANCHOR.

    Empty if one of the codecs has no result.
    """
    by_codec = {result.codec: result for result in results}
    if not {SHORT_ANCHOR, *SHORT_CODECS} <= set(by_codec):
        return []
    anchor = by_codec[SHORT_ANCHOR]
    measures = (PSNR, MS_SSIM, LPIPS)
    rows = []
    for codec in SHORT_CODECS:
        result = by_codec[codec]
        rates = [bd_rate(curve(anchor, m), curve(result, m)) for m in measures]
        rows.append([result.label, *(tables.bd_cell(rate) for rate in rates)])
    header = [f"bits relative to {anchor.label}", *(f"by {m.title}" for m in measures)]
    return [Table(header, rows)]


def paper_blocks(results: Sequence[RdResult]) -> list[Block]:
    """Our rates at the paper's MS-SSIM, and LPIPS relative to WebP's at the paper's rate.

    LPIPS is given relative to WebP's because the paper's LPIPS and ours come from different
    networks.
    """
    published = published_for("kodak")
    coded = next((entry for entry in published if entry.label == PAPER_CODED), None)
    webp = next((result for result in results if result.codec == "webp"), None)
    if coded is None or webp is None:
        return []
    (point,) = coded.points
    rows = [_paper_row(entry) for entry in published if entry.label.startswith(PAPER)]
    webp_lpips = at_bpp(curve(webp, LPIPS), point["bpp"])
    for result in with_curves(results, MS_SSIM):
        if not result.codec.startswith(OUR_CODEC):
            continue
        rate = at_quality(curve(result, MS_SSIM), MS_SSIM.quality(point["ms_ssim"]))
        psnr = None if rate is None else at_bpp(curve(result, PSNR), rate)
        lpips = at_bpp(curve(result, LPIPS), point["bpp"])
        ratio = None if lpips is None or webp_lpips is None else lpips / webp_lpips
        rows.append([result.label, *(_cell(*v) for v in ((rate, 4), (psnr, 2), (ratio, 2)))])
    header = [
        "codec",
        f"bpp at MS-SSIM {point['ms_ssim']:g}",
        "PSNR there (dB)",
        f"LPIPS over WebP's at {point['bpp']:g} bpp",
    ]
    return [Table(header, rows)]


def _paper_row(entry: Published) -> list[str]:
    (point,) = entry.points
    webp = point.get("published_lpips_of_webp")
    ratio = None if webp is None else point["published_lpips"] / webp
    bpp, psnr = f"{point['bpp']:.4f}", f"{point['psnr']:g}"
    return [f"{entry.label} (published)", bpp, psnr, _cell(ratio, 2)]


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
