"""Tables of results, from result files alone: equal rates, BD-rates, every setting."""

import math
from collections.abc import Sequence

from benchmarks import bootstrap, markup
from benchmarks.bd_rate import BdRate, Range, at_bpp, bd_rate
from benchmarks.markup import Block, Heading, Paragraph, Table
from benchmarks.measures import (
    LPIPS,
    MEASURES,
    MS_SSIM,
    OURS,
    PSNR,
    SEARCHES,
    SHOWN,
    SSIMULACRA2,
    VMAF,
    Measure,
    curve,
    with_curves,
    with_points,
)
from benchmarks.published import published_for
from benchmarks.results import Mean, RdResult, items_text

EQUAL_BPP = {
    "pictures": (0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75),
    "clips": (0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0),
}
BD_RANGE: Range = (0.1, 0.6)  # bpp of the second BD-rate of pictures
REFERENCE = "x264-medium"  # of the clips' summary
SUMMARY = (PSNR, MS_SSIM, LPIPS, SSIMULACRA2, VMAF)
MINUS = "\N{MINUS SIGN}"
DEFINITIONS = f"""\
bpp counts whole files, over the pixels of all frames. PSNR is over 8-bit RGB, per picture or frame,
then the mean; PSNR YUV weighs Y, Cb and Cr 6:1:1 (pictures: BT.601 at full resolution, clips: the
4:2:0 planes themselves); MS-SSIM is the mean over pictures or frames (RGB, 5 scales), in dB
{MINUS}10 log10(1 {MINUS} mean); LPIPS is LPIPS-Squeeze (fp16), of clips every seventh frame;
SSIMULACRA2 is of pictures, VMAF of clips (vmaf_v0.6.1), where they were measured."""
BD_RATE_DEFINITION = """\
Bits of the codec in the row relative to the anchor in the column at equal quality (negative: fewer
bits), over the qualities that both reach, Akima interpolation, MS-SSIM in dB as above, LPIPS as it
is. Where the shared range of qualities is less than half of the union of both, the share stands
beside the number."""


CERTAINTY = ", in brackets its 95 % interval over pictures by the bootstrap"


def equal_bpp_table(results: Sequence[RdResult], measure: Measure) -> Table:
    """Quality of each codec at the same rates, those that at least half of the codecs reach."""
    chosen = with_curves(results, measure)
    columns = [["bpp", *(result.label for result in chosen)]]
    for bpp in EQUAL_BPP[results[0].dataset["kind"]]:
        found = [at_bpp(curve(result, measure), bpp) for result in chosen]
        if sum(quality is not None for quality in found) >= len(chosen) / 2:
            cells = ["" if q is None else measure.text(measure.value(q)) for q in found]
            columns.append([f"{bpp:g}", *cells])
    header, *rows = [list(row) for row in zip(*columns, strict=True)]
    return Table(header, rows)


def bd_cell(value: BdRate, interval: tuple[float, float] | None = None) -> str:
    """Percent with the sign, its interval, and the overlap of the curves if below one half."""
    if math.isnan(value.percent):
        return "no overlap"
    remarks = []
    if interval is not None:
        remarks.append(" to ".join(f"{end:+.0f}" for end in interval))
    if value.overlap < 0.5:
        remarks.append(f"{100 * value.overlap:.0f} % overlap")
    remark = f" ({', '.join(remarks)})" if remarks else ""
    return f"{value.percent:+.1f} %{remark}".replace("-", MINUS)


def certain_cell(anchor: RdResult, test: RdResult, measure: Measure) -> str:
    """The BD-rate with its interval over pictures; empty where a codec lacks the measure."""
    first, second = curve(anchor, measure), curve(test, measure)
    if not first or not second:
        return ""
    return bd_cell(bd_rate(first, second), bootstrap.interval(anchor, test, measure))


def bd_rate_table(
    results: Sequence[RdResult], measure: Measure, limits: Range | None = None
) -> Table:
    """Every codec (row) against every anchor (column)."""
    chosen = with_curves(results, measure)
    rows = []
    for test in chosen:
        cells = [
            ""
            if test is anchor
            else bd_cell(bd_rate(curve(anchor, measure), curve(test, measure), limits))
            for anchor in chosen
        ]
        rows.append([test.label, *cells])
    return Table(["", *(f"vs {result.label}" for result in chosen)], rows)


def codec_table(result: RdResult) -> Table:
    """All settings of one codec, without SSIMULACRA2 and VMAF where they were not measured."""
    means = result.means()
    rare = (SSIMULACRA2, VMAF)
    measures = [m for m in MEASURES if m not in rare or any(m.of(mean) for mean in means)]

    def cells(mean: Mean) -> list[str]:
        values = [measure.of(mean) for measure in measures]
        shown = ["" if v is None else m.text(v) for m, v in zip(measures, values, strict=True)]
        seconds = [f"{mean.encode_seconds:.3f}", f"{mean.decode_seconds:.3f}"]
        return [f"{mean.setting:g}", f"{mean.bpp:.4f}", *shown, *seconds]

    titles = [measure.title + measure.unit for measure in measures]
    header = [result.setting_name, "bpp", *titles, "encode (s/MP)", "decode (s/MP)"]
    return Table(header, [cells(mean) for mean in means])


def provenance(result: RdResult) -> Paragraph:
    """Options, software, machine, command and peak memory of a result, in words."""
    software = ", ".join(f"{name} {number}" for name, number in result.codec_versions.items())
    shown = {name: value for name, value in result.options.items() if name != "fingerprint"}
    options = ", ".join(f"{name}={value}" for name, value in shown.items())
    memory = ""
    if result.peak_memory:
        m = result.peak_memory
        memory = (
            f" Peak memory, {m['item']} at {m['setting']:g}: {m['encode_mib']:g} MiB to encode, "
            f"{m['decode_mib']:g} to decode, {m['idle_mib']:g} idle."
        )
    return Paragraph(
        f"Options: {options}. Software: {software}. Measured {result.date} at commit "
        f"{result.commit} on {result.machine['cpu']}, {result.machine['cores']} cores, with "
        f"`{result.command}`.{memory}"
    )


def summary(results: Sequence[RdResult]) -> list[Block]:
    """The main tables of a data set: qualities at equal rate, and BD-rates.

    BD-rates are those of bsqcodec against the others; without it, of all against REFERENCE.
    """
    blocks: list[Block] = []
    for measure in SUMMARY:
        if len(with_curves(results, measure)) > 1:
            blocks.append(Paragraph(f"{measure.title}{measure.unit} at equal bpp:"))
            blocks.append(equal_bpp_table(results, measure))
    return [*blocks, *bd_rate_summary(results), *published_table(results)]


def bd_rate_summary(results: Sequence[RdResult]) -> list[Block]:
    """BD-rates of bsqcodec, with intervals, and of its searches and looks, also against itself.

    Without bsqcodec, of all against REFERENCE.
    """
    ours = next((result for result in results if result.codec == OURS), None)
    known = (OURS, *SEARCHES, *SHOWN, REFERENCE)
    others = [r for r in with_curves(results, PSNR) if r.codec not in known]
    reference = next((result for result in results if result.codec == REFERENCE), None)
    if ours is None:
        pairs = [] if reference is None else [(reference, other) for other in others]
        title = f"Bits relative to {reference.label if reference else REFERENCE}"
        return [Paragraph(f"{title} at equal quality (BD-rate):"), by_codec(pairs, test=True)]
    others += [] if reference is None else [reference]
    interval = CERTAINTY if ours.dataset["items"] >= bootstrap.MIN_ITEMS else ""
    title = f"Bits of bsqcodec relative to others at equal quality (BD-rate{interval}):"
    blocks: list[Block] = [Paragraph(title), by_codec([(other, ours) for other in others])]
    for search in sorted(
        (r for r in results if r.codec in (*SEARCHES, *SHOWN)), key=lambda r: r.codec
    ):
        blocks.append(Paragraph(f"The same of {search.label}:"))
        blocks.append(by_codec([(anchor, search) for anchor in (ours, *others)]))
    return blocks


def published_table(results: Sequence[RdResult]) -> list[Block]:
    """BD-rates of bsqcodec and its searches against curves that others published, where there are.

    Points of one rate have no BD-rate.
    """
    ours = [r for r in with_curves(results, PSNR) if r.codec in (OURS, *SEARCHES)]
    measures = [PSNR, MS_SSIM]
    rows = [
        [f"{entry.label}, by {measure.title}", *cells]
        for measure in measures
        for entry in published_for(results[0].dataset["name"])
        if len(entry.curve(measure)) > 1
        and (cells := [bd_cell(bd_rate(entry.curve(measure), curve(r, measure))) for r in ours])
    ]
    if not rows:
        return []
    text = "Bits relative to curves that others published (BD-rate; sources in published.json):"
    return [Paragraph(text), Table(["", *(result.label for result in ours)], rows)]


def by_codec(pairs: Sequence[tuple[RdResult, RdResult]], test: bool = False) -> Table:
    """A row for each pair of (anchor, codec), named by its anchor or, if `test`, its codec."""
    measures = [m for m in SUMMARY if any(curve(a, m) and curve(b, m) for a, b in pairs)]
    rows = [
        [pair[test].label, *(certain_cell(*pair, measure) for measure in measures)]
        for pair in pairs
    ]
    return Table(["", *(f"by {measure.title}" for measure in measures)], rows)


def title(results: Sequence[RdResult]) -> str:
    """What the page of one data set is called."""
    dataset = results[0].dataset
    return f"Rate and distortion on {dataset['name']} ({items_text(dataset)})"


def document(results: Sequence[RdResult]) -> list[Block]:
    """The whole page of tables for one data set."""
    dataset = results[0].dataset
    blocks: list[Block] = [
        Heading(1, title(results)),
        Paragraph(
            "Written by `python -m benchmarks plot` from the result files beside it; do not edit."
        ),
        Paragraph(DEFINITIONS),
        Heading(2, "At equal rate"),
        Paragraph(
            "Between measured settings by Akima interpolation over log(bpp); empty outside "
            "of what was measured."
        ),
    ]
    measures = [measure for measure in MEASURES if with_curves(results, measure)]
    for measure in measures:
        blocks.append(Paragraph(f"{measure.title}{measure.unit}"))
        blocks.append(equal_bpp_table(results, measure))
    if len(with_curves(results, PSNR)) > 1:
        blocks += [Heading(2, "BD-rate"), Paragraph(BD_RATE_DEFINITION)]
        ranges: tuple[Range | None, ...] = (None,)
        if dataset["kind"] == "pictures":
            ranges = (None, BD_RANGE)
        for limits in ranges:
            within = f", {limits[0]:g} to {limits[1]:g} bpp of both only" if limits else ""
            for measure in measures:
                blocks.append(Paragraph(f"By {measure.title}{within}"))
                blocks.append(bd_rate_table(results, measure, limits))
    blocks.append(Heading(2, "All settings"))
    for result in with_points(results, PSNR):
        blocks += [Heading(3, result.label), codec_table(result), provenance(result)]
    return blocks


def tables_name(dataset: str) -> str:
    """The file of a data set's tables."""
    return "TABLES.md" if dataset == "kodak" else f"TABLES_{dataset}.md"


def document_text(results: Sequence[RdResult]) -> str:
    return markup.markdown(document(results))


def summary_text(results: Sequence[RdResult]) -> str:
    return markup.markdown(summary(results))
