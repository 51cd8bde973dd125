"""Pictures to train on."""

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

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
