"""Figures, the pages that `plot` and `report` write, and what they refuse."""

import dataclasses
import io
import math
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from benchmarks import figures, plot, published, report, results
from benchmarks.anchors import ANCHORS, VIDEO_ANCHORS
from benchmarks.measures import LPIPS, MS_SSIM, PSNR
from benchmarks.results import RdResult

from .synthetic import synthetic

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
    boxes += [axes.get_tightbbox(renderer) for axes in figure.axes]
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
    assert list(lines["WebP"].get_xdata()) == [0.1, 0.2, 0.4]
    assert list(lines["bsqcodec"].get_ydata()) == [24.5, 30.5, 36.5]
    low, high = axes.get_ylim()
    assert 23 < low < 24.5 and 36.5 < high < 38


def test_published_points_are_marked_as_such() -> None:
    points = published.published_for("kodak")
    axes = figures.rd_figure([synthetic("webp", "WebP")], MS_SSIM, points).axes[0]
    labels = [str(line.get_label()) for line in axes.lines]
    assert sum("(published)" in label for label in labels) == len(points)
    (point,) = (line for line in axes.lines if "no entropy" in str(line.get_label()))
    assert list(point.get_xdata()) == [0.28]
    assert list(point.get_ydata()) == [pytest.approx(MS_SSIM.quality(0.948))]


def test_points_of_other_items_say_so() -> None:
    labels = [entry.legend("davis360") for entry in published.published_for("davis360")]
    assert labels and all("on mcl-jcv-360p (published)" in label for label in labels)
    assert published.published_for("uvg") == []


def test_points_without_a_measure_are_left_out() -> None:
    axes = figures.rd_figure([synthetic("webp", "WebP")], LPIPS, published.published_for("kodak"))
    assert len(axes.axes[0].lines) == 1


def test_better_lpips_is_on_top() -> None:
    axes = figures.rd_figure([synthetic("webp", "WebP")], LPIPS).axes[0]
    ys = list(axes.lines[0].get_ydata())
    assert ys == sorted(ys)
    assert axes.yaxis.get_major_formatter()(-0.05, None) == "0.05"


def test_speed_is_against_the_bd_rate() -> None:
    two = [synthetic("jpeg", "JPEG"), synthetic("bsqcodec", "bsqcodec", 0.8)]
    figure = figures.speed_figure(two, PSNR)
    assert figure is not None
    encode, decode = figure.axes
    (ours,) = (line for line in encode.lines if line.get_label() == "bsqcodec")
    assert list(ours.get_ydata()) == [pytest.approx(-20)]
    assert list(ours.get_xdata()) == [pytest.approx(0.4 / 0.04)]
    assert "decode" in decode.get_xlabel()
    # Whole decades, or the ticks of a narrow range would have long labels.
    decades = np.log10(decode.get_xlim())
    assert decades == pytest.approx(np.round(decades)) and decades[0] < math.log10(6.25)
    assert figures.speed_figure(two[1:], PSNR) is None


@pytest.mark.parametrize("kind", ["pictures", "clips"])
def test_nothing_sticks_out(kind: str) -> None:
    labels = {"bsqcodec": "bsqcodec"}
    if kind == "clips":
        labels |= {name: codec.label for name, codec in VIDEO_ANCHORS.items()}
    else:
        labels |= {name: make().label for name, make in ANCHORS.items()}
    found = [
        synthetic(codec, label, 1 + n / 5, kind=kind)
        for n, (codec, label) in enumerate(labels.items())
    ]
    named = [dataclasses.replace(r, dataset={**r.dataset, "name": "kodak"}) for r in found]
    for figure in figures.all_figures(named).values():
        assert overlaps(figure) == []


def test_every_codec_has_a_look_of_its_own() -> None:
    for codecs in ([*ANCHORS, "bsqcodec"], [*VIDEO_ANCHORS, "bsqcodec"]):
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
    for part in PARTS:
        with Image.open(target / f"tiny_{part}.png") as image:
            assert min(image.size) > 400
            assert len(image.convert("RGB").quantize(64).getcolors()) > 10
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
    arguments = ["--results", str(folder), "--figures", str(tmp_path), "--readme", str(page)]
    done = CliRunner().invoke(plot.main, arguments)
    assert done.exit_code == 0, done.output
    text = page.read_text(encoding="utf-8")
    assert text.startswith("a\n<!-- tiny -->\nPSNR") and text.endswith("<!-- /tiny -->\nb\n")
    assert "old" not in text and "by MS-SSIM" in text
    page.write_text("nothing here", encoding="utf-8")
    done = CliRunner().invoke(plot.main, arguments)
    assert done.exit_code == 1 and "no section" in done.output
    assert page.read_text(encoding="utf-8") == "nothing here"


def test_report_is_one_page_that_needs_nothing_else(folder: Path, tmp_path: Path) -> None:
    Image.new("RGB", (8, 8), "red").save(tmp_path / "contact_p.jpg")
    out = tmp_path / "page.html"
    arguments = ["--results", str(folder), "--figures", str(tmp_path), "--out", str(out)]
    done = CliRunner().invoke(report.main, arguments)
    assert done.exit_code == 0, done.output
    text = out.read_text(encoding="utf-8")
    assert text.count("data:image/svg+xml;base64") == len(PARTS)
    assert text.count("data:image/jpeg;base64") == 1
    assert not re.findall(r'(?:src|href)="(?!data:)', text)
    assert "0123456789ab" in text and "<td>bsqcodec</td>" in text
    assert "`" not in re.sub(r"base64,[^\"]*", "", text)


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
