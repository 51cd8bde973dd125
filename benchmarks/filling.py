"""What filling in by the prior of the BSQ family is worth: PSNR inside of lost tokens.

Tokens of a picture are lost after coding, and either drawn by the prior (`Codec.decode` does so
with damaged files) or, for comparison, painted with the mean of the pixels around them.
"""

from __future__ import annotations

import math
import statistics
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
import numpy.typing as npt

from benchmarks import environment, results
from benchmarks.colour import Pixels
from benchmarks.datasets import DatasetError, open_kodak
from benchmarks.run import data_option, results_option
from bsqcodec.encoder.psnr import psnr
from bsqcodec.errors import WeightsError

if TYPE_CHECKING:
    from bsqcodec.models.bsq.picture_model import BsqModel

FILE = "filling-bsq.json"
LOST = 0.1
"""Fraction of the tokens of a picture that are lost."""

PATTERNS = ("tokens here and there", "one rectangle")


@dataclass(frozen=True)
class Filled:
    """PSNR in dB over the pixels of lost tokens, means over the pictures."""

    pattern: str
    undamaged: float  # what the codec gives without a loss
    filled: float
    mean_of_surroundings: float


def lost_tokens(
    pattern: str, shape: tuple[int, int], generator: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """Which tokens [rows, columns] are lost, about LOST of them."""
    rows, columns = shape
    if pattern == PATTERNS[0]:
        chosen = generator.permutation(rows * columns)[: round(LOST * rows * columns)]
        return np.isin(np.arange(rows * columns), chosen).reshape(shape)
    height, width = (max(1, round(n * math.sqrt(LOST))) for n in shape)
    top = int(generator.integers(rows - height + 1))
    left = int(generator.integers(columns - width + 1))
    lost = np.zeros(shape, bool)
    lost[top : top + height, left : left + width] = True
    return lost


def with_means(pixels: Pixels, lost: npt.NDArray[np.bool_], patch: int) -> Pixels:
    """Pixels in which each group of lost tokens that touch is the mean of the tokens around it.

    pixels [H, W, 3], H and W multiples of the patch; lost [H / patch, W / patch].
    """
    result = pixels.copy()
    left = lost.copy()
    while left.any():
        group = np.zeros_like(lost)
        group[tuple(np.argwhere(left)[0])] = True
        while not np.array_equal(grown := _around(group) & lost, group):
            group = grown
        left &= ~group
        border = _pixels(_around(group) & ~lost, patch)
        value = pixels[border].mean(0) if border.any() else np.full(3, 128.0)
        result[_pixels(group, patch)] = np.rint(value).astype(np.uint8)
    return result


def _around(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """A mask and the eight neighbours of what is in it."""
    padded = np.pad(mask, 1)
    rows, columns = mask.shape
    parts = [padded[y : y + rows, x : x + columns] for y in range(3) for x in range(3)]
    return np.logical_or.reduce(parts)


def _pixels(tokens: npt.NDArray[np.bool_], patch: int) -> npt.NDArray[np.bool_]:
    return tokens.repeat(patch, 0).repeat(patch, 1)


def measure(model: BsqModel, pixels: Pixels, seed: int) -> list[Filled]:
    """The figures of one picture [H, W, 3], cut to whole tokens."""
    from bsqcodec.image.picture_tokens import header_of
    from bsqcodec.models.bsq.coding import bits_of_picture

    patch = model.patch
    pixels = pixels[: len(pixels) // patch * patch, : pixels.shape[1] // patch * patch]
    height, width = pixels.shape[:2]
    depth = model.default_depth
    header, grid = header_of(model, width, height, depth), model.grid(height, width)
    bits = bits_of_picture(model.weights.tokenizer, pixels)[..., :depth]
    whole = model.symbols_of_bits(bits, height, width)
    undamaged = model.render(whole, header)
    generator = np.random.default_rng(seed)
    found = []
    for pattern in PATTERNS:
        lost = lost_tokens(pattern, grid.shape, generator)
        signs = whole.values.astype(np.int8)
        signs[: grid.rows, : grid.columns][lost] = 0
        damaged = model.symbols(signs, grid.inside)
        filled = model.render(model.filled(damaged, header), header)
        inside = _pixels(lost, patch)
        pictures = (undamaged, filled, with_means(undamaged, lost, patch))
        found.append(Filled(pattern, *(psnr(each[inside], pixels[inside]) for each in pictures)))
    return found


def means(rows: list[list[Filled]]) -> list[Filled]:
    """Means over pictures of what `measure` gives of each."""
    names = ("undamaged", "filled", "mean_of_surroundings")
    return [
        Filled(
            each[0].pattern, *(statistics.fmean(getattr(f, name) for f in each) for name in names)
        )
        for each in zip(*rows, strict=True)
    ]


@click.command("filling")
@data_option
@results_option
@click.option("--weights", help="Weights of the BSQ family.  [default: those that are shipped]")
@click.option("--limit", type=click.IntRange(1), help="Only the first N pictures; writes no file.")
def main(data: Path | None, folder: Path, weights: str | None, limit: int | None) -> None:
    """Measure what filling in by the BSQ family's prior is worth, on Kodak."""
    from bsqcodec.image.codec import Codec
    from bsqcodec.image.picture_tokens import bsq_model

    try:
        pictures = open_kodak(data)
        codec = Codec(weights, device="cpu", model="bsq")
        model = bsq_model(codec.model)
    except (DatasetError, WeightsError) as error:
        raise click.ClickException(str(error)) from error
    items = pictures.items[:limit]
    rows = [measure(model, np.asarray(item.load()), seed) for seed, item in enumerate(items)]
    figures = means(rows)
    for each in figures:
        click.echo(
            f"{each.pattern}: filled {each.filled:.2f} dB, mean of the surroundings"
            f" {each.mean_of_surroundings:.2f}, undamaged {each.undamaged:.2f}"
        )
    if limit is not None:
        return
    document = {
        "command": environment.portable_command("benchmarks", sys.argv[1:]),
        "weights": model.id.hex(),
        "lost": LOST,
        "pictures": len(items),
        "figures": [asdict(each) for each in figures],
    }
    results.write_json(folder / FILE, document)
