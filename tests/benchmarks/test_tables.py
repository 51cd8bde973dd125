"""Tables from small synthetic results, in Markdown and HTML."""

import dataclasses

import pytest

from benchmarks import markup, tables
from benchmarks.bd_rate import BdRate
from benchmarks.bootstrap import MIN_ITEMS
from benchmarks.markup import Heading, Paragraph, Table
from benchmarks.measures import LPIPS, MS_SSIM, PSNR

from .synthetic import synthetic

TWO = [synthetic("webp", "WebP"), synthetic("bsqcodec", "bsqcodec", 0.8)]


def test_document() -> None:
    page = tables.document_text(TWO)
    assert "# Rate and distortion on tiny (2 pictures)" in page
    # bpp .1, .15, .2, .25, .3, .4: ours ends at .32, WebP at .4, and beyond there is no column.
    assert "| bpp | 0.1 | 0.15 | 0.2 | 0.25 | 0.3 | 0.4 |\n" in page
    assert "| bsqcodec | 26.43 | 29.94 | 32.43 | 34.36 | 35.94 |  |" in page
    assert "| WebP | 24.50 | 28.01 | 30.50 | 32.43 | 34.01 | 36.50 |" in page
    assert "| WebP | 0.9000 | 0.9333 | 0.9500 | 0.9600 | 0.9667 | 0.9750 |" in page
    assert "| bsqcodec |  | −20.0 % |" in page
    assert "| WebP | +25.0 % |  |" in page
    assert "| 20 | 0.1600 | 30.50 | 31.50 | 0.9500 | 0.0500 | 10.000 | 6.250 |" in page
    assert "Options: method=6. Software: lib 1.2." in page
    assert "Peak memory, p0 at 20: 70.5 MiB to encode, 60 to decode, 50 idle." in page
    assert page.index("### bsqcodec") < page.index("### WebP")
    assert "By PSNR, 0.1 to 0.6 bpp of both only" in page


def test_one_codec_has_no_bd_rates() -> None:
    assert "## BD-rate" not in tables.document_text(TWO[:1])


def test_a_measure_that_one_lacks_is_shown_for_the_others() -> None:
    without = synthetic("avif", "AVIF")
    without.rows = [
        type(row)(**{**row.__dict__, "lpips": None if row.item == "p1" else row.lpips})
        for row in without.rows
    ]
    table = tables.equal_bpp_table([*TWO, without], LPIPS)
    assert [row[0] for row in table.rows] == ["bsqcodec", "WebP"]
    assert [row[0] for row in tables.equal_bpp_table([*TWO, without], PSNR).rows] == [
        "bsqcodec",
        "AVIF",
        "WebP",
    ]


def test_lpips_of_a_rate_is_positive_and_falls() -> None:
    table = tables.equal_bpp_table(TWO[:1], LPIPS)
    values = [float(cell) for cell in table.rows[0][1:] if cell]
    assert values[0] == 0.1 and values[-1] == 0.025
    assert values == sorted(values, reverse=True)


def test_bd_rate_by_lpips() -> None:
    table = tables.bd_rate_table(TWO, LPIPS)
    assert table.rows[0] == ["bsqcodec", "", "−20.0 %"]


def test_summary_of_ours() -> None:
    text = tables.summary_text(TWO)
    assert "Bits of bsqcodec relative to others" in text
    assert "|  | by PSNR | by MS-SSIM | by LPIPS |" in text
    assert "| WebP | −20.0 % | −20.0 % | −20.0 % |" in text


def test_summary_of_all_of_ours() -> None:
    """The slow searches are no codecs to compare with, but have rows of their own."""
    searching = synthetic("bsqcodec-effort2", "bsqcodec, --effort 2", factor=0.72)
    tuned = synthetic("bsqcodec-effort2-psnr", "bsqcodec, --effort 2 --tune psnr", factor=0.64)
    text = tables.summary_text([*TWO, searching, tuned])
    shown = [
        ("Bits of bsqcodec relative", "−20.0 %"),
        ("The same of bsqcodec, --effort 2:", "−28.0 %"),
        ("The same of bsqcodec, --effort 2 --tune psnr:", "−36.0 %"),
    ]
    for title, cell in shown:
        after = text[text.index(title) :]
        assert after.index(f"| WebP | {cell} |") < after.find("The same", 9) % len(after)


def test_summary_without_ours_is_against_h264() -> None:
    found = [
        synthetic("x264-medium", "H.264 medium", kind="clips"),
        synthetic("x265-medium", "HEVC medium", 0.5, kind="clips"),
    ]
    text = tables.summary_text(found)
    assert "Bits relative to H.264 medium" in text
    assert "| HEVC medium | −50.0 % | −50.0 % | −50.0 % |" in text
    # The rates at which clips are compared begin lower; what only one of three reaches is left out.
    assert "| bpp | 0.05 | 0.075 | 0.1 | 0.15 | 0.2 | 0.3 |\n" in text
    found.append(synthetic("svtav1", "AV1", kind="clips"))
    assert "| bpp | 0.1 | 0.15 | 0.2 | 0.3 |\n" in tables.summary_text(found)


def test_many_pictures_have_intervals() -> None:
    found = [
        synthetic("webp", "WebP", items=MIN_ITEMS),
        synthetic("bsqcodec", "bsqcodec", 0.8, items=MIN_ITEMS),
    ]
    text = tables.summary_text(found)
    assert "(BD-rate, in brackets its 95 % interval over pictures by the bootstrap)" in text
    assert "| WebP | −20.0 % (−20 to −20) |" in text


def test_bits_relative_to_published_curves() -> None:
    kodak = [
        dataclasses.replace(result, dataset={**result.dataset, "name": "kodak"}) for result in TWO
    ]
    (_, table) = tables.published_table(kodak)
    assert isinstance(table, Table) and table.header == ["", "bsqcodec"]
    labels = [row[0] for row in table.rows]
    assert labels[0] == "hyperprior, by PSNR" and "HPCM-Large, by PSNR" in labels
    assert "HPCM-Large, by MS-SSIM" not in labels
    assert tables.published_table(TWO) == []


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (BdRate(-12.34, 0.9), "−12.3 %"),
        (BdRate(5.0, 0.25), "+5.0 % (25 % overlap)"),
        (BdRate(float("nan"), 0.0), "no overlap"),
    ],
)
def test_bd_cell(value: BdRate, text: str) -> None:
    assert tables.bd_cell(value) == text


def test_measures_turn_values_into_qualities_and_back() -> None:
    assert MS_SSIM.quality(0.99) == pytest.approx(20)
    assert LPIPS.quality(0.2) == -0.2
    for measure in (PSNR, MS_SSIM, LPIPS):
        assert measure.value(measure.quality(0.875)) == pytest.approx(0.875)


def test_markup() -> None:
    table = Table(["a", "b"], [["<x>", "1"], ["y", "2"]])
    assert table.markdown() == "| a | b |\n|---|--:|\n| <x> | 1 |\n| y | 2 |\n"
    assert "<td>&lt;x&gt;</td><td>1</td>" in table.html()
    assert Table(["a", "b"], [["x", "-5 %"]], words=True).markdown().splitlines()[1] == "|---|---|"
    assert "<td>-5&nbsp;%</td>" in Table(["a", "b"], [["x", "-5 %"]]).html()
    assert Paragraph("run `a & b`").html() == "<p>run <code>a &amp; b</code></p>"
    assert (Heading(2, "T").markdown(), Heading(2, "T").html()) == ("## T\n", "<h2>T</h2>")


def test_sections() -> None:
    page = "a\n<!-- t -->\nold\n<!-- /t -->\nb\n"
    assert markup.with_section(page, "t", "new\n") == "a\n<!-- t -->\nnew\n<!-- /t -->\nb\n"
    assert markup.has_section(page, "t") and not markup.has_section(page, "u")
    with pytest.raises(ValueError, match="no section between <!-- u -->"):
        markup.with_section(page, "u", "new")
