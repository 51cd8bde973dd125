"""`bsqcodec batch` with the real codec and the tiny model: folders there and back, and reports."""

from __future__ import annotations

import json
import os
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bsqcodec.batch.batch_options import Options
from bsqcodec.batch.journal import Journal
from bsqcodec.batch.pictures import check
from bsqcodec.cli.main import main
from bsqcodec.encoder import effort as effort_module
from bsqcodec.encoder.target_search import step_of_quality
from bsqcodec.format.image_container import unpack
from bsqcodec.options import EncodeOptions
from bsqcodec.targets import Quality

from ..batch_tools import Inline, save_picture, temporary_files, tree
from ..golden_files import scene

Output = pytest.CaptureFixture[str]

pytestmark = pytest.mark.usefixtures("tiny_weights")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: two pictures and a text below in/, and workers that are no processes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("bsqcodec.cli.batch._executor", lambda *_: Inline())
    for name in ("a.png", "sub/b.jpg"):
        path = Path("in", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(scene(60, 90)).save(path)
    Path("in/readme.txt").write_text("text")
    return tmp_path


def batch(*arguments: str) -> int:
    return main(["batch", *arguments, "--threads", "1"])


def log() -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path("log").read_text().splitlines()]


# There and back -----------------------------------------------------------------------------------


def test_there_and_back(folder: Path, capsys: Output) -> None:
    assert batch("in", "coded", "-q", "70", "--verify") == 0
    out, err = capsys.readouterr()
    assert err == ""
    head, row, left_out = out.splitlines()
    assert head.split()[:6] == ["files", "done", "skipped", "failed", "left", "in"]
    assert row.split()[:6] == ["pictures", "2", "2", "0", "0", "0"]
    assert left_out == "left out: 1 unknown kind (.txt 1)"
    assert list(tree(folder / "coded")) == ["a.png.bsq", "sub/b.jpg.bsq"]
    step = unpack(Path("coded/a.png.bsq").read_bytes()).header.step
    assert step == step_of_quality(70)
    assert batch("coded", "back") == 0
    assert list(tree(folder / "back")) == ["a.png", "sub/b.jpg.png"]
    with Image.open("back/a.png") as image:
        assert np.abs(np.array(image).astype(float) - scene(60, 90)).mean() < 25
    assert batch("coded", "jpegs", "--format", "jpg", "--name", "replace") == 0
    assert list(tree(folder / "jpegs")) == ["a.jpg", "sub/b.jpg"]


def test_a_folder_in_another_look(folder: Path, tiny_looks: Path, capsys: Output) -> None:
    assert batch("in", "coded", "--look", "natural") == 0
    assert batch("coded", "shown") == 0
    assert batch("coded", "balanced", "--look", "balanced") == 0
    shown, balanced = (np.asarray(Image.open(f"{name}/a.png")) for name in ("shown", "balanced"))
    assert not np.array_equal(shown, balanced)
    assert main(["decode", "coded/a.png.bsq", "-o", "a.png", "--look", "balanced", "--quiet"]) == 0
    assert np.array_equal(balanced, np.asarray(Image.open("a.png")))
    capsys.readouterr()
    for look, skipped in (("balanced", "2"), ("natural", "0")):
        assert batch("coded", "balanced", "--look", look) == 0
        assert capsys.readouterr().out.splitlines()[1].split()[3] == skipped
    assert np.array_equal(shown, np.asarray(Image.open("balanced/a.png")))


def test_the_same_file_as_by_encode(folder: Path) -> None:
    assert batch("in", "out", "--bpp", ".5", "--strip") == 0
    assert main(["encode", "in/a.png", "-o", "a.bsq", "--bpp", ".5", "--strip", "--quiet"]) == 0
    assert Path("a.bsq").read_bytes() == Path("out/a.png.bsq").read_bytes()


def test_a_second_run_has_nothing_to_do(folder: Path, capsys: Output) -> None:
    assert batch("in", "out", "--quiet") == 0
    assert capsys.readouterr() == ("", "")
    before = {path: path.stat().st_mtime_ns for path in Path("out").rglob("*.bsq")}
    assert batch("in", "out", "-v") == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[1].split()[:6] == ["pictures", "2", "0", "2", "0", "0"]
    assert "in/a.png -> out/a.png.bsq: done before" in err
    assert "left out: in/readme.txt: unknown kind" in err
    assert before == {path: path.stat().st_mtime_ns for path in Path("out").rglob("*.bsq")}
    assert batch("in", "out", "-q", "20") == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:3] == ["pictures", "2", "2"]
    assert batch("in", "out", "-q", "20", "--no-resume") == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:3] == ["pictures", "2", "2"]


# Files without a record ---------------------------------------------------------------------------


def test_files_of_encode_are_taken_over(folder: Path, capsys: Output) -> None:
    Path("out").mkdir()
    assert main(["encode", "in/a.png", "-o", "out/a.png.bsq", "--quiet"]) == 0
    assert batch("in", "out") == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:4] == ["pictures", "2", "1", "1"]
    (entry,) = Journal(Path("out"), locked=False).entries("a.png.bsq")
    assert entry.found and not entry.verified


def test_searched_files_of_encode_are_taken_over(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where they are too large to be searched, those of effort 1."""
    Path("out").mkdir()
    for name, effort in (("a", "2"), ("b", "1")):
        Image.fromarray(scene(30, 45)).save(f"in/{name}.png")
        source, coded = f"in/{name}.png", f"out/{name}.png.bsq"
        assert main(["encode", source, "-o", coded, "--effort", effort, "--quiet"]) == 0
    header = unpack(Path("out/a.png.bsq").read_bytes()).header
    searching = Options(EncodeOptions(Quality(50), effort=2), model_id=header.model_id.hex())

    def taken(name: str) -> bool:
        return check(Path(f"in/{name}.png"), Path(f"out/{name}.png.bsq"), searching) is None

    assert taken("a") and not taken("b")
    monkeypatch.setattr(effort_module, "MAX_OPTIMISED_PIXELS", 30 * 45 - 1)
    assert taken("b") and not taken("a")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def age(path: Path) -> None:
    os.utime(path, (1, 1))


def nothing(path: Path) -> None:
    pass


@pytest.mark.parametrize(
    ("encode", "change", "arguments", "reason"),
    [
        ([], cut, [], "the file ends inside"),
        ([], lengthen, [], "more data follows the end"),
        ([], age, [], "its source is newer"),
        (["-q", "20"], nothing, [], "it is of another quality"),
        (["--effort", "2"], nothing, [], "it is of another quality or effort"),
        ([], nothing, ["--effort", "2"], "it is of another quality or effort"),
        (["--size", "300"], nothing, ["--size", "300"], "it does not tell what rate"),
        (["--strip"], nothing, [], "it has other metadata"),
        ([], nothing, ["--strip"], "it has other metadata"),
    ],
)
def test_other_files_are_kept(
    folder: Path, capsys: Output, encode: list[str], change: Any, arguments: list[str], reason: str
) -> None:
    """A .bsq file without a record that is not whole, or not of these options, is left alone."""
    exif = Image.Exif()
    exif[270] = "a scene"
    Image.fromarray(scene(60, 90)).save("in/a.png", exif=exif)
    Path("out").mkdir()
    assert main(["encode", "in/a.png", "-o", "out/a.png.bsq", "--quiet", *encode]) == 0
    path = Path("out/a.png.bsq")
    change(path)
    before = path.read_bytes()
    assert batch("in/a.png", "out", *arguments) == 1
    err = capsys.readouterr().err
    assert err.startswith("bsqcodec: error: in/a.png: ") and err.count("\n") == 1
    assert f"a.png.bsq: exists already; {reason}" in err and "(overwrite with -f)" in err
    assert path.read_bytes() == before
    assert batch("in/a.png", "out", "-f", *arguments) == 0


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        (scene(60, 91), "its picture has another size"),
        (scene(60, 90)[..., 0], "its picture has other colours"),
        (np.dstack([scene(60, 90), scene(60, 90)[..., 0]]), "it has other transparency"),
    ],
)
def test_files_of_another_picture(folder: Path, capsys: Output, samples: Any, reason: str) -> None:
    Path("out").mkdir()
    assert main(["encode", "in/a.png", "-o", "out/a.png.bsq", "--quiet"]) == 0
    Image.fromarray(samples).save("in/a.png")
    os.utime("in/a.png", (1, 1))
    assert batch("in/a.png", "out") == 1
    assert f"exists already; {reason}" in capsys.readouterr().err


def test_decoded_files_without_a_record_are_kept(folder: Path, capsys: Output) -> None:
    assert batch("in", "coded", "--quiet") == 0
    Path("back").mkdir()
    Path("back/a.png").write_bytes(b"precious")
    assert batch("coded", "back", "--quiet") == 1
    assert "back/a.png: exists already and no batch wrote it" in capsys.readouterr().err
    assert Path("back/a.png").read_bytes() == b"precious"


# Reports ------------------------------------------------------------------------------------------


def test_failures_come_at_the_end(folder: Path, capsys: Output) -> None:
    Path("in/bad.png").write_text("no picture")
    os.symlink("nowhere", "in/broken.png")
    assert batch("in", "out", "--log", "log") == 1
    out, err = capsys.readouterr()
    assert out.splitlines()[1].split()[:6] == ["pictures", "3", "2", "0", "1", "0"]
    assert err.splitlines() == [
        "bsqcodec: error: in/broken.png: No such file or directory",
        "bsqcodec: error: in/bad.png: not a picture of any known kind",
    ]
    assert batch("in", "out", "-vv") == 1
    err = capsys.readouterr().err
    assert "Traceback" in err and err.endswith("bad.png: not a picture of any known kind\n")


def test_the_log_has_a_psnr_where_one_is_asked_for(folder: Path) -> None:
    """It is known then; to measure it otherwise would take the decoder's networks."""
    assert batch("in/a.png", "out", "--psnr", "20", "--log", "log", "--quiet") == 0
    (done,) = (line for line in log() if line["type"] == "file")
    assert 20 <= done["psnr_db"] < 25


def test_the_log(folder: Path, capsys: Output) -> None:
    Path("in/bad.png").write_text("no picture")
    assert batch("in", "out", "--log", "log", "--quiet") == 1
    assert batch("in", "out", "--log", "log", "--quiet") == 1
    lines = log()
    kinds = [line["type"] for line in lines]
    assert kinds == [*["file"] * 3, "ignored", "summary"] * 2
    (done,) = (x for x in lines if x.get("destination") == "a.png.bsq" and x["status"] == "done")
    data = Path("out/a.png.bsq").read_bytes()
    assert done["source"] == str(folder / "in" / "a.png")
    assert (done["kind"], done["direction"], done["reason"]) == ("picture", "encode", None)
    assert done["destination_bytes"] == len(data)
    assert done["bpp"] == pytest.approx(8 * len(data) / 5400)
    assert (done["frames"], done["pixels"]) == (1, 5400)
    assert done["psnr_db"] is None and done["seconds"] > 0
    failed = [line for line in lines if line.get("status") == "failed"]
    assert {line["reason"] for line in failed} == {"not a picture of any known kind"}
    first, second = (line for line in lines if line["type"] == "summary")
    assert (first["files"], first["done"], first["failed"], first["skipped"]) == (3, 2, 1, 0)
    assert first["destination_bytes"] == sum(map(len, tree(folder / "out").values()))
    assert (second["done"], second["skipped"], second["ratio"]) == (0, 2, None)


def test_json_is_the_log_on_standard_output(folder: Path, capsys: Output) -> None:
    Path("in/bad.png").write_text("no picture")
    assert batch("in", "out", "--dry-run", "--json") == 0
    planned = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [x["status"] for x in planned if x["type"] == "planned"] == ["code"] * 3
    assert batch("in", "out", "--json", "--log", "log") == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines == [{k: v for k, v in line.items() if k != "time"} for line in log()]
    assert lines[-1]["type"] == "summary"
    assert {x["source"] for x in planned if x["type"] == "planned"} == {
        x["source"] for x in lines if x["type"] == "file"
    }


def test_notes_are_counted_and_told_with_v(folder: Path, capsys: Output) -> None:
    Image.fromarray(scene(60, 90)).convert("CMYK").save("in/c.jpg")
    assert batch("in", "out") == 0
    out, err = capsys.readouterr()
    assert "of 1 files something was converted or dropped (see -v or --log)" in out and err == ""
    assert batch("in", "out", "-v", "--no-resume") == 0
    assert "warning: in/c.jpg: " in capsys.readouterr().err


def test_a_dry_run_does_nothing(folder: Path, capsys: Output) -> None:
    assert batch("in", "out", "--dry-run") == 0
    assert capsys.readouterr().out.splitlines() == [
        "to do: in/a.png -> out/a.png.bsq",
        "to do: in/sub/b.jpg -> out/sub/b.jpg.bsq",
        "2 to do",
        "left out: 1 unknown kind (.txt 1)",
    ]
    assert not Path("out").exists()
    assert batch("in", "out", "--quiet") == 0
    Path("out/a.png.bsq").write_bytes(b"mine")
    before = tree(folder)
    assert batch("in", "out", "--dry-run") == 1
    out, err = capsys.readouterr()
    assert out.splitlines()[:2] == ["done: in/sub/b.jpg -> out/sub/b.jpg.bsq", "1 refused, 1 done"]
    assert err.startswith("bsqcodec: error: in/a.png: ") and err.count("\n") == 1
    assert tree(folder) == before


def test_nothing_to_do_is_no_error(folder: Path, capsys: Output) -> None:
    Path("empty").mkdir()
    assert batch("empty", "out") == 0
    assert "there is nothing to encode" in capsys.readouterr().err
    assert batch("empty", "out", "--decode", "--dry-run") == 0
    assert capsys.readouterr().out == "no files\n"


def test_an_interrupt(folder: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(Inline):
        def run(self, jobs: Any) -> Any:
            events = super().run(jobs)
            for event in events:
                yield event
                if len(self.jobs) == 2:
                    raise KeyboardInterrupt

    monkeypatch.setattr("bsqcodec.cli.batch._executor", lambda *_: Interrupted())
    assert batch("in", "out") == 130
    out, err = capsys.readouterr()
    assert out.splitlines()[1].split()[:6] == ["pictures", "2", "1", "0", "0", "1"]
    assert err.split("\n")[0:3:2] == [
        "bsqcodec: error: 1 file was not coded: interrupted",
        "bsqcodec: error: interrupted",
    ]
    assert len(tree(folder / "out")) == 1 and temporary_files(folder) == []


# Refusals -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ("out", 2, "Missing argument 'INPUT...'"),
        ("absent out", 1, "absent: No such file or directory"),
        ("in/*.gif out", 2, "no file matches in/*.gif"),
        ("in in", 2, "in lies in the output folder"),
        ("in in/readme.txt", 1, "File exists"),
        ("in in/readme.txt/out", 1, "Not a directory"),
        ("same out --name replace", 2, "a.jpg and a.png would both become a.bsq"),
        ("in out -q 5 --bpp 1", 2, "give only one of -q, --bpp, --size and --psnr"),
        ("in out --workers 0", 2, "0"),
        ("in out --workers 2 --scheduler tcp://x:1", 2, "only one of --workers and --scheduler"),
        ("in out --format jpg", 2, "--format is for decoding, and this batch encodes"),
        ("in out --decode --strip", 2, "--strip and --verify are for encoding"),
        ("in out --format flv", 2, "flv"),
        ("in out --weights absent", 1, "absent is not a file of bsqcodec weights: No such file"),
        ("in out --log absent/log", 1, "absent/log: No such file or directory"),
    ],
)
def test_errors_are_one_line_and_leave_nothing(
    folder: Path, capsys: Output, arguments: str, status: int, message: str
) -> None:
    for name in ("a.jpg", "a.png"):
        save_picture(Path("same", name))
    before = tree(folder)
    assert batch(*arguments.split()) == status
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("bsqcodec: error: ") and err.count("\n") == 1
    assert message in err
    assert tree(folder) == before


def test_a_folder_in_use(folder: Path, capsys: Output) -> None:
    with closing(Journal(Path("out"), locked=True)):
        assert batch("in", "out") == 1
    assert capsys.readouterr() == (
        "",
        f"bsqcodec: error: another batch is writing to {folder}/out; wait until it ends\n",
    )


def test_help(capsys: Output) -> None:
    assert main(["batch", "--help"]) == 0
    assert "Usage: bsqcodec batch [OPTIONS] INPUT... OUTPUT" in capsys.readouterr().out
