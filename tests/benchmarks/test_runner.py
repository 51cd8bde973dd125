"""The runner: files written and read back, results kept and reused row by row."""

import dataclasses
import itertools
import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks import environment, metrics, ours, results
from benchmarks.datasets import Dataset, PictureFile, generated_clip, open_folder
from benchmarks.judge import Judge
from benchmarks.results import RdResult
from benchmarks.runner import Clocks, Timed, measure_clip, measure_picture, run

from .fakes import FakeCodec, FakeStill, FakeVideo


@pytest.fixture
def dataset(folder_of_two: Path) -> Dataset[PictureFile]:
    return open_folder(folder_of_two)


def go(
    codec: FakeStill | ours.BsqStill,
    dataset: Dataset[PictureFile],
    target: Path,
    **options: Any,
) -> RdResult:
    measure = partial(measure_picture, codec, Judge())
    return run(codec, dataset, target, measure, kind="pictures", command="test", **options)


def test_rows_of_pictures_are_of_files_read_back(
    still: FakeStill, dataset: Dataset[PictureFile], tmp_path: Path
) -> None:
    image = dataset.items[0].load()
    row = measure_picture(still, Judge(), dataset.items[0], 4, tmp_path)
    written = tmp_path / "picture.png"
    assert (row.item, row.frames, row.bytes) == ("a.png", 1, written.stat().st_size)
    assert row.bpp == pytest.approx(8 * row.bytes / (200 * 168), abs=1e-6)
    decoded = np.asarray(Image.open(written))
    assert row.psnr == pytest.approx(metrics.psnr(np.asarray(image), decoded), abs=1e-6)
    assert row.ms_ssim == pytest.approx(metrics.ms_ssim(np.asarray(image), decoded), abs=1e-6)
    assert row.encode_seconds > 0 and row.decode_seconds > 0


def test_rows_of_clips_are_of_files_read_back(tmp_path: Path) -> None:
    clip = generated_clip(64, 48, 3)
    row = measure_clip(FakeVideo(), Judge(), clip, 4, tmp_path)
    assert (row.width, row.height, row.frames) == (64, 48, 3)
    assert row.bytes == (tmp_path / "clip.npy").stat().st_size
    assert row.bpp == pytest.approx(8 * row.bytes / (64 * 48 * 3), abs=1e-6)
    pairs = zip(clip.read(), np.load(tmp_path / "clip.npy"), strict=True)
    expected = np.mean([metrics.psnr_yuv_frame(a, b) for a, b in pairs])
    assert row.psnr_yuv == pytest.approx(expected, abs=1e-6)
    assert row.ms_ssim is None


def test_time_for_reading_frames_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks, slow = itertools.count(), itertools.count(step=3)
    monkeypatch.setattr("time.process_time", lambda: float(next(ticks)))
    monkeypatch.setattr("time.perf_counter", lambda: float(next(slow)))
    frames = Timed(iter(generated_clip(16, 16, 3).read()))
    assert len(list(frames)) == 3
    assert frames.spent.wall == 12  # a tick for each frame, one for the end
    assert frames.spent.processor == pytest.approx(4)


def test_neither_waiting_nor_threads_count_as_time() -> None:
    assert Clocks(wall=9, processor=4).seconds() == 4  # waited
    assert Clocks(wall=2, processor=4).seconds() == 2  # two threads
    assert Clocks(5, 4) - Clocks(2, 3) + Clocks(1, 1) == Clocks(4, 2)


def test_result_file_tells_all(
    still: FakeStill, dataset: Dataset[PictureFile], tmp_path: Path
) -> None:
    target = tmp_path / "out" / "pair_fake.json"
    result = go(still, dataset, target, peak_memory=lambda item, setting: {"item": item.name})
    document = json.loads(target.read_text())
    assert document["dataset"]["name"] == "pair" and document["dataset"]["items"] == 2
    assert document["hashes"] == dataset.hashes()
    assert document["codec_versions"] == {"fake": "1"}
    assert {"python", "pillow", "numpy", "torch"} <= document["versions"].keys()
    assert document["machine"]["cpu"]
    assert re.fullmatch(r"[0-9a-f]{12}(-changed)?|unknown", document["commit"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", document["date"])
    assert document["peak_memory"] == {"item": "a.png"}
    assert [(row["item"], row["setting"]) for row in document["rows"]] == [
        ("a.png", 2),
        ("a.png", 4),
        ("b.png", 2),
        ("b.png", 4),
    ]
    for mean in document["means"]:
        rows = [row for row in document["rows"] if row["setting"] == mean["setting"]]
        for name in ("bpp", "psnr", "psnr_yuv", "ms_ssim"):
            assert mean[name] == pytest.approx(sum(row[name] for row in rows) / 2, abs=2e-6)
        assert mean["ms_ssim_db"] == pytest.approx(metrics.ms_ssim_db(mean["ms_ssim"]), abs=1e-3)
        seconds = sum(row["encode_seconds"] for row in rows) / (2 * 200 * 168 / 1e6)
        assert mean["encode_seconds"] == pytest.approx(seconds, abs=1e-4)
        assert mean["lpips"] is None
    assert result.complete()
    assert not list(target.parent.glob("*.part"))
    assert RdResult.load(target) == result


def test_a_finished_result_is_not_measured_again(
    still: FakeStill, dataset: Dataset[PictureFile], tmp_path: Path
) -> None:
    target = tmp_path / "pair_fake.json"
    go(still, dataset, target)
    before = target.read_bytes()
    assert still.encodes == 4
    go(still, dataset, target)
    assert still.encodes == 4
    assert target.read_bytes() == before
    go(still, dataset, target, fresh=True)
    assert still.encodes == 8


def test_a_stopped_run_goes_on(
    still: FakeStill, dataset: Dataset[PictureFile], tmp_path: Path
) -> None:
    target = tmp_path / "pair_fake.json"

    def stop(item: PictureFile, setting: float, folder: Path) -> results.Row:
        if still.encodes == 3:
            raise KeyboardInterrupt
        return measure_picture(still, Judge(), item, setting, folder)

    with pytest.raises(KeyboardInterrupt):
        run(still, dataset, target, stop, kind="pictures", command="test")
    assert len(RdResult.load(target).rows) == 3
    assert results.load_results(tmp_path, "pair") == []
    whole = go(still, dataset, target)
    assert len(whole.rows) == 4 and whole.complete()
    assert still.encodes == 4


def test_other_settings_reuse_what_they_share(
    still: FakeStill, dataset: Dataset[PictureFile], tmp_path: Path
) -> None:
    target = tmp_path / "pair_fake.json"
    go(still, dataset, target)
    still.settings = (4, 6)
    assert {row.setting for row in go(still, dataset, target).rows} == {4, 6}
    assert still.encodes == 4 + 2


def test_only_a_changed_picture_is_measured_again(
    still: FakeStill, dataset: Dataset[PictureFile], tmp_path: Path
) -> None:
    target = tmp_path / "pair_fake.json"
    before = go(still, dataset, target)
    Image.new("RGB", (200, 168), "red").save(dataset.items[1].path)
    after = go(still, dataset, target)
    assert still.encodes == 4 + 2
    assert after.rows[:2] == before.rows[:2]
    assert after.rows[2].bytes != before.rows[2].bytes
    assert after.dataset["sha256"] != before.dataset["sha256"]


def test_another_version_is_measured_again(
    still: FakeStill, dataset: Dataset[PictureFile], tmp_path: Path
) -> None:
    target = tmp_path / "pair_fake.json"
    go(still, dataset, target)
    newer = FakeStill(version="2")
    notes: list[str] = []
    go(newer, dataset, target, note=notes.append)
    assert newer.encodes == 4
    assert "another version" in notes[0]


def test_older_metrics_are_measured_again(
    still: FakeStill, dataset: Dataset[PictureFile], tmp_path: Path
) -> None:
    target = tmp_path / "pair_fake.json"
    go(still, dataset, target)
    document = json.loads(target.read_text())
    document["metrics_version"] -= 1
    target.write_text(json.dumps(document))
    go(still, dataset, target)
    assert still.encodes == 8


def measured_with_lpips(
    still: FakeStill, item: PictureFile, setting: float, folder: Path
) -> results.Row:
    return dataclasses.replace(
        measure_picture(still, Judge(), item, setting, folder), lpips=0.25, encode_seconds=1e6
    )


LPIPS: dict[str, Any] = {
    "kind": "pictures",
    "command": "test",
    "measures": frozenset({"lpips"}),
}


def test_rows_without_lpips_get_it_once_it_can_be_measured(
    still: FakeStill, dataset: Dataset[PictureFile], tmp_path: Path
) -> None:
    target = tmp_path / "pair_fake.json"
    before = go(still, dataset, target)
    before.machine, before.date = {"cpu": "another"}, "2020-01-01"
    before.save(target)
    measure = partial(measured_with_lpips, still)
    again = run(still, dataset, target, measure, **LPIPS)
    assert still.encodes == 8
    # The files are the same, so all else is what it was: also the times, and whose they are.
    rows = [dataclasses.replace(row, lpips=0.25) for row in before.rows]
    assert again == dataclasses.replace(before, rows=rows)
    run(still, dataset, target, measure, **LPIPS)
    assert still.encodes == 8


def test_rows_whose_files_have_another_size_are_replaced(
    still: FakeStill, dataset: Dataset[PictureFile], tmp_path: Path
) -> None:
    target = tmp_path / "pair_fake.json"
    before = go(still, dataset, target)
    before.machine, before.date = {"cpu": "another"}, "2020-01-01"
    before.rows[1] = dataclasses.replace(before.rows[1], bytes=before.rows[1].bytes + 1)
    before.save(target)
    again = run(still, dataset, target, partial(measured_with_lpips, still), **LPIPS)
    assert [row.encode_seconds == 1e6 for row in again.rows] == [False, True, False, False]
    assert again.machine == environment.machine() and again.date == environment.today()


def test_a_stopped_run_loses_no_rows_that_lack_something(
    still: FakeStill, dataset: Dataset[PictureFile], tmp_path: Path
) -> None:
    target = tmp_path / "pair_fake.json"
    go(still, dataset, target)

    def stop(item: PictureFile, setting: float, folder: Path) -> results.Row:
        if still.encodes == 5:
            raise KeyboardInterrupt
        return measured_with_lpips(still, item, setting, folder)

    with pytest.raises(KeyboardInterrupt):
        run(still, dataset, target, stop, **LPIPS)
    assert [row.lpips for row in RdResult.load(target).rows] == [0.25, None, None, None]


def test_other_json_is_not_taken_for_a_result(tmp_path: Path) -> None:
    (tmp_path / "kodak_other.json").write_text('{"codec": "other"}')
    with pytest.raises(ValueError, match=r"kodak_other\.json: not a result file"):
        results.load_results(tmp_path, "kodak")


def test_bsqcodec_is_driven_through_its_public_api(
    fake_codec: FakeCodec, dataset: Dataset[PictureFile], tmp_path: Path
) -> None:
    codec = ours.BsqStill(fake_codec, qualities=(10.0, 80.0))  # type: ignore[arg-type]
    result = go(codec, dataset, tmp_path / "pair_bsqcodec.json")
    assert result.options["weights"] == "0001020304050607"
    assert re.fullmatch("[0-9a-f]{16}", str(result.options["fingerprint"]))
    assert {"bsqcodec", "torch", "constriction"} == result.codec_versions.keys()
    assert [mean.setting for mean in result.means()] == [10, 80]


def test_fingerprint_follows_bytes_and_pixels_only(fake_codec: FakeCodec) -> None:
    def fingerprint() -> str:
        return ours.BsqStill(fake_codec).fingerprint()  # type: ignore[arg-type]

    first = fingerprint()
    assert fingerprint() == first
    encode, decode = fake_codec.encode, fake_codec.decode

    def longer(*arguments: Any, **options: Any) -> Any:
        coded = encode(*arguments, **options)
        coded.data += b"x"
        return coded

    fake_codec.encode = longer  # type: ignore[method-assign]
    assert fingerprint() != first
    fake_codec.encode = encode  # type: ignore[method-assign]

    def darker(source: Any) -> Any:
        decoded = decode(source)
        decoded.picture.pixels = decoded.picture.pixels // 2
        return decoded

    fake_codec.decode = darker  # type: ignore[method-assign]
    assert fingerprint() != first


def test_grey_pixels_become_rgb() -> None:
    grey = np.arange(6, dtype=np.uint8).reshape(2, 3)
    assert ours.rgb(grey).shape == (2, 3, 3)
    assert (ours.rgb(grey) == grey[..., None]).all()
