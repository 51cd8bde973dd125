"""The tokenizer alone, without entropy coding: bits per token, distortion, tokens a second."""

import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks import environment, metrics, ours, results
from benchmarks.colour import Pixels
from benchmarks.datasets import DatasetError, open_kodak
from benchmarks.datasets.base import digest_of
from benchmarks.judge import Judge
from benchmarks.markup import Block, Paragraph, Table
from benchmarks.run import data_option, open_judge, parse_numbers
from bsqcodec.errors import WeightsError

FILE = "tokenizer.json"
BSQ_FILE = "tokenizer-bsq.json"
SIDE = 256  # pixels of the crops
QUALITIES = (0.0, 10.0, 25.0, 50.0, 75.0, 100.0)
CAPTION = """\
The tokenizer alone on the central {side}x{side} crops of the {count} Kodak pictures, integers
rounded to the nearest, no entropy coding and no rate control. A token stands for 16x16 pixels and
is {channels} integers, each spelled in balanced ternary with as many digits as the weights give its
channel at that quality. A digit is two signs (above -1/2 and above +1/2 of its step), so
`sign bits` is twice the number of digits, every digit of every channel counted whether it is 0 or
not; as one of the four sign pairs cannot occur, log2(3) bits a digit would do, which is `tight
bits`. bpp is that of the sign bits. Most digits are 0, for this tokenizer leaves it to the prior to
make that cheap: `static code` is the entropy of each channel's integers over all crops, what a
fixed table for each channel would come to at best, and `after the prior` the code length that the
prior promises for the same integers; both are bits a token. Seconds are those of one crop at a time
on {cpu}, {threads} thread(s)."""
BSQ_CAPTION = """\
The tokenizer of `--model bsq` (weights {weights}) on the same crops, {side}x{side} of {count}
pictures, without entropy coding. A token stands for {patch}x{patch} pixels and is one code of so
many bits. bpp is that of these bits. `static code` is the entropy of the sub-codes of {sub_code}
bits over all crops, what a fixed table for each sub-code would come to at best, and `after the
prior` the code length that the prior promises for the same codes; both are bits a token. Seconds
are those of one crop at a time on {cpu}, {threads} thread(s)."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What every tokenizer is measured by, means over the crops."""

    raw_bpp: float
    static_bits: float  # a token, by a fixed code for each channel or sub-code
    coded_bits: float  # a token, after the prior
    psnr: float
    ssim: float
    lpips: float | None
    encode_tokens_per_second: float
    decode_tokens_per_second: float


@dataclass(frozen=True, kw_only=True)
class Point(Measured):
    """One quality of the family transform."""

    quality: float
    step: int
    digits: int  # a token
    bsq_bits: int  # a token
    tight_bits: float  # a token


@dataclass(frozen=True, kw_only=True)
class BsqPoint(Measured):
    """One depth of the family bsq."""

    bits: int  # a token


SHARED_HEADER = (
    "static code",
    "after the prior",
    "PSNR (dB)",
    "SSIM",
    "LPIPS",
    "tokens/s in",
    "tokens/s out",
)


def centre(image: Image.Image, side: int = SIDE) -> Pixels:
    """The central square [side, side, 3]. Raises DatasetError for a smaller picture."""
    if min(image.size) < side:
        raise DatasetError(f"a picture of {image.width}x{image.height} has no {side}x{side} crop")
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return np.asarray(image.crop((left, top, left + side, top + side)))


def measure(
    tokenizer: ours.TransformTokenizer, crops: Sequence[Pixels], quality: float, judge: Judge
) -> Point:
    """Tokenize every crop at a quality and compare what comes back."""
    digits = tokenizer.digits(quality)
    measured = _measured(
        lambda crop: tokenizer.encode(crop, quality),
        lambda integers, height, width: tokenizer.decode(integers, quality, height, width),
        lambda crop: tokenizer.coded_bits(crop, quality),
        2 * digits,
        crops,
        judge,
    )
    return Point(
        quality=quality,
        step=tokenizer.step(quality),
        digits=digits,
        bsq_bits=2 * digits,
        tight_bits=round(digits * float(np.log2(3)), 2),
        **asdict(measured),
    )


def measure_bsq(tokenizer: ours.BsqTokenizer, crops: Sequence[Pixels], judge: Judge) -> BsqPoint:
    """Tokenize every crop and compare what comes back."""
    measured = _measured(
        tokenizer.encode, tokenizer.decode, tokenizer.coded_bits, tokenizer.bits, crops, judge
    )
    return BsqPoint(bits=tokenizer.bits, **asdict(measured))


def _measured(
    encode: Callable[[Pixels], npt.NDArray[np.int32]],
    decode: Callable[[npt.NDArray[np.int32], int, int], Pixels],
    coded_bits: Callable[[Pixels], float],
    raw_bits: int,
    crops: Sequence[Pixels],
    judge: Judge,
) -> Measured:
    """What all crops come to.

    encode: integers [h, w, C] of pixels; decode: pixels of these, a height and a width. raw_bits:
    of a token, without a prior.
    """
    psnr, ssim, distances, coded, found = [], [], [], [], []
    seconds = {"encode": 0.0, "decode": 0.0}
    tokens = 0
    for crop in crops:
        started = time.perf_counter()
        integers = encode(crop)
        between = time.perf_counter()
        decoded = decode(integers, crop.shape[0], crop.shape[1])
        seconds["decode"] += time.perf_counter() - between
        seconds["encode"] += between - started
        tokens += integers.shape[0] * integers.shape[1]
        found.append(integers.reshape(-1, integers.shape[2]))
        psnr.append(metrics.psnr(crop, decoded))
        ssim.append(metrics.ssim(crop, decoded))
        distances.append(judge.lpips(crop, decoded) if judge.lpips else None)
        coded.append(coded_bits(crop))
    known = [distance for distance in distances if distance is not None]
    area = sum(crop.shape[0] * crop.shape[1] for crop in crops)
    return Measured(
        raw_bpp=round(raw_bits * tokens / area, 4),
        static_bits=round(static_code(np.concatenate(found)), 2),
        coded_bits=round(sum(coded) / tokens, 2),
        psnr=round(statistics.fmean(psnr), 4),
        ssim=round(statistics.fmean(ssim), 5),
        lpips=round(statistics.fmean(known), 5) if len(known) == len(crops) else None,
        encode_tokens_per_second=round(tokens / seconds["encode"], 1),
        decode_tokens_per_second=round(tokens / seconds["decode"], 1),
    )


def static_code(integers: npt.NDArray[np.int32]) -> float:
    """Bits a token of the best fixed code for each channel of integers [N, C]: their entropy."""
    bits = 0.0
    for channel in integers.T:
        _, counts = np.unique(channel, return_counts=True)
        frequency = counts / len(channel)
        bits -= float((frequency * np.log2(frequency)).sum())
    return bits


def blocks(folder: Path) -> list[Block]:
    """The tables and their captions from a folder of result files, nothing for those it lacks."""
    found: list[Block] = []
    for name, caption_and_table in ((FILE, _transform_table), (BSQ_FILE, _bsq_table)):
        if (folder / name).is_file():
            found += caption_and_table(json.loads((folder / name).read_text(encoding="utf-8")))
    return found


def _transform_table(document: dict[str, Any]) -> list[Block]:
    rows = []
    for entry in document["points"]:
        point = Point(**entry)
        sizes = [f"{point.quality:g}", f"{point.bsq_bits}", f"{point.tight_bits:.0f}"]
        rows.append([*sizes, f"{point.raw_bpp:.2f}", *_cells(point)])
    header = ["quality", "sign bits", "tight bits", "bpp", *SHARED_HEADER]
    return [_caption(CAPTION, document), Table(header, rows)]


def _bsq_table(document: dict[str, Any]) -> list[Block]:
    points = [BsqPoint(**entry) for entry in document["points"]]
    rows = [[f"{point.bits}", f"{point.raw_bpp:.4f}", *_cells(point)] for point in points]
    caption = _caption(BSQ_CAPTION, document)
    return [caption, Table(["bits", "bpp", *SHARED_HEADER], rows)]


def _caption(text: str, document: dict[str, Any]) -> Paragraph:
    """A caption that names fields of a result file."""
    return Paragraph(
        text.format(**document, count=document["pictures"], cpu=document["machine"]["cpu"])
    )


def _cells(point: Measured) -> list[str]:
    """What is under SHARED_HEADER."""
    return [
        f"{point.static_bits:.1f}",
        f"{point.coded_bits:.1f}",
        f"{point.psnr:.2f}",
        f"{point.ssim:.4f}",
        "" if point.lpips is None else f"{point.lpips:.4f}",
        f"{point.encode_tokens_per_second:.0f}",
        f"{point.decode_tokens_per_second:.0f}",
    ]


@click.command("tokenizer")
@data_option
@click.option(
    "--model",
    "family",
    type=click.Choice(["transform", "bsq"]),
    default="transform",
    show_default=True,
)
@click.option("--qualities", help="0 to 100, with commas  [default: 0,10,25,50,75,100]")
@click.option("--weights", help="Weights instead of the shipped ones.")
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help=f"The result file  [default: benchmarks/results/{FILE}, of bsq {BSQ_FILE}]",
)
def main(
    data: Path | None,
    family: str,
    qualities: str | None,
    weights: str | None,
    threads: int,
    out: Path | None,
) -> None:
    """Measure the tokenizer without entropy coding on Kodak crops and write the result file."""
    grid = parse_numbers(qualities, "--qualities") or QUALITIES
    bsq = family == "bsq"
    if bsq and qualities:
        raise click.UsageError("--model bsq has one rate and takes no --qualities")
    judge = open_judge(data)
    try:
        dataset = open_kodak(data)
        crops = [centre(picture.load()) for picture in dataset.items]
    except DatasetError as error:
        raise click.ClickException(str(error)) from error
    try:
        codec = ours.open_codec(weights, threads, family)
        tokenizers = ours.bsq_tokenizers(codec) if bsq else [ours.TransformTokenizer(codec)]
    except WeightsError as error:
        raise click.ClickException(str(error)) from error
    points: list[Measured] = []
    for tokenizer in tokenizers:
        if isinstance(tokenizer, ours.BsqTokenizer):
            tokenizer.decode(tokenizer.encode(crops[0]), SIDE, SIDE)  # sets up libraries
            points.append(measure_bsq(tokenizer, crops, judge))
            shape = {"patch": tokenizer.patch, "sub_code": tokenizer.sub_code}
        else:
            first = tokenizer.encode(crops[0], grid[0])
            tokenizer.decode(first, grid[0], SIDE, SIDE)  # sets up libraries
            points += [measure(tokenizer, crops, quality, judge) for quality in grid]
            shape = {"channels": tokenizer.channels}
    document: dict[str, Any] = {
        "command": environment.portable_command("benchmarks", sys.argv[1:]),
        "commit": environment.commit(),
        "date": environment.today(),
        "versions": environment.versions(extra=("bsqcodec", "constriction")),
        "machine": environment.machine(),
        "threads": threads,
        "weights": tokenizer.weights_id,
        **shape,
        "side": SIDE,
        "pictures": len(crops),
        "dataset_sha256": digest_of(dataset.hashes()),
        "points": [asdict(point) for point in points],
    }
    results.write_json(out or results.RESULTS / (BSQ_FILE if bsq else FILE), document)
    for point in points:
        click.echo(json.dumps(asdict(point)))
