"""How fast codecs are beside each other: the same picture, rate,
threads and machine, in one run."""

import json
import statistics
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmarks import anchors, environment, markup, results
from benchmarks.anchors import ANCHORS, StillCodec
from benchmarks.anchors.base import bpp_of, encode_near
from benchmarks.markup import Block, Paragraph, Table
from benchmarks.runner import Clocks
from bsqcodec.machine.processor import clamp_threads, prepare_process

if TYPE_CHECKING:
    from PIL import Image

FILE = "side_by_side.json"


@dataclass(frozen=True)
class Speed:
    """Seconds of one codec for the picture. source: of figures that were not measured here."""

    label: str
    bpp: float | None
    encode_seconds: float | None
    decode_seconds: float | None
    remark: str = ""
    source: str = ""


CAPTION = """\
Seconds of {picture[name]} ({picture[width]}x{picture[height]}), each codec at the finest setting of
at most {bpp:g} bits a pixel, all in one run on {threads} threads of {cpu}: medians of {repeats}, of
wall time, or of processor time where that is less. Measured {date} with `{command}`."""

HEADER = ("codec", "bpp", "encoding", "decoding", "")

PUBLISHED = (
    Speed(
        "Cool-chic 4.0",
        None,
        None,
        0.074,
        "mean of Kodak, on its authors' CPU; encoding trains a network for each picture",
        "https://github.com/Orange-OpenSource/Cool-Chic/releases/tag/v4.0.0",
    ),
)


def median_seconds(action: Callable[[], object], repeats: int) -> float:
    """The median time of an action that was done once before.

    That is wall time, or the time of all threads on the processor where that is less.
    """
    action()
    runs = []
    for _ in range(repeats):
        started = Clocks.now()
        action()
        runs.append((Clocks.now() - started).seconds())
    return statistics.median(runs)


def still_speed(codec: StillCodec, image: "Image.Image", bpp: float, repeats: int) -> Speed:
    """A codec at the finest setting that stays below a rate."""
    setting, data = encode_near(codec, image, bpp)
    return Speed(
        codec.label,
        round(bpp_of(data, image), 4),
        median_seconds(lambda: codec.encode(image, setting), repeats),
        median_seconds(lambda: codec.decode(data), repeats),
    )


def compressai_speeds(image: "Image.Image", repeats: int) -> Iterator[Speed]:
    """Models of CompressAI with random weights, which take the time of trained ones.

    Their rate means nothing. Raises ImportError without the package.
    """
    import numpy as np
    import torch
    from compressai.zoo import bmshj2018_hyperprior, mbt2018

    width, height = image.width // 64 * 64, image.height // 64 * 64
    pixels = np.asarray(image.crop((0, 0, width, height)))
    x = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255
    for name, make in (("bmshj2018-hyperprior", bmshj2018_hyperprior), ("mbt2018", mbt2018)):
        torch.manual_seed(0)
        network = make(quality=4, pretrained=False).eval()
        network.update()
        with torch.inference_mode():
            coded = network.compress(x)
            decoding = partial(network.decompress, coded["strings"], coded["shape"])
            there = median_seconds(partial(network.compress, x), repeats)
            back = median_seconds(decoding, repeats)
        yield Speed(f"CompressAI {name}", None, there, back, "random weights of quality 4")


def measured(
    image: "Image.Image", bpp: float, threads: int, repeats: int
) -> tuple[list[Speed], list[str]]:
    """(the rows, sentences on what is missing)."""
    from benchmarks import ours

    missing = [reason for name in ANCHORS if (reason := anchors.missing(name))]
    codec = ours.open_codec(None, threads)  # sets the threads of torch, for CompressAI too
    rows = [still_speed(ours.BsqStill(codec), image, bpp, repeats)]
    present = [make for name, make in ANCHORS.items() if not anchors.missing(name)]
    rows += [still_speed(make(), image, bpp, repeats) for make in present]
    try:
        rows += compressai_speeds(image, repeats)
    except ImportError as error:
        missing.append(f"CompressAI: {error}; pip install compressai")
    return [*rows, *PUBLISHED], missing


def blocks(folder: Path) -> list[Block]:
    """The table and its caption from a folder of result files, nothing if it is not there."""
    path = folder / FILE
    if not path.is_file():
        return []
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    rows = [
        [
            row["label"] + (" (published)" if row["source"] else ""),
            *(
                "" if row[name] is None else f"{row[name]:.3f}"
                for name in ("bpp", "encode_seconds", "decode_seconds")
            ),
            row["remark"],
        ]
        for row in document["rows"]
    ]
    caption = CAPTION.format(**document, cpu=document["machine"]["cpu"])
    sources = [f"{row['label']}: {row['source']}." for row in document["rows"] if row["source"]]
    return [Paragraph(" ".join([caption, *sources])), Table(HEADER, rows, words=True)]


@click.command("side-by-side")
@click.argument("picture", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--bpp", default=0.5, show_default=True, help="Bits per pixel at most, of all.")
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True)
@click.option("--repeats", type=click.IntRange(min=1), default=3, show_default=True)
@click.option(
    "--results",
    "folder",
    type=click.Path(path_type=Path),
    default=results.RESULTS,
    help="Folder of the result file  [default: benchmarks/results]",
)
def main(picture: Path, bpp: float, threads: int, repeats: int, folder: Path) -> None:
    """Measure how fast bsqcodec and others code and decode a PICTURE, in one run.

    Each codec works at the finest setting whose file is at most --bpp, and is warm; times are
    medians, of wall time, or of processor time where that is less. JPEG, JPEG 2000, WebP and AVIF
    take one thread, whatever --threads says.
    """
    from PIL import Image

    prepare_process()
    with Image.open(picture) as opened:
        image = opened.convert("RGB")
    rows, missing = measured(image, bpp, clamp_threads(threads)[0], repeats)
    document = {
        "command": environment.portable_command("benchmarks", sys.argv[1:]),
        "date": environment.today(),
        "versions": environment.versions(extra=("bsqcodec", "pillow", "compressai")),
        "machine": environment.machine(),
        "picture": {"name": picture.name, "width": image.width, "height": image.height},
        "bpp": bpp,
        "threads": threads,
        "repeats": repeats,
        "rows": [asdict(row) for row in rows],
        "missing": missing,
    }
    results.write_json(folder / FILE, document)
    click.echo(markup.markdown(blocks(folder)))
    for line in missing:
        click.echo(f"left out: {line}", err=True)
