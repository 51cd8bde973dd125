"""Videos in a batch, alone and among pictures: there and back, resumed, damaged, and by options."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import bsqcodec
from bsqcodec.batch import pictures, videos
from bsqcodec.batch.job import Status, run_batch
from bsqcodec.batch.kinds import VIDEO, Direction
from bsqcodec.batch.plan import Naming, make_plan
from bsqcodec.batch.pool import ProcessPool
from bsqcodec.cli.main import main
from bsqcodec.format.video_file_reader import VideoFileReader
from bsqcodec.format.video_gop import Gop
from bsqcodec.media.video.video_files import container_of
from bsqcodec.targets import Bitrate

from ..batch_tools import Inline, Watch, options, save_picture, temporary_files, tree
from ..cli.video_clips import FRAMES, HEIGHT, WIDTH, clip, clip_with_sound, frames_of, sound_of
from ..media.clips import make_clip

Output = pytest.CaptureFixture[str]

pytestmark = pytest.mark.usefixtures("tiny_video_weights")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: a picture and two videos below in/, workers that are no processes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("bsqcodec.cli.batch._executor", lambda *_: Inline())
    save_picture(Path("in/a.png"))
    Path("in/b.mkv").write_bytes(clip_with_sound())
    Path("in/sub").mkdir()
    Path("in/sub/c.MKV").write_bytes(clip(pts=range(3)))
    return tmp_path


@pytest.fixture(scope="module")
def coded(tmp_path_factory: pytest.TempPathFactory, video_weights: Path) -> Path:
    """A folder with the .bsq files of a picture and a video, a.png.bsq and b.mkv.bsq."""
    place = tmp_path_factory.mktemp("coded")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BSQCODEC_WEIGHTS", str(video_weights.parent))
        save_picture(place / "in" / "a.png")
        (place / "in" / "b.mkv").write_bytes(clip_with_sound())
        plan = make_plan([str(place / "in")], place / "out")
        run_batch(plan, options(device="cpu", gop=3), Inline(), Watch())
    return place / "out"


def batch(*arguments: str) -> int:
    return main(["batch", *arguments, "--threads", "1"])


def rows(out: str) -> list[list[str]]:
    """The rows of the table of a batch with both kinds, by their names: all, pictures, videos."""
    return sorted(line.split() for line in out.splitlines()[1:4])


def groups_of(path: str) -> list[int]:
    """Frames of each group of a .bsq video."""
    chunks = VideoFileReader(Path(path).read_bytes()).chunks()
    return [len(part.frames) for part in chunks if isinstance(part, Gop)]


# There and back -----------------------------------------------------------------------------------


def test_a_mixed_folder_there_and_back(folder: Path, capsys: Output) -> None:
    assert batch("in", "coded", "--gop", "3", "--verify", "--log", "log") == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert [row[:5] for row in rows(out)] == [
        ["all", "3", "3", "0", "0"],
        ["pictures", "1", "1", "0", "0"],
        ["videos", "2", "2", "0", "0"],
    ]
    assert list(tree(folder / "coded")) == ["a.png.bsq", "b.mkv.bsq", "sub/c.MKV.bsq"]
    assert groups_of("coded/b.mkv.bsq") == [3, 3, 1]
    facts = [json.loads(line) for line in Path("log").read_text().splitlines()]
    (fact,) = (x for x in facts if x.get("destination") == "b.mkv.bsq")
    size = Path("coded/b.mkv.bsq").stat().st_size
    assert (fact["kind"], fact["frames"]) == ("video", FRAMES)
    assert fact["pixels"] == FRAMES * WIDTH * HEIGHT
    assert fact["bpp"] == pytest.approx(8 * size / fact["pixels"]) and fact["psnr_db"] > 15

    assert batch("coded", "back") == 0
    assert list(tree(folder / "back")) == ["a.png", "b.mkv", "sub/c.mkv"]
    with Image.open("back/a.png") as image:
        assert image.size == (32, 24)
    assert frames_of("back/b.mkv").shape == (FRAMES, HEIGHT, WIDTH, 3)
    assert frames_of("back/sub/c.mkv").shape == (3, HEIGHT, WIDTH, 3)
    assert len(sound_of("back/b.mkv")) == len(sound_of("in/b.mkv"))
    assert temporary_files(folder) == []


def test_a_damaged_video_costs_itself_only(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    """By a real process: what went wrong has to get back from there."""
    monkeypatch.setattr("bsqcodec.cli.batch._executor", lambda scheduler, count: ProcessPool(count))
    data = make_clip("matroska", "libx264", pts=range(40))
    Path("in/0.mkv").write_bytes(data[: len(data) // 2])
    assert batch("in", "coded", "--workers", "1", "--log", "log") == 1
    out, err = capsys.readouterr()
    assert rows(out)[0][:5] == ["all", "4", "3", "0", "1"]
    assert "0.mkv: damaged after" in err and "Traceback" not in err
    assert list(tree(folder / "coded")) == ["a.png.bsq", "b.mkv.bsq", "sub/c.MKV.bsq"]
    facts = [json.loads(line) for line in Path("log").read_text().splitlines()]
    assert any("damaged after" in str(fact) for fact in facts)


def test_nothing_to_do_leaves_nothing(folder: Path, capsys: Output) -> None:
    Path("empty").mkdir()
    assert batch("empty", "coded") == 0
    assert "nothing to encode" in capsys.readouterr().err
    assert not Path("coded").exists()


def test_the_same_file_as_by_encode(folder: Path) -> None:
    assert batch("in/sub", "out", "--bitrate", "100k", "--strip") == 0
    arguments = ["in/sub/c.MKV", "-o", "c.bsq", "--bitrate", "100k", "--strip", "--quiet"]
    assert main(["encode", *arguments]) == 0
    assert Path("c.bsq").read_bytes() == Path("out/c.MKV.bsq").read_bytes()


def test_a_size(folder: Path) -> None:
    limit = 4000
    assert batch("in/sub", "out", "--size", str(limit)) == 0
    assert 0 < Path("out/c.MKV.bsq").stat().st_size <= limit


@pytest.mark.parametrize("name", videos.FORMATS)
def test_a_format_for_each_kind(folder: Path, coded: Path, name: str) -> None:
    assert batch(str(coded), "back", "--format", name, "--format", "webp") == 0
    video = "b.mkv" if name == "mkv" else f"b.mkv.{name}"
    assert list(tree(folder / "back")) == ["a.png.webp", video]
    assert len(frames_of(folder / "back" / video)) == FRAMES


def test_a_worker_process_codes_both(folder: Path) -> None:
    watch = Watch()
    plan = make_plan(["in"], Path("out"))
    run_batch(plan, options(device="cpu", threads=1, gop=3), ProcessPool(1), watch)
    assert watch.names(Status.DONE) == ["a.png", "b.mkv", "sub/c.MKV"]


def test_progress_is_in_frames(folder: Path, coded: Path) -> None:
    watch = Watch()
    run_batch(make_plan(["in/b.mkv"], Path("out")), options(gop=3), Inline(), watch)
    assert watch.advances[0][1].frames == 1 and watch.advances[0][1].total == FRAMES
    watch = Watch()
    run_batch(make_plan([str(coded / "b.mkv.bsq")], Path("back")), options(), Inline(), watch)
    assert watch.advances[0][1].frames == 1 and watch.advances[0][1].total == FRAMES


def test_weights_of_video_are_for_videos(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that only gets pictures does not load them."""
    loaded: list[str | None] = []

    def load(weights: str | None, *_: object) -> None:
        loaded.append(weights)
        raise bsqcodec.WeightsError("not wanted here")

    monkeypatch.setattr(videos, "_load", load)
    assert batch("in/a.png", "out", "--quiet") == 0 and loaded == []
    assert batch("in", "out", "--quiet") == 1 and loaded == [None, None]


# Again --------------------------------------------------------------------------------------------


def test_what_is_done_is_not_done_again(folder: Path, capsys: Output) -> None:
    def done() -> list[str]:
        return [row[2] for row in rows(capsys.readouterr().out)]

    assert batch("in", "out", "--gop", "3") == 0 and done() == ["3", "1", "2"]
    before = {path: path.stat().st_mtime_ns for path in Path("out").rglob("*.bsq")}
    assert batch("in", "out", "--gop", "3") == 0 and done() == ["0", "0", "0"]
    assert before == {path: path.stat().st_mtime_ns for path in Path("out").rglob("*.bsq")}
    assert batch("in", "out", "--gop", "2") == 0 and done() == ["2", "0", "2"]
    Path("out/sub/c.MKV.bsq").unlink()
    assert batch("in", "out", "--gop", "2") == 0 and done() == ["1", "0", "1"]


def test_decoding_is_not_done_again(folder: Path, coded: Path, capsys: Output) -> None:
    assert batch(str(coded), "back", "--quiet") == 0
    before = {path: path.stat().st_mtime_ns for path in Path("back").glob("*.*")}
    assert batch(str(coded), "back", "-v") == 0
    assert capsys.readouterr().err.count("done before") == 2
    del before[Path("back/.bsqcodec-batch.jsonl")]
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())


def test_a_file_that_no_batch_wrote_is_kept(folder: Path, coded: Path, capsys: Output) -> None:
    Path("out").mkdir()
    shutil.copy(coded / "b.mkv.bsq", "out")
    assert batch("in/b.mkv", "out", "--gop", "3") == 1
    assert "exists already; a video's file does not tell how" in capsys.readouterr().err
    assert batch("in/b.mkv", "out", "--gop", "3", "-f") == 0


def test_the_digest_is_of_what_makes_another_file() -> None:
    default = VIDEO.digest(Direction.ENCODE, options())
    same = options(weights_sha256="1", threads=3, verify=True, formats=("mp4",))
    assert VIDEO.digest(Direction.ENCODE, same) == default
    changes = (
        {"gop": 5},
        {"effort": 2},
        {"tune": "psnr"},
        {"strip": True},
        {"video_weights_sha256": "1"},
        {"target": Bitrate(1e5)},
    )
    assert len({default, *(VIDEO.digest(Direction.ENCODE, options(**c)) for c in changes)}) == 7
    decoding = VIDEO.digest(Direction.DECODE, options())
    assert decoding == VIDEO.digest(Direction.DECODE, options(formats=("jpg", "mkv")))
    assert decoding != VIDEO.digest(Direction.DECODE, options(formats=("jpg", "mp4")))


def test_effort_is_for_both_kinds_of_a_mixed_folder(folder: Path) -> None:
    for effort in ("1", "2"):
        assert batch("in", effort, "--effort", effort, "--quiet") == 0
        assert list(tree(folder / effort)) == ["a.png.bsq", "b.mkv.bsq", "sub/c.MKV.bsq"]
    plain, searched = tree(folder / "1"), tree(folder / "2")
    assert {name for name in plain if plain[name] != searched[name]} >= {
        "b.mkv.bsq",
        "sub/c.MKV.bsq",
    }


def test_typescript_is_no_transport_stream(folder: Path, capsys: Output) -> None:
    """Both have the suffix .ts; their contents tell them apart."""
    code = "export const GRID: Record<string, number> = { G: 0x47 };\n" * 40
    Path("in/code.ts").write_text(code)
    Path("in/module.mts").write_text("G" * 187)
    Path("in/film.ts").write_bytes(make_clip("mpegts", "mpeg2video", width=WIDTH, height=HEIGHT))
    assert batch("in", "out", "--gop", "3") == 0
    out, err = capsys.readouterr()
    assert err == "" and "left out: 2 unknown kind (.ts 1, .mts 1)" in out
    assert [name for name in tree(folder / "out") if "ts" in name] == ["film.ts.bsq"]


def test_typescript_does_not_keep_a_batch_from_decoding(folder: Path, coded: Path) -> None:
    shutil.copytree(coded, "coded")
    Path("coded/code.ts").write_text("const answer = 42;\n")
    assert batch("coded", "back") == 0
    assert list(tree(folder / "back")) == ["a.png", "b.mkv"]


# What goes wrong ----------------------------------------------------------------------------------


def test_a_damaged_source_fails_alone(folder: Path, capsys: Output) -> None:
    Path("in/none.mp4").write_text("no video")
    form: dict[str, Any] = {"width": WIDTH, "height": HEIGHT, "pts": range(12)}
    data = bytearray(make_clip("mp4", "libx264", options={"g": "4", "crf": "2"}, **form))
    middle = len(data) // 2
    data[middle : middle + 900] = np.random.default_rng(0).bytes(900)
    Path("in/bad.mp4").write_bytes(data)
    assert batch("in", "out") == 1
    err = capsys.readouterr().err.splitlines()
    assert {line.split(":")[2].strip() for line in err} == {"in/bad.mp4", "in/none.mp4"}
    assert any("in/bad.mp4: damaged after" in line for line in err)
    assert list(tree(folder / "out")) == ["a.png.bsq", "b.mkv.bsq", "sub/c.MKV.bsq"]
    assert temporary_files(folder) == []


def test_a_damaged_bsq_file_fails_alone(folder: Path, coded: Path, capsys: Output) -> None:
    shutil.copytree(coded, "coded")
    data = bytearray(Path("coded/b.mkv.bsq").read_bytes())
    Path("coded/cut.mkv.bsq").write_bytes(data[:-40])
    data[len(data) // 2] ^= 1
    Path("coded/flipped.mkv.bsq").write_bytes(data)
    assert batch("coded", "back") == 1
    err = capsys.readouterr().err.splitlines()
    names = {line.split(":")[2].strip() for line in err}
    assert names == {"coded/cut.mkv.bsq", "coded/flipped.mkv.bsq"}
    assert list(tree(folder / "back")) == ["a.png", "b.mkv"]
    assert temporary_files(folder) == []


def test_damage_that_cost_no_frame_is_told(folder: Path, capsys: Output) -> None:
    """The last packet of a program stream is cut, and its decoder makes do with what there is."""
    Path("in/sub/c.MKV").unlink()
    Path("in/sub/cut.mpg").write_bytes(make_clip("mpeg", "mpeg2video")[:-1000])
    assert batch("in/sub", "out", "-v") == 0
    warnings = [line for line in capsys.readouterr().err.splitlines() if "damaged" in line]
    assert len(warnings) == 1
    assert "in/sub/cut.mpg: " in warnings[0] and " damaged or missing, first after " in warnings[0]


def test_other_weights_than_those_of_the_batch(folder: Path) -> None:
    watch = Watch()
    chosen = replace(options(), video_weights_sha256="0" * 64)
    run_batch(make_plan(["in"], Path("out")), chosen, Inline(), watch)
    assert watch.names(Status.FAILED) == ["b.mkv", "sub/c.MKV"]
    error = str(watch.results["b.mkv"].error)
    assert error.endswith("holds other weights than the batch was started with")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("in out --bitrate 100k", "--bitrate is not for pictures"),
        ("in/a.png out --gop 3", "--gop is not for pictures"),
        ("in/b.mkv out -q 5 --bitrate 100k", "give only one of -q, --bpp, --bitrate"),
        ("in/b.mkv out --decode --gop 3", "--gop, --audio, --strip and --verify are for encoding"),
        (
            "in/b.mkv out --decode --effort 1",
            "--effort, --tune, --gop, --audio, --strip and --verify are for",
        ),
        ("in out --weights some", "this batch has both"),
        ("in out --decode --format mp4 --format mov", "cannot be decoded to mp4 and mov at once"),
    ],
)
def test_refusals(folder: Path, capsys: Output, arguments: str, message: str) -> None:
    before = tree(folder)
    assert batch(*arguments.split()) == 2
    assert message in capsys.readouterr().err and tree(folder) == before


# Names --------------------------------------------------------------------------------------------


def test_suffixes_and_formats() -> None:
    assert not set(videos.SUFFIXES) & set(pictures.SUFFIXES)
    assert all(container_of(f"a.{name}") == name for name in videos.FORMATS)


@pytest.mark.parametrize(
    ("name", "naming", "formats", "expected"),
    [
        ("a.mp4.bsq", "keep", [], "a.mp4.mkv"),
        ("a.mkv.bsq", "keep", [], "a.mkv"),
        ("a.mp4.bsq", "keep", ["mp4"], "a.mp4"),
        ("a.mp4.bsq", "replace", ["mov", "jpg"], "a.mov"),
        ("a.bsq", "keep", ["jpg"], "a.mkv"),
    ],
)
def test_names(
    folder: Path, coded: Path, name: str, naming: str, formats: list[str], expected: str
) -> None:
    Path("other").mkdir()
    shutil.copy(coded / "b.mkv.bsq", Path("other", name))
    plan = make_plan(["other"], Path("out"), naming=Naming(naming), formats=formats)
    assert [task.destination for task in plan.tasks] == [expected]
