"""The command line from pictures and clips to result files, figures and a report."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from PIL import Image

from benchmarks import __main__ as command
from benchmarks import environment, memory_probe
from benchmarks.anchors import ANCHORS, VIDEO_ANCHORS
from benchmarks.datasets import PictureFile, generated_clip, generated_picture, write_y4m
from benchmarks.results import RdResult
from benchmarks.run import main as run_command


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    folder = tmp_path / "videos"
    folder.mkdir()
    write_y4m(generated_clip(192, 168, 4), folder / "pan.y4m")
    write_y4m(generated_clip(64, 48, 4, seed=1), folder / "small.y4m")
    return folder


def invoke(*arguments: str | Path) -> str:
    done = CliRunner(env={"BSQCODEC_LPIPS": None}).invoke(command.main, [*map(str, arguments)])
    assert done.exit_code == 0, done.output
    return done.output


def test_from_pictures_to_the_report(folder_of_two: Path, tmp_path: Path) -> None:
    out, page = tmp_path / "out", tmp_path / "page.html"
    measured = invoke(
        *("run", "--dataset", "pictures", "--data", folder_of_two, "--results", out),
        *("--codecs", "jpeg,jpeg2000,webp", "--no-memory"),
    )
    assert "JPEG: quality, bpp" in measured
    assert sorted(path.name for path in out.iterdir()) == [
        "pair_jpeg.json",
        "pair_jpeg2000.json",
        "pair_webp.json",
    ]
    for name in ("jpeg", "jpeg2000", "webp"):
        result = RdResult.load(out / f"pair_{name}.json")
        assert result.complete()
        assert {mean.setting for mean in result.means()} == set(ANCHORS[name]().settings)
        qualities = [mean.psnr for mean in result.means()]
        assert qualities == sorted(qualities)
    invoke("plot", "--results", out, "--figures", tmp_path / "figures")
    assert (tmp_path / "figures" / "pair_ms_ssim.svg").is_file()
    assert "JPEG 2000" in (out / "TABLES_pair.md").read_text(encoding="utf-8")
    invoke("report", "--results", out, "--out", page)
    assert "pair (2 pictures)" in page.read_text(encoding="utf-8")


def test_clips_with_and_without_ms_ssim(videos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    common = ("run", "--dataset", "videos", "--data", videos, "--results", out, "--no-memory")
    invoke(*common, "--codecs", "x264-medium,svtav1", "--frames", "3")
    result = RdResult.load(out / "videos-frames3_svtav1.json")
    by_item = {row.item: row for row in result.rows}
    assert by_item["pan"].ms_ssim is not None and by_item["small"].ms_ssim is None
    assert by_item["pan"].frames == 3
    assert all(mean.ms_ssim is None and mean.lpips is None for mean in result.means())
    invoke(*common, "--codecs", "x264-medium", "--only", "p*", "--name", "pans")
    result = RdResult.load(out / "pans_x264-medium.json")
    assert [mean.ms_ssim is None for mean in result.means()] == [False] * 5
    assert result.options == VIDEO_ANCHORS["x264-medium"].options()
    invoke("plot", "--results", out, "--figures", tmp_path)
    assert (tmp_path / "pans_speed.png").is_file()


def test_a_limit_goes_into_files_of_its_own(folder_of_two: Path, tmp_path: Path) -> None:
    common = ("run", "--dataset", "pictures", "--data", folder_of_two, "--results", tmp_path)
    invoke(*common, "--codecs", "jpeg", "--limit", "1")
    result = RdResult.load(tmp_path / "pair-first1_jpeg.json")
    assert len(result.rows) == len(ANCHORS["jpeg"]().settings)
    assert result.peak_memory is not None and result.peak_memory["item"] == "a.png"
    assert result.peak_memory["encode_mib"] >= result.peak_memory["idle_mib"] > 10


@pytest.mark.parametrize(
    ("arguments", "message", "status"),
    [
        (["--codecs", "gif"], "no codec gif", 2),
        (["--codecs", "x264-medium"], "no codec x264-medium for this", 2),
        (["--qualities", "high"], "--qualities takes numbers", 2),
        (["--only", "kodim0*"], "--only and --name go together", 2),
        (["--codecs", "jpeg"], "BSQCODEC_DATA", 1),
        (["--dataset", "uvg"], r"ultravideo", 1),
        (["--dataset", "mcl-jcv-360p"], r"mcl\.usc\.edu", 1),
    ],
)
def test_errors(arguments: list[str], message: str, status: int) -> None:
    done = CliRunner(env={"BSQCODEC_DATA": None}).invoke(run_command, arguments)
    assert done.exit_code == status
    assert message.replace("\\", "") in done.output


def test_list_of_data_sets(tmp_path: Path) -> None:
    text = invoke("datasets", "--data", tmp_path)
    assert "kodak: " in text and "24 of 24 files of Kodak are missing" in text
    assert "Jockey_1920x1080_120fps_420_8bit_YUV.yuv, 600 frames" in text
    assert "videoSRC30_1920x1080_30.yuv, 150 frames" in text


def test_without_a_command_what_is_missing_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BSQCODEC_DATA", str(tmp_path))
    monkeypatch.setattr(command.run.results, "RESULTS", tmp_path)
    monkeypatch.setattr(command, "defaults", defaults_into(tmp_path))
    done = CliRunner().invoke(command.main, [])
    assert done.exit_code == 0, done.output
    left_out = [line for line in done.output.splitlines() if line.startswith("left out")]
    assert len(left_out) == 11
    assert "Kodak" in left_out[0] and "30 of 30" in left_out[3]


def defaults_into(folder: Path) -> Callable[..., dict[str, object]]:
    """The real defaults, with every output in `folder`."""
    real = command.defaults
    places = {"folder": folder, "out": folder / "out", "target": folder}

    def defaults(target: click.Command, **changed: object) -> dict[str, object]:
        found = real(target, **changed)
        return {**found, **{key: path for key, path in places.items() if key in found}}

    return defaults


def test_memory_of_a_video_anchor(videos: Path, tmp_path: Path) -> None:
    coded = tmp_path / "clip.h264"
    for arguments in (
        ["encode", str(videos / "pan.y4m"), str(coded)],
        ["decode", str(coded), str(tmp_path / "none")],
    ):
        arguments = ["x264-medium", *arguments, "--video", "--setting", "30"]
        done = CliRunner().invoke(memory_probe.main, arguments)
        assert done.exit_code == 0, done.output
        report = json.loads(done.output)
        assert report["peak_rss_bytes"] >= report["loaded_rss_bytes"] > 0
        assert report["seconds"] > 0
    assert coded.stat().st_size > 100


def test_idle_memory_bounds_both_ways_whichever_process_was_larger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings = {"encode": (310, 310), "decode": (311, 312)}

    def fake_probe(codec: str, direction: str, *rest: object) -> dict[str, float]:
        loaded, peak = readings[direction]
        return {"loaded_rss_bytes": loaded * 2**20, "peak_rss_bytes": peak * 2**20}

    monkeypatch.setattr(memory_probe, "probe", fake_probe)
    generated_picture(16, 16).save(tmp_path / "p.png")
    found = memory_probe.of_item("jpeg", PictureFile("p.png", tmp_path / "p.png"), 50)
    assert found == {
        "item": "p.png",
        "setting": 50,
        "idle_mib": 310,
        "encode_mib": 310,
        "decode_mib": 312,
    }
    readings = {"encode": (311, 313), "decode": (310, 310)}
    found = memory_probe.of_item("jpeg", PictureFile("p.png", tmp_path / "p.png"), 50)
    assert (found["idle_mib"], found["encode_mib"], found["decode_mib"]) == (310, 313, 310)


def test_a_failing_probe_says_why(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "p.ppm")
    with pytest.raises(Exception, match="memory of gif: exit"):
        memory_probe.probe("gif", "encode", tmp_path / "p.ppm", tmp_path / "out")


def test_commands_hold_no_absolute_paths() -> None:
    arguments = ["run", "--data", "/home/somebody/kodak", "--out=/tmp/x y", "--limit", "2"]
    assert environment.portable_command("benchmarks", arguments) == (
        "python -m benchmarks run --data kodak '--out=x y' --limit 2"
    )


def test_commit_of_a_checkout(tmp_path: Path) -> None:
    assert environment.commit(tmp_path) == "unknown"
    if shutil.which("git") is None:
        return
    git = ["git", "-C", str(tmp_path), "-c", "user.name=n", "-c", "user.email=e@e"]
    (tmp_path / "a").write_text("a")
    for arguments in (["init", "-q"], ["add", "a"], ["commit", "-q", "-m", "m"]):
        subprocess.run([*git, *arguments], check=True, capture_output=True)
    clean = environment.commit(tmp_path)
    assert len(clean) == 12
    (tmp_path / "a").write_text("b")
    assert environment.commit(tmp_path) == f"{clean}-changed"


def test_help_is_quick_and_lists_the_commands() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--help"], capture_output=True, text=True, check=True
    )
    for name in ("run", "plot", "report", "tokenizer", "crops", "speed", "datasets"):
        assert f"  {name}" in done.stdout


def test_small_pictures_lack_ms_ssim_and_nothing_else(tmp_path: Path) -> None:
    generated_picture(160, 170).save(tmp_path / "p.png")
    text = invoke(
        *("run", "--dataset", "pictures", "--data", tmp_path, "--results", tmp_path / "r"),
        *("--codecs", "webp", "--no-memory"),
    )
    assert text.startswith("WebP: quality, bpp, PSNR dB, MS-SSIM, LPIPS")
    (path,) = (tmp_path / "r").iterdir()
    assert {row.ms_ssim for row in RdResult.load(path).rows} == {None}
    assert all(mean.psnr > 20 for mean in RdResult.load(path).means())
