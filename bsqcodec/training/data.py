"""Training pictures: tar shards or folders of pictures, decoded once into one flat array.

A cache folder has the pixels of all pictures one after the other (`pixels.npy`), their sizes
(`shapes.npy`), and how many pictures each shard gave (`sources.json`), in this order. Shards that
appear later are appended; what `sources.json` does not count is not there.
"""

from __future__ import annotations

import io
import json
import logging
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import torch
from filelock import FileLock
from PIL import Image
from torch import Tensor

from bsqcodec.format.json_text import parse_json

log = logging.getLogger(__name__)

SUFFIXES = {".avif", ".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}

COMMIT_EVERY = 1000
"""Pictures decoded, at least, between two points from which an interrupted decoding goes on."""


def _decode(data: bytes) -> npt.NDArray[np.uint8]:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def files_below(folder: Path) -> list[Path]:
    """Tar files and pictures in a folder and the folders in it, sorted."""
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES | {".tar"})


def read_pictures(source: Path) -> Iterator[npt.NDArray[np.uint8]]:
    """Pictures [H, W, 3] of a tar shard, of a picture file, or of all of these below a folder."""
    if source.is_dir():
        for path in files_below(source):
            yield from read_pictures(path)
    elif source.suffix.lower() == ".tar":
        with tarfile.open(source) as shard:
            for member in shard:
                file = shard.extractfile(member)
                if file is not None and Path(member.name).suffix.lower() in SUFFIXES:
                    yield _decode(file.read())
    else:
        yield _decode(source.read_bytes())


def shards(sources: list[Path]) -> dict[str, Path]:
    """Tar files and pictures of the sources by name; of those in a folder, the path inside it.

    Raises ValueError if two of them have the same name.
    """
    result: dict[str, Path] = {}
    for source in sources:
        for path in files_below(source) if source.is_dir() else [source]:
            name = path.relative_to(source).as_posix() if path != source else path.name
            if result.setdefault(name, path) != path:
                raise ValueError(f"{result[name]} and {path} go by the same name, {name}")
    return result


def padded(picture: npt.NDArray[np.uint8], size: int) -> npt.NDArray[np.uint8]:
    """The picture [H, W, 3], repeated at its lower and right edge where a side is below `size`."""
    lack = [max(0, size - n) for n in picture.shape[:2]]
    if any(lack):
        return np.pad(picture, ((0, lack[0]), (0, lack[1]), (0, 0)), mode="edge")
    return picture


class Cache:
    """Decoded pictures in a folder. Files are only ever appended to or replaced whole.

    So whoever has them mapped keeps what they have, and what an interrupted decoding left is
    overwritten by the next.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.shapes_file = folder / "shapes.npy"
        self.pixels_file = folder / "pixels.npy"
        self.sources_file = folder / "sources.json"

    def held(self) -> dict[str, int] | None:
        """Numbers of pictures by shard; None if the cache does not say what it holds."""
        if self.sources_file.exists():
            held = parse_json(self.sources_file.read_text())
            return held if isinstance(held, dict) else None  # earlier versions wrote a list
        return None if self.shapes_file.exists() else {}

    def shapes(self) -> npt.NDArray[np.int64]:
        """Heights and widths of the pictures, [N, 2]."""
        held = self.held()
        shapes = np.load(self.shapes_file)
        return shapes if held is None else shapes[: sum(held.values())]

    def missing(self, named: dict[str, Path]) -> dict[str, Path]:
        """Those of the named shards that are not decoded yet.

        Raises ValueError if the cache holds shards that are not named.
        """
        held = self.held()
        if held is None:
            log.warning("%s does not say what it holds; it is taken as it is", self.folder)
            return {}
        others = sorted(held.keys() - named.keys())
        if others:
            raise ValueError(
                f"{self.folder} holds other pictures too ({len(others)} shards, such as "
                f"{others[0]}); name them in --data, or another --cache"
            )
        return {name: path for name, path in named.items() if name not in held}

    def extend(self, sources: list[Path]) -> None:
        """Decode what the sources have and the cache does not hold yet.

        Raises ValueError if the cache holds shards that the sources do not have, and
        FileNotFoundError if there are no pictures at all.
        """
        named = shards(sources)
        if self.held() == {} and not named:
            raise FileNotFoundError(f"no pictures below {[str(s) for s in sources]}")
        if self.missing(named):
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder / "lock"):  # another run may use the same cache
                missing = self.missing(named)
                if missing:
                    self._append(missing)
        if not len(self.shapes()):
            raise FileNotFoundError(f"no pictures in {[str(s) for s in sources]}")

    def _append(self, missing: dict[str, Path]) -> None:
        held = self.held() or {}
        shapes = self.shapes().tolist() if held else []
        if not held:
            self._write_sources(held)
        with self.pixels_file.open("r+b" if held else "w+b") as file:
            size = sum(3 * height * width for height, width in shapes)
            _write_header(file, size)
            file.seek(size, io.SEEK_CUR)
            file.truncate()
            uncommitted = 0
            for number, (name, path) in enumerate(missing.items(), 1):
                before = len(shapes)
                for picture in read_pictures(path):
                    size += file.write(picture.tobytes())
                    shapes.append(list(picture.shape[:2]))
                held[name] = len(shapes) - before
                uncommitted += held[name]
                if uncommitted >= COMMIT_EVERY or number == len(missing):
                    uncommitted = 0
                    _write_header(file, size)
                    file.flush()
                    file.seek(0, io.SEEK_END)
                    self._write_shapes(shapes)
                    self._write_sources(held)
                    log.info("decoded %d pictures into %s", len(shapes), self.folder)

    def _write_shapes(self, shapes: list[list[int]]) -> None:
        temporary = self.folder / "shapes.tmp"
        with temporary.open("wb") as file:
            np.save(file, np.array(shapes, dtype=np.int64).reshape(-1, 2))
        temporary.replace(self.shapes_file)

    def _write_sources(self, held: dict[str, int]) -> None:
        temporary = self.folder / "sources.tmp"
        temporary.write_text(json.dumps(held))
        temporary.replace(self.sources_file)


def _write_header(file: BinaryIO, size: int) -> None:
    """Begin a .npy file of `size` bytes; numpy leaves room, so that all sizes take the same."""
    file.seek(0)
    header = {"descr": "|u1", "fortran_order": False, "shape": (size,)}
    np.lib.format.write_array_header_1_0(file, header)


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
        """The pictures of the sources; those that the cache folder lacks are decoded into it.

        Raises what `Cache.extend` does.
        """
        Cache(cache).extend(sources)
        return cls.open(cache)

    @classmethod
    def open(cls, cache: Path) -> Pictures:
        """What a cache folder holds."""
        folder = Cache(cache)
        return cls(np.load(folder.pixels_file, mmap_mode="r"), folder.shapes())

    def crops(self, count: int, size: int, generator: np.random.Generator) -> Tensor:
        """Random crops uint8 [count, 3, size, size], flipped and turned at random.

        A picture is drawn in proportion to its area; one that is too small is padded by its edge.
        """
        area = self.shapes.prod(1)
        chosen = generator.choice(len(self), count, p=area / area.sum())
        return torch.stack([self._crop(int(i), size, generator) for i in chosen])

    def _crop(self, index: int, size: int, generator: np.random.Generator) -> Tensor:
        picture = padded(self[index], size)
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
