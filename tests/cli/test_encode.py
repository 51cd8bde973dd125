"""`bsqcodec encode`: names, targets, streams, reports and what happens to wrong input."""

import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from bsqcodec.cli.main import main
from bsqcodec.format.image_container import unpack
from bsqcodec.targets import BitsPerPixel, Psnr, Quality, Size

from .conftest import Run

Output = pytest.CaptureFixture[str]


def test_photo_png_becomes_photo_bsq(photo: Path, fake_codec: ModuleType, capsys: Output) -> None:
    assert main(["encode", "photo.png"]) == 0
    assert sorted(os.listdir()) == ["photo.bsq", "photo.png"]
    assert unpack(Path("photo.bsq").read_bytes()).header.width == 16
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[0] == "bsqcodec: warning: photo.png: a note of the codec"
    larger = "photo.png: the result is larger than its source: "
    assert err.splitlines()[1].startswith(f"bsqcodec: note: {larger}")
    assert err.splitlines()[2].startswith("photo.png -> photo.bsq: 16x12, ")
    assert "quality 50, " in err and " dB" not in err  # that takes the decoder's networks


@pytest.mark.parametrize("asked", ["-v", "--psnr=34.5"])
def test_the_psnr_is_told_where_asked_for(
    photo: Path, fake_codec: ModuleType, capsys: Output, asked: str
) -> None:
    assert main(["encode", "photo.png", asked]) == 0
    assert "quality 50, 99.00 dB" in capsys.readouterr().err


def test_defaults(photo: Path, fake_codec: ModuleType) -> None:
    assert main(["encode", "photo.png", "--quiet"]) == 0
    assert fake_codec.Codec.made == [{"weights": None, "device": "auto", "threads": None}]
    assert fake_codec.Codec.calls == [
        {"target": None, "strip": False, "verify": False, "effort": 1, "tune": None}
    ]


@pytest.mark.parametrize(
    ("arguments", "target"),
    [
        (["-q", "80"], Quality(80)),
        (["--quality", "0"], Quality(0)),
        (["--bpp", "0.25"], BitsPerPixel(0.25)),
        (["--size", "20k"], Size(20_000)),
        (["--psnr", "34.5"], Psnr(34.5)),
    ],
)
def test_targets(arguments: list[str], target: object, photo: Path, fake_codec: ModuleType) -> None:
    assert main(["encode", "photo.png", *arguments]) == 0
    assert fake_codec.Codec.calls[0]["target"] == target


def test_options_reach_the_codec(photo: Path, fake_codec: ModuleType) -> None:
    arguments = (
        "--strip --verify --effort 0 --tune psnr --device cpu --threads 3 --weights w.safetensors"
    )
    assert main(["encode", "photo.png", *arguments.split()]) == 0
    assert fake_codec.Codec.made == [{"weights": "w.safetensors", "device": "cpu", "threads": 3}]
    call = fake_codec.Codec.calls[0]
    assert (call["strip"], call["verify"], call["effort"]) == (True, True, 0)
    assert call["tune"] == "psnr"


def test_the_last_argument_may_be_the_output(
    photo: Path, fake_codec: ModuleType, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert main(["encode", "photo.png", "small.BSQ", "--quiet"]) == 0
    assert sorted(os.listdir()) == ["photo.png", "small.BSQ"]
    coded = Path("small.BSQ").read_bytes()
    assert main(["encode", "photo.png", "-", "--quiet"]) == 0
    assert capfdbinary.readouterr().out == coded
    Path("small.BSQ").write_bytes(b"mine")
    assert main(["encode", "photo.png", "small.BSQ"]) == 1  # not without -f
    assert Path("small.BSQ").read_bytes() == b"mine"
    assert main(["encode", "photo.png", "small.BSQ", "-f"]) == 0
    assert Path("small.BSQ").read_bytes() == coded


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("-q 50 --bpp 1", "give only one of -q, --bpp, --size and --psnr"),
        ("--size 20k --psnr 30", "give only one of"),
        ("-q 101", "101"),
        ("-q nan", "'nan' is not a number"),
        ("--bpp inf", "'inf' is not a number"),
        ("--bpp 0", "0"),
        ("--size 20q", "20q"),
        ("--size", "requires an argument"),
        ("--device tpu", "tpu"),
        ("--no-such-option", "--no-such-option"),
        ("second.png -o file.bsq", "several inputs need an existing folder as -o, not file.bsq"),
        ("second.png file.bsq", "several inputs need an existing folder as -o, not file.bsq"),
        ("other/photo.png -o .", "photo.png and other/photo.png would both become photo.bsq"),
        ("-o photo.png -f", "photo.png would be overwritten by its own output"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(
    arguments: str, message: str, photo: Path, capsys: Output
) -> None:
    assert main(["encode", "photo.png", *arguments.split()]) == 2
    out, err = capsys.readouterr()
    assert err.startswith("bsqcodec: error: ") and err.count("\n") == 1
    assert message in err and err.endswith(" --help)\n")
    assert (out, os.listdir()) == ("", ["photo.png"])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "No such file or directory"),
        (lambda path: path.mkdir(), "a folder (`bsqcodec batch` takes folders)"),
        (lambda path: path.write_bytes(b""), "the file is empty"),
        (lambda path: path.write_text("text"), "not a picture of any known kind"),
        (
            lambda path: path.write_bytes(Path("photo.png").read_bytes()[:200]),
            "damaged or unsupported picture",
        ),
        (
            lambda path: Image.new("L", (4, 4)).save(
                path, save_all=True, append_images=[Image.new("L", (4, 4), 9)]
            ),
            "an animation (PNG)",
        ),
        (lambda path: Image.new("L", (2000, 2000)).save(path), "over the limit of 1000000 pixels"),
    ],
    ids=["missing", "folder", "empty", "text", "truncated", "animated", "large"],
)
def test_bad_input_is_one_line_and_status_1(
    make: Callable[[Path], object], message: str, photo: Path, capsys: Output
) -> None:
    make(Path("bad.png"))
    before = sorted(os.listdir())
    assert main(["encode", "bad.png", "--max-pixels", "1000000"]) == 1
    out, err = capsys.readouterr()
    assert err.startswith("bsqcodec: error: bad.png: ") and message in err
    assert err.count("\n") == 1 and err.count("bad.png") == 1
    assert (out, sorted(os.listdir())) == ("", before)


def test_a_target_that_cannot_be_met(photo: Path, fake_codec: ModuleType, capsys: Output) -> None:
    assert main(["encode", "photo.png", "--size", "10"]) == 1
    assert capsys.readouterr().err == (
        "bsqcodec: error: photo.png: 10 bytes are too few: this picture takes 100 or more\n"
    )
    assert os.listdir() == ["photo.png"]


def test_existing_output_stays_without_force(
    photo: Path, fake_codec: ModuleType, capsys: Output
) -> None:
    Path("photo.bsq").write_bytes(b"old")
    assert main(["encode", "photo.png"]) == 1
    assert "photo.bsq: exists already (overwrite with -f)" in capsys.readouterr().err
    assert Path("photo.bsq").read_bytes() == b"old"
    assert fake_codec.Codec.made == [], "the weights need not be loaded to refuse"
    assert main(["encode", "photo.png", "-f"]) == 0
    assert Path("photo.bsq").read_bytes() != b"old"


def test_several_inputs_and_a_folder(photo: Path, fake_codec: ModuleType, capsys: Output) -> None:
    Path("b.png").write_bytes(photo.read_bytes())
    Path("bad.png").write_bytes(b"text")
    Path("out").mkdir()
    assert main(["encode", "photo.png", "bad.png", "b.png", "-o", "out"]) == 1
    assert sorted(os.listdir("out")) == ["b.bsq", "photo.bsq"]
    assert len(fake_codec.Codec.made) == 1, "the weights are loaded once"
    assert "error: bad.png: not a picture" in capsys.readouterr().err


def test_outputs_that_are_one_file_under_two_names(
    photo: Path, fake_codec: ModuleType, capsys: Output
) -> None:
    Path("folder").mkdir()
    Path("link").symlink_to("folder")
    Path("same.bsq").symlink_to("photo.bsq")
    for second, target in (
        ("folder/../photo.jpg", "folder/../photo.bsq"),
        (os.path.abspath("photo.jpg"), os.path.abspath("photo.bsq")),
        ("same.png", "same.bsq"),
    ):
        assert main(["encode", "photo.png", second]) == 2
        message = f"photo.png and {second} would both become {target}"
        assert message in capsys.readouterr().err
    assert main(["encode", "folder/a.png", "link/a.jpg"]) == 2
    assert "would both become link/a.bsq" in capsys.readouterr().err
    assert fake_codec.Codec.made == []


def test_an_output_that_is_another_input(
    photo: Path, fake_codec: ModuleType, capsys: Output
) -> None:
    Path("other.png").write_bytes(photo.read_bytes())
    Path("photo.bsq").symlink_to("other.png")
    for inputs in (["photo.png", "other.png"], ["other.png", "photo.png"]):
        assert main(["encode", *inputs, "-f"]) == 2
        err = capsys.readouterr().err
        assert "other.png would be overwritten by the output of photo.png" in err
        assert err.count("\n") == 1
    assert Path("other.png").read_bytes() == photo.read_bytes()


def test_conversions_are_warned_of_once(
    photo: Path, fake_codec: ModuleType, capsys: Output
) -> None:
    Image.fromarray(np.zeros((4, 4), np.uint16)).save("wide.png")
    assert main(["encode", "wide.png"]) == 0
    err = capsys.readouterr().err
    assert err.count("warning: wide.png: 16-bit samples were reduced to 8 bits") == 1
    assert main(["encode", "wide.png", "-f", "--quiet"]) == 0
    assert capsys.readouterr().err == ""


def test_json_is_one_object_on_stdout(photo: Path, fake_codec: ModuleType, capsys: Output) -> None:
    assert main(["encode", "photo.png", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["input"] == "photo.png" and facts["output"] == "photo.bsq"
    assert facts["input_bytes"] == os.path.getsize("photo.png")
    assert facts["output_bytes"] == os.path.getsize("photo.bsq")
    assert facts["bpp"] == pytest.approx(8 * facts["output_bytes"] / (16 * 12))
    sizes = f"{facts['output_bytes']} bytes, not {facts['input_bytes']}"
    assert facts["notes"] == [
        "a note of the codec",
        f"the result is larger than its source: {sizes}",
    ]


def test_verbose_says_more(photo: Path, fake_codec: ModuleType, capsys: Output) -> None:
    assert main(["encode", "photo.png", "-v"]) == 0
    assert "3 levels, step 7" in capsys.readouterr().err


def test_vv_shows_the_traceback(photo: Path, capsys: Output) -> None:
    assert main(["encode", "none.png", "-vv"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_standard_streams(photo: Path, run_process: Run) -> None:
    done = run_process("encode", "-", "--json", stdin=None, input=photo.read_bytes())
    assert done.returncode == 0
    assert unpack(done.stdout).header.height == 12
    facts = json.loads(done.stderr.splitlines()[-1])
    assert (facts["input"], facts["output"], facts["input_bytes"]) == ("-", "-", None)
    assert os.listdir() == ["photo.png"]


def test_file_to_standard_output(photo: Path, run_process: Run) -> None:
    done = run_process("encode", "photo.png", "-o", "-")
    assert unpack(done.stdout).header.height == 12
    assert b"photo.png -> standard output: 16x12" in done.stderr


def test_bad_standard_input(photo: Path, run_process: Run) -> None:
    done = run_process("encode", "-", "-o", "x.bsq", stdin=None, input=b"text")
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr == (
        b"bsqcodec: error: standard input: not a picture of any known kind; if it is one,"
        b" convert it"
        b" to PNG, or to MP4 if it is a video\n"
    )
    assert os.listdir() == ["photo.png"]


def test_an_image_of_every_mode_is_taken(photo: Path, fake_codec: ModuleType) -> None:
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        Image.new(mode, (3, 2)).save("mode.png")
        assert main(["encode", "mode.png", "-f"]) == 0
    Image.new("CMYK", (3, 2)).save("mode.jpg")
    assert main(["encode", "mode.jpg", "-f"]) == 0


def test_picture_goes_through_unchanged(photo: Path, fake_codec: ModuleType) -> None:
    assert main(["encode", "photo.png"]) == 0
    level = unpack(Path("photo.bsq").read_bytes()).level_payloads()[0]
    with Image.open(io.BytesIO(level)) as coded, Image.open(photo) as original:
        np.testing.assert_array_equal(np.asarray(coded), np.asarray(original))
