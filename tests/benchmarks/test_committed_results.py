"""The committed results are sound, and every page and table shows their numbers."""

import dataclasses
import io
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import contact_sheet, markup, pages, plot, published, results, tables
from benchmarks.anchors import ANCHORS, VIDEO_ANCHORS
from benchmarks.datasets import open_kodak, open_videos
from benchmarks.datasets.base import digest_of
from benchmarks.judge import Judge
from benchmarks.measures import FIXED, INTRA, OURS, SEARCHING, SHOWN
from benchmarks.metrics import MS_SSIM_MIN_SIDE
from benchmarks.results import RdResult
from benchmarks.run import open_judge
from benchmarks.runner import measure_clip, measure_picture

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "docs/RESULTS.md")
NAMES = results.dataset_names(results.RESULTS)
FOUND = {name: results.load_results(results.RESULTS, name) for name in NAMES}
PATHS = sorted(results.RESULTS.glob("*.json"))
# Width, height and frames of the clips.
CLIPS = {
    "davis360": {(640, 360, 32)},
    "cif-frames32": {(352, 288, 30), (416, 240, 32)},
    "qcif-frames32": {(176, 144, 32)},
}
UNMEASURED = {"libaom", "svtav1-preset2", "vvc"}
"""Video anchors that `run` knows and whose results are not committed for every set yet."""
DATA = os.environ.get("BSQCODEC_DATA")
needs_data = pytest.mark.skipif(DATA is None, reason="BSQCODEC_DATA names no test data")
# (bpp, PSNR, MS-SSIM) on Kodak, measured independently with the same encoders.
REFERENCE = {
    "jpeg2000": [
        (0.149, 27.52, 0.900),
        (0.200, 28.46, 0.918),
        (0.249, 29.23, 0.930),
        (0.299, 29.94, 0.940),
        (0.398, 31.13, 0.953),
        (0.599, 33.06, 0.968),
    ],
    "jpeg": [
        (0.154, 23.85, 0.807),
        (0.268, 26.67, 0.894),
        (0.370, 28.14, 0.928),
        (0.541, 29.89, 0.956),
    ],
    "webp": [(0.155, 26.98, 0.899), (0.217, 28.11, 0.924), (0.274, 28.93, 0.939)],
}


def test_kodak_and_clips_are_there() -> None:
    codecs = {name: {result.codec for result in found} for name, found in FOUND.items()}
    assert codecs["kodak"] >= {*ANCHORS, "bsqcodec"}
    videos = {*VIDEO_ANCHORS} - UNMEASURED
    assert codecs["davis360"] >= {*videos, OURS, INTRA, SEARCHING, *SHOWN, "bsq-18"}
    for name in ("cif-frames32", "qcif-frames32"):
        assert codecs[name] >= videos


@pytest.mark.parametrize("name", NAMES)
def test_tables_are_those_of_the_results(name: str) -> None:
    written = (results.RESULTS / tables.tables_name(name)).read_text(encoding="utf-8")
    assert written == tables.document_text(FOUND[name]), "run python -m benchmarks plot"


@pytest.fixture(scope="module")
def sections() -> dict[str, str]:
    return pages.sections(FOUND, results.RESULTS)


@pytest.mark.parametrize("name", PAGES)
def test_pages_hold_the_numbers_of_the_results(name: str, sections: dict[str, str]) -> None:
    page = ROOT / name
    again = plot.replaced(page, sections)
    command = "run python -m benchmarks plot --page README.md --page docs/RESULTS.md"
    assert again == page.read_text(encoding="utf-8"), command


def test_the_pages_have_every_section(sections: dict[str, str]) -> None:
    texts = {name: (ROOT / name).read_text(encoding="utf-8") for name in PAGES}
    shown = {name: {s for s in sections if markup.has_section(texts[name], s)} for name in PAGES}
    assert shown["README.md"] == {"short"}
    assert shown["docs/RESULTS.md"] == {*NAMES, "paper", "runtime", "speed", "tokenizer"}


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)
def test_results_hold_no_paths_of_a_machine(path: Path) -> None:
    assert not re.search(r'["\s=](/|[A-Z]:\\)\w', path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", NAMES)
def test_means_are_those_of_the_rows(name: str) -> None:
    for path in sorted(results.RESULTS.glob(f"{name}_*.json")):
        stored = json.loads(path.read_text(encoding="utf-8"))["means"]
        for mean, expected in zip(RdResult.load(path).means(), stored, strict=True):
            # Files of before SSIMULACRA2 and VMAF lack them.
            assert dataclasses.asdict(mean) == {"ssimulacra2": None, "vmaf": None, **expected}


@pytest.mark.parametrize("name", NAMES)
def test_hashes_belong_to_the_set(name: str) -> None:
    for result in FOUND[name]:
        assert digest_of(result.hashes) == result.dataset["sha256"]
        assert {row.item for row in result.rows} == set(result.hashes)


@pytest.mark.parametrize("codec", sorted(ANCHORS))
def test_anchors_on_kodak(codec: str) -> None:
    result = RdResult.load(results.RESULTS / f"kodak_{codec}.json")
    check_anchor(result, ANCHORS[codec]())
    assert result.dataset["items"] == 24
    means = result.means()
    assert len(means) >= 5
    coarsest = {"vvc": 0.15, "jpegxl-7": 0.17, "jpegxl-9": 0.17}.get(codec, 0.12)
    assert means[0].bpp < coarsest and means[-1].bpp > 1.1


@pytest.mark.parametrize("codec", sorted(VIDEO_ANCHORS))
@pytest.mark.parametrize("name", sorted(CLIPS))
def test_anchors_on_clips(name: str, codec: str) -> None:
    result = load_measured(name, codec)
    check_anchor(result, VIDEO_ANCHORS[codec])
    assert {(row.width, row.height, row.frames) for row in result.rows} == CLIPS[name]
    assert len(result.means()) >= 5


@pytest.mark.parametrize("codec", FIXED)
def test_the_codecs_of_one_rate_on_kodak(codec: str) -> None:
    """So many bits for each 8x8 pixels, less what entropy coding saves; headers are small."""
    path = results.RESULTS / f"kodak_{codec}.json"
    if not path.is_file():
        pytest.skip(f"{codec} is not measured on Kodak yet")
    result = RdResult.load(path)
    assert result.complete() and result.dataset["items"] == 24
    (mean,) = result.means()
    assert mean.setting == FIXED[codec] and 0.1 < mean.bpp < FIXED[codec] / 64
    assert mean.ms_ssim is not None and mean.lpips is not None and mean.psnr > 20
    assert set(result.options) == {"weights", "fingerprint"}
    assert result.peak_memory is not None
    assert 10 < result.peak_memory["idle_mib"] <= result.peak_memory["decode_mib"]


def load_measured(dataset: str, codec: str) -> RdResult:
    """A committed result; skips what has none yet."""
    path = results.RESULTS / f"{dataset}_{codec}.json"
    if codec in UNMEASURED and not path.is_file():
        pytest.skip(f"{codec} is not measured on {dataset} yet")
    return RdResult.load(path)


def check_anchor(result: RdResult, anchor: object) -> None:
    """Complete, rising, and of today's settings: else nobody could measure it again."""
    assert result.complete()
    means = result.means()
    large = all(min(row.width, row.height) >= MS_SSIM_MIN_SIDE for row in result.rows)
    for metric in ("psnr", "psnr_yuv", *(["ms_ssim"] if large else [])):
        values = [getattr(mean, metric) for mean in means]
        assert values == sorted(values)
    assert large or {mean.ms_ssim for mean in means} == {None}
    distances = [mean.lpips or 0 for mean in means]
    assert distances == sorted(distances, reverse=True) and distances[-1] > 0
    assert {mean.setting for mean in means} == set(anchor.settings)  # type: ignore[attr-defined]
    assert result.options == anchor.options()  # type: ignore[attr-defined]
    assert result.peak_memory is not None
    assert 10 < result.peak_memory["idle_mib"] <= result.peak_memory["encode_mib"]


@pytest.mark.parametrize("codec", sorted(REFERENCE))
def test_anchor_results_agree_with_others(codec: str) -> None:
    means = RdResult.load(results.RESULTS / f"kodak_{codec}.json").means()
    for bpp, psnr, ms_ssim in REFERENCE[codec]:
        nearest = min(means, key=lambda mean: abs(mean.bpp - bpp))
        assert nearest.bpp == pytest.approx(bpp, abs=0.001)
        assert nearest.psnr == pytest.approx(psnr, abs=0.02)
        assert nearest.ms_ssim == pytest.approx(ms_ssim, abs=0.001)


def test_published_points_have_sources_and_plausible_values() -> None:
    entries = published.published_for("kodak")
    assert len(entries) == 9
    for entry in entries:
        for point in entry.points:
            assert 0 < point["bpp"] < 2
            assert "psnr" in point or "ms_ssim" in point
            assert 20 < point.get("psnr", 30) < 45
            assert 0.8 < point.get("ms_ssim", 0.9) < 1
    assert all(len(entry.source) > 20 for entry in entries)


def test_the_points_of_the_paper_are_those_of_its_tables() -> None:
    points = {
        (entry.dataset, entry.label): entry.points
        for name in ("kodak", "davis360")
        for entry in published.published_for(name)
        if entry.label.startswith("BSQ-ViT")
    }
    kodak = {"psnr": 27.785, "ms_ssim": 0.9481, "published_lpips": 0.0823}
    video = {"published_psnr": 33.70, "ms_ssim": 0.9818, "published_lpips": 0.050}
    assert points == {
        ("kodak", "BSQ-ViT, no entropy coding"): [{"bpp": 0.2812, **kodak}],
        ("kodak", "BSQ-ViT, arithmetic coding"): [
            {"bpp": 0.2073, **kodak, "published_lpips_of_webp": 0.166}
        ],
        ("mcl-jcv-360p", "BSQ-ViT, no entropy coding"): [{"bpp": 0.2333, **video}],
        ("mcl-jcv-360p", "BSQ-ViT, arithmetic coding"): [{"bpp": 0.1373, **video}],
    }


def test_crops_are_of_what_was_measured() -> None:
    found = plot.load_crops(results.RESULTS, [])
    for crops in found:
        measured = {result.codec: result for result in FOUND[crops.dataset]}
        for name, codec in crops.codecs.items():
            assert codec["options"] == measured[name].options, "run python -m benchmarks crops"
        for picture in crops.pictures:
            assert measured["jpeg"].hashes[picture.name] == picture.sha256
        assert len(crops.cells) == len(crops.pictures) * len(crops.codecs) * len(crops.rates)
    sheets = {sheet.name: sheet for sheet in contact_sheet.sheets(found)}
    for name, sheet in sheets.items():
        drawn = np.asarray(Image.open(ROOT / plot.FIGURES / f"contact_{name}.png"))
        again = np.asarray(Image.open(io.BytesIO(sheet.png())))
        assert drawn.shape == again.shape, "run python -m benchmarks plot"
        # letters may differ with the version of what draws them
        assert (drawn == again).mean() > 0.95, "run python -m benchmarks plot"
    shown = "".join((ROOT / name).read_text(encoding="utf-8") for name in PAGES)
    assert set(re.findall(r"/contact_(\w+)\.(?:png|svg)", shown)) == set(sheets)


def test_result_files_are_small() -> None:
    assert sum(path.stat().st_size for path in PATHS) < 5_000_000


@needs_data
def test_a_row_of_kodak_comes_out_again(tmp_path: Path) -> None:
    assert DATA is not None
    committed = RdResult.load(results.RESULTS / "kodak_jpeg.json")
    dataset = open_kodak(Path(DATA))
    assert dataset.hashes() == committed.hashes
    row, judge = committed.rows[1], open_judge(Path(DATA))
    item = dataset.items[0]
    again = measure_picture(ANCHORS["jpeg"](), judge, item, row.setting, tmp_path)
    # Other versions of the encoder may place a few bytes differently.
    assert again.bytes == pytest.approx(row.bytes, rel=0.01)
    assert again.psnr == pytest.approx(row.psnr, abs=0.05)
    assert again.ms_ssim == pytest.approx(row.ms_ssim, abs=0.002)
    if judge.lpips:
        assert again.lpips == pytest.approx(row.lpips, abs=0.002)


@needs_data
def test_a_row_of_a_clip_comes_out_again(tmp_path: Path) -> None:
    assert DATA is not None
    folder = Path(DATA) / "test_video"
    if not folder.is_dir():
        pytest.skip("BSQCODEC_DATA has no folder test_video")
    committed = RdResult.load(results.RESULTS / "davis360_x264-medium.json")
    row = committed.rows[0]
    (clip,) = open_videos(folder).only(row.item, "one").items
    assert clip.sha256() == committed.hashes[row.item]
    again = measure_clip(VIDEO_ANCHORS["x264-medium"], Judge(), clip, row.setting, tmp_path)
    assert again.bytes == pytest.approx(row.bytes, rel=0.02)
    assert again.psnr == pytest.approx(row.psnr, abs=0.1)
    assert again.ms_ssim == pytest.approx(row.ms_ssim, abs=0.002)
