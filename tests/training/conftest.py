"""Pictures to train on, and the commands that train."""

import io
import logging
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image

from bsqcodec.training import speed
from bsqcodec.training.__main__ import main

Pixels = npt.NDArray[np.uint8]


def scene(height: int, width: int, seed: int) -> Pixels:
    """A smooth picture with an edge, uint8 [height, width, 3]."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 256, (5, 7, 3), np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
    picture = smooth.copy()
    picture[height // 3 :, : width // 2] //= 2
    return picture


def png(pixels: Pixels) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def pictures_folder(tmp_path: Path) -> Path:
    """Pictures in a folder, in a folder below it, and in a shard, with files of other kinds."""
    folder = tmp_path / "pictures"
    (folder / "below").mkdir(parents=True)
    (folder / "a.png").write_bytes(png(scene(150, 200, 1)))
    (folder / "below" / "b.PNG").write_bytes(png(scene(90, 60, 2)))
    (folder / "notes.txt").write_text("no picture")
    with tarfile.open(folder / "c.tar", "w") as shard:
        for name, data in {
            "x/1.png": png(scene(40, 300, 3)),
            "x/1.json": b"{}",
            "2.png": png(scene(64, 64, 4)),
        }.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            shard.addfile(member, io.BytesIO(data))
    return folder


@pytest.fixture
def make_scene() -> Callable[[int, int, int], Pixels]:
    return scene


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with pictures to train on, in data, and one to validate with, in held_out."""
    for name, count in {"data": 3, "held_out": 1}.items():
        (tmp_path / name).mkdir()
        for number in range(count):
            (tmp_path / name / f"{number}.png").write_bytes(png(scene(260, 290, number)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def train(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Run a command of `python -m bsqcodec.training`.

    They set the number of threads, the seed and the log level.
    """
    monkeypatch.setattr(speed, "MEASURED_SECONDS", 0.01)

    def run(*arguments: str) -> None:
        monkeypatch.setattr(sys, "argv", ["bsqcodec.training", *arguments])
        main()

    threads, level = torch.get_num_threads(), logging.getLogger().level
    with torch.random.fork_rng(devices=[]):
        yield run
    torch.set_num_threads(threads)
    logging.getLogger().setLevel(level)
