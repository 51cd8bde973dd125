"""`bsqcodec decode`: names, formats, levels, damaged files and streams."""

import json
import os
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from bsqcodec.cli.decode import FORMAT_NAMES
from bsqcodec.cli.main import main
from bsqcodec.format.image_container import unpack
from bsqcodec.media.formats import OUTPUT_FORMATS

from .conftest import Run

Output = pytest.CaptureFixture[str]


@pytest.fixture
def coded(photo: Path, fake_codec: ModuleType, capsys: Output) -> Path:
    """photo.bsq beside photo.png, and no word of how it came about."""
    assert main(["encode", "photo.png"]) == 0
    fake_codec.Codec.made.clear()
    fake_codec.Codec.calls.clear()
    capsys.readouterr()
    return Path("photo.bsq")


def same(first: Path | str, second: Path | str) -> bool:
    with Image.open(first) as one, Image.open(second) as other:
        return np.array_equal(np.asarray(one), np.asarray(other))


def test_photo_bsq_becomes_photo_png(coded: Path, capsys: Output) -> None:
    os.rename("photo.png", "original.png")
    assert main(["decode", "photo.bsq"]) == 0
    assert same("photo.png", "original.png")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("photo.bsq -> photo.png: 16x12 RGB, ")
    assert "3 of 3 levels" in err


@pytest.mark.parametrize(
    ("arguments", "name", "format"),
    [
        ("-o out.webp", "out.webp", "WEBP"),
        ("-o out.JPG", "out.JPG", "JPEG"),
        ("-o out", "out", "PNG"),
        ("--format tif", "photo.tif", "TIFF"),
        ("--format BMP -o odd.name", "odd.name", "BMP"),
        ("--format jpg -o new/", "new/photo.jpg", "JPEG"),
        ("new/", "new/photo.png", "PNG"),
        ("--format jpg -o folder", "folder/photo.jpg", "JPEG"),
    ],
)
def test_formats(arguments: str, name: str, format: str, coded: Path) -> None:
    Path("folder").mkdir()
    assert main(["decode", "photo.bsq", *arguments.split()]) == 0
    with Image.open(name) as image:
        assert image.format == format


@pytest.mark.parametrize(("name", "format"), [("out.webp", "WEBP"), ("out.JPEG", "JPEG")])
def test_the_last_argument_may_be_the_output(name: str, format: str, coded: Path) -> None:
    assert main(["decode", "photo.bsq", name]) == 0
    assert sorted(os.listdir()) == sorted([name, "photo.bsq", "photo.png"])
    with Image.open(name) as image:
        assert image.format == format


@pytest.mark.parametrize("name", ["second.bsq", "second", "second.old"])
def test_other_names_are_inputs(name: str, coded: Path) -> None:
    Path(name).write_bytes(coded.read_bytes())
    os.rename("photo.png", "original.png")
    assert main(["decode", "photo.bsq", name]) == 0
    assert same("photo.png", "original.png") and same("second.png", "original.png")


def test_format_names_are_those_that_can_be_written() -> None:
    for name in ("jpeg", "jpg", "tiff", "tif", "heif", "heic", "jxl", "png"):
        assert name in FORMAT_NAMES
    assert {suffix[1:] for entry in OUTPUT_FORMATS for suffix in entry.suffixes} < set(FORMAT_NAMES)


@pytest.mark.parametrize(
    ("name", "format"),
    [("jpeg", "JPEG"), ("tiff", "TIFF"), ("heif", "HEIF"), ("JPG", "JPEG"), ("jxl", "JXL")],
)
def test_formats_by_their_own_names(name: str, format: str, coded: Path) -> None:
    assert main(["decode", "photo.bsq", "--format", name]) == 0
    from bsqcodec.media.image.image_reader import read_picture
    from bsqcodec.media.image.optional_formats import open_picture

    path = Path(f"photo.{name.lower()}")
    assert read_picture(path).width > 0
    with open(path, "rb") as file:
        image = open_picture(file, "a", 10**9)
        assert image.format == format


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("-o out.gif", "cannot write pictures as 'gif'"),
        ("--format gif", "gif"),
        ("--levels -1", "-1"),
        ("- photo.bsq", "standard input cannot be one of several inputs"),
        ("photo.bsq", "photo.bsq is given twice"),
    ],
)
def test_wrong_usage(arguments: str, message: str, coded: Path, capsys: Output) -> None:
    assert main(["decode", "photo.bsq", *arguments.split()]) == 2
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1


def test_options_reach_the_codec(coded: Path, fake_codec: ModuleType) -> None:
    arguments = "--levels 2 --partial --max-pixels 1000 --device cpu --threads 1 -o a.png"
    assert main(["decode", "photo.bsq", *arguments.split()]) == 0
    assert fake_codec.Codec.made == [{"weights": None, "device": "cpu", "threads": 1}]
    assert fake_codec.Codec.calls == [{"levels": 2, "partial": True, "max_pixels": 1000}]


def test_a_cut_file(coded: Path, capsys: Output) -> None:
    coded.write_bytes(coded.read_bytes()[:-100])
    assert main(["decode", "photo.bsq", "-o", "out.png"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("bsqcodec: error: photo.bsq: the file ends") and err.count("\n") == 1
    assert not os.path.exists("out.png")
    assert main(["decode", "photo.bsq", "-o", "out.png", "--partial"]) == 0
    assert same("out.png", "photo.png")
    assert capsys.readouterr().err.splitlines()[0] == (
        "bsqcodec: warning: photo.bsq: the file is incomplete; 2 of 3 levels were decoded;"
        " transparency, if there was any, may be missing"
    )


def test_a_cut_file_whose_transparency_is_there(
    photo: Path, fake_codec: ModuleType, capsys: Output
) -> None:
    Image.new("RGBA", (3, 2), (1, 2, 3, 4)).save("clear.png")
    assert main(["encode", "clear.png", "--quiet"]) == 0
    cut = Path("clear.bsq").read_bytes()[:-4]
    Path("clear.bsq").write_bytes(cut)
    assert main(["decode", "clear.bsq", "-o", "out.png", "--partial"]) == 0
    err = capsys.readouterr().err
    assert "3 of 3 levels were decoded\n" in err and "transparency" not in err


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file is empty"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "not a .bsq file"),
        (b"\x89BSQ\n\x1a\n" + bytes(100), "damaged, as by a transfer in text mode"),
    ],
)
def test_what_is_no_bsq_file_is_refused_before_the_weights_are_loaded(
    data: bytes, message: str, coded: Path, fake_codec: ModuleType, capsys: Output
) -> None:
    Path("bad.bsq").write_bytes(data)
    assert main(["decode", "bad.bsq"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("bsqcodec: error: bad.bsq: ") and message in err
    assert fake_codec.Codec.made == []
    assert sorted(os.listdir()) == ["bad.bsq", "photo.bsq", "photo.png"]


def test_too_many_pixels(coded: Path, fake_codec: ModuleType, capsys: Output) -> None:
    assert main(["decode", "photo.bsq", "-o", "out.png", "--max-pixels", "100"]) == 1
    assert "16 x 12 = 192 pixels, over the limit of 100" in capsys.readouterr().err
    assert fake_codec.Codec.made == []


def test_existing_output_stays_without_force(coded: Path, capsys: Output) -> None:
    before = Path("photo.png").read_bytes()
    assert main(["decode", "photo.bsq"]) == 1
    assert "photo.png: exists already (overwrite with -f)" in capsys.readouterr().err
    assert Path("photo.png").read_bytes() == before
    assert main(["decode", "photo.bsq", "-f"]) == 0


def test_transparency_that_the_format_cannot_hold(
    photo: Path, fake_codec: ModuleType, capsys: Output
) -> None:
    Image.new("RGBA", (3, 2), (1, 2, 3, 4)).save("clear.png")
    assert main(["encode", "clear.png"]) == 0
    assert main(["decode", "clear.bsq", "-o", "clear.jpg"]) == 1
    assert "clear.bsq: JPEG cannot hold this picture's transparency" in capsys.readouterr().err
    assert not os.path.exists("clear.jpg")
    assert main(["decode", "clear.bsq", "-o", "back.png"]) == 0
    assert same("clear.png", "back.png")
    assert "3x2 RGB + alpha" in capsys.readouterr().err


def test_json(coded: Path, capsys: Output) -> None:
    assert main(["decode", "photo.bsq", "-o", "out.webp", "--json", "--levels", "1"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["output"], facts["format"], facts["colour"]) == ("out.webp", "WEBP", "rgb")
    assert (facts["levels"], facts["levels_decoded"], facts["truncated"]) == (3, 1, False)
    assert facts["input_bytes"] == os.path.getsize("photo.bsq")


def test_standard_streams(coded: Path, run_process: Run) -> None:
    done = run_process("decode", "-", stdin=None, input=coded.read_bytes())
    assert done.returncode == 0 and done.stdout.startswith(b"\x89PNG")
    done = run_process("decode", "-", "--format", "jpg", stdin=None, input=coded.read_bytes())
    assert done.stdout.startswith(b"\xff\xd8")
    assert b"standard input -> standard output: 16x12 RGB" in done.stderr
    assert unpack(coded.read_bytes()).header.width == 16
