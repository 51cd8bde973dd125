"""Which files a batch takes, which way, and what their outputs are called."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from bsqcodec.batch.errors import PlanError
from bsqcodec.batch.kinds import PICTURE, Direction
from bsqcodec.batch.pictures import FORMATS, SUFFIXES
from bsqcodec.batch.plan import Naming, Plan, make_plan
from bsqcodec.media.formats import OUTPUT_FORMATS

from ..batch_tools import options


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, which is empty."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def touch(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(b"")


def outputs(plan: Plan) -> dict[str, str]:
    return {task.name: task.destination for task in plan.tasks}


def ignored(plan: Plan) -> dict[str, str]:
    return {os.path.relpath(item.path): item.reason for item in plan.ignored}


# Which files --------------------------------------------------------------------------------------


def test_a_tree_is_mirrored(folder: Path) -> None:
    touch("in/a.jpg", "in/b/c.PNG", "in/b/d/e.webp", "in/readme.txt", "in/b/noname")
    plan = make_plan(["in"], Path("out"))
    assert outputs(plan) == {
        "a.jpg": "a.jpg.bsq",
        "b/c.PNG": "b/c.PNG.bsq",
        "b/d/e.webp": "b/d/e.webp.bsq",
    }
    assert ignored(plan) == {"in/readme.txt": "unknown kind", "in/b/noname": "unknown kind"}
    assert plan.output == folder / "out" and plan.direction is Direction.ENCODE


def test_hidden_files_and_folders(folder: Path) -> None:
    touch("in/a.png", "in/.b.png", "in/.git/c.png", "in/.bsqcodec-batch.jsonl")
    plan = make_plan(["in"], Path("out"))
    assert list(outputs(plan)) == ["a.png"]
    assert ignored(plan) == {"in/.b.png": "hidden", "in/.git": "hidden"}
    plan = make_plan(["in"], Path("out"), hidden=True)
    assert sorted(outputs(plan)) == [".b.png", ".git/c.png", "a.png"]


@pytest.mark.parametrize(
    ("inputs", "names"),
    [
        (["in/*.png"], ["a.png"]),
        (["in/**/*.png"], ["a.png", "x/c.png", "x/y/d.png"]),
        (["in/x/*"], ["b.jpg", "c.png", "y/d.png"]),
        (["in/a.png"], ["a.png"]),
        (["in/a.png", "in/a.png", "in/*.png", "./in/a.png"], ["a.png"]),
        (["in", "in/x", "in/x/b.jpg"], ["a.png", "x/b.jpg", "x/c.png", "x/y/d.png"]),
        (["in/x/b.jpg", "in/x/y/d.png"], ["b.jpg", "y/d.png"]),
        (["in/x", "more"], ["in/x/b.jpg", "in/x/c.png", "in/x/y/d.png", "more/e[1].png"]),
        (["more/e[1].png"], ["e[1].png"]),
    ],
)
def test_names_are_relative_to_what_all_inputs_share(
    folder: Path, inputs: list[str], names: list[str]
) -> None:
    touch("in/a.png", "in/x/b.jpg", "in/x/c.png", "in/x/y/d.png", "more/e[1].png")
    assert list(outputs(make_plan(inputs, Path("out")))) == names


def test_links_give_each_file_once_and_end(folder: Path) -> None:
    touch("in/a.png", "in/b/c.png", "elsewhere/d.png", "elsewhere/e/f.png")
    os.symlink("..", "in/b/loop")
    os.symlink("a.png", "in/alias.png")
    os.symlink("b", "in/a_link_before_its_folder")
    os.symlink("../elsewhere", "in/other")
    os.symlink(folder / "elsewhere" / "e", "in/second")
    os.symlink("nowhere.png", "in/broken.png")
    plan = make_plan(["in"], Path("out"))
    assert list(outputs(plan)) == ["a.png", "b/c.png", "other/d.png", "other/e/f.png"]
    assert ignored(plan) == {
        "in/alias.png": "another name of a file of the batch",
        "in/a_link_before_its_folder": "link to a folder of the batch",
        "in/b/loop": "link to a folder of the batch",
        "in/second": "link to a folder of the batch",
    }
    assert [os.path.relpath(path) for path, _ in plan.unreadable] == ["in/broken.png"]


def test_a_folder_that_cannot_be_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch("in/a.png", "in/closed/b.png")
    scandir = os.scandir

    def refusing(path: Path) -> object:
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    plan = make_plan(["in"], Path("out"))
    assert list(outputs(plan)) == ["a.png"]
    ((path, error),) = plan.unreadable
    assert path == str(folder / "in" / "closed") and isinstance(error, PermissionError)


def test_a_pipe_is_no_picture(folder: Path) -> None:
    touch("in/a.png")
    os.mkfifo("in/b.png")
    plan = make_plan(["in"], Path("out"))
    assert list(outputs(plan)) == ["a.png"] and ignored(plan) == {"in/b.png": "not a file"}


def test_the_output_is_no_input(folder: Path) -> None:
    touch("in/a.png", "in/out/b.png", "in/out/c/d.png")
    for inputs in (["in"], ["in/**"], ["in/*", "in/*/*/*.png"]):
        assert list(outputs(make_plan(inputs, Path("in/out")))) == ["a.png"]
    os.symlink("in/out", "link")
    assert list(outputs(make_plan(["in"], Path("link")))) == ["a.png"]


@pytest.mark.parametrize(("text", "output"), [("in", "in"), ("in/b", "in"), ("in/b/*.png", "in/b")])
def test_an_input_in_the_output_is_refused(folder: Path, text: str, output: str) -> None:
    touch("in/b/c.png")
    with pytest.raises(PlanError, match="lies in the output folder"):
        make_plan([text], Path(output))


def test_inputs_that_are_not_there(folder: Path) -> None:
    with pytest.raises(FileNotFoundError):
        make_plan(["absent"], Path("out"))
    with pytest.raises(PlanError, match=r"no file matches \*\.png"):
        make_plan(["*.png"], Path("out"))


# Direction and names ------------------------------------------------------------------------------


def test_the_direction(folder: Path, golden: Path) -> None:
    touch("mixed/a.png", "none/a.txt")
    for place in ("mixed", "coded"):
        Path(place).mkdir(exist_ok=True)
        shutil.copy(golden / "rgb.bsq", Path(place) / "b.bsq")
    plan = make_plan(["mixed"], Path("out"))
    assert (plan.direction, outputs(plan)) == (Direction.ENCODE, {"a.png": "a.png.bsq"})
    assert ignored(plan) == {"mixed/b.bsq": "a .bsq file already"}
    plan = make_plan(["mixed"], Path("out"), direction=Direction.DECODE)
    assert outputs(plan) == {"b.bsq": "b.png"}
    assert ignored(plan) == {"mixed/a.png": "not a .bsq file"}
    assert make_plan(["coded"], Path("out")).direction is Direction.DECODE
    assert make_plan(["coded"], Path("out"), direction=Direction.ENCODE).tasks == ()
    assert make_plan(["none"], Path("out")).direction is Direction.ENCODE


@pytest.mark.parametrize(
    ("name", "direction", "naming", "formats", "expected"),
    [
        ("a.jpg", "encode", "keep", [], "a.jpg.bsq"),
        ("a.jpg", "encode", "replace", [], "a.bsq"),
        ("trip.2024.jpg", "encode", "replace", [], "trip.2024.bsq"),
        ("a.jpg.bsq", "decode", "keep", [], "a.jpg.png"),
        ("a.png.bsq", "decode", "keep", [], "a.png"),
        ("a.PNG.bsq", "decode", "keep", [], "a.png"),
        ("a.jpg.bsq", "decode", "keep", ["jpg"], "a.jpg"),
        ("a.bsq", "decode", "keep", ["webp"], "a.webp"),
        ("a.jpg.bsq", "decode", "replace", [], "a.png"),
        ("trip.2024.bsq", "decode", "replace", [], "trip.2024.png"),
        ("trip.2024.BSQ", "decode", "keep", [], "trip.2024.png"),
    ],
)
def test_names(
    folder: Path, name: str, direction: str, naming: str, formats: list[str], expected: str
) -> None:
    touch(f"in/sub/{name}")
    plan = make_plan(
        ["in"],
        Path("out"),
        direction=Direction(direction),
        naming=Naming(naming),
        formats=formats,
    )
    assert outputs(plan) == {f"sub/{name}": f"sub/{expected}"}


def test_two_files_that_would_become_one(folder: Path) -> None:
    touch("in/a.jpg", "in/a.png", "in/b/a.png")
    assert len(set(outputs(make_plan(["in"], Path("out"))).values())) == 3
    with pytest.raises(PlanError, match=r"a\.jpg and a\.png would both become a\.bsq"):
        make_plan(["in"], Path("out"), naming=Naming.REPLACE)
    touch("coded/a.bsq", "coded/a.png.bsq")
    with pytest.raises(PlanError, match=r"a\.bsq and a\.png\.bsq would both become a\.png"):
        make_plan(["coded"], Path("out"))


def test_a_file_where_a_folder_must_be(folder: Path) -> None:
    touch("in/a.jpg", "in/a.jpg.bsq/b.png")
    with pytest.raises(PlanError, match="would be both the output of a.jpg and the folder"):
        make_plan(["in"], Path("out"))


def test_one_format_for_a_kind(folder: Path) -> None:
    touch("in/a.bsq")
    with pytest.raises(PlanError, match="a picture cannot be decoded to png and jpg at once"):
        make_plan(["in"], Path("out"), formats=["png", "jpg"])


# The table of kinds -------------------------------------------------------------------------------


def test_the_formats_are_those_that_are_written() -> None:
    assert {suffix[1:] for f in OUTPUT_FORMATS for suffix in f.suffixes} <= set(FORMATS)
    assert {suffix for f in OUTPUT_FORMATS for suffix in f.suffixes} <= set(SUFFIXES)


def test_the_digest_is_of_what_makes_another_file() -> None:
    default = PICTURE.digest(Direction.ENCODE, options())
    same = options(device="cuda", threads=3, verify=True, formats=("jpg",), max_pixels=5)
    assert PICTURE.digest(Direction.ENCODE, same) == default
    for change in ({"effort": 0}, {"tune": "psnr"}, {"strip": True}, {"weights_sha256": "1"}):
        assert PICTURE.digest(Direction.ENCODE, options(**change)) != default
    searched = PICTURE.digest(Direction.ENCODE, options(effort=2))
    before = replace(PICTURE, encode_fields=PICTURE.encode_fields[:-1])
    assert searched != before.digest(Direction.ENCODE, options(effort=2))  # then of another step
    assert default == before.digest(Direction.ENCODE, options())
    decoding = PICTURE.digest(Direction.DECODE, options())
    assert decoding == PICTURE.digest(Direction.DECODE, options(effort=0, formats=("png",)))
    assert decoding != PICTURE.digest(Direction.DECODE, options(formats=("jpg",)))
    assert decoding != default
