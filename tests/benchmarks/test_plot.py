"""Figures, the pages that `plot` and `report` write, and what they refuse."""

import base64
import dataclasses
import io
import math
import shutil
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from benchmarks import (
    contact_sheet,
    figures,
    ours_video,
    plot,
    published,
    report,
    results,
    tokenizer,
)
from benchmarks.anchors import ANCHORS, VIDEO_ANCHORS
from benchmarks.measures import FIXED, LPIPS, MS_SSIM, PSNR, SEARCHES, SHOWN
from benchmarks.results import RdResult

from .synthetic import synthetic, synthetic_crops

PARTS = ("psnr", "psnr_yuv", "ms_ssim", "lpips", "speed")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for result in (synthetic("jpeg", "JPEG"), synthetic("bsqcodec", "bsqcodec", 0.8)):
        result.save(tmp_path / f"tiny_{result.codec}.json")
    return tmp_path


def overlaps(figure: Figure) -> list[str]:
    """Texts and legends that stick out of a figure."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    outer = figure.bbox
    boxes = [legend.get_window_extent(renderer) for legend in figure.legends]
    found = (axes.get_tightbbox(renderer) for axes in figure.axes)
    boxes += [box for box in found if box is not None]
    return [
        str(box)
        for box in boxes
        if box.x0 < -1 or box.y0 < -1 or box.x1 > outer.x1 + 1 or box.y1 > outer.y1 + 1
    ]


def test_save_and_load_are_inverse(tmp_path: Path) -> None:
    result = synthetic("webp", "WebP")
    result.save(tmp_path / "tiny_webp.json")
    assert RdResult.load(tmp_path / "tiny_webp.json") == result


def test_curves_are_drawn_with_their_numbers() -> None:
    two = [synthetic("webp", "WebP"), synthetic("bsqcodec", "bsqcodec", 0.8)]
    axes = figures.rd_figure(two, PSNR).axes[0]
    lines = {line.get_label(): line for line in axes.lines}
    assert np.asarray(lines["WebP"].get_xdata()).tolist() == [0.1, 0.2, 0.4]
    assert np.asarray(lines["bsqcodec"].get_ydata()).tolist() == [24.5, 30.5, 36.5]
    low, high = axes.get_ylim()
    assert 23 < low < 24.5 and 36.5 < high < 38


def test_published_points_are_marked_as_such() -> None:
    points = published.published_for("kodak")
    axes = figures.rd_figure([synthetic("webp", "WebP")], MS_SSIM, points).axes[0]
    labels = [str(line.get_label()) for line in axes.lines]
    shown = [entry for entry in points if entry.curve(MS_SSIM)]
    assert sum("(published)" in label for label in labels) == len(shown) == len(points) - 2
    (point,) = (line for line in axes.lines if "no entropy" in str(line.get_label()))
    assert np.asarray(point.get_xdata()).tolist() == [0.2812]
    assert np.asarray(point.get_ydata()).tolist() == [pytest.approx(MS_SSIM.quality(0.9481))]


def test_points_of_other_items_say_so() -> None:
    labels = [entry.legend("davis360") for entry in published.published_for("davis360")]
    assert labels and all("on mcl-jcv-360p (published)" in label for label in labels)
    assert published.published_for("uvg") == []


def test_points_without_a_measure_are_left_out() -> None:
    axes = figures.rd_figure([synthetic("webp", "WebP")], LPIPS, published.published_for("kodak"))
    assert len(axes.axes[0].lines) == 1


def test_better_lpips_is_on_top() -> None:
    axes = figures.rd_figure([synthetic("webp", "WebP")], LPIPS).axes[0]
    ys = np.asarray(axes.lines[0].get_ydata()).tolist()
    assert ys == sorted(ys)
    assert axes.yaxis.get_major_formatter()(-0.05, None) == "0.05"


def test_speed_is_against_the_bd_rate() -> None:
    two = [synthetic("jpeg", "JPEG"), synthetic("bsqcodec", "bsqcodec", 0.8)]
    figure = figures.speed_figure(two, PSNR)
    assert figure is not None
    encode, decode = figure.axes
    (ours,) = (line for line in encode.lines if line.get_label() == "bsqcodec")
    assert np.asarray(ours.get_ydata()).tolist() == [pytest.approx(-20)]
    assert np.asarray(ours.get_xdata()).tolist() == [pytest.approx(0.4 / 0.04)]
    assert "decode" in decode.get_xlabel()
    # Whole decades, or the ticks of a narrow range would have long labels.
    decades = np.log10(decode.get_xlim())
    assert decades == pytest.approx(np.round(decades)) and decades[0] < math.log10(6.25)
    assert figures.speed_figure(two[1:], PSNR) is None


@pytest.mark.parametrize("kind", ["pictures", "clips"])
def test_nothing_sticks_out(kind: str) -> None:
    labels = {"bsqcodec": "bsqcodec"}
    if kind == "clips":
        labels |= {"bsqcodec-intra": "bsqcodec, every frame alone"}
        labels |= {name: codec.label for name, codec in VIDEO_ANCHORS.items()}
    else:
        labels |= {name: make().label for name, make in ANCHORS.items()}
    found = [
        synthetic(codec, label, 1 + n / 5, kind=kind)
        for n, (codec, label) in enumerate(labels.items())
    ]
    name = {"pictures": "kodak", "clips": "davis360"}[kind]
    named = [dataclasses.replace(r, dataset={**r.dataset, "name": name}) for r in found]
    for figure in figures.all_figures(named).values():
        assert overlaps(figure) == []


def test_clips_have_a_panel_for_low_delay() -> None:
    names = ("bsqcodec", "bsqcodec-intra", "x264-medium", "x264-medium-zerolatency")
    found = [synthetic(name, name, 1 + n / 5, kind="clips") for n, name in enumerate(names)]
    points = published.published_for("davis360")
    figure = figures.rd_figure(found, MS_SSIM, points)
    labels = [[str(line.get_label()) for line in axes.lines] for axes in figure.axes]
    shared = [entry.legend("tiny") for entry in points]
    assert labels == [
        ["bsqcodec", "bsqcodec-intra", "x264-medium", *shared],
        ["bsqcodec", "bsqcodec-intra", "x264-medium-zerolatency", *shared],
    ]
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim()
    (legend,) = figure.legends
    texts = [text.get_text().replace("\n", " ") for text in legend.get_texts()]
    assert texts == [*names, *shared]
    assert len(figures.rd_figure(found[:3], MS_SSIM).axes) == 1


def test_curves_go_on_to_the_border() -> None:
    # Points at .5, 1 and 2 bpp; pictures are drawn up to 1.25.
    figure = figures.rd_figure([synthetic("webp", "WebP", 5)], PSNR)
    (line,) = figure.axes[0].lines
    assert np.asarray(line.get_xdata()).tolist() == [0.5, 1, 2]
    assert figure.axes[0].get_xlim()[1] == 1.25
    assert 30.5 < figure.axes[0].get_ylim()[1] < 36.5


def test_every_codec_has_a_look_of_its_own() -> None:
    for codecs in (
        [*ANCHORS, "bsqcodec", *SEARCHES, *SHOWN, *FIXED],
        [*VIDEO_ANCHORS, *ours_video.NAMES],
    ):
        names = ("color", "marker", "linestyle")
        looks = {tuple(figures.style(codec)[name] for name in names) for codec in codecs}
        assert len(looks) == len(codecs)
    low = figures.style("x265-medium-zerolatency")
    assert low["color"] == figures.style("x265-medium")["color"]
    assert (low["linestyle"], figures.style("x265-medium")["linestyle"]) == ("--", "-")


def test_plot_command(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "figures"
    arguments = ["--results", str(folder), "--figures", str(target)]
    done = CliRunner().invoke(plot.main, arguments)
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in target.iterdir()) == sorted(
        f"tiny_{part}{suffix}" for part in PARTS for suffix in (".png", ".svg")
    )
    synthetic_crops().save(folder / "crops_tiny.json")
    done = CliRunner().invoke(plot.main, arguments)
    assert done.output.count("contact_p") == 2
    for part in PARTS:
        with Image.open(target / f"tiny_{part}.png") as image:
            assert min(image.size) > 400
            assert len(image.convert("RGB").quantize(64).getcolors() or ()) > 10
        assert ET.parse(target / f"tiny_{part}.svg").getroot().tag.endswith("svg")
    assert "JPEG" in (folder / "TABLES_tiny.md").read_text(encoding="utf-8")
    before = {path.name: path.read_bytes() for path in target.iterdir()}
    CliRunner().invoke(plot.main, arguments)
    assert {path.name: path.read_bytes() for path in target.iterdir()} == before


def test_plot_without_results_says_so(tmp_path: Path) -> None:
    done = CliRunner().invoke(plot.main, ["--results", str(tmp_path)])
    assert done.exit_code == 1
    assert "no finished result files" in done.output
    done = CliRunner().invoke(plot.main, ["--results", str(tmp_path), "--dataset", "kodak"])
    assert "no finished kodak_*.json" in done.output


def test_results_about_other_items_are_not_mixed(folder: Path) -> None:
    one = synthetic("webp", "WebP")
    other = dataclasses.replace(one, dataset={**one.dataset, "sha256": "01"})
    other.save(folder / "tiny_webp.json")
    done = CliRunner().invoke(plot.main, ["--results", str(folder)])
    assert done.exit_code == 1
    assert "different items" in done.output


def test_plot_fills_in_the_section_of_a_page(folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- tiny -->\nold\n<!-- /tiny -->\nb\n", encoding="utf-8")
    arguments = ["--results", str(folder), "--figures", str(tmp_path), "--page", str(page)]
    done = CliRunner().invoke(plot.main, arguments)
    assert done.exit_code == 0, done.output
    text = page.read_text(encoding="utf-8")
    assert text.startswith("a\n<!-- tiny -->\nPSNR") and text.endswith("<!-- /tiny -->\nb\n")
    assert "old" not in text and "by MS-SSIM" in text
    page.write_text("nothing here", encoding="utf-8")
    done = CliRunner().invoke(plot.main, arguments)
    assert done.exit_code == 1 and "no section" in done.output
    assert page.read_text(encoding="utf-8") == "nothing here"


class Structure(HTMLParser):
    """What a page consists of; problems: tags that do not nest."""

    VOID = frozenset({"meta", "img"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.problems: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag == "table":
            self.rows.append([])
        if tag == "tr":
            self.rows[-1].append("")
        if tag in ("td", "th"):
            self.rows[-1][-1] += "."
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.problems.append(f"</{tag}> at {self.getpos()}")

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


@pytest.fixture
def reported(folder: Path, tmp_path: Path) -> str:
    """The page of two codecs, crops and the tokenizer's table."""
    synthetic_crops().save(folder / "crops_tiny.json")
    shutil.copy(results.RESULTS / tokenizer.FILE, folder)
    out = tmp_path / "page.html"
    done = CliRunner().invoke(report.main, ["--results", str(folder), "--out", str(out)])
    assert done.exit_code == 0, done.output
    return out.read_text(encoding="utf-8")


def test_report_is_well_formed(reported: str) -> None:
    page = Structure()
    page.feed(reported)
    page.close()
    assert page.problems == [] and page.open == []
    assert [tag for tag, _ in page.found[:3]] == ["html", "head", "meta"]
    titles = [attributes["id"] for attributes in page.all("h1") if attributes]
    assert [link["href"] for link in page.all("a")] == [f"#{title}" for title in titles]
    assert len(titles) == len(set(titles)) == 4
    assert [item["class"] for item in page.all("div")].count("words") == 1
    for table in page.rows:
        assert len(table) > 1 and len(set(table)) == 1, "rows of one table differ in length"
    assert "0123456789ab" in page.text and "python -m benchmarks crops" in page.text
    assert "tokenizer without entropy coding" in page.text and "-10 log10(1 - ms_ssim)" in page.text
    assert not set("`@{}") & set(page.text)


def test_report_needs_nothing_else(reported: str, folder: Path) -> None:
    page = Structure()
    page.feed(reported)
    assert {tag for tag, _ in page.found}.isdisjoint({"script", "link", "iframe"})
    drawn = {}
    for image in page.all("img"):
        start, _, data = (image["src"] or "").partition(",")
        assert start == "data:image/svg+xml;base64"
        drawn[image["alt"]] = base64.b64decode(data)
    assert list(drawn) == [*(f"tiny: {part}" for part in PARTS), "crops of p"]
    for svg in drawn.values():
        for element in ET.fromstring(svg).iter():
            links = [value for name, value in element.items() if name.endswith("href")]
            assert all(link.startswith(("data:", "#")) for link in links)
    (sheet,) = contact_sheet.sheets([synthetic_crops()])
    assert drawn["crops of p"] == sheet.svg()


def test_report_of_some_data_sets(folder: Path, tmp_path: Path) -> None:
    dataclasses.replace(synthetic_crops(), dataset="other").save(folder / "crops_other.json")
    out = tmp_path / "page.html"
    arguments = ["--results", str(folder), "--out", str(out), "--dataset", "tiny"]
    assert CliRunner().invoke(report.main, arguments).exit_code == 0
    assert "Crops at equal bpp" not in out.read_text(encoding="utf-8")


def test_broken_crops_are_named(folder: Path) -> None:
    (folder / "crops_tiny.json").write_text("{}")
    done = CliRunner().invoke(plot.main, ["--results", str(folder), "--figures", str(folder)])
    assert done.exit_code == 1
    assert "crops_tiny.json: not a file of benchmarks crops" in done.output


def test_renders_are_repeatable() -> None:
    one = [synthetic("webp", "WebP")]
    first, second = (figures.render(figures.rd_figure(one, PSNR), "svg") for _ in range(2))
    assert first == second
    png = figures.render(figures.rd_figure(one, PSNR), "png")
    with Image.open(io.BytesIO(png)) as image:
        assert "Software" not in image.info


def test_names_of_data_sets(folder: Path) -> None:
    (folder / "speed_other.json").write_text("{}")
    assert results.dataset_names(folder) == ["tiny"]
    one = synthetic("webp", "WebP")
    longer = dataclasses.replace(one, dataset={**one.dataset, "name": "tiny_set"})
    longer.save(folder / "tiny_set_webp.json")
    assert results.dataset_names(folder) == ["tiny", "tiny_set"]
    assert [result.codec for result in results.load_results(folder, "tiny_set")] == ["webp"]
    assert {r.codec for r in results.load_results(folder, "tiny")} == {"bsqcodec", "jpeg"}
