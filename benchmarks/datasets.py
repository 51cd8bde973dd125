"""Sets of test pictures: Kodak by its published names, or any folder of pictures."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

KODAK_NAMES = tuple(f"kodim{number:02d}" for number in range(1, 25))
KODAK_SIZES = ((768, 512), (512, 768))
KODAK_SOURCE = "https://r0k.us/graphics/kodak/"
PICTURE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jp2", ".webp", ".avif", ".tif", ".tiff", ".bmp", ".ppm"}
)


class DatasetError(Exception):
    """The pictures that a benchmark needs are not where it was told to look."""


@dataclass(frozen=True)
class PictureFile:
    """One picture of a data set, read when it is needed."""

    name: str
    path: Path

    def load(self) -> Image.Image:
        """Read the picture as bare 8-bit RGB: no profile or comment reaches a coded file.

        Raises DatasetError when the file is not a picture.
        """
        try:
            with Image.open(self.path) as image:
                return Image.fromarray(np.asarray(image.convert("RGB")))
        except OSError as error:
            raise DatasetError(f"{self.path.name}: not a readable picture ({error})") from error

    def size(self) -> tuple[int, int]:
        """(width, height) in pixels, from the file's header."""
        try:
            with Image.open(self.path) as image:
                return image.size
        except OSError as error:
            raise DatasetError(f"{self.path.name}: not a readable picture ({error})") from error


@dataclass(frozen=True)
class Dataset:
    name: str
    pictures: tuple[PictureFile, ...]

    def first(self, count: int) -> "Dataset":
        """The first `count` pictures, under another name, so that results are not mixed up."""
        if count >= len(self.pictures):
            return self
        return Dataset(f"{self.name}-first{count}", self.pictures[:count])

    def sha256(self) -> str:
        """Hash of the names, sizes and pixels, whatever the file format."""
        digest = hashlib.sha256()
        for picture in self.pictures:
            image = picture.load()
            digest.update(f"{picture.name} {image.width}x{image.height}\n".encode())
            digest.update(image.tobytes())
        return digest.hexdigest()


def open_kodak(folder: Path | None) -> Dataset:
    """The 24 Kodak pictures, from `folder` or from its subfolder `kodak`.

    Raises DatasetError naming what is missing or of the wrong size. Nothing is downloaded.
    """
    if folder is None:
        raise DatasetError(
            "give the folder of kodim01.png to kodim24.png with --data or in BSQCODEC_DATA; "
            f"the pictures are published at {KODAK_SOURCE}"
        )
    if (folder / "kodak").is_dir():
        folder = folder / "kodak"
    files = tuple(PictureFile(name, folder / f"{name}.png") for name in KODAK_NAMES)
    missing = [file.path.name for file in files if not file.path.is_file()]
    if missing:
        raise DatasetError(
            f"{folder}: {len(missing)} of 24 Kodak pictures are missing, the first is "
            f"{missing[0]}; they are published at {KODAK_SOURCE}"
        )
    for file in files:
        if file.size() not in KODAK_SIZES:
            width, height = file.size()
            raise DatasetError(f"{file.path.name} is {width}x{height}, Kodak's is 768x512")
    return Dataset("kodak", files)


def open_folder(folder: Path | None) -> Dataset:
    """Every picture directly inside `folder`, by name. Raises DatasetError when there is none."""
    if folder is None:
        raise DatasetError("give a folder of pictures with --data or in BSQCODEC_DATA")
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder")
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES)
    if not paths:
        raise DatasetError(f"{folder}: no pictures in this folder")
    # The whole file name, as a.png and a.jpg may lie side by side.
    return Dataset(folder.resolve().name, tuple(PictureFile(p.name, p) for p in paths))


def generated_picture(width: int, height: int, seed: int = 0) -> Image.Image:
    """A soft random RGB picture with structure at many scales, for machines without test data."""
    generator = np.random.default_rng(seed)
    total = np.zeros((height, width, 3), np.float32)
    for scale in (256, 64, 16, 4):
        rows, columns = -(-height // scale) + 1, -(-width // scale) + 1
        for channel in range(3):
            noise = generator.normal(0, scale**0.5 * 2.5, (rows, columns)).astype(np.float32)
            layer = Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)
            total[..., channel] += np.asarray(layer)
    return Image.fromarray(np.clip(total + 128, 0, 255).astype(np.uint8))


def mosaic(pictures: Sequence[Image.Image], width: int, height: int) -> Image.Image:
    """One picture of any size, tiled from `pictures` row by row and cut off at its borders.

    Upright pictures are turned, so that equal cameras give equal tiles.
    """
    tiles = [
        tile if tile.width >= tile.height else tile.transpose(Image.Transpose.ROTATE_90)
        for tile in pictures
    ]
    step_x, step_y = min(tile.width for tile in tiles), min(tile.height for tile in tiles)
    canvas = Image.new("RGB", (width, height))
    places = ((x, y) for y in range(0, height, step_y) for x in range(0, width, step_x))
    for index, place in enumerate(places):
        canvas.paste(tiles[index % len(tiles)].crop((0, 0, step_x, step_y)), place)
    return canvas


DATASETS = {"kodak": open_kodak, "folder": open_folder}
