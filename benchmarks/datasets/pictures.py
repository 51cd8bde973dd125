"""Sets of pictures: Kodak by its published names, or any folder."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.datasets.base import Dataset, DatasetError, existing_folder, missing_files

KODAK_NAMES = tuple(f"kodim{number:02d}" for number in range(1, 25))
KODAK_SIZES = ((768, 512), (512, 768))
KODAK_SOURCE = "https://r0k.us/graphics/kodak/"
PICTURE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jp2", ".webp", ".avif", ".tif", ".tiff", ".bmp", ".ppm"}
)


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

    def sha256(self) -> str:
        """Hash of the size and the RGB samples."""
        image = self.load()
        digest = hashlib.sha256(f"{image.width}x{image.height}\n".encode())
        digest.update(image.tobytes())
        return digest.hexdigest()


def open_kodak(folder: Path | None) -> Dataset[PictureFile]:
    """The 24 Kodak pictures, from `folder` or from its subfolder `kodak`.

    Raises DatasetError naming what is missing or of the wrong size. Nothing is downloaded.
    """
    folder = existing_folder(folder, "kodim01.png to kodim24.png", KODAK_SOURCE)
    if (folder / "kodak").is_dir():
        folder = folder / "kodak"
    files = tuple(PictureFile(name, folder / f"{name}.png") for name in KODAK_NAMES)
    missing = [file.path.name for file in files if not file.path.is_file()]
    if missing:
        raise DatasetError(missing_files(folder, "Kodak", missing, len(files), KODAK_SOURCE))
    for file in files:
        if file.size() not in KODAK_SIZES:
            width, height = file.size()
            raise DatasetError(f"{file.path.name} is {width}x{height}, Kodak's is 768x512")
    return Dataset("kodak", files)


def open_folder(folder: Path | None) -> Dataset[PictureFile]:
    """Every picture directly inside `folder`, by name. Raises DatasetError when there is none."""
    folder = existing_folder(folder, "the pictures")
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES)
    if not paths:
        raise DatasetError(f"{folder}: no pictures in this folder")
    # The whole file name, as a.png and a.jpg may lie side by side.
    return Dataset(folder.resolve().name, tuple(PictureFile(p.name, p) for p in paths))
