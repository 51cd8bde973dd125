"""`bsqcodec verify`: all of a file is checked, nothing is written."""

import json
from pathlib import Path

import pytest

from bsqcodec.cli.main import main
from bsqcodec.format.image_container import Chunk, ChunkKind, pack, unpack

from .video_clips import clip

Output = pytest.CaptureFixture[str]


@pytest.mark.usefixtures("tiny_weights")
def test_pictures(photo: Path, capsys: Output) -> None:
    assert main(["encode", "photo.png", "-o", "plain.bsq", "--quiet"]) == 0
    assert main(["encode", "photo.png", "-o", "photo.bsq", "--quiet", "--pixel-checksum"]) == 0
    data = Path("photo.bsq").read_bytes()
    Path("cut.bsq").write_bytes(data[:-5])
    container = unpack(data)
    assert container.symbols_crc is not None
    chunks = container.chunks
    Path("symbols.bsq").write_bytes(pack(container.header, chunks, container.symbols_crc ^ 1))
    other = [Chunk(c.kind, b"\1abcd") if c.kind == ChunkKind.PIXELS else c for c in chunks]
    Path("pixels.bsq").write_bytes(pack(container.header, other, container.symbols_crc))
    before = set(Path().iterdir())
    capsys.readouterr()
    names = ["plain.bsq", "cut.bsq", "symbols.bsq", "pixels.bsq", "photo.bsq", "none.bsq"]
    assert main(["verify", *names]) == 1
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == "" and len(lines) == 6
    mismatch = "do not match the file's checksum of them"
    assert lines[0] == "plain.bsq: sound (integers compared)"
    assert lines[1].startswith("bsqcodec: error: cut.bsq: ")
    assert lines[2].endswith(f"symbols.bsq: the decoded bits {mismatch}")
    assert lines[3].endswith(f"pixels.bsq: the decoded samples {mismatch}")
    assert lines[4] == "photo.bsq: sound (integers and samples compared)"
    assert "none.bsq: No such file" in lines[5]
    assert main(["verify", "photo.bsq", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"file": "photo.bsq", "pixels_compared": True}
    assert set(Path().iterdir()) == before


@pytest.mark.usefixtures("tiny_video_weights")
def test_videos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    monkeypatch.chdir(tmp_path)
    Path("clip.mkv").write_bytes(clip())
    assert main(["encode", "clip.mkv", "--quiet"]) == 0
    data = bytearray(Path("clip.bsq").read_bytes())
    data[len(data) // 2] ^= 1
    Path("bad.bsq").write_bytes(data)
    capsys.readouterr()
    assert main(["verify", "clip.bsq", "bad.bsq"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "clip.bsq: sound (integers compared)"
    assert lines[1].startswith("bsqcodec: error: bad.bsq: ") and len(lines) == 2
