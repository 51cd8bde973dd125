"""Where the time of the BSQ family goes: tokenizer and entropy coding, each way, at two sizes."""

import json
import sys
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from benchmarks import environment, ours, results
from benchmarks.datasets.generated import generated_picture
from benchmarks.machine_speed import median_seconds
from benchmarks.markup import Block, Paragraph, Table
from benchmarks.run import results_option
from bsqcodec.errors import WeightsError
from bsqcodec.machine.processor import clamp_threads, prepare_process

if TYPE_CHECKING:
    from bsqcodec.models.bsq.picture_model import BsqModel

FILE = "runtime-bsq.json"

SIZES = ((640, 360), (1920, 1080))

CAPTION = """\
Milliseconds of a frame of `--model bsq`, medians of {repeats}, with {threads} threads of {cpu},
of generated pictures; in a video, entropy coding takes the frames before into account, for which it
needs a little longer. The paper has 6.2, 4.7 and 7.2 ms at 360p and 55.8, 42.2 and 64.8 at 1080p
for encoding, entropy coding and decoding, on four A5000. Measured {date} with `{command}`."""

HEADER = (
    "bits",
    "frame",
    "encode",
    "entropy coding",
    "entropy decoding",
    "decode",
    "frames/s each way",
)


@dataclass(frozen=True)
class Times:
    """Seconds of a picture of so many pixels at so many bits a token."""

    bits: int
    width: int
    height: int
    encode: float
    write: float
    read: float
    decode: float


def measure(model: "BsqModel", bits: int, size: tuple[int, int], repeats: int) -> Times:
    """The times of the four parts for a generated picture."""
    from bsqcodec.machine.team import team_of
    from bsqcodec.models.bsq.coding import (
        bits_of_picture,
        picture_of_signs,
        read_bits,
        write_bits,
    )

    width, height = size
    pixels = np.asarray(generated_picture(width, height))
    tokenizer, prior = model.weights.tokenizer, model.weights.prior
    inside = model.grid(height, width).inside
    with team_of(model.device):
        code = bits_of_picture(tokenizer, pixels)[..., :bits]
        coded = write_bits(prior, code, inside, None)
        signs = read_bits(prior, coded.payloads, inside)
        seconds = [
            median_seconds(action, repeats)
            for action in (
                lambda: bits_of_picture(tokenizer, pixels),
                lambda: write_bits(prior, code, inside, None),
                lambda: read_bits(prior, coded.payloads, inside),
                lambda: picture_of_signs(tokenizer, signs, height, width),
            )
        ]
    return Times(bits, width, height, *seconds)


def blocks(folder: Path) -> list[Block]:
    """The table and its caption from a folder of result files, nothing if it is not there."""
    path = folder / FILE
    if not path.is_file():
        return []
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    rows = []
    for entry in document["times"]:
        at = Times(**entry)
        parts = (at.encode, at.write, at.read, at.decode)
        rates = 1 / (at.encode + at.write), 1 / (at.read + at.decode)
        rows.append(
            [
                f"{at.bits}",
                f"{at.width}x{at.height}",
                *(f"{1000 * part:.0f}" for part in parts),
                " / ".join(f"{rate:.2f}" for rate in rates),
            ]
        )
    caption = CAPTION.format(**document, cpu=document["machine"]["cpu"])
    return [Paragraph(caption), Table(HEADER, rows)]


@click.command("runtime")
@results_option
@click.option("--weights", help="Weights of the BSQ family.  [default: those that are shipped]")
@click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True)
@click.option("--repeats", type=click.IntRange(min=1), default=3, show_default=True)
def main(folder: Path, weights: str | None, threads: int, repeats: int) -> None:
    """Measure the parts of the BSQ family's coding on this machine, at 640x360 and 1920x1080."""
    prepare_process()
    from bsqcodec.image.codec import Codec
    from bsqcodec.image.picture_tokens import bsq_model

    count = clamp_threads(threads)[0]
    try:
        model = bsq_model(Codec(weights, device="cpu", threads=count, model="bsq").model)
    except WeightsError as error:
        raise click.ClickException(str(error)) from error
    times = [
        measure(model, bits, size, repeats)
        for bits in ours.depths_measured(model)
        for size in SIZES
    ]
    document = {
        "command": environment.portable_command("benchmarks", sys.argv[1:]),
        "date": date.today().isoformat(),
        "machine": environment.machine(),
        "weights": model.id.hex(),
        "threads": count,
        "repeats": repeats,
        "times": [asdict(each) for each in times],
    }
    results.write_json(folder / FILE, document)
    for each in times:
        click.echo(json.dumps(asdict(each)))
