"""Outputs that cannot be are refused before any work: no weights, no decoding, nothing written."""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import pytest
from PIL import Image

from bsqcodec.cli.codecs import Codecs
from bsqcodec.cli.main import main
from bsqcodec.format.magic import MAGIC, FileKind
from bsqcodec.media.files import NamedFile

from .conftest import Run

Output = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def folder(photo: Path, fake_codec: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """The current folder: photo.png, twin.jpg and twin.png, coded.bsq, taken.bsq, and a folder."""
    assert main(["encode", "photo.png", "-o", "coded.bsq", "--quiet"]) == 0
    for name in ("twin.jpg", "twin.png"):
        Image.new("RGB", (8, 8), (9, 90, 200)).save(name)
    for name in ("taken.bsq", "taken.png", "file"):
        Path(name).write_text("mine")
    Path("there").mkdir()
    fake_codec.Codec.made.clear()
    fake_codec.Codec.calls.clear()


def names() -> list[str]:
    """All files and folders below the current one."""
    return sorted(path.as_posix() for path in Path().rglob("*"))


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ("photo.png -o photo2.jpg", 2, "photo2.jpg: what is written is a .bsq file"),
        ("photo.png -o photo2", 2, "a name that ends with .bsq"),
        ("photo.png -o there/photo2.png", 2, "a name that ends with .bsq"),
        ("photo.png -o photo2.bsq.gz", 2, "a name that ends with .bsq"),
        ("photo.png -o taken.png -f", 2, "a name that ends with .bsq"),
        ("photo.png -o none/x.bsq", 1, "none/x.bsq: there is no folder none"),
        ("photo.png -o none/deep/x.bsq", 1, "there is no folder none/deep"),
        ("photo.png -o file/x.bsq", 1, "there is no folder file"),
        ("photo.png -o none/deep/", 1, "none/deep: there is no folder none"),
        ("photo.png -o file/", 1, "file: File exists"),
        ("photo.png -o taken.bsq", 1, "taken.bsq: exists already (overwrite with -f)"),
        ("photo.png -o taken.bsq/", 1, "taken.bsq: File exists"),
        ("photo.png -o photo.png -f", 2, "photo.png would be overwritten by its own output"),
        ("photo.png -o /proc/x.bsq", 1, "/proc/x.bsq: "),
        ("photo.png twin.png -o one.bsq", 2, "several inputs need an existing folder as -o"),
        ("photo.png twin.png -o new", 2, "(new/ is made where it is missing)"),
        ("twin.jpg twin.png", 2, "both become twin.bsq; --name keep tells them apart"),
        ("twin.jpg twin.png -o there", 2, "both become there/twin.bsq; --name keep tells"),
        ("photo.png there/../photo.png", 2, "photo.png would both become there/../photo.bsq (see"),
        ("coded.bsq", 2, "coded.bsq would be overwritten by its own output"),
        (f"photo.png -o {'x' * 300}.bsq", 1, "File name too long"),
    ],
)
def test_encode_refuses_first(
    arguments: str, status: int, message: str, fake_codec: ModuleType, capsys: Output
) -> None:
    before = names()
    assert main(["encode", *arguments.split()]) == status
    out, err = capsys.readouterr()
    assert err.startswith("bsqcodec: error: ") and err.count("\n") == 1 and message in err
    assert (out, names()) == ("", before)
    assert fake_codec.Codec.made == [] and Path("taken.bsq").read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ("-o none/x.png", 1, "none/x.png: there is no folder none"),
        ("-o none/deep/", 1, "there is no folder none"),
        ("-o there/x.xyz", 2, "cannot write pictures as 'xyz'"),
        ("-o x.mkv", 2, "cannot write pictures as 'mkv'"),
        ("-o x.jpg --format png", 2, "x.jpg: the name is not one of PNG, which was asked for"),
        ("-o x.mkv --format png", 2, "x.mkv: the name is not one of PNG"),
        ("-o x.heic --format jpg", 2, "x.heic: the name is not one of JPEG"),
        ("-o x.bsq --format png", 2, "x.bsq: the name is not one of PNG"),
        ("-o taken.png", 1, "taken.png: exists already"),
        ("-o coded.bsq -f", 2, "coded.bsq"),
        ("coded.bsq", 2, "coded.bsq is given twice (see"),
    ],
)
def test_decode_refuses_first(
    arguments: str, status: int, message: str, fake_codec: ModuleType, capsys: Output
) -> None:
    before, coded = names(), Path("coded.bsq").read_bytes()
    assert main(["decode", "coded.bsq", *arguments.split()]) == status
    out, err = capsys.readouterr()
    assert err.startswith("bsqcodec: error: ") and err.count("\n") == 1 and message in err
    assert (out, names(), Path("coded.bsq").read_bytes()) == ("", before, coded)
    assert fake_codec.Codec.made == []


@pytest.mark.parametrize(
    ("arguments", "made"),
    [
        ("encode photo.png -o new/", "new/photo.bsq"),
        ("encode photo.png new/", "new/photo.bsq"),
        ("encode photo.png twin.png there/", "there/twin.bsq"),
        ("encode photo.png twin.png -o there/new/", "there/new/twin.bsq"),
        ("encode photo.png twin.png -o there/.", "there/twin.bsq"),
        ("encode twin.png twin.jpg --name keep", "twin.jpg.bsq"),
        ("encode twin.png twin.jpg --name keep -o new/", "new/twin.png.bsq"),
        ("encode photo.png -o new.BSQ", "new.BSQ"),
        ("encode photo.png -o taken.bsq -f", "taken.bsq"),
        ("decode coded.bsq -o new/", "new/coded.png"),
        ("decode coded.bsq new/ --format jpg", "new/coded.jpg"),
        ("decode coded.bsq -o x.pgm --format ppm", "x.pgm"),
        ("decode coded.bsq -o photo.2024 --format jpg", "photo.2024"),
        ("decode coded.bsq -o taken.png -f", "taken.png"),
    ],
)
def test_what_is_meant_is_done(arguments: str, made: str) -> None:
    assert main(arguments.split()) == 0
    assert Path(made).is_file() and Path(made).read_bytes() != b"mine"


def test_a_new_folder_stays_only_with_something_in_it(capsys: Output) -> None:
    Path("text.png").write_text("no picture")
    assert main(["encode", "text.png", "-o", "new/"]) == 1
    assert not Path("new").exists()
    assert main(["encode", "text.png", "photo.png", "-o", "new/"]) == 1
    assert os.listdir("new") == ["photo.bsq"]


def test_all_outputs_are_judged_before_the_first_input_is_read(
    fake_codec: ModuleType, capsys: Output
) -> None:
    """The one that is taken is told first; the others are coded."""
    Path("twin.bsq").write_text("mine")
    assert main(["encode", "photo.png", "twin.png", "--json"]) == 1
    out, err = capsys.readouterr()
    assert err.splitlines()[0].startswith("bsqcodec: error: twin.png: twin.bsq: exists already")
    assert out.count("\n") == 1 and Path("photo.bsq").exists()
    assert Path("twin.bsq").read_text() == "mine"


def test_devices_and_pipes_have_any_name(fake_codec: ModuleType) -> None:
    assert main(["encode", "photo.png", "-o", "/dev/null"]) == 0
    os.mkfifo("pipe")
    reader = os.open("pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert main(["encode", "photo.png", "-o", "pipe"]) == 0
        assert os.read(reader, 4) == b"\x89BSQ"
    finally:
        os.close(reader)


def test_a_folder_that_cannot_be_written_to(
    fake_codec: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    touch = Path.touch

    def refusing(path: Path, *arguments: object, **options: object) -> None:
        if path.parent.name == "there":
            raise PermissionError(13, "Permission denied", str(path))
        touch(path)

    monkeypatch.setattr(Path, "touch", refusing)
    for arguments in (["encode", "photo.png"], ["decode", "coded.bsq"]):
        assert main([*arguments, "-o", "there"]) == 1
        err = capsys.readouterr().err
        assert ": there/" in err and err.endswith(": Permission denied\n")
    assert fake_codec.Codec.made == []


# A full disk --------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", ["encode photo.png", "decode coded.bsq --format png"])
def test_a_full_disk_names_the_output(
    arguments: str, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    class Full(NamedFile):
        def write(self, data: object) -> int:
            raise OSError(28, "No space left on device")

    original = NamedFile.__init__

    def on_a_full_disk(self: NamedFile, file: Any, name: str | Path) -> None:
        original(self, cast(Any, file if isinstance(self, Full) else Full(file, "")), name)

    monkeypatch.setattr(NamedFile, "__init__", on_a_full_disk)
    before = names()
    assert main([*arguments.split(), "-o", "there"]) == 1
    source, target = {
        "encode": ("photo.png", "there/photo.bsq"),
        "decode": ("coded.bsq", "there/coded.png"),
    }[arguments.split()[0]]
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"bsqcodec: error: {source}: {target}: No space left on device"
    )
    assert names() == before


@pytest.mark.parametrize(
    "arguments", ["encode photo.png -f --json", "decode coded.bsq -f --json", "info coded.bsq"]
)
def test_a_report_that_cannot_be_written_says_where(arguments: str, run_process: Run) -> None:
    with open("/dev/full", "wb") as full:
        done = run_process(*arguments.split(), stdout=full, stderr=-1)
    assert done.returncode == 1
    assert b"standard output: No space left on device\n" in done.stderr
    assert b"Traceback" not in done.stderr


# Videos -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (
            "-o x.png",
            2,
            "a video gives many pictures: give a folder, or a pattern such as x%05d.png",
        ),
        ("-o there/x.png --format png", 2, "give a folder, or a pattern"),
        ("-o x.jpg", 2, "x.jpg: cannot write videos like that"),
        ("-o x%03d.jpg", 2, "numbered pictures are written as PNG"),
        ("-o x*.png", 2, "give a folder, or a pattern such as x%05d.png"),
        ("-o x.mp4 --format mkv", 2, "x.mp4: the name is not one of mkv, which was asked for"),
        ("-o x.avi --format mp4", 2, "x.avi: the name is not one of mp4"),
        ("-o x.png --format mkv", 2, "x.png: the name is not one of mkv"),
        ("-o x.mkv --format png", 2, "give a folder, or a pattern such as x%05d.png"),
        ("-o none/x.mkv", 1, "none/x.mkv: there is no folder none"),
        ("-o none/deep/x%03d.png", 1, "there is no folder none"),
        ("-o none/deep --format png", 1, "there is no folder none"),
        ("-o file --format png", 1, "file: a file, not a folder to write to"),
        ("-o full --format png", 1, "full: exists already (overwrite with -f)"),
        ("-o full/x%d.png", 1, "full/x1.png: exists already (overwrite with -f)"),
        ("-o clip.bsq -f", 2, "clip.bsq"),
        ("-o x.y4m --crf 20", 1, "y4m holds plain samples"),
        ("-o x%d.png --codec libx264", 2, "numbered pictures take neither a codec nor crf"),
        ("-o x.mp4 --codec ffv1 --crf 3", 1, "ffv1 has no crf"),
        ("-o x.mkv --codec libaom-av2", 1, "FFmpeg has no video encoder libaom-av2"),
        ("-o x.mp4 --codec huffyuv", 1, "mp4 cannot hold huffyuv"),
        ("-o x.mkv --codec mpeg4 --lossless", 1, "mpeg4 is not lossless for RGB"),
        ("-o x.mkv --codec aac", 1, "aac is no encoder of video"),
    ],
)
def test_decode_of_a_video_refuses_first(
    arguments: str,
    status: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Output,
) -> None:
    def load(codecs: Codecs) -> None:
        raise AssertionError("weights were loaded")

    monkeypatch.setattr(Codecs, "video", property(load))
    Path("clip.bsq").write_bytes(MAGIC + bytes([FileKind.VIDEO]))
    Path("full").mkdir()
    Path("full/x1.png").write_text("mine")
    before = names()
    assert main(["decode", "clip.bsq", *arguments.split()]) == status
    out, err = capsys.readouterr()
    assert err.startswith("bsqcodec: error: ") and err.count("\n") == 1 and message in err
    assert (out, names()) == ("", before)
