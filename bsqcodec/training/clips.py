"""Training clips: tar shards of frames and synthetic motion, with their motion vectors, in a cache.

A cache folder has the frames of all clips one after the other (`frames.npy`), the vectors from each
frame to the one before (`vectors.npy`, zero for first frames), and their sizes (`clips.json`).
Vectors, which take most of the time, are made when a trainer first needs them.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import math
import tarfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from bsqcodec.encoder.motion_estimation import (
    IntegerPelMotion,
    luma,
    refine_subpel,
    search_integer_pel,
)
from bsqcodec.format.json_text import parse_json
from bsqcodec.training.data import Pictures, padded

log = logging.getLogger(__name__)

RATE_WEIGHT = 12.0
"""Sums of absolute differences that a bit of motion is worth, for the cached vectors."""

Frames = npt.NDArray[np.uint8]


def read_clips(shard: Path) -> Iterator[Frames]:
    """Clips [T, H, W, 3] of a tar shard with members CLIP/FRAME.avif in order, cut to 16 pixels."""
    with tarfile.open(shard) as tar:
        name = ""
        frames: list[Frames] = []
        for member in tar:
            file = tar.extractfile(member)
            if file is None:
                continue
            if Path(member.name).parent.name != name and frames:
                yield _cut(frames)
                frames = []
            name = Path(member.name).parent.name
            with Image.open(io.BytesIO(file.read())) as image:
                frames.append(np.asarray(image.convert("RGB")))
        if frames:
            yield _cut(frames)


def _cut(frames: list[Frames]) -> Frames:
    h, w = (n // 16 * 16 for n in frames[0].shape[:2])
    return np.stack([f[:h, :w] for f in frames if f.shape == frames[0].shape])


def synthetic(pictures: Pictures, generator: np.random.Generator, count: int, size: int) -> Frames:
    """A clip [count, size, size, 3] of a photograph that moves, with others moving before it."""
    background = _moving(pictures, generator, count, size, 6.0)
    for _ in range(int(generator.integers(0, 3))):
        front = _moving(pictures, generator, count, size, 12.0)
        mask = _moving_mask(generator, count, size)
        background = background * (1 - mask) + front * mask
    drift = float(generator.normal(0, 0.004)) * (generator.random() < 0.3)
    factor = 1 + drift * torch.arange(count, dtype=torch.float32)
    noisy = background * factor[:, None, None, None]
    if generator.random() < 0.3:
        noise = torch.from_numpy(generator.normal(0, 1, noisy.shape).astype(np.float32))
        noisy = noisy + noise * float(generator.uniform(0.5, 4))
    return noisy.clamp(0, 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()


def _path(generator: np.random.Generator, count: int, speed: float) -> npt.NDArray[np.float64]:
    """Positions [count, 2] in pixels: a constant velocity and a little acceleration."""
    angle = generator.uniform(0, 2 * math.pi)
    pace = speed * generator.random() ** 2
    velocity = pace * np.array([math.sin(angle), math.cos(angle)])
    t = np.arange(count)[:, None]
    return t * velocity + t**2 * generator.normal(0, 0.1 * pace + 1e-9, 2)


def _moving(
    pictures: Pictures, generator: np.random.Generator, count: int, size: int, speed: float
) -> Tensor:
    """[count, 3, size, size]: a photograph panned, zoomed and turned."""
    picture = padded(pictures[int(generator.integers(len(pictures)))], size)
    x = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float()
    h, w = picture.shape[:2]
    path = _path(generator, count, speed)
    turn, zoom = generator.normal(0, 0.008), generator.normal(0, 0.008)
    scale = generator.uniform(0.7, 1.0)
    start = np.array([generator.uniform(-0.5, 0.5) * (n - size) for n in (h, w)])
    frames = []
    for t in range(count):
        a, s = turn * t, scale * math.exp(zoom * t)
        down, right = start + path[t]
        matrix = torch.tensor(
            [
                [s * math.cos(a) * size / w, -s * math.sin(a) * size / w, 2 * right / w],
                [s * math.sin(a) * size / h, s * math.cos(a) * size / h, 2 * down / h],
            ],
            dtype=torch.float32,
        )
        grid = F.affine_grid(matrix[None], [1, 3, size, size], align_corners=False)
        frames.append(
            F.grid_sample(x, grid, "bicubic", padding_mode="reflection", align_corners=False)[0]
        )
    return torch.stack(frames).clamp(0, 255)


def _moving_mask(generator: np.random.Generator, count: int, size: int) -> Tensor:
    """[count, 1, size, size] in 0..1: a soft-edged superellipse that moves."""
    centre = generator.uniform(0.1, 0.9, 2) * size
    radius = generator.uniform(0.08, 0.35, 2) * size
    power = generator.uniform(1.5, 6)
    path = _path(generator, count, 12.0)
    axis = torch.arange(size, dtype=torch.float32)
    masks = []
    for down, right in centre + path:
        y = ((axis - down) / radius[0]).abs()[:, None] ** power
        x = ((axis - right) / radius[1]).abs()[None] ** power
        masks.append(((1 - (y + x)) * float(radius.min()) / 2 + 0.5).clamp(0, 1))
    return torch.stack(masks)[:, None]


def vectors_of(frames: Frames) -> npt.NDArray[np.int16]:
    """Vectors [T, H / 8, W / 8, 2] from each frame to the one before, for originals."""
    motion: IntegerPelMotion | None = None
    fields = [np.zeros((frames.shape[1] // 8, frames.shape[2] // 8, 2), np.int16)]
    maps = [luma(torch.from_numpy(f).permute(2, 0, 1).float()) for f in frames]
    for before, after in pairwise(maps):
        motion = search_integer_pel(after, before, RATE_WEIGHT, motion)
        field = refine_subpel(motion, after, before, RATE_WEIGHT)
        fields.append(field.numpy().astype(np.int16))
    return np.stack(fields)


def add_clip_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of trainers that work on clips."""
    add = parser.add_argument
    add("--clips", type=Path, nargs="*", default=[], help="shards of clips, or folders of them")
    add("--clip-cache", type=Path, default=Path("runs/clips"))
    add("--moving", type=int, default=700, help="synthetic clips")


def load_clips(args: argparse.Namespace, pictures: Pictures, *, vectors: bool) -> Clips:
    """The clips that the arguments name; vectors: whether they are needed."""
    shards = [
        shard
        for path in args.clips
        for shard in (sorted(path.glob("*.tar")) if path.is_dir() else [path])
    ]
    clips = Clips.load(shards, pictures, args.clip_cache, args.moving, vectors=vectors)
    log.info("%d clips", len(clips))
    return clips


class Clips:
    """Clips with their vectors, memory-mapped; the vectors are zero where the cache has none."""

    def __init__(self, cache: Path) -> None:
        self.shapes: list[list[int]] = parse_json((cache / "clips.json").read_text())
        self.frames = np.load(cache / "frames.npy", mmap_mode="r")
        self.vectors: npt.NDArray[np.int16] | None = None
        if (cache / "vectors.npy").exists():
            self.vectors = np.load(cache / "vectors.npy", mmap_mode="r")
        sizes = np.array([math.prod(s) for s in self.shapes])
        self.starts = np.concatenate([[0], np.cumsum(sizes)])

    def __len__(self) -> int:
        return len(self.shapes)

    def __getitem__(self, index: int) -> tuple[Frames, npt.NDArray[np.int16]]:
        """(frames [T, H, W, 3], vectors [T, H / 8, W / 8, 2])."""
        count, height, width = self.shapes[index]
        first, last = self.starts[index : index + 2]
        frames = self.frames[3 * first : 3 * last].reshape(count, height, width, 3)
        shape = (count, height // 8, width // 8, 2)
        if self.vectors is None:
            return frames, np.zeros(shape, np.int16)
        return frames, self.vectors[2 * first // 64 : 2 * last // 64].reshape(shape)

    @classmethod
    def load(
        cls,
        shards: list[Path],
        pictures: Pictures,
        cache: Path,
        moving: int,
        size: int = 256,
        *,
        vectors: bool = True,
    ) -> Clips:
        """The clips of the shards and `moving` synthetic ones, made once into the cache folder.

        vectors: whether they are needed.
        """
        if not (cache / "clips.json").exists():
            cache.mkdir(parents=True, exist_ok=True)
            shapes, frames = [], []
            generator = np.random.default_rng(0)

            def clips() -> Iterator[Frames]:
                for shard in shards:
                    yield from read_clips(shard)
                for _ in range(moving):
                    yield synthetic(pictures, generator, 5, size)

            for clip in clips():
                if min(clip.shape[1:3]) < size // 2 or len(clip) < 2:
                    continue
                shapes.append(list(clip.shape[:3]))
                frames.append(clip.ravel())
            np.save(cache / "frames.npy", np.concatenate(frames))
            (cache / "clips.json").write_text(json.dumps(shapes))
        result = cls(cache)
        if not vectors or result.vectors is not None:
            return result
        fields = []
        for number in range(len(result)):
            fields.append(vectors_of(result[number][0].copy()).ravel())
            if (number + 1) % 50 == 0:
                log.info("vectors of %d clips", number + 1)
        np.save(cache / "vectors.npy", np.concatenate(fields))
        return cls(cache)

    def to_validate(self) -> list[tuple[Tensor, Tensor]]:
        """The same 8 clips of 4 frames of 256 x 256 pixels every time,
        of those that are trained on."""
        return [self.draw(4, 256, np.random.default_rng(seed)) for seed in range(8)]

    def draw(self, count: int, size: int, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
        """(frames uint8 [count, 3, size, size], vectors [count, size / 8, size / 8, 2]) of a clip.

        Consecutive frames at a random place (a multiple of 16), mirrored at random. Smaller clips
        are continued by their edge.
        """
        long = [i for i, shape in enumerate(self.shapes) if shape[0] >= count]
        weight = np.array([math.sqrt(self.shapes[i][0]) for i in long])
        frames, vectors = self[int(generator.choice(long, p=weight / weight.sum()))]
        start = int(generator.integers(0, len(frames) - count + 1))
        lack = [max(0, size - n) for n in frames.shape[1:3]]
        top, left = (
            16 * int(generator.integers(0, (n + more - size) // 16 + 1))
            for n, more in zip(frames.shape[1:3], lack, strict=True)
        )
        picked = frames[start : start + count, top : top + size, left : left + size]
        moved = vectors[start : start + count]
        moved = moved[:, top // 8 : (top + size) // 8, left // 8 : (left + size) // 8]
        if any(lack):
            edge = ((0, 0), (0, lack[0]), (0, lack[1]), (0, 0))
            picked = np.pad(picked, edge, mode="edge")
            moved = np.pad(moved, tuple((a, -(-b // 8)) for a, b in edge), mode="edge")
        x = torch.from_numpy(picked.copy()).permute(0, 3, 1, 2)
        v = torch.from_numpy(moved.copy()).long()
        if generator.random() < 0.5:
            x, v = x.flip(3), v.flip(2) * torch.tensor([1, -1])
        return x, v
