"""`bsqcodec sweep` over a picture, a folder and a clip."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bsqcodec.cli.main import main

from ..golden_files import scene
from .video_clips import clip

Output = pytest.CaptureFixture[str]

pytestmark = pytest.mark.usefixtures("tiny_weights", "tiny_video_weights")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The current folder: photos/a.png, photos/b.png, and clip.mkv in it."""
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    Image.fromarray(scene(180, 200)).save("photos/a.png")
    Image.fromarray(scene(190, 180)).save("photos/b.png")
    Path("photos/notes.txt").write_text("no picture")
    Path("clip.mkv").write_bytes(clip())


def swept(capsys: Output, *arguments: str) -> dict[str, Any]:
    assert main(["sweep", *arguments, "--json", "--quiet"]) == 0
    facts: dict[str, Any] = json.loads(capsys.readouterr().out)
    return facts


def page_of(path: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(
        Path(path).read_text().split('id="data">')[1].split("</script>")[0]
    )
    return data


def test_a_picture_at_equal_sizes(capsys: Output) -> None:
    facts = swept(
        capsys, "photos/a.png", "-q", "60,95", "--codecs", "jpeg,webp", "--html", "page.html"
    )
    points = facts["points"]
    assert [(p["codec"], p["quality"]) for p in points] == [
        (codec, quality) for quality in (60, 95) for codec in ("bsqcodec", "JPEG", "WebP")
    ]
    assert points[0]["bpp"] < points[3]["bpp"]
    for ours, *others in (points[:3], points[3:]):
        assert ours["bpp"] == 8 * ours["output_bytes"] / (180 * 200)
        for other in others:
            coarsest = other["setting"] == "quality 0"
            assert coarsest or other["output_bytes"] <= ours["output_bytes"]
    assert main(["encode", "photos/a.png", "-o", "a.bsq", "-q", "95", "--json"]) == 0
    encoded = json.loads(capsys.readouterr().out)
    assert encoded["output_bytes"] == points[3]["output_bytes"]
    data = page_of("page.html")
    assert [len(side["pictures"]) for side in data["sides"]] == [1] * 7
    assert len({side["pictures"][0] for side in data["sides"]}) == 7
    assert [series["name"] for series in data["plots"][0]["series"]] == ["bsqcodec", "JPEG", "WebP"]


def test_a_picture_in_all_its_looks(tiny_looks: Path, capsys: Output) -> None:
    facts = swept(capsys, "photos/a.png", "-q", "60", "--codecs", "none", "--html", "page.html")
    plain, natural = facts["points"]
    assert (plain["codec"], natural["codec"]) == ("bsqcodec", "bsqcodec natural")
    assert plain["output_bytes"] == natural["output_bytes"]
    assert plain["psnr_db"] != natural["psnr_db"]
    names = [series["name"] for series in page_of("page.html")["plots"][0]["series"]]
    assert names == ["bsqcodec", "bsqcodec natural"]


def test_a_folder_gives_means(capsys: Output) -> None:
    arguments = ["-q", "80", "--codecs", "none"]
    both = swept(capsys, "photos", *arguments)
    one, other = (swept(capsys, f"photos/{n}.png", *arguments)["points"][0] for n in "ab")
    (point,) = both["points"]
    assert both["inputs"] == 2
    assert point["output_bytes"] == one["output_bytes"] + other["output_bytes"]
    assert point["psnr_db"] == pytest.approx((one["psnr_db"] + other["psnr_db"]) / 2)


def test_a_clip(capsys: Output) -> None:
    arguments = ["clip.mkv", "-q", "50", "--codecs", "x264", "--duration", "0.2"]
    assert main(["sweep", *arguments, "--html", "page.html"]) == 0
    header, ours, theirs = capsys.readouterr().out.splitlines()
    assert header.split()[:4] == ["codec", "setting", "bytes", "bpp"]
    assert ours.startswith("bsqcodec") and theirs.startswith("H.264") and "crf" in theirs
    data = page_of("page.html")
    assert len(data["times"]) == 5 and data["times"][0] == 0
    assert [len(side["pictures"]) for side in data["sides"]] == [5, 5, 5]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ("photos/a.png -q 50,200", 2, "'200' is not a quality from 0 to 100"),
        ("photos/a.png --codecs x264", 2, "'x264' is not one of jpeg, webp, avif, jxl, none"),
        ("photos/a.png --start 1", 2, "not for pictures"),
        ("missing.png", 1, "missing.png"),
        ("empty", 1, "no picture in the folder empty"),
    ],
)
def test_wrong_usage(arguments: str, status: int, message: str, capsys: Output) -> None:
    Path("empty").mkdir()
    assert main(["sweep", *arguments.split()]) == status
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1
