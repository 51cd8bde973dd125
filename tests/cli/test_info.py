"""`bsqcodec info`: reports on sound, cut and foreign files."""

import json
from pathlib import Path
from types import ModuleType

import pytest

from bsqcodec.cli.main import main
from bsqcodec.image.describe_picture import describe_picture, format_picture_lines

from .conftest import Run

Output = pytest.CaptureFixture[str]


@pytest.fixture
def coded(photo: Path, fake_codec: ModuleType, capsys: Output) -> Path:
    assert main(["encode", "photo.png", "--quiet"]) == 0
    capsys.readouterr()
    return Path("photo.bsq")


def test_lines_for_people(coded: Path, capsys: Output) -> None:
    assert main(["info", "photo.bsq"]) == 0
    out, err = capsys.readouterr()
    assert out == format_picture_lines(describe_picture(coded.read_bytes())) + "\n"
    assert "16 x 12 pixels" in out and err == ""


def test_json_lines(coded: Path, capsys: Output) -> None:
    assert main(["info", "photo.bsq", "photo.bsq", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(rows) == 2 and rows[0] == rows[1]
    assert rows[0] == {"file": "photo.bsq", **describe_picture(coded.read_bytes())}


def test_several_files_are_named_and_bad_ones_do_not_stop_the_rest(
    coded: Path, capsys: Output
) -> None:
    assert main(["info", "photo.png", "none.bsq", "photo.bsq"]) == 1
    out, err = capsys.readouterr()
    assert out.startswith("photo.bsq:\n")
    assert err.splitlines() == [
        (
            "bsqcodec: error: photo.png: this is not a .bsq file; bsqcodec encode makes one"
            " of a picture"
            " or a video"
        ),
        "bsqcodec: error: none.bsq: No such file or directory",
    ]


def test_a_cut_file_is_described_and_reported(coded: Path, capsys: Output) -> None:
    coded.write_bytes(coded.read_bytes()[:-100])
    assert main(["info", "photo.bsq"]) == 1
    out, err = capsys.readouterr()
    assert "2 present" in out
    assert err.startswith("bsqcodec: error: photo.bsq: ") and err.count("\n") == 1


def test_standard_input(coded: Path, run_process: Run) -> None:
    done = run_process("info", "-", "--json", stdin=None, input=coded.read_bytes())
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout)["width"] == 16


def test_max_pixels(coded: Path, capsys: Output) -> None:
    assert main(["info", "photo.bsq", "--max-pixels", "10"]) == 1
    assert "over the limit of 10" in capsys.readouterr().err
