"""Files that look like pictures or videos and are left out; animations as videos or pictures."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from PIL import Image

import bsqcodec
from bsqcodec.batch import alike
from bsqcodec.batch.alike import likeness
from bsqcodec.batch.plan import Animations, Naming, make_plan
from bsqcodec.cli.main import main
from bsqcodec.media.image.image_reader import is_animation

from ..batch_tools import Inline, save_picture
from ..media.clips import make_clip

Output = pytest.CaptureFixture[str]

FTYP = b"\0\0\0\x18ftyp"
HEIC = FTYP + b"heic\0\0\0\0mif1heic"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, and workers that are no processes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("bsqcodec.cli.batch._executor", lambda *_: Inline())
    Path("in").mkdir()
    return tmp_path


def make(name: str, data: bytes) -> Path:
    path = Path("in", name)
    path.write_bytes(data)
    return path


def save_animation(name: str, count: int = 3) -> None:
    frames = [Image.new("RGB", (24, 16), (60 * i, 90, 200 - 60 * i)) for i in range(count)]
    frames[0].save(Path("in", name), save_all=True, append_images=frames[1:], duration=100)


def png() -> bytes:
    save_picture(Path("a.png"))
    return Path("a.png").read_bytes()


# What a file looks like ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("a.raf", b"FUJIFILMCCD-RAW 0201", "the raw data of a camera, not a finished picture: "),
        ("a.nef", b"", "a picture or video by its suffix .nef, of a kind that is not read"),
        ("a.CR3", FTYP + b"crx \0\0\0\0", "the raw data of a camera"),
        ("a.svg", b"<svg xmlns='x'/>", "an SVG drawing"),
        ("a.pdf", b"%PDF-1.4", "a PDF document"),
        ("a.xcf", b"gimp xcf v011", "the working file of a paint program"),
        ("a.exr", b"v/1\1" + bytes(20), "a picture of linear light"),
        ("a.dpx", b"SDPX", "a picture or video by its suffix .dpx"),
        ("a.yuv", bytes(64), "`bsqcodec encode --frame-size` takes them"),
        ("noname", HEIC, "a HEIF picture by its contents: give it the suffix of that"),
        ("a.jpg_large", b"\xff\xd8\xff\xe0\0\x10JFIF\0" + bytes(9) + b"\xff", "a JPEG picture by"),
        ("a.bak", b"\xff\xd8\xff\xe1\xff\xf0Exif", "a JPEG picture by its contents"),
        ("a.tmp", b"GIF89a" + bytes(9), "a GIF picture by its contents"),
        ("a.x", b"RIFF\0\0\0\0WEBPVP8X", "a WebP picture by its contents"),
        ("a.x", b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL picture by its contents"),
        ("a.x", b"II*\0" + bytes(40), "a TIFF picture by its contents"),
        ("a.x", FTYP + b"isom", "a video of the MP4 family by its contents"),
        ("a.divx", b"RIFF\0\0\0\0AVI LIST", "an AVI video by its contents"),
        ("a.x", b"\x1aE\xdf\xa3" + bytes(20), "a Matroska or WebM video by its contents"),
    ],
)
def test_what_looks_like_a_picture_or_a_video(name: str, data: bytes, sentence: str) -> None:
    found = likeness(make(name, data))
    assert found is not None and sentence in found


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.txt", b"text"),
        ("noname", b""),
        ("a.bin", bytes(1000)),
        ("a.dat", b"G" * 2000),
        ("a.dat", b"\xff\xd8\xff\xf0\0\x10" + bytes(40)),
        ("a.zip", b"PK\3\4" + bytes(40)),
        ("a.m4a", FTYP + b"M4A "),
        ("a.mp3", b"ID3\4" + bytes(20)),
        ("a.ogg", b"OggS\0" + bytes(20)),
        ("a.py", b"import os"),
    ],
)
def test_what_looks_like_neither(name: str, data: bytes) -> None:
    assert likeness(make(name, data)) is None


def test_pipes_and_folders_are_not_opened() -> None:
    os.mkfifo("in/pipe")
    Path("in/folder.x").mkdir()
    assert likeness(Path("in/pipe")) is None and likeness(Path("in/folder.x")) is None


# In a batch ---------------------------------------------------------------------------------------


@pytest.mark.usefixtures("tiny_weights")
def test_they_are_a_warning(capsys: Output) -> None:
    save_picture(Path("in/a.png"))
    for number in range(5):
        make(f"{number}.raf", b"FUJIFILMCCD-RAW 0201")
    make("b.heic.old", HEIC)
    make("readme.txt", b"text")
    assert main(["batch", "in", "out", "--threads", "1", "--log", "log"]) == 0
    out, err = capsys.readouterr()
    raw, heic = err.splitlines()
    assert raw.startswith(
        "bsqcodec: warning: left out: in/0.raf, in/1.raf, in/2.raf and 2 more: the"
    )
    assert heic.startswith("bsqcodec: warning: left out: in/b.heic.old: a HEIF picture by its")
    assert "left out: 6 unread picture or video (.raf 5, .old 1)" in out
    assert "left out: 1 unknown kind (.txt 1)" in out
    facts = [json.loads(line) for line in Path("log").read_text().splitlines()]
    likenesses = {fact["path"][-5:]: fact.get("likeness") for fact in facts if "path" in fact}
    assert likenesses["0.raf"].startswith("the raw data") and likenesses["e.txt"] is None


@pytest.mark.parametrize("more", [[], ["--dry-run"], ["--quiet"]])
def test_alone_they_are_no_success(more: list[str], capsys: Output) -> None:
    make("a.raf", b"FUJIFILMCCD-RAW 0201")
    make("readme.txt", b"text")
    assert main(["batch", "in", "out", *more]) == 1
    err = capsys.readouterr().err
    assert "bsqcodec: error: nothing is coded: what looks like pictures or videos is left" in err
    assert ("in/a.raf" in err) is ("--quiet" not in more)


def test_a_picture_whose_package_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    monkeypatch.setattr(alike, "is_available", lambda format: False)
    make("a.heic", HEIC)
    make("b.HIF", HEIC)
    make("c.jxl", b"\xff\x0a")
    assert main(["batch", "in", "out"]) == 1
    heic, jxl, error = capsys.readouterr().err.splitlines()
    assert "left out: in/a.heic, in/b.HIF: HEIC/HEIF needs the extra 'heif': pip install" in heic
    assert "left out: in/c.jxl: JPEG XL needs the extra 'jxl'" in jxl
    assert "nothing is coded" in error
    monkeypatch.setattr(alike, "is_available", lambda format: True)
    assert {task.name for task in make_plan(["in"], Path("out")).tasks} == {
        "a.heic", "b.HIF", "c.jxl",
    }  # fmt: skip


# Animations ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png", "a.avif", "gif.jpg"])
def test_what_is_an_animation(name: str) -> None:
    if name == "gif.jpg":
        save_animation("a.gif")
        Path("in/a.gif").rename("in/gif.jpg")
    else:
        save_animation(name)
    assert is_animation(Path("in", name))
    still = make(f"still{Path(name).suffix}", b"")
    Image.new("RGB", (24, 16)).save(still)
    assert not is_animation(still)
    assert not is_animation(make("bad.gif", b"GIF89a"))
    assert not is_animation(Path("in/absent.gif"))


def test_animations_in_a_plan() -> None:
    save_animation("a.gif")
    save_picture(Path("in/b.png"))
    make("c.mp4", b"")

    def kinds(animations: Animations | None) -> list[str]:
        return [
            task.kind_name for task in make_plan(["in"], Path("out"), animations=animations).tasks
        ]

    assert kinds(None) == kinds(Animations.PICTURES) == ["picture", "picture", "video"]
    assert kinds(Animations.VIDEOS) == ["video", "picture", "video"]


@pytest.mark.usefixtures("tiny_weights", "tiny_video_weights")
def test_animations_follow_the_options(capsys: Output) -> None:
    for name in ("a.gif", "b.png"):
        save_animation(name)
    save_picture(Path("in/c.png"))
    assert main(["batch", "in", "none", "--threads", "1"]) == 1
    err = capsys.readouterr().err
    for name, format in (("a.gif", "GIF"), ("b.png", "PNG")):
        assert (
            f"bsqcodec: error: in/{name}: an animation ({format}), no still picture; --video codes"
            " all of it, --picture its first frame\n"
        ) in err
    assert sorted(os.listdir("none")) == [".bsqcodec-batch.jsonl", "c.png.bsq"]
    assert main(["batch", "in", "videos", "--threads", "1", "--video"]) == 0
    for name in ("a.gif", "b.png"):
        facts = bsqcodec.describe(f"videos/{name}.bsq")
        assert (facts["format_version"], facts["frames"]) == (2, 3)
    assert bsqcodec.describe("videos/c.png.bsq")["format_version"] == 1
    assert main(["batch", "in", "pictures", "--threads", "1", "--picture", "-v"]) == 0
    note = "the file holds 3 frames of an animation; only the first is kept"
    assert capsys.readouterr().err.count(note) == 2
    for name in ("a.gif", "b.png", "c.png"):
        assert bsqcodec.describe(f"pictures/{name}.bsq")["format_version"] == 1


def test_names_of_decoded_animations() -> None:
    """The suffix of a picture goes where names are replaced, though they hold a video."""
    make("a.gif.bsq", b"\x89BSQ\r\n\x1a\n\x02")
    for naming, name in ((Naming.KEEP, "a.gif.mkv"), (Naming.REPLACE, "a.mkv")):
        (task,) = make_plan(["in"], Path("out"), naming=naming).tasks
        assert task.destination == name


@pytest.mark.usefixtures("tiny_weights", "tiny_video_weights")
def test_encode_has_the_same_options(capsys: Output) -> None:
    save_animation("a.gif")
    assert main(["encode", "in/a.gif"]) == 1
    assert "--video codes all of it, --picture its first frame" in capsys.readouterr().err
    assert main(["encode", "in/a.gif", "--picture"]) == 0
    assert "the file holds 3 frames of an animation" in capsys.readouterr().err
    assert bsqcodec.describe("in/a.bsq")["format_version"] == 1
    assert main(["encode", "in/a.gif", "--video", "-f"]) == 0
    assert bsqcodec.describe("in/a.bsq")["frames"] == 3
    with pytest.raises(bsqcodec.AnimationError, match="encode_video codes all of it"):
        bsqcodec.encode("in/a.gif")


@pytest.mark.parametrize("option", ["--video", "--picture"])
def test_they_are_for_encoding(option: str, capsys: Output) -> None:
    make("a.bsq", b"")
    assert main(["batch", "in", "out", option]) == 2
    assert "are for encoding, and this batch decodes" in capsys.readouterr().err


# A full disk --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("tiny_weights", "tiny_video_weights")
@pytest.mark.parametrize("name", ["a.png", "a.mkv"])
def test_a_full_disk_names_the_output(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    """It ends the batch, and what is left of the output goes away."""
    data = make_clip(width=32, height=32, pts=range(3)) if name == "a.mkv" else png()
    make(name, data)
    make(f"b{name}", data)
    fsync = os.fsync

    def full(descriptor: int) -> None:
        if ".part" in os.readlink(f"/proc/self/fd/{descriptor}"):
            raise OSError(28, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    assert main(["batch", "in", "out", "--threads", "1"]) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert (
        first == f"bsqcodec: error: in/{name}: {folder}/out/{name}.bsq: No space left on device"
        or (
            first
            == f"bsqcodec: error: in/b{name}: {folder}/out/b{name}.bsq: No space left on device"
        )
    )
    assert second.startswith("bsqcodec: error: 1 file was not coded: ")
    assert os.listdir("out") == [".bsqcodec-batch.jsonl"]
