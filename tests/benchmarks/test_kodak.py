"""The runner: files written and read back, results kept and reused, committed results sound."""

import dataclasses
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from benchmarks import kodak, metrics, ours, results
from benchmarks.anchors import ANCHORS
from benchmarks.datasets import Dataset, open_folder, open_kodak
from benchmarks.results import RdResult

from .fakes import FakeCodec, FakeStill

ANCHOR_FILES = sorted(f"kodak_{name}.json" for name in ANCHORS)
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


@pytest.fixture
def dataset(folder_of_two: Path) -> Dataset:
    return open_folder(folder_of_two)


def run(codec: FakeStill, dataset: Dataset, target: Path, **options: bool) -> RdResult:
    return kodak.run(codec, dataset, target, command="test", **options)


def test_rows_are_of_files_read_back(still: FakeStill, dataset: Dataset, tmp_path: Path) -> None:
    image = dataset.pictures[0].load()
    row = kodak.measure(still, "a", image, 4, tmp_path)
    written = tmp_path / "a.png"
    assert row.bytes == written.stat().st_size
    assert row.bpp == pytest.approx(8 * row.bytes / (200 * 168), abs=1e-6)
    decoded = np.asarray(Image.open(written))
    assert row.psnr == pytest.approx(metrics.psnr(np.asarray(image), decoded), abs=1e-6)
    assert row.ms_ssim == pytest.approx(metrics.ms_ssim(np.asarray(image), decoded), abs=1e-6)
    assert row.encode_seconds > 0 and row.decode_seconds > 0


def test_result_file_tells_all(still: FakeStill, dataset: Dataset, tmp_path: Path) -> None:
    target = tmp_path / "out" / "pair_fake.json"
    result = run(still, dataset, target)
    document = json.loads(target.read_text())
    assert document["dataset"] == {"name": "pair", "pictures": 2, "sha256": dataset.sha256()}
    assert document["codec_versions"] == {"fake": "1"}
    assert {"python", "pillow", "numpy", "torch"} <= document["versions"].keys()
    assert document["machine"]["cpu"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", document["date"])
    assert [(row["picture"], row["setting"]) for row in document["rows"]] == [
        ("a.png", 2),
        ("a.png", 4),
        ("b.png", 2),
        ("b.png", 4),
    ]
    for mean in document["means"]:
        rows = [row for row in document["rows"] if row["setting"] == mean["setting"]]
        for name in ("bpp", "psnr", "ms_ssim"):
            assert mean[name] == pytest.approx(sum(row[name] for row in rows) / 2, abs=2e-6)
        assert mean["ms_ssim_db"] == pytest.approx(metrics.ms_ssim_db(mean["ms_ssim"]), abs=1e-3)
    assert result.complete()
    assert not list(target.parent.glob("*.part"))


def test_a_finished_result_is_not_measured_again(
    still: FakeStill, dataset: Dataset, tmp_path: Path
) -> None:
    target = tmp_path / "pair_fake.json"
    run(still, dataset, target)
    before = target.read_bytes()
    assert still.encodes == 4
    run(still, dataset, target)
    assert still.encodes == 4
    assert target.read_bytes() == before
    run(still, dataset, target, fresh=True)
    assert still.encodes == 8


def test_a_stopped_run_goes_on(still: FakeStill, dataset: Dataset, tmp_path: Path) -> None:
    target = tmp_path / "pair_fake.json"
    whole = run(still, dataset, target)
    partial = dataclasses.replace(whole, rows=whole.rows[:1])
    assert not partial.complete()
    partial.save(target)
    assert results.load_results(tmp_path, "pair") == []
    assert [r.bytes for r in run(still, dataset, target).rows] == [r.bytes for r in whole.rows]
    assert still.encodes == 4 + 3


def test_other_settings_reuse_what_they_share(
    still: FakeStill, dataset: Dataset, tmp_path: Path
) -> None:
    target = tmp_path / "pair_fake.json"
    run(still, dataset, target)
    still.settings = (4, 6)
    assert {row.setting for row in run(still, dataset, target).rows} == {4, 6}
    assert still.encodes == 4 + 2


def test_another_version_is_measured_again(
    still: FakeStill, dataset: Dataset, tmp_path: Path
) -> None:
    target = tmp_path / "pair_fake.json"
    run(still, dataset, target)
    newer, notes = FakeStill(version="2"), []
    kodak.run(newer, dataset, target, command="test", note=notes.append)
    assert newer.encodes == 4
    assert "another version" in notes[0]


def test_other_json_is_not_taken_for_a_result(tmp_path: Path) -> None:
    (tmp_path / "kodak_other.json").write_text('{"codec": "other"}')
    with pytest.raises(ValueError, match="kodak_other.json: not a result file"):
        results.load_results(tmp_path, "kodak")


def test_bsqcodec_is_driven_through_its_public_api(
    fake_codec: FakeCodec, dataset: Dataset, tmp_path: Path
) -> None:
    codec = ours.BsqStill(fake_codec, qualities=(10.0, 80.0))  # type: ignore[arg-type]
    result = kodak.run(codec, dataset, tmp_path / "pair_bsqcodec.json", command="test")
    assert result.options["weights"] == "0001020304050607"
    assert re.fullmatch("[0-9a-f]{64}", str(result.options["source_sha256"]))
    assert {"bsqcodec", "torch", "constriction"} == result.codec_versions.keys()
    assert [mean.setting for mean in result.means()] == [10, 80]


def test_grey_pixels_become_rgb() -> None:
    grey = np.arange(6, dtype=np.uint8).reshape(2, 3)
    assert ours.rgb(grey).shape == (2, 3, 3)
    assert (ours.rgb(grey) == grey[..., None]).all()


def test_commands_hold_no_absolute_paths() -> None:
    arguments = ["--data", "/home/somebody/kodak", "--out=/tmp/x y", "--limit", "2"]
    assert results.portable_command("benchmarks.kodak", arguments) == (
        "python -m benchmarks.kodak --data kodak '--out=x y' --limit 2"
    )


def test_command_line(folder_of_two: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ["--dataset", "folder", "--data", str(folder_of_two), "--codecs", "jpeg"]
    done = CliRunner().invoke(kodak.main, [*arguments, "--limit", "1", "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "JPEG: quality, bpp" in done.output
    result = RdResult.load(out / "pair-first1_jpeg.json")
    assert len(result.rows) == len(ANCHORS["jpeg"].settings)


@pytest.mark.parametrize(
    ("arguments", "message", "status"),
    [
        (["--codecs", "gif"], "no codec gif", 2),
        (["--qualities", "high"], "--qualities takes numbers", 2),
        (["--codecs", "jpeg"], "BSQCODEC_DATA", 1),
    ],
)
def test_command_line_errors(arguments: list[str], message: str, status: int) -> None:
    done = CliRunner(env={"BSQCODEC_DATA": None}).invoke(kodak.main, arguments)
    assert done.exit_code == status
    assert message in done.output


def test_pictures_too_small_for_ms_ssim_are_named(tmp_path: Path) -> None:
    Image.new("RGB", (160, 300)).save(tmp_path / "small.png")
    arguments = ["--dataset", "folder", "--data", str(tmp_path), "--codecs", "jpeg"]
    done = CliRunner().invoke(kodak.main, arguments)
    assert done.exit_code == 1
    assert "small.png: MS-SSIM needs 161 pixels" in done.output


@pytest.mark.parametrize("name", ANCHOR_FILES)
def test_committed_anchor_results(name: str) -> None:
    path = results.RESULTS / name
    result = RdResult.load(path)
    assert result.complete()
    assert result.dataset["pictures"] == 24
    means = result.means()
    assert len(means) >= 8
    assert means[0].bpp < 0.12 and means[-1].bpp > 1.1
    for metric in ("psnr", "ms_ssim"):
        values = [getattr(mean, metric) for mean in means]
        assert values == sorted(values)
    # Only the anchors' settings of today, or a table would show what nobody can measure again.
    assert {mean.setting for mean in means} == set(ANCHORS[result.codec].settings)
    assert result.options == json.loads(json.dumps(ANCHORS[result.codec]().options()))


@pytest.mark.parametrize("path", sorted(results.RESULTS.glob("*.json")), ids=lambda p: p.name)
def test_committed_results_hold_no_paths_of_a_machine(path: Path) -> None:
    assert not re.search(r'["\s=](/|[A-Z]:\\)\w', path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("codec", sorted(REFERENCE))
def test_committed_anchor_results_agree_with_others(codec: str) -> None:
    means = RdResult.load(results.RESULTS / f"kodak_{codec}.json").means()
    for bpp, psnr, ms_ssim in REFERENCE[codec]:
        nearest = min(means, key=lambda mean: abs(mean.bpp - bpp))
        assert nearest.bpp == pytest.approx(bpp, abs=0.001)
        assert nearest.psnr == pytest.approx(psnr, abs=0.02)
        assert nearest.ms_ssim == pytest.approx(ms_ssim, abs=0.001)


@pytest.mark.skipif("BSQCODEC_DATA" not in os.environ, reason="BSQCODEC_DATA names no pictures")
def test_committed_rows_come_out_again(tmp_path: Path) -> None:
    committed = RdResult.load(results.RESULTS / "kodak_jpeg.json")
    dataset = open_kodak(Path(os.environ["BSQCODEC_DATA"]))
    assert dataset.sha256() == committed.dataset["sha256"]
    row, codec = committed.rows[1], ANCHORS["jpeg"]()
    again = kodak.measure(codec, row.picture, dataset.pictures[0].load(), row.setting, tmp_path)
    # Other versions of the encoder may place a few bytes differently.
    assert again.bytes == pytest.approx(row.bytes, rel=0.01)
    assert again.psnr == pytest.approx(row.psnr, abs=0.05)
    assert again.ms_ssim == pytest.approx(row.ms_ssim, abs=0.002)
