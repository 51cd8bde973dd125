"""Training pictures: tar shards or folders of pictures, decoded once into one flat array."""

from __future__ import annotations

import io
import json
import logging
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

log = logging.getLogger(__name__)

SUFFIXES = {".avif", ".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}


def _decode(data: bytes) -> npt.NDArray[np.uint8]:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def read_pictures(source: Path) -> Iterator[npt.NDArray[np.uint8]]:
    """Pictures [H, W, 3] of a tar shard, of a picture file, or of all of these below a folder."""
    if source.is_dir():
        for path in sorted(p for p in source.rglob("*") if p.suffix.lower() in SUFFIXES | {".tar"}):
            yield from read_pictures(path)
    elif source.suffix == ".tar":
        with tarfile.open(source) as shard:
            for member in shard:
                file = shard.extractfile(member)
                if file is not None and Path(member.name).suffix.lower() in SUFFIXES:
                    yield _decode(file.read())
    else:
        yield _decode(source.read_bytes())


class Pictures:
    """Pictures of many sizes in one flat uint8 array, cached in a file and memory-mapped."""

    def __init__(self, pixels: npt.NDArray[np.uint8], shapes: npt.NDArray[np.int64]) -> None:
        self.pixels = pixels
        self.shapes = shapes
        self.offsets = np.concatenate([[0], np.cumsum(shapes.prod(1) * 3)])

    def __len__(self) -> int:
        return len(self.shapes)

    def __getitem__(self, index: int) -> npt.NDArray[np.uint8]:
        height, width = self.shapes[index]
        flat = self.pixels[self.offsets[index] : self.offsets[index + 1]]
        return flat.reshape(height, width, 3)

    @classmethod
    def load(cls, sources: list[Path], cache: Path) -> Pictures:
        """Read the sources, or the cache folder if it holds them already.

        Raises ValueError if the cache was made from other sources.
        """
        shapes_file, pixels_file = cache / "shapes.npy", cache / "pixels.npy"
        names_file = cache / "sources.json"
        names = sorted(source.name for source in sources)
        if names_file.exists() and json.loads(names_file.read_text()) != names:
            raise ValueError(f"{cache} holds other pictures than {names}; name another --cache")
        if not (shapes_file.exists() and pixels_file.exists()):
            pictures = [p for source in sources for p in read_pictures(source)]
            if not pictures:
                raise FileNotFoundError(f"no pictures below {[str(s) for s in sources]}")
            cache.mkdir(parents=True, exist_ok=True)
            np.save(pixels_file, np.concatenate([p.reshape(-1) for p in pictures]))
            np.save(shapes_file, np.array([p.shape[:2] for p in pictures], dtype=np.int64))
            names_file.write_text(json.dumps(names))
            log.info("decoded %d pictures into %s", len(pictures), cache)
        return cls(np.load(pixels_file, mmap_mode="r"), np.load(shapes_file))

    def crops(self, count: int, size: int, generator: np.random.Generator) -> Tensor:
        """Random crops uint8 [count, 3, size, size], flipped and turned at random.

        A picture is drawn in proportion to its area; one that is too small is padded by its edge.
        """
        area = self.shapes.prod(1)
        chosen = generator.choice(len(self), count, p=area / area.sum())
        return torch.stack([self._crop(int(i), size, generator) for i in chosen])

    def _crop(self, index: int, size: int, generator: np.random.Generator) -> Tensor:
        picture = self[index]
        lack = [max(0, size - n) for n in picture.shape[:2]]
        if any(lack):
            picture = np.pad(picture, ((0, lack[0]), (0, lack[1]), (0, 0)), mode="edge")
        top, left = (int(generator.integers(0, n - size + 1)) for n in picture.shape[:2])
        crop = picture[top : top + size, left : left + size]
        crop = np.rot90(crop, k=int(generator.integers(0, 2)))
        if generator.random() < 0.5:
            crop = crop[:, ::-1]
        return torch.from_numpy(np.ascontiguousarray(crop.transpose(2, 0, 1)))


def transform_basis(
    pictures: Pictures, patch: int, channels: int, generator: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Karhunen-Loeve basis [channels, 3 * patch^2] of patches, and their deviations [channels]."""
    rows = []
    for index in generator.permutation(len(pictures))[:1500]:
        crops = [pictures._crop(int(index), patch, generator) for _ in range(40)]
        rows.append(torch.stack(crops).flatten(1))
    samples = torch.cat(rows).double() - 127.5
    values, vectors = torch.linalg.eigh(samples.T @ samples / len(samples))
    order = values.argsort(descending=True)[:channels]
    return vectors[:, order].T.float(), values[order].clamp_min(1e-6).sqrt().float()
