"""Draw crops of the original, bsqcodec and anchors side by side at equal rates."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from benchmarks import metrics, ours
from benchmarks.anchors import StillCodec
from benchmarks.anchors.base import encode_near
from benchmarks.datasets import PICTURE_SETS, DatasetError, PictureFile
from benchmarks.run import STILLS, data_option

FIGURES = Path("docs/figures")
MAX_BYTES = 700_000  # of one figure
LABEL_HEIGHT = 34  # pixels below each crop
MARGIN = 6
JPEG_QUALITIES = (95, 92, 88, 84, 80)


@dataclass(frozen=True)
class Cell:
    """One crop and what stands below it."""

    crop: Image.Image
    title: str
    numbers: str


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


def code(codec: StillCodec, image: Image.Image, bpp: float) -> bytes:
    """A file of at most `bpp` bits per pixel, or the smallest that the codec can write."""
    if isinstance(codec, ours.BsqStill):
        return codec.encode_near(image, bpp)
    return encode_near(codec, image, bpp)[1]


def coded_cell(codec: StillCodec, image: Image.Image, bpp: float, crop: Crop) -> Cell:
    """The crop after coding the whole picture; rate and PSNR are the whole picture's."""
    data = code(codec, image, bpp)
    decoded = codec.decode(data)
    rate = metrics.bpp(len(data), image.width, image.height)
    decibels = metrics.psnr(np.asarray(image), decoded)
    return Cell(
        crop.cut(Image.fromarray(decoded)), codec.label, f"{rate:.3f} bpp, {decibels:.2f} dB"
    )


def sheet(rows: Sequence[Sequence[Cell]]) -> Image.Image:
    """All cells in a grid on white, each with two lines of text below."""
    columns = max(len(row) for row in rows)
    width = max(cell.crop.width for row in rows for cell in row)
    height = max(cell.crop.height for row in rows for cell in row)
    step_x, step_y = width + MARGIN, height + LABEL_HEIGHT + MARGIN
    canvas = Image.new("RGB", (columns * step_x + MARGIN, len(rows) * step_y + MARGIN), "white")
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(size=13)
    for y, row in enumerate(rows):
        for x, cell in enumerate(row):
            left, top = MARGIN + x * step_x, MARGIN + y * step_y
            canvas.paste(cell.crop, (left, top))
            below = top + height + 1
            draw.text((left, below), cell.title, fill="black", font=font)
            draw.text((left, below + 16), cell.numbers, fill="#444444", font=font)
    return canvas


def save_small(image: Image.Image, stem: Path, limit: int = MAX_BYTES) -> Path:
    """Write `stem`.png, or a JPEG of the highest quality that fits when that is over `limit`.

    A file of the other kind with the same stem is removed. Raises ValueError if nothing fits.
    """
    kinds: list[tuple[str, str, dict[str, object]]] = [(".png", "PNG", {"optimize": True})]
    for quality in JPEG_QUALITIES:
        kinds.append((".jpg", "JPEG", {"quality": quality, "subsampling": "4:4:4"}))
    for suffix, format, options in kinds:
        buffer = io.BytesIO()
        image.save(buffer, format=format, **options)
        if buffer.tell() <= limit:
            path = stem.with_suffix(suffix)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(buffer.getvalue())
            stem.with_suffix(".jpg" if suffix == ".png" else ".png").unlink(missing_ok=True)
            return path
    raise ValueError(f"{stem.name}: over {limit} bytes even as JPEG; use a smaller --side")


def build(
    picture: PictureFile, codecs: Sequence[StillCodec], rates: Sequence[float], crop: Crop
) -> Image.Image:
    """One row per rate: the original, then each codec."""
    image = picture.load()
    original = Cell(crop.cut(image), f"Original ({picture.name})", "24 bpp")
    return sheet(
        [[original, *(coded_cell(codec, image, rate, crop) for codec in codecs)] for rate in rates]
    )


def parse_picture(text: str) -> tuple[str, int | None, int | None]:
    """NAME or NAME:LEFT:TOP."""
    name, *place = text.split(":")
    if not place:
        return name, None, None
    if len(place) == 2 and all(part.isdigit() for part in place):
        return name, int(place[0]), int(place[1])
    raise click.UsageError(f"a picture is NAME or NAME:LEFT:TOP, not {text!r}")


@click.command("contact-sheet")
@click.argument("names", nargs=-1, required=True, metavar="PICTURE...")
@data_option
@click.option(
    "--dataset",
    "dataset_name",
    type=click.Choice(sorted(PICTURE_SETS)),
    default="kodak",
    show_default=True,
)
@click.option("--bpp", "rates", default="0.15,0.3", show_default=True, help="Rates, with commas.")
@click.option("--side", default=240, show_default=True, help="Side of the crops in pixels.")
@click.option(
    "--codecs",
    default="bsqcodec,webp,jpeg2000",
    show_default=True,
    help="Columns after the original, with commas.",
)
@click.option("--weights", help="Weights for bsqcodec instead of the shipped ones.")
@click.option("--threads", type=click.IntRange(min=1), help="Threads for bsqcodec.")
@click.option(
    "--figures",
    type=click.Path(path_type=Path),
    default=FIGURES,
    show_default=True,
    help="Folder for the figures.",
)
def main(
    names: tuple[str, ...],
    data: Path | None,
    dataset_name: str,
    rates: str,
    side: int,
    codecs: str,
    weights: str | None,
    threads: int | None,
    figures: Path,
) -> None:
    """Write FIGURES/contact_PICTURE.png for each PICTURE, given as NAME or NAME:LEFT:TOP."""
    wanted = [parse_picture(text) for text in names]
    try:
        targets = [float(rate) for rate in rates.split(",")]
        pictures = {picture.name: picture for picture in PICTURE_SETS[dataset_name](data).items}
    except DatasetError as error:
        raise click.ClickException(str(error)) from error
    except ValueError as error:
        raise click.UsageError("--bpp takes numbers with commas") from error
    for name, _, _ in wanted:
        if name not in pictures:
            raise click.UsageError(f"no picture {name} in {dataset_name}")
    columns: list[StillCodec] = []
    for codec in codecs.split(","):
        if codec not in STILLS:
            raise click.UsageError(f"no codec {codec}; there are {', '.join(STILLS)}")
        columns.append(ours.make_still(codec, weights, threads))
    for name, left, top in wanted:
        image = build(pictures[name], columns, targets, Crop(side, left, top))
        stem = figures / f"contact_{Path(name).stem}"
        try:
            click.echo(save_small(image, stem))
        except ValueError as error:
            raise click.ClickException(str(error)) from error
