"""Tables and figures from a small synthetic result file, and the committed ones."""

import dataclasses
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from benchmarks import plot, results, tables
from benchmarks.metrics import BdRate
from benchmarks.results import RdResult, Row


def synthetic(codec: str, label: str, factor: float = 1.0, pictures: int = 2) -> RdResult:
    """A codec of 6 dB an octave of rate; `factor` scales its rates."""
    rows = [
        Row(
            picture=f"p{number}",
            setting=setting,
            width=200,
            height=200,
            bytes=round(factor * 5000 * bpp),
            bpp=round(factor * bpp, 6),
            psnr=psnr + number,
            ms_ssim=ms_ssim,
            encode_seconds=0.5,
            decode_seconds=0.25,
        )
        for number in range(pictures)
        for setting, bpp, psnr, ms_ssim in (
            (10, 0.1, 24.0, 0.90),
            (20, 0.2, 30.0, 0.95),
            (30, 0.4, 36.0, 0.975),
        )
    ]
    return RdResult(
        codec=codec,
        label=label,
        setting_name="quality",
        options={"method": 6},
        codec_versions={"lib": "1.2"},
        dataset={"name": "tiny", "pictures": pictures, "sha256": "00"},
        command="python -m benchmarks.kodak",
        date="2026-01-02",
        versions={},
        machine={},
        rows=rows,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for result in (synthetic("webp", "WebP"), synthetic("bsqcodec", "bsqcodec", 0.8)):
        result.save(tmp_path / f"tiny_{result.codec}.json")
    return tmp_path


def test_save_and_load_are_inverse(tmp_path: Path) -> None:
    result = synthetic("webp", "WebP")
    result.save(tmp_path / "tiny_webp.json")
    assert RdResult.load(tmp_path / "tiny_webp.json") == result


def test_between_settings_quality_is_linear_in_log_rate() -> None:
    points = tables.curve(synthetic("webp", "WebP"), "psnr")
    assert tables.at_bpp(points, 0.2) == pytest.approx(30.5)
    assert tables.at_bpp(points, 0.2 * 2**0.5) == pytest.approx(33.5)
    assert tables.at_bpp(points, 0.09) is None
    assert tables.at_bpp(points, 0.41) is None
    assert tables.at_bpp([], 0.2) is None


def test_document() -> None:
    page = tables.document([synthetic("webp", "WebP"), synthetic("bsqcodec", "bsqcodec", 0.8)])
    assert "# Rate and distortion on tiny (2 pictures)" in page
    # bpp .1, .15, .2, .25, .3, .4, .5, .75: ours ends at .32, WebP at .4.
    assert "| bsqcodec | 26.43 | 29.94 | 32.43 | 34.36 | 35.94 |  |  |  |" in page
    assert "| WebP | 24.50 | 28.01 | 30.50 | 32.43 | 34.01 | 36.50 |  |  |" in page
    assert "| WebP | 0.9000 | 0.9333 | 0.9500 | 0.9600 | 0.9667 | 0.9750 |  |  |" in page
    assert "| bsqcodec |  | −20.0 % |" in page
    assert "| WebP | +25.0 % |  |" in page
    assert "| 20 | 0.1600 | 30.50 | 0.9500 | 13.01 |" in page
    assert "Options: method=6. Software: lib 1.2." in page
    assert page.index("### bsqcodec") < page.index("### WebP")


def test_one_codec_has_no_bd_rates() -> None:
    assert "BD-rate" not in tables.document([synthetic("webp", "WebP")])


def test_results_about_other_pictures_are_not_mixed() -> None:
    one = synthetic("webp", "WebP")
    other = dataclasses.replace(one, dataset={**one.dataset, "sha256": "01"})
    with pytest.raises(ValueError, match="different pictures"):
        tables.document([one, other])


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


def test_plot_command(folder: Path, tmp_path: Path) -> None:
    figures = tmp_path / "figures"
    arguments = ["--dataset", "tiny", "--results", str(folder), "--figures", str(figures)]
    done = CliRunner().invoke(plot.main, arguments)
    assert done.exit_code == 0, done.output
    for name in ("tiny_psnr.png", "tiny_ms_ssim.png"):
        with Image.open(figures / name) as image:
            assert min(image.size) > 400
            assert len(image.convert("RGB").quantize(64).getcolors()) > 10
    assert "WebP" in (folder / "TABLES_tiny.md").read_text(encoding="utf-8")
    before = (figures / "tiny_psnr.png").read_bytes()
    CliRunner().invoke(plot.main, arguments)
    assert (figures / "tiny_psnr.png").read_bytes() == before


def test_plot_without_results_says_so(tmp_path: Path) -> None:
    done = CliRunner().invoke(plot.main, ["--results", str(tmp_path)])
    assert done.exit_code == 1
    assert "no finished kodak_*.json" in done.output


def test_committed_tables_are_those_of_the_committed_results() -> None:
    page = tables.document(results.load_results(results.RESULTS, "kodak"))
    written = (results.RESULTS / "TABLES.md").read_text(encoding="utf-8")
    assert written == page, "run python -m benchmarks.plot"


def test_the_readme_holds_the_numbers_of_the_committed_results() -> None:
    page = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    text = tables.summary(results.load_results(results.RESULTS, "kodak"))
    expected = tables.with_section(page, "kodak", text)
    assert page == expected, "run python -m benchmarks.plot --readme README.md"


def test_plot_fills_in_the_section_of_a_page(folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- tiny -->\nold\n<!-- /tiny -->\nb\n", encoding="utf-8")
    arguments = ["--dataset", "tiny", "--results", str(folder), "--figures", str(tmp_path)]
    done = CliRunner().invoke(plot.main, [*arguments, "--readme", str(page)])
    assert done.exit_code == 0, done.output
    text = page.read_text(encoding="utf-8")
    assert text.startswith("a\n<!-- tiny -->\nPSNR") and text.endswith("<!-- /tiny -->\nb\n")
    assert "old" not in text and "by MS-SSIM" in text
    page.write_text("nothing here", encoding="utf-8")
    done = CliRunner().invoke(plot.main, [*arguments, "--readme", str(page)])
    assert done.exit_code == 1 and "no section" in done.output
    assert page.read_text(encoding="utf-8") == "nothing here"


def test_committed_means_are_those_of_the_rows() -> None:
    for path in sorted(results.RESULTS.glob("kodak_*.json")):
        stored = json.loads(path.read_text(encoding="utf-8"))["means"]
        for mean, expected in zip(RdResult.load(path).means(), stored, strict=True):
            assert dataclasses.asdict(mean) == expected
