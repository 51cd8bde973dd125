"""`bsqcodec compare` with files of every kind: figures, JSON and pages."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bsqcodec.cli.main import main

from ..golden_files import scene
from .video_clips import FRAMES, clip

Output = pytest.CaptureFixture[str]

pytestmark = pytest.mark.usefixtures("tiny_weights", "tiny_video_weights")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The current folder, with photo.png in it."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(scene(60, 90)).save("photo.png")


def test_a_picture_and_its_file(capsys: Output) -> None:
    assert main(["encode", "photo.png", "--json", "--verbose"]) == 0
    encoded = json.loads(capsys.readouterr().out)
    assert main(["compare", "photo.png", "photo.bsq", "--json", "--html", "page.html"]) == 0
    facts = json.loads(capsys.readouterr().out)
    for name in ("input_bytes", "output_bytes", "bpp", "width", "height"):
        assert facts[name] == encoded[name], name
    assert facts["psnr_db"] == pytest.approx(encoded["psnr_db"], abs=1e-2)
    assert 0 < facts["ms_ssim"] < 1 and facts["psnr_yuv_db"] > 10
    assert "photo.bsq" in Path("page.html").read_text()
    assert main(["compare", "photo.png", "photo.bsq", "--html", "page.html"]) == 1
    assert "page.html" in capsys.readouterr().err


def test_any_two_pictures(capsys: Output) -> None:
    pixels = scene(60, 90)
    Image.fromarray(np.dstack([pixels + 1, pixels[..., 0]])).save("soft.png")
    assert main(["compare", "photo.png", "soft.png"]) == 0
    out, err = capsys.readouterr()
    assert "photo.png: 90x60, " in out and "MS-SSIM" in out and "PSNR " in out
    assert "transparency is not compared" in err
    assert main(["compare", "photo.png", "photo.png", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["psnr_db"] is None


def test_videos_frame_by_frame(capsys: Output) -> None:
    Path("clip.mkv").write_bytes(clip())
    assert main(["encode", "clip.mkv", "--quiet"]) == 0
    arguments = ["compare", "clip.mkv", "clip.bsq", "--html", "page.html"]
    assert main([*arguments, "--json", "--quiet"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["frames"] == FRAMES == sum(s["frames"] for s in facts["by_second"])
    assert facts["bpp"] == 8 * facts["output_bytes"] / (facts["width"] * facts["height"] * FRAMES)
    assert 10 < facts["psnr_db"] < 60
    assert main([*arguments, "-f"]) == 0
    assert "second 0: PSNR" in capsys.readouterr().out
    data = Path("page.html").read_text().split('id="data">')[1].split("</script>")[0]
    assert len(json.loads(data)["times"]) == FRAMES


def test_a_shorter_video_is_compared_as_far_as_it_goes(capsys: Output) -> None:
    Path("clip.mkv").write_bytes(clip())
    assert main(["encode", "clip.mkv", "--duration", "0.1", "--quiet"]) == 0
    assert main(["compare", "clip.mkv", "clip.bsq"]) == 0
    assert "clip.mkv has more frames; the first" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ("photo.png missing.png", 1, "missing.png"),
        ("photo.png .", 1, "."),
        ("photo.png small.png", 1, "the sizes differ: 90x60 and 80x60 pixels"),
        ("photo.png clip.mkv", 1, "one of the two is a picture and the other a video"),
        ("photo.png -", 2, "give the name of a file"),
        ("photo.png", 2, "Missing argument 'B'"),
        ("photo.png photo.png --lpips photo.png", 1, "not a file of LPIPS weights"),
    ],
)
def test_what_cannot_be_compared(arguments: str, status: int, message: str, capsys: Output) -> None:
    Image.fromarray(scene(60, 80)).save("small.png")
    Path("clip.mkv").write_bytes(clip())
    assert main(["compare", *arguments.split(), "--html", "page.html"]) == status
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1
    assert not Path("page.html").exists()
