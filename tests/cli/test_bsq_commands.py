"""The commands with the BSQ family: coding, tokens, drawing, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open

from bsqcodec.cli.main import main
from bsqcodec.format.image_container import unpack
from bsqcodec.image.codec import Codec

from ..batch_tools import Inline
from ..pipes import slow_input
from ..tiny_models import save_bsq_weights


@pytest.fixture(scope="module")
def bsq_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_bsq_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture
def folder(bsq_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a picture in it, where the tiny weights are found."""
    monkeypatch.setenv("BSQCODEC_WEIGHTS", str(bsq_weights.parent))
    monkeypatch.chdir(tmp_path)
    y, x = np.mgrid[:70, :90]
    samples = np.stack([x * 2, y * 3, x + y], -1).astype(np.uint8)
    Image.fromarray(samples).save("photo.png")
    return tmp_path


Capture = pytest.CaptureFixture[str]


def error_of(capsys: Capture, *arguments: str, status: int = 1) -> str:
    """The one line that a command which fails writes."""
    assert main(arguments) == status
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1, captured.err
    return captured.err


def test_a_picture_there_and_back(folder: Path, bsq_weights: Path, capsys: Capture) -> None:
    assert main(["encode", "photo.png", "--model", "bsq", "--verify", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["quality"] is None and facts["levels"] == 3 and facts["width"] == 90
    assert main(["info", "photo.bsq", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["model_id"] == bsq_weights.stem[4:]
    assert main(["decode", "photo.bsq", "-o", "back.png", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["filled_rows"] == []
    codec = Codec(bsq_weights, device="cpu")
    expected = codec.decode(Path("photo.bsq").read_bytes()).picture.pixels
    assert np.array_equal(np.asarray(Image.open("back.png")), expected)


def test_the_line_says_no_quality(folder: Path, capsys: Capture) -> None:
    assert main(["encode", "photo.png", "--model", "bsq"]) == 0
    line = capsys.readouterr().err
    assert "photo.png -> photo.bsq: 90x70" in line and "quality" not in line


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-q", "50"], "have one quality"),
        (["--size", "2k"], "have one quality"),
        (["--psnr", "30"], "take no quality, size, bpp or PSNR"),
        (["--effort", "2"], "have no effort 2"),
        (["--tune", "psnr"], "cannot be tuned"),
    ],
)
def test_what_the_family_does_not_have(
    folder: Path, capsys: Capture, options: list[str], message: str
) -> None:
    assert message in error_of(capsys, "encode", "photo.png", "--model", "bsq", *options)
    assert sorted(path.name for path in folder.iterdir()) == ["photo.png"]


def test_model_excludes_weights(folder: Path, bsq_weights: Path, capsys: Capture) -> None:
    both = ["encode", "photo.png", "--model", "bsq", "--weights", str(bsq_weights)]
    assert "leave --model out" in error_of(capsys, *both, status=2)
    video = ["encode", "photo.png", "-o", "clip.bsq", "--video", "--model", "bsq"]
    assert main(video) == 0 and "1 frame" in capsys.readouterr().err
    assert main(["encode", "photo.png", "--weights", str(bsq_weights)]) == 0


@pytest.mark.parametrize("level", [1, 2])
def test_damage_is_filled_in_and_said(folder: Path, capsys: Capture, level: int) -> None:
    main(["encode", "photo.png", "--model", "bsq"])
    data = bytearray(Path("photo.bsq").read_bytes())
    payload = unpack(bytes(data)).level_payloads()[level]
    data[data.index(payload) + len(payload) // 2] ^= 8
    Path("photo.bsq").write_bytes(bytes(data))
    capsys.readouterr()
    damaged = error_of(capsys, "decode", "photo.bsq", "-o", "none.png")
    assert f"level {level} chunk is damaged" in damaged
    assert "--partial decodes what is sound" in damaged
    assert main(["decode", "photo.bsq", "--partial", "-o", "filled.png"]) == 0
    told = capsys.readouterr().err
    assert f"{level} of 3 levels were decoded" in told
    assert main(["decode", "photo.bsq", "--partial", "--no-fill", "-o", "plain.png"]) == 0
    filled, plain = (np.asarray(Image.open(name)) for name in ("filled.png", "plain.png"))
    assert not np.array_equal(filled, plain) and not Path("none.png").exists()


# Tokens -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["safetensors", "npz"])
def test_tokens_of_a_picture_and_of_its_file_are_the_same(
    folder: Path, capsys: Capture, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    main(["encode", "photo.png", "--model", "bsq"])
    assert main(["tokens", "photo.png", "-o", f"a.{suffix}"]) == 0
    assert main(["tokens", "photo.bsq", f"b.{suffix}"]) == 0
    assert Path(f"a.{suffix}").read_bytes() == Path(f"b.{suffix}").read_bytes()
    assert "12x9 tokens of 18 bits, 8x8 pixels each" in capsys.readouterr().err
    main(["decode", "photo.bsq", "-o", "coded.png"])
    assert main(["decode", f"a.{suffix}", "-o", "tokens.png"]) == 0
    assert Path("coded.png").read_bytes() == Path("tokens.png").read_bytes()
    monkeypatch.setattr("sys.stdin", slow_input(Path(f"a.{suffix}").read_bytes()))
    assert main(["decode", "-", "-o", "piped.png"]) == 0
    assert Path("piped.png").read_bytes() == Path("tokens.png").read_bytes()
    monkeypatch.setattr("sys.stdin", slow_input(Path("photo.bsq").read_bytes()))
    assert main(["tokens", "-", f"c.{suffix}"]) == 0
    assert Path(f"c.{suffix}").read_bytes() == Path(f"a.{suffix}").read_bytes()


def test_the_file_of_tokens_says_what_it_holds(folder: Path, capsys: Capture) -> None:
    assert main(["tokens", "photo.png", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["bits"] == 18 and facts["patch"] == 8 and facts["output"] == "photo.safetensors"
    with safe_open("photo.safetensors", "np") as file:
        codes = file.get_tensor("codes")
        held = json.loads(file.metadata()["bsqcodec"])
    assert codes.shape == (9, 12) and codes.dtype == np.int64
    assert 0 <= codes.min() and codes.max() < 2**18
    assert held == {key: facts[key] for key in held}


def test_tokens_that_do_not_fit_are_refused(
    folder: Path, bsq_weights: Path, capsys: Capture
) -> None:
    main(["tokens", "photo.png", "-o", "a.npz"])
    capsys.readouterr()
    with np.load("a.npz") as file:
        held = dict(file)
    changes = {
        "a code is": {"codes": held["codes"] + 2**18},
        "12 x 9 tokens of 8 x 8": {"codes": held["codes"][1:]},
        "0102030405060708": {"model": np.array("0102030405060708")},
        "tokens have 20 bits": {"bits": np.array(20)},
    }
    for message, change in changes.items():
        np.savez("b.npz", **(held | change))
        assert message in error_of(capsys, "decode", "b.npz", "-o", "b.png"), message
    assert not Path("b.png").exists()
    assert "not for files of tokens" in error_of(
        capsys, "decode", "a.npz", "-o", "b.png", "--partial", status=2
    )


def test_files_of_the_other_family_have_no_tokens(folder: Path, capsys: Capture) -> None:
    main(["encode", "photo.png"])
    capsys.readouterr()
    assert "those of the family bsq have" in error_of(capsys, "tokens", "photo.bsq")
    message = error_of(capsys, "tokens", "photo.png", "-o", "a.txt", status=2)
    assert ".safetensors and .npz" in message


# Drawing ------------------------------------------------------------------------------------------


def test_a_seed_draws_the_same_picture(folder: Path, capsys: Capture) -> None:
    for name, seed in (("a.png", 1), ("b.png", 1), ("c.png", 2)):
        size = ["--size", "40x30", "--steps", "3"]
        assert main(["generate", name, *size, "--seed", str(seed)]) == 0
    first, again, other = (np.asarray(Image.open(f"{name}.png")) for name in "abc")
    assert first.shape == (30, 40, 3)
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_a_hole_is_filled_and_nothing_else(folder: Path, capsys: Capture) -> None:
    mask = np.zeros((70, 90), np.uint8)
    mask[20:50, 30:60] = 255
    Image.fromarray(mask).save("hole.png")
    given = ["--from", "photo.png", "--mask", "hole.png"]
    assert main(["generate", "a.png", *given, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["width"], facts["height"], facts["seed"]) == (90, 70, 0)
    photo, found = (np.asarray(Image.open(name)) for name in ("photo.png", "a.png"))
    assert np.array_equal(found[mask == 0], photo[mask == 0])
    assert not np.array_equal(found, photo)


def test_what_cannot_be_drawn(folder: Path, capsys: Capture) -> None:
    Image.new("L", (5, 5), 255).save("small.png")
    Image.new("L", (90, 70)).save("black.png")
    given = ["generate", "a.png", "--from", "photo.png"]
    assert "is 5 x 5 pixels" in error_of(capsys, *given, "--mask", "small.png")
    assert "has no hole" in error_of(capsys, *given, "--mask", "black.png")
    assert "belong together" in error_of(capsys, *given, status=2)
    sized = [*given, "--mask", "black.png", "--size", "9x9"]
    assert "the picture's own" in error_of(capsys, *sized, status=2)
    assert "more than --max-pixels" in error_of(
        capsys, "generate", "a.png", "--size", "99999x99999", status=2
    )
    assert sorted(path.name for path in folder.iterdir()) == ["black.png", "photo.png", "small.png"]


# Folders ------------------------------------------------------------------------------------------


def test_a_batch_of_pictures(
    folder: Path, bsq_weights: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bsqcodec.cli.batch._executor", lambda *_: Inline())
    Path("photos").mkdir()
    for name in ("a", "b"):
        Image.open("photo.png").save(f"photos/{name}.png")
    assert main(["batch", "photos", "coded", "--model", "bsq"]) == 0
    expected = Codec(bsq_weights, device="cpu").encode(np.asarray(Image.open("photo.png"))).data
    coded = sorted(Path("coded").rglob("*.bsq"))
    assert [path.read_bytes() for path in coded] == [expected] * 2
    capsys.readouterr()
    for same in (["--model", "bsq"], ["--weights", str(bsq_weights)]):
        assert main(["batch", "photos", "coded", *same, "--dry-run"]) == 0
        assert "2 done" in capsys.readouterr().out, same
    for path in Path("coded").rglob("*"):
        if path.is_file() and path not in coded:
            path.unlink()  # without the records the files themselves tell
    assert main(["batch", "photos", "coded", "--model", "bsq", "--dry-run"]) == 0
    assert "2 done" in capsys.readouterr().out
    assert main(["batch", "coded", "back"]) == 0
    back = sorted(Path("back").rglob("*.png"))
    assert [np.asarray(Image.open(path)).shape for path in back] == [(70, 90, 3)] * 2
    refused = ["batch", "photos", "other", "--model", "bsq", "-q", "40"]
    assert main(refused) == 1 and "have one quality" in capsys.readouterr().err
    decoding = ["batch", "coded", "third", "--model", "bsq"]
    assert "are for encoding" in error_of(capsys, *decoding, status=2)
