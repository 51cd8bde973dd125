"""`bsqcodec view`: programs that show and play, and thumbnails."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bsqcodec.cli import viewers
from bsqcodec.cli.main import main

from ..golden_files import scene
from .video_clips import FRAMES, clip, frames_of

Output = pytest.CaptureFixture[str]

pytestmark = pytest.mark.usefixtures("tiny_weights", "tiny_video_weights")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with photo.bsq; programs are in bin, of which there are none yet."""
    (tmp_path / "bin").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("DISPLAY", ":0")
    Image.fromarray(scene(120, 300)).save("photo.png")
    assert main(["encode", "photo.png", "--quiet"]) == 0
    return tmp_path


def program(folder: Path, name: str, script: str) -> None:
    """A program that notes its arguments in called.txt, then does what the script says."""
    path = folder / "bin" / name
    path.write_text(f'#!/bin/sh\necho "$0" "$@" > {folder}/called.txt\n{script}\n')
    os.chmod(path, 0o755)


def coded_clip() -> None:
    Path("clip.mkv").write_bytes(clip())
    assert main(["encode", "clip.mkv", "--quiet"]) == 0


def test_a_picture_is_shown_and_its_file_removed(folder: Path) -> None:
    program(folder, "feh", f'/bin/cp "$1" {folder}/seen.png')
    assert main(["view", "photo.bsq"]) == 0
    shown = Path("called.txt").read_text().split()[1]
    assert not Path(shown).exists()
    assert main(["decode", "photo.bsq", "back.png"]) == 0
    with Image.open("seen.png") as seen, Image.open("back.png") as back:
        assert np.array_equal(np.asarray(seen), np.asarray(back))


def test_what_an_opener_hands_on_stays(folder: Path) -> None:
    program(folder, "xdg-open", "")
    program(folder, "feh", "")
    for _ in range(2):
        assert main(["view", "photo.bsq"]) == 0
    shown = Path(Path("called.txt").read_text().split()[1])
    assert shown.is_file() and folder / "cache" in shown.parents


def test_a_video_plays_as_it_is_decoded(folder: Path) -> None:
    coded_clip()
    program(folder, "ffplay", f"/bin/cat > {folder}/seen.mkv")
    program(folder, "mpv", "")
    assert main(["view", "clip.bsq"]) == 0
    assert Path("called.txt").read_text().split()[-1] == "-"
    assert len(frames_of("seen.mkv")) == FRAMES
    assert main(["view", "clip.bsq", "--with", "mpv"]) == 0  # which is closed before the end


@pytest.mark.parametrize("name", ["photo.bsq", "clip.bsq"])
def test_without_a_program_the_error_says_what_to_install(name: str, capsys: Output) -> None:
    coded_clip()
    capsys.readouterr()
    assert main(["view", name]) == 1
    err = capsys.readouterr().err
    assert "install" in err and "bsqcodec decode" in err and err.count("\n") == 1
    assert main(["view", name, "--with", "mpv"]) == 1
    assert "there is no program mpv" in capsys.readouterr().err


def test_a_screen_is_needed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(folder, "xdg-open", "")
    monkeypatch.setattr(viewers.sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert main(["view", "photo.bsq"]) == 1
    assert not Path("called.txt").exists()


def test_a_program_that_fails(folder: Path, capsys: Output) -> None:
    program(folder, "feh", "exit 3")
    assert main(["view", "photo.bsq"]) == 1
    assert "feh ended with status 3" in capsys.readouterr().err


def test_a_thumbnail(capsys: Output) -> None:
    assert main(["view", "photo.bsq", "--thumbnail", "64"]) == 0
    with Image.open("photo-64.png") as small, Image.open("photo.png") as photo:
        assert small.size == (64, 26)
        expected = np.asarray(photo.resize(small.size, Image.Resampling.BOX)).astype(int)
        assert np.abs(np.asarray(small) - expected).mean() < 16
    assert main(["view", "photo.bsq", "--thumbnail", "64"]) == 1
    assert "photo-64.png" in capsys.readouterr().err
    assert main(["view", "photo.bsq", "--thumbnail", "1000", "-o", "large.jpg"]) == 0
    with Image.open("large.jpg") as large:
        assert large.size == (300, 120)


def test_a_thumbnail_of_a_video() -> None:
    coded_clip()
    assert main(["view", "clip.bsq", "--thumbnail", "20", "-o", "first.png"]) == 0
    with Image.open("first.png") as small:
        assert max(small.size) == 20


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ("photo.png", 1, "photo.png is not a .bsq file"),
        ("photo.bsq -o a.png", 2, "--thumbnail"),
        ("photo.bsq --thumbnail 9 -o a.xyz", 1, "xyz"),
        ("-", 2, "give the name of a file"),
    ],
)
def test_wrong_usage(arguments: str, status: int, message: str, capsys: Output) -> None:
    capsys.readouterr()
    assert main(["view", *arguments.split()]) == status
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1
