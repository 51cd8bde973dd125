"""The parts of the documents that are made from results: the short table, the paper's, speed."""

import dataclasses
import json
from pathlib import Path

import pytest

from benchmarks import markup, pages, results
from benchmarks.results import RdResult

from .synthetic import synthetic

LABELS = {
    "bsqcodec": ("bsqcodec", 0.8),
    "bsqcodec-natural": ("bsqcodec, --look natural", 0.65),
    "bsqcodec-effort2": ("bsqcodec, --effort 2", 0.7),
    "vvc": ("VVC", 0.6),
    "avif": ("AVIF", 0.75),
    "jpegxl-7": ("JPEG XL", 0.85),
    "jpeg2000": ("JPEG 2000", 0.9),
    "jpeg": ("JPEG", 2.0),
    "webp": ("WebP", 1.0),
}


@pytest.fixture
def kodak() -> list[RdResult]:
    """Synthetic results of eight codecs, as of the Kodak pictures."""
    found = [synthetic(codec, label, factor) for codec, (label, factor) in LABELS.items()]
    return [dataclasses.replace(r, dataset={**r.dataset, "name": "kodak"}) for r in found]


def test_the_short_table_is_relative_to_webp(kodak: list[RdResult]) -> None:
    text = markup.markdown(pages.short_blocks(kodak))
    header, _, *rows = text.strip().splitlines()
    assert header == "| bits relative to WebP | by PSNR | by MS-SSIM | by LPIPS |"
    assert rows[0] == "| bsqcodec | −20.0 % | −20.0 % | −20.0 % |"
    assert rows[3] == "| AVIF | −25.0 % | −25.0 % | −25.0 % |"
    assert len(rows) == 5


def test_a_measure_that_some_codecs_lack_leaves_their_cells_empty(kodak: list[RdResult]) -> None:
    for result in kodak:
        if result.codec != "bsqcodec-effort2":
            result.rows = [dataclasses.replace(row, ssimulacra2=row.psnr) for row in result.rows]
    header, _, *rows = markup.markdown(pages.short_blocks(kodak)).strip().splitlines()
    assert header.endswith("| by LPIPS | by SSIMULACRA2 |")
    assert rows[0] == "| bsqcodec | −20.0 % | −20.0 % | −20.0 % | −20.0 % |"
    assert rows[2] == "| bsqcodec, --effort 2 | −30.0 % | −30.0 % | −30.0 % |  |"


def test_there_is_no_short_table_without_all_codecs(kodak: list[RdResult]) -> None:
    assert pages.short_blocks(kodak[:-1]) == []
    assert pages.short_blocks([]) == []


def test_rates_stand_beside_those_of_the_paper(kodak: list[RdResult]) -> None:
    words, table = pages.paper_blocks(kodak)
    assert "the MS-SSIM of the paper, 0.9481" in words.markdown()
    assert "at the paper's 0.2073 bpp" in words.markdown().replace("\n", " ")
    header, _, *rows = table.markdown().strip().splitlines()
    assert header == "| codec | bpp | MS-SSIM | PSNR (dB) | LPIPS over WebP's |"
    assert rows[0] == "| BSQ-ViT, no entropy coding (published) | 0.2812 | 0.9481 | 27.785 |  |"
    assert rows[1] == "| BSQ-ViT, arithmetic coding (published) | 0.2073 | 0.9481 | 27.785 | 0.50 |"
    cells = [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows[2:]]
    assert [name for name, *_ in cells] == [
        "bsqcodec",
        "bsqcodec, --effort 2",
        "bsqcodec, --look natural",
    ]
    # .9481 lies just below the synthetic .95 at .2 bpp, times .8, .7 and .65.
    assert 0.145 < float(cells[0][1]) < 0.16
    assert float(cells[1][1]) == pytest.approx(float(cells[0][1]) * 7 / 8, abs=2e-4)
    assert [cells[0][2], cells[1][2]] == ["0.9481", "0.9481"]
    assert float(cells[0][4]) < 1
    assert pages.paper_blocks(kodak[:-1]) == []


def test_speed_is_that_of_the_result_file(tmp_path: Path) -> None:
    assert pages.speed_blocks(tmp_path) == []
    committed = json.loads((results.RESULTS / "speed.json").read_text(encoding="utf-8"))
    text = markup.markdown(pages.speed_blocks(results.RESULTS))
    assert committed["machine"]["cpu"] in text
    for entry in committed["scaling"]:
        assert f"| {entry['width']}x{entry['height']} |" in text
        assert f"| {entry['seconds']:.2f} |" in text


def test_only_sections_that_have_results_are_made(tmp_path: Path) -> None:
    tiny = synthetic("webp", "WebP")
    assert set(pages.sections({"tiny": [tiny]}, tmp_path)) == {"tiny"}
