"""The command line with the real codec and the tiny model: files, pipes, errors, nothing faked."""

from __future__ import annotations

import io
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from PIL import Image

import bsqcodec
from bsqcodec import api
from bsqcodec.cli.main import main
from bsqcodec.format.image_container import pack, packed_size, unpack
from bsqcodec.models.prior.walk_coders import EncodingCoder

from ..golden_files import model_path, scene

Output = pytest.CaptureFixture[str]

pytestmark = pytest.mark.usefixtures("tiny_weights")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: photo.png (90 x 60, RGB), and soft.png (with alpha) in it."""
    monkeypatch.chdir(tmp_path)
    pixels = scene(60, 90)
    Image.fromarray(pixels).save("photo.png")
    Image.fromarray(np.dstack([pixels, pixels[..., 0]])).save("soft.png")
    return tmp_path


@pytest.fixture
def coded(folder: Path) -> Path:
    """photo.bsq beside photo.png."""
    assert main(["encode", "photo.png", "--quiet"]) == 0
    return folder / "photo.bsq"


def samples(path: str | Path | io.BytesIO) -> np.ndarray[Any, Any]:
    with Image.open(path) as image:
        return np.array(image)


def difference(path: str | Path, original: np.ndarray[Any, Any]) -> float:
    """Mean absolute difference of a picture file from samples."""
    return float(np.abs(samples(path).astype(float) - original).mean())


def no_constants(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def strict_json(text: str) -> dict[str, Any]:
    """One JSON object, without the Infinity and NaN that Python's parser would take."""
    facts: dict[str, Any] = json.loads(text, parse_constant=no_constants)
    return facts


# There and back -----------------------------------------------------------------------------------


def test_a_file_and_its_look(folder: Path, tiny_looks: Path, capsys: Output) -> None:
    assert main(["encode", "photo.png", "--look", "natural", "--json", "--quiet"]) == 0
    assert strict_json(capsys.readouterr().out)["look"] == "natural"
    assert main(["info", "photo.bsq"]) == 0
    assert "look       natural (" in capsys.readouterr().out
    shown = {}
    for look in ("balanced", "natural", None):
        chosen = [] if look is None else ["--look", look]
        arguments = ["-o", "out.png", "-f", "--json", "--quiet", *chosen]
        assert main(["decode", "photo.bsq", *arguments]) == 0
        assert strict_json(capsys.readouterr().out)["look"] == (look or "natural")
        shown[look] = samples("out.png")
    assert np.array_equal(shown[None], shown["natural"])
    assert not np.array_equal(shown["balanced"], shown["natural"])


def test_a_file_there_and_back(folder: Path, capsys: Output) -> None:
    assert main(["encode", "photo.png"]) == 0
    size = Path("photo.bsq").stat().st_size
    assert f"photo.png -> photo.bsq: 90x60, {Path('photo.png').stat().st_size / 1000:.3g} kB" in (
        err := capsys.readouterr().err
    )
    assert f"{size} bytes" in err and err.count("\n") == 1
    assert main(["decode", "photo.bsq", "-o", "back.png"]) == 0
    assert "photo.bsq -> back.png: 90x60 RGB" in capsys.readouterr().err
    assert difference("back.png", scene(60, 90)) < 25
    assert samples("back.png").shape == (60, 90, 3)
    assert sorted(os.listdir()) == ["back.png", "photo.bsq", "photo.png", "soft.png"]


def test_a_folder_of_outputs_and_alpha(folder: Path) -> None:
    Path("out").mkdir()
    assert main(["encode", "photo.png", "soft.png", "-o", "out", "--verify", "--quiet"]) == 0
    assert main(["decode", "out/photo.bsq", "out/soft.bsq", "--format", "webp", "--quiet"]) == 0
    assert sorted(os.listdir("out")) == ["photo.bsq", "photo.webp", "soft.bsq", "soft.webp"]
    np.testing.assert_array_equal(samples("out/soft.webp")[..., 3], scene(60, 90)[..., 0])


def test_the_command_line_and_the_library_write_the_same(coded: Path) -> None:
    api._codec.cache_clear()
    assert bsqcodec.encode("photo.png") == coded.read_bytes()
    api._codec.cache_clear()
    assert main(["decode", "photo.bsq", "-f", "--quiet"]) == 0
    np.testing.assert_array_equal(samples("photo.png"), np.array(bsqcodec.decode(coded)))
    api._codec.cache_clear()


def test_weights_by_name(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    monkeypatch.setenv("BSQCODEC_WEIGHTS", str(folder))
    assert main(["encode", "photo.png", "--weights", str(model_path())]) == 0
    assert unpack(Path("photo.bsq").read_bytes()).header.model_id.hex() in model_path().name
    assert main(["decode", "photo.bsq", "-f", "--weights", str(model_path())]) == 0
    capsys.readouterr()
    assert main(["encode", "photo.png", "-f", "--weights", "photo.png"]) == 1
    assert "not a file of bsqcodec weights" in capsys.readouterr().err


Pipe = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture
def bsqcodec_process(tiny_weights: Path) -> Pipe:
    """Runs `python -m bsqcodec` with warnings as errors."""

    def run(*arguments: str, data: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
        root = str(Path(__file__).parents[2])
        return subprocess.run(
            [sys.executable, "-W", "error", "-m", "bsqcodec", *arguments],
            env=os.environ | {"PYTHONPATH": root, "BSQCODEC_WEIGHTS": str(tiny_weights)},
            input=data,
            stdin=subprocess.DEVNULL if data is None else None,
            capture_output=True,
            timeout=300,
            check=False,
        )

    return run


def test_pipes(folder: Path, bsqcodec_process: Pipe) -> None:
    """`bsqcodec encode - <photo.png | bsqcodec decode - --format ppm`, in two processes."""
    encoded = bsqcodec_process("encode", "-", "--json", data=Path("photo.png").read_bytes())
    assert encoded.returncode == 0
    facts = strict_json(encoded.stderr.decode())
    assert facts["output_bytes"] == len(encoded.stdout)
    decoded = bsqcodec_process("decode", "-", "--format", "ppm", "--quiet", data=encoded.stdout)
    assert (decoded.returncode, decoded.stderr) == (0, b"")
    assert main(["encode", "photo.png", "--quiet"]) == 0
    assert Path("photo.bsq").read_bytes() == encoded.stdout
    assert main(["decode", "photo.bsq", "-o", "back.png", "--quiet"]) == 0
    np.testing.assert_array_equal(samples(io.BytesIO(decoded.stdout)), samples("back.png"))


def test_python_m_bsqcodec_reports_errors(folder: Path, bsqcodec_process: Pipe) -> None:
    bad = bsqcodec_process("decode", "photo.png", "-o", "x.png")
    assert (bad.returncode, bad.stdout) == (1, b"")
    assert bad.stderr == (
        b"bsqcodec: error: photo.png: this is not a .bsq file; bsqcodec encode makes one"
        b" of a picture"
        b" or a video\n"
    )
    assert bsqcodec_process("decode", "photo.bsq", "--levels", "many").returncode == 2


# Targets and reports ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "check"),
    [
        ("-q 0", lambda facts: facts["quality"] == 0 and facts["step"] == 244),
        ("-q 90", lambda facts: abs(facts["quality"] - 90) < 0.3),
        ("--size 300", lambda facts: 270 <= facts["output_bytes"] <= 300),
        ("--size .2k", lambda facts: 180 <= facts["output_bytes"] <= 200),
        ("--bpp .4", lambda facts: 0.36 <= facts["bpp"] <= 0.4),
        ("--psnr 20.5", lambda facts: facts["psnr_db"] >= 20.5),
        ("--effort 0 --verify", lambda facts: facts["quality"] == 50),
    ],
)
def test_targets(
    folder: Path, capsys: Output, arguments: str, check: Callable[[dict[str, Any]], bool]
) -> None:
    assert main(["encode", "photo.png", "--json", *arguments.split()]) == 0
    out, err = capsys.readouterr()
    facts = strict_json(out)
    assert check(facts), facts
    data = Path("photo.bsq").read_bytes()
    assert facts["output_bytes"] == len(data)
    assert facts["bpp"] == pytest.approx(8 * len(data) / 5400)
    assert facts["step"] == unpack(data).header.step
    assert err == ""


def test_json_of_a_picture_without_error(
    folder: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its PSNR is infinite, which JSON cannot say."""
    monkeypatch.setattr("bsqcodec.image.encode_picture.measure_psnr", lambda *_: math.inf)
    Image.new("L", (1, 1), 0).save("black.png")
    assert main(["encode", "black.png", "-q", "50", "--json"]) == 0
    assert strict_json(capsys.readouterr().out)["psnr_db"] is None


def test_info_agrees_with_the_file(coded: Path, capsys: Output) -> None:
    assert main(["info", "photo.bsq", "--json"]) == 0
    facts = strict_json(capsys.readouterr().out)
    container = unpack(coded.read_bytes())
    assert facts["model_id"] in model_path().name
    assert (facts["width"], facts["height"], facts["colour"]) == (90, 60, "rgb")
    assert facts["levels"] == facts["levels_present"] == container.header.levels
    assert facts["symbols_crc"] == f"{container.symbols_crc:08x}"
    assert facts["problem"] is None


# Levels, cuts, damage -----------------------------------------------------------------------------


def test_levels(coded: Path, capsys: Output) -> None:
    count = unpack(coded.read_bytes()).header.levels
    found = []
    for levels in range(1, count + 1):
        arguments = ["decode", "photo.bsq", "-f", "-o", "back.png", "--levels", str(levels)]
        assert main([*arguments, "--json"]) == 0
        facts = strict_json(capsys.readouterr().out)
        assert (facts["levels_decoded"], facts["truncated"]) == (levels, False)
        found.append(difference("back.png", scene(60, 90)))
    assert found[-1] < 0.8 * found[0]


def test_a_cut_file(coded: Path, capsys: Output) -> None:
    data = coded.read_bytes()
    container = unpack(data)
    sizes = [len(payload) for payload in container.level_payloads()]
    Path("cut.bsq").write_bytes(data[: packed_size(container.header, sizes[:2], end=False) + 3])
    assert main(["decode", "cut.bsq"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("bsqcodec: error: cut.bsq: the file ends ") and err.count("\n") == 1
    assert not Path("cut.png").exists()
    assert main(["decode", "cut.bsq", "--partial"]) == 0
    assert f"incomplete; 2 of {len(sizes)} levels were decoded" in capsys.readouterr().err
    assert main(["decode", "photo.bsq", "--levels", "2", "-o", "two.png", "--quiet"]) == 0
    np.testing.assert_array_equal(samples("cut.png"), samples("two.png"))
    assert main(["info", "cut.bsq"]) == 1


def test_a_damaged_file(coded: Path, capsys: Output) -> None:
    data = bytearray(coded.read_bytes())
    data[-20] ^= 4
    Path("bad.bsq").write_bytes(data)
    assert main(["decode", "bad.bsq", "photo.bsq", "-o", "."]) == 1
    err = capsys.readouterr().err
    assert "bsqcodec: error: bad.bsq: " in err and "damaged" in err
    assert "photo.bsq -> photo.png" not in err  # it is there already
    assert sorted(os.listdir()) == ["bad.bsq", "photo.bsq", "photo.png", "soft.png"]


def test_verify_publishes_nothing_that_does_not_decode(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    payloads = EncodingCoder.payloads
    monkeypatch.setattr(EncodingCoder, "payloads", lambda self: [*payloads(self)[:-1], b""])
    assert main(["encode", "photo.png", "--verify"]) == 1
    assert "nothing was written" in capsys.readouterr().err
    assert sorted(os.listdir()) == ["photo.png", "soft.png"]


# Refusals -----------------------------------------------------------------------------------------


def test_existing_files_are_kept_without_f(coded: Path, capsys: Output) -> None:
    before = coded.read_bytes()
    for arguments in (["encode", "photo.png", "-q", "5"], ["decode", "photo.bsq"]):
        assert main(arguments) == 1
        assert "exists already (overwrite with -f)" in capsys.readouterr().err
    assert coded.read_bytes() == before
    assert main(["encode", "photo.png", "-q", "5", "-f"]) == 0
    assert len(coded.read_bytes()) < len(before)
    assert main(["decode", "photo.bsq", "-f"]) == 0


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ("encode photo.png --size 20", 1, "photo.png: the smallest file this picture gives is"),
        ("encode photo.png --psnr 70", 1, "photo.png: 70 dB is out of reach"),
        ("encode absent.png", 1, "absent.png: No such file or directory"),
        ("encode text.png", 1, "text.png: not a picture of any known kind"),
        ("encode photo.png --max-pixels 100", 1, "over the limit of 100"),
        ("encode photo.png --weights absent", 1, "absent is not a file of bsqcodec weights"),
        ("decode photo.png -o x.png", 1, "photo.png: this is not a .bsq file"),
        ("decode empty.bsq", 1, "empty.bsq: the file is empty"),
        ("decode good.bsq --max-pixels 100", 1, "over the limit of 100"),
        ("decode stranger.bsq", 1, "needs the weights 0102030405060708, which are not installed"),
        ("decode good.bsq --levels 0", 2, "--levels"),
        ("decode good.bsq -o out.xyz", 2, "cannot write pictures as 'xyz'"),
        ("encode photo.png -q 101", 2, "101"),
        ("encode photo.png -q 50 --bpp 1", 2, "give only one of"),
        ("encode photo.png --threads 0", 2, "0"),
        ("encode photo.png --device tpu", 2, "tpu"),
        ("encode", 2, "Missing argument"),
    ],
)
def test_errors_are_one_line_and_leave_nothing(
    folder: Path, golden: Path, capsys: Output, arguments: str, status: int, message: str
) -> None:
    good = (golden / "rgb.bsq").read_bytes()
    Path("good.bsq").write_bytes(good)
    Path("empty.bsq").write_bytes(b"")
    Path("text.png").write_text("not a picture")
    Path("stranger.bsq").write_bytes(renamed(good))
    before = sorted(os.listdir())
    assert main(arguments.split()) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("bsqcodec: error: ") and message in err
    assert err.count("\n") == 1 and "Traceback" not in err
    assert sorted(os.listdir()) == before


def renamed(data: bytes) -> bytes:
    """The file as if other weights had made it."""
    container = unpack(data)
    assert container.symbols_crc is not None
    header = replace(container.header, model_id=bytes(range(1, 9)))
    return pack(header, container.chunks, container.symbols_crc)


def test_a_traceback_only_when_asked_for(folder: Path, capsys: Output) -> None:
    assert main(["decode", "photo.png", "-o", "x.png", "-vv"]) == 1
    err = capsys.readouterr().err
    assert "Traceback" in err and "photo.png: this is not a .bsq file; bsqcodec encode makes" in err


def test_a_crop_of_a_picture(coded: Path, capsys: Output) -> None:
    assert main(["decode", "photo.bsq", "whole.png"]) == 0
    assert main(["decode", "photo.bsq", "part.png", "--crop", "7,20,50x31", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["width"], facts["height"]) == (50, 31)
    assert 0 < facts["render_seconds"] < facts["seconds"]
    whole = samples("whole.png").astype(int)
    assert np.abs(samples("part.png") - whole[20:51, 7:57]).max() <= 1
    image = bsqcodec.decode(coded.read_bytes(), crop=(7, 20, 50, 31))
    assert np.array_equal(np.asarray(image), samples("part.png"))


@pytest.mark.parametrize(
    ("crop", "status", "message"),
    [
        ("50,20,50x31", 1, "not inside the picture, which has 90x60 pixels"),
        ("50,20", 2, "X,Y,WxH such as 100,50,512x512"),
    ],
)
def test_no_crop_of_a_picture(
    crop: str, status: int, message: str, coded: Path, capsys: Output
) -> None:
    assert main(["decode", "photo.bsq", "part.png", "--crop", crop]) == status
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1
    assert not Path("part.png").exists()
