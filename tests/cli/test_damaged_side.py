"""A video whose sound is damaged: what decodes is decoded,
and each command says what is damaged."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import av
import pytest

from bsqcodec.cli.main import main

CASE = Path(__file__).parents[1] / "cases" / "bad_vid_12_1.bsq"
DAMAGE = "the side stream: damaged (Input/output error)"

Output = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The current folder: clip.bsq in it."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(CASE, "clip.bsq")


@pytest.mark.parametrize("options", [[], ["--partial"]], ids=["strict", "partial"])
@pytest.mark.parametrize("name", ["clip.mkv", "clip.mp4"])
def test_decoding(options: list[str], name: str, capsys: Output) -> None:
    assert main(["decode", "clip.bsq", "-o", name, "--threads", "1", *options]) == 0
    err = capsys.readouterr().err
    assert err.startswith(
        f"bsqcodec: warning: {name}: {DAMAGE}; sound and subtitles may be missing"
    )
    assert err.count("\n") == 2
    with av.open(name) as file:
        packets = [(packet.stream.type, packet.size) for packet in file.demux() if packet.size]
    assert sum(kind == "video" for kind, _ in packets) == 4
    # the sound lies behind the damage, and is found all the same
    assert sum(size for kind, size in packets if kind == "audio") == 2560


def test_pictures_need_no_sound(capsys: Output) -> None:
    assert main(["decode", "clip.bsq", "-o", "clip", "--format", "png", "--quiet"]) == 0
    assert len(list(Path("clip").iterdir())) == 4


def test_info(capsys: Output) -> None:
    assert main(["info", "clip.bsq"]) == 1
    out, err = capsys.readouterr()
    assert "length         4 frames" in out and "tracks         damaged" in out
    way_out = "bsqcodec decode --partial decodes what is sound"
    assert err == f"bsqcodec: error: clip.bsq: {DAMAGE}; {way_out}\n"


def test_info_as_json(capsys: Output) -> None:
    assert main(["info", "--json", "clip.bsq"]) == 1
    facts = json.loads(capsys.readouterr().out)
    assert facts["frames"] == 4 and facts["damage"] == []
    assert facts["tracks"] is None and facts["problem"] == DAMAGE
