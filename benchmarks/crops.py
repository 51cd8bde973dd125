"""Crops of pictures decoded at equal bpp, kept without loss in a result file.

Contact sheets are drawn from these files alone.
"""

import base64
import io
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import click
import numpy as np
from PIL import Image

from benchmarks import environment, metrics, ours
from benchmarks.anchors import StillCodec
from benchmarks.anchors.base import bpp_of, encode_near
from benchmarks.datasets import PICTURE_SETS, DatasetError, PictureFile
from benchmarks.measures import OURS
from benchmarks.results import rounded, rounded_or_none, write_json
from benchmarks.run import STILLS, data_option, parse_numbers, results_option
from bsqcodec.errors import BsqError

PREFIX = "crops_"
RATES = (0.1, 0.2, 0.4)  # bpp
SIDE = 192  # pixels
CODECS = (OURS, "bsqcodec-natural", "avif", "webp", "jpeg2000")
# A face, lettering and machines, leaves, water.
KODAK = ("kodim15:396:96", "kodim05:330:10", "kodim07:340:130", "kodim14:500:320")


@dataclass(frozen=True)
class Crop:
    """A square cut out of a picture, in pixels; None centres it in that direction."""

    side: int
    left: int | None = None
    top: int | None = None

    def cut(self, image: Image.Image) -> Image.Image:
        side = min(self.side, image.width, image.height)
        left = (image.width - side) // 2 if self.left is None else self.left
        top = (image.height - side) // 2 if self.top is None else self.top
        left, top = min(left, image.width - side), min(top, image.height - side)
        return image.crop((left, top, left + side, top + side))


@dataclass(frozen=True)
class Picture:
    """What is shown of a picture. original: its crop, as in `Cell`."""

    name: str
    sha256: str  # of the whole picture's samples
    original: str


@dataclass(frozen=True)
class Cell:
    """A crop of a picture that was coded as a whole; the numbers are the whole picture's."""

    picture: str
    codec: str
    wanted_bpp: float  # of the row of the sheet
    bpp: float
    psnr: float  # dB
    ms_ssim: float | None
    pixels: str  # the crop as lossless WebP in base64


@dataclass
class Crops:
    """The content of one file of crops."""

    dataset: str
    codecs: dict[str, dict[str, Any]]  # label, options, versions, in the order of the columns
    rates: list[float]  # bpp, in the order of the rows
    command: str
    commit: str
    date: str
    versions: dict[str, str]
    machine: dict[str, Any]
    pictures: list[Picture] = field(default_factory=list)
    cells: list[Cell] = field(default_factory=list)

    def save(self, path: Path) -> None:
        write_json(path, asdict(self))

    @classmethod
    def load(cls, path: Path) -> "Crops":
        """Read a file that `save` wrote. Raises ValueError when it is something else."""
        document = json.loads(path.read_text(encoding="utf-8"))
        try:
            known = {entry.name: document[entry.name] for entry in fields(cls)}
            known["pictures"] = [Picture(**entry) for entry in known["pictures"]]
            known["cells"] = [Cell(**entry) for entry in known["cells"]]
        except (KeyError, TypeError) as error:
            raise ValueError(f"{path.name}: not a file of benchmarks crops") from error
        return cls(**known)


def packed(image: Image.Image) -> str:
    """An RGB picture without loss, as text."""
    buffer = io.BytesIO()
    image.save(buffer, format="WEBP", lossless=True, quality=100, method=4)
    return base64.b64encode(buffer.getvalue()).decode()


def unpacked(text: str) -> Image.Image:
    """The inverse of `packed`."""
    return Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB")


def code(codec: StillCodec, image: Image.Image, bpp: float) -> bytes:
    """A file of at most `bpp` bits per pixel, or the smallest that the codec can write."""
    if isinstance(codec, ours.BsqStill):
        return codec.encode_near(image, bpp)
    return encode_near(codec, image, bpp)[1]


def measure(
    codecs: Sequence[StillCodec], picture: PictureFile, rate: float, crop: Crop
) -> list[Cell]:
    """One row of a sheet: all codecs at most as large as bsqcodec's file, or without it at `rate`.

    The rate of bsqcodec's file itself is at most `rate`.
    """
    image = picture.load()
    reference = np.asarray(image)
    limit, found = rate, {}
    for codec in sorted(codecs, key=lambda codec: codec.name != OURS):
        data = code(codec, image, limit)
        if codec.name == OURS:
            limit = bpp_of(data, image)
        decoded = codec.decode(data)
        found[codec.name] = Cell(
            picture=picture.name,
            codec=codec.name,
            wanted_bpp=rate,
            bpp=rounded(bpp_of(data, image)),
            psnr=rounded(metrics.psnr(reference, decoded)),
            ms_ssim=rounded_or_none(metrics.ms_ssim(reference, decoded)),
            pixels=packed(crop.cut(Image.fromarray(decoded))),
        )
    return [found[codec.name] for codec in codecs]


def parse_picture(text: str) -> tuple[str, int | None, int | None]:
    """NAME or NAME:LEFT:TOP."""
    name, *place = text.split(":")
    if not place:
        return name, None, None
    if len(place) == 2 and all(part.isdigit() for part in place):
        return name, int(place[0]), int(place[1])
    raise click.UsageError(f"a picture is NAME or NAME:LEFT:TOP, not {text!r}")


def chosen_pictures(
    texts: Sequence[str], dataset_name: str, data: Path | None, side: int
) -> tuple[str, list[tuple[PictureFile, Crop]]]:
    """The name of the set, and what to cut out of which picture.

    Raises DatasetError, and click.UsageError for a picture that the set lacks.
    """
    if not texts and dataset_name != "kodak":
        raise click.UsageError("name the pictures: only for kodak there is a choice made")
    dataset = PICTURE_SETS[dataset_name](data)
    pictures = {picture.name: picture for picture in dataset.items}
    chosen = []
    for name, left, top in map(parse_picture, texts or KODAK):
        if name not in pictures:
            raise click.UsageError(f"no picture {name} in {dataset.name}")
        chosen.append((pictures[name], Crop(side, left, top)))
    return dataset.name, chosen


@click.command("crops")
@click.argument("names", nargs=-1, metavar="[PICTURE]...")
@data_option
@click.option(
    "--dataset",
    "dataset_name",
    type=click.Choice(sorted(PICTURE_SETS)),
    default="kodak",
    show_default=True,
)
@click.option("--bpp", "rates", help="Rates, with commas  [default: 0.1,0.2,0.4]")
@click.option(
    "--side",
    type=click.IntRange(min=1),
    default=SIDE,
    show_default=True,
    help="Side of the crops in pixels.",
)
@click.option(
    "--codecs",
    default=",".join(CODECS),
    show_default=True,
    help="Columns after the original, with commas.",
)
@click.option("--weights", help="Weights for bsqcodec instead of the shipped ones.")
@click.option("--threads", type=click.IntRange(min=1), help="Threads for bsqcodec.")
@results_option
def main(
    names: tuple[str, ...],
    data: Path | None,
    dataset_name: str,
    rates: str | None,
    side: int,
    codecs: str,
    weights: str | None,
    threads: int | None,
    folder: Path,
) -> None:
    """Code pictures at equal bpp and write RESULTS/crops_DATASET.json for contact sheets.

    PICTURE is NAME or NAME:LEFT:TOP of the crop; without any, four of Kodak are taken.
    """
    grid = parse_numbers(rates, "--bpp") or RATES
    for name in codecs.split(","):
        if name not in STILLS:
            raise click.UsageError(f"no codec {name}; there are {', '.join(STILLS)}")
    try:
        dataset, chosen = chosen_pictures(names, dataset_name, data, side)
        columns = [ours.make_still(name, weights, threads) for name in codecs.split(",")]
        crops = Crops(
            dataset=dataset,
            codecs={
                codec.name: {
                    "label": codec.label,
                    "options": codec.options(),
                    "versions": codec.versions(),
                }
                for codec in columns
            },
            rates=list(grid),
            command=environment.portable_command("benchmarks", sys.argv[1:]),
            commit=environment.commit(),
            date=environment.today(),
            versions=environment.versions(),
            machine=environment.machine(),
        )
        for picture, crop in chosen:
            original = packed(crop.cut(picture.load()))
            crops.pictures.append(Picture(picture.name, picture.sha256(), original))
            for rate in grid:
                crops.cells += measure(columns, picture, rate, crop)
                for cell in crops.cells[-len(columns) :]:
                    click.echo(f"{cell.picture} {cell.codec}: {cell.bpp} bpp, {cell.psnr:.2f} dB")
    except (DatasetError, BsqError) as error:
        raise click.ClickException(str(error)) from error
    path = folder / f"{PREFIX}{dataset}.json"
    crops.save(path)
    click.echo(path)
