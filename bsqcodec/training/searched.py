"""Integers that the encoder's slow search finds for crops of the training pictures.

A decoder trained on plain integers alone serves those of the search less well (see
`bsqcodec.training.tokenizer`). A folder has parts `part-00000.npz`, each of some crops: `pixels`
uint8 [N, H, W, 3], `integers` int16 [N, h, w, C] and `steps` uint8 [N], all of one size. Parts
appear whole, so that a run that was interrupted goes on with the next one.
"""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bsqcodec.encoder.masking import dead_zones_of
from bsqcodec.encoder.tune import DEFAULT_MS_SSIM_WEIGHT
from bsqcodec.format.json_text import parse_json
from bsqcodec.training.data import Pictures
from bsqcodec.training.distributed import World
from bsqcodec.training.trainer_options import add_source_arguments, load_pictures, set_up

if TYPE_CHECKING:
    from bsqcodec.models.weight_files import Weights

log = logging.getLogger(__name__)

PART = 16
"""Crops of a part."""

HELD_OUT = 24
"""Crops that a trainer validates with and never learns from; an eighth of fewer than 192."""

LOWEST, HIGHEST = 120, 240
"""Step indices at which crops are searched: .05 to 1 bits per pixel."""

MS_SSIM_WEIGHTS = (DEFAULT_MS_SSIM_WEIGHT, 1.0)
"""Weights of 1 - MS-SSIM in the search's distortion, drawn for each crop: the default, and 1."""


@dataclass(frozen=True)
class Searched:
    """Crops of a folder: pixels uint8 [N, H, W, 3], integers int16 [N, h, w, C],
    steps uint8 [N]."""

    pixels: npt.NDArray[np.uint8]
    integers: npt.NDArray[np.int16]
    steps: npt.NDArray[np.uint8]

    @staticmethod
    def load(folder: Path) -> Searched:
        """All parts of a folder. Raises FileNotFoundError if there are none."""
        paths = sorted(folder.glob("part-*.npz"))
        if not paths:
            raise FileNotFoundError(f"no searched crops in {folder}")
        parts = [np.load(path) for path in paths]
        return Searched(
            *(np.concatenate([p[name] for p in parts]) for name in ("pixels", "integers", "steps"))
        )

    def __len__(self) -> int:
        return len(self.steps)

    def split(self) -> tuple[Searched, Searched]:
        """(crops to learn from, crops to validate with): the last ones, `HELD_OUT` or an eighth."""
        first = len(self) - min(HELD_OUT, len(self) // 8)
        parts = (slice(first), slice(first, None))
        learn, validate = (
            Searched(self.pixels[part], self.integers[part], self.steps[part]) for part in parts
        )
        return learn, validate

    def draw(
        self, count: int, size: int, generator: np.random.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """(pixels uint8 [count, 3, size, size], integers float [count, h, w, C], steps [count]).

        Random squares of whole tokens; size: in pixels. Raises ValueError for larger ones than the
        crops are.
        """
        patch = self.pixels.shape[1] // self.integers.shape[1]
        shortest = min(self.pixels.shape[1:3])
        if size > shortest:
            raise ValueError(f"no {size} pixels in searched crops of {shortest}")
        tokens = size // patch
        chosen = generator.integers(len(self), size=count)
        pixels, integers = [], []
        for index in chosen:
            top, left = (int(generator.integers(n - tokens + 1)) for n in self.integers.shape[1:3])
            integers.append(self.integers[index, top : top + tokens, left : left + tokens])
            y, x = top * patch, left * patch
            pixels.append(self.pixels[index, y : y + size, x : x + size])
        return (
            torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2),
            torch.from_numpy(np.stack(integers)).float(),
            torch.from_numpy(self.steps[chosen]).float(),
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_source_arguments(parser)
    parser.set_defaults(crop=384)
    parser.add_argument("--weights", type=Path, required=True, help="shipped weights")
    parser.add_argument("--count", type=int, default=640, help="crops, in all")


def main(args: argparse.Namespace) -> None:
    with set_up(args) as world:
        search(args, load_pictures(args, world), world)


def search(args: argparse.Namespace, pictures: Pictures, world: World) -> None:
    """Make the parts that are missing.

    Raises ValueError for a folder of other crops or weights, and for crops of broken windows.
    """
    # here, not at the top: they need constriction, which a training machine may lack
    from bsqcodec.models.weight_files import load

    weights = load(args.weights, world.device)
    if args.crop % weights.tokenizer.window_pixels:
        raise ValueError(f"crops of {args.crop} pixels are not made of whole windows")
    args.out.mkdir(parents=True, exist_ok=True)
    note = args.out / "searched.json"
    wanted = {"weights": weights.id.hex(), "crop": args.crop, "seed": args.seed}
    if note.exists() and parse_json(note.read_text()) != wanted:
        raise ValueError(f"{args.out} holds crops of other weights, size or seed")
    note.write_text(json.dumps(wanted) + "\n")
    for number in range(-(-args.count // PART)):
        path = args.out / f"part-{number:05}.npz"
        if path.exists():
            continue
        generator = np.random.default_rng([args.seed, number])
        crops = pictures.crops(PART, args.crop, generator).permute(0, 2, 3, 1).numpy()
        steps = generator.integers(LOWEST, HIGHEST + 1, PART).astype(np.uint8)
        chosen = generator.choice(MS_SSIM_WEIGHTS, PART)
        found = [
            searched_integers(weights, crop.copy(), int(step), float(ms_ssim_weight))
            for crop, step, ms_ssim_weight in zip(crops, steps, chosen, strict=True)
        ]
        temporary = path.with_suffix(".tmp")
        with temporary.open("wb") as file:
            np.savez(file, pixels=crops, integers=np.stack(found), steps=steps)
        temporary.replace(path)
        log.info("%d crops", (number + 1) * PART)


@torch.no_grad()
def searched_integers(
    weights: Weights, pixels: npt.NDArray[np.uint8], step: int, ms_ssim_weight: float
) -> npt.NDArray[np.int16]:
    """Integers [h, w, C] that the search finds for pixels [H, W, 3], whole windows, at a step."""
    from bsqcodec.encoder.rdo import PictureTask, code, optimise
    from bsqcodec.models.prior.walk_coders import RATE_WEIGHT
    from bsqcodec.models.transform.strips import encode_picture

    tokenizer, device = weights.tokenizer, weights.prior.device
    z = encode_picture(tokenizer, pixels, step, device).cpu().numpy()
    x = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
    zone = dead_zones_of(x, tokenizer.config.patch).flatten().numpy()
    inside = np.ones(z.shape[:2], bool)
    start = code(weights.prior, step, inside, z, zone, RATE_WEIGHT)
    task = PictureTask(tokenizer, weights.prior, pixels, step, inside)
    return optimise(task, z, start, ms_ssim_weight=ms_ssim_weight).astype(np.int16)
