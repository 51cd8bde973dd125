"""Codes of a whole picture to payloads and back, in slices, and pixels to codes and back.

A grid of tokens is cut into slices of whole rows of windows, which the prior codes without sight of
each other: so damage to one leaves the others as they were, and memory is bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from bsqcodec.models.bsq.bit_walk import SubCodeDecoder, SubCodeEncoder, walk_bits
from bsqcodec.models.bsq.integer_bit_prior import IntegerBitPrior
from bsqcodec.models.bsq.network import BsqTokenizer, bits_of
from bsqcodec.models.windows import WINDOW, continued

SLICE_ROWS = 4 * WINDOW
"""Rows of tokens of a slice; pictures with more than `MAX_SLICES` of them have larger ones."""

MAX_SLICES = 64
"""Slices of a picture, at most."""

Bits = npt.NDArray[np.bool_]
Signs = npt.NDArray[np.int8]
Progress = Callable[[float], None]


def slices(rows: int) -> list[slice]:
    """The slices of a grid with so many rows of tokens, a multiple of 8."""
    height = SLICE_ROWS * -(-rows // (SLICE_ROWS * MAX_SLICES))
    return [slice(top, min(top + height, rows)) for top in range(0, rows, height)]


@dataclass(frozen=True)
class CodedBits:
    """Payloads [sub-codes][slices], and what the prior promised: the sum of -log2 probabilities."""

    payloads: list[list[bytes]]
    ideal_bits: float


def _part(progress: Progress | None, index: int, count: int) -> Progress | None:
    """Progress of one of `count` equal parts of the work."""
    if progress is None:
        return None
    whole = progress
    return lambda done: whole((index + done) / count)


def write_bits(
    prior: IntegerBitPrior, bits: Bits, inside: npt.NDArray[np.bool_], progress: Progress | None
) -> CodedBits:
    """Code bits [h, w, L]; inside [h, w]: which tokens are no padding."""
    parts = slices(len(inside))
    config = prior.config
    columns: list[list[bytes]] = []
    ideal = 0.0
    for index, rows in enumerate(parts):
        coder = SubCodeEncoder(bits[rows].reshape(-1, config.bits), config.sub_code)
        walk_bits(prior, inside[rows], coder, _part(progress, index, len(parts)))
        columns.append(coder.payloads())
        ideal += coder.ideal_bits
    return CodedBits([list(row) for row in zip(*columns, strict=True)], ideal)


def read_bits(
    prior: IntegerBitPrior,
    payloads: Sequence[Sequence[bytes | None]],
    inside: npt.NDArray[np.bool_],
    progress: Progress | None = None,
) -> Signs:
    """Signs int8 [h, w, L] of payloads [sub-codes][slices]: +1, -1, or 0 for what is missing.

    There may be fewer sub-codes than the codes have. Where a slice's payload is None, its later
    sub-codes cannot be read either. Raises FormatError for damaged payloads.
    """
    parts = slices(len(inside))
    config = prior.config
    result = np.zeros((*inside.shape, config.bits), np.int8)
    for index, rows in enumerate(parts):
        known: list[bytes] = []
        for row in payloads:
            payload = row[index]
            if payload is None:
                break
            known.append(payload)
        coder = SubCodeDecoder(known, config.sub_code)
        result[rows] = walk_bits(prior, inside[rows], coder, _part(progress, index, len(parts)))
    return result


def _padded(pixels: npt.NDArray[np.uint8], window: int) -> torch.Tensor:
    """[1, 3, H, W] float32 of pixels [H, W, 3], continued by its edge to whole windows."""
    x = torch.tensor(pixels).permute(2, 0, 1)[None]  # a copy: arrays may be read-only
    height, width = pixels.shape[:2]
    return continued(x, 0, -height % window, 0, -width % window).float()


@torch.inference_mode()
def bits_of_picture(tokenizer: BsqTokenizer, pixels: npt.NDArray[np.uint8]) -> Bits:
    """The bits [h, w, L] of a picture [H, W, 3], padded to whole windows."""
    device = tokenizer.encoder.linear.weight.device
    with torch.autocast(device.type, enabled=False):
        code, _ = tokenizer.encode(_padded(pixels, tokenizer.config.window).to(device))
        return bits_of(code)[0].cpu().numpy()


@torch.inference_mode()
def picture_of_signs(
    tokenizer: BsqTokenizer, signs: Signs, height: int, width: int
) -> npt.NDArray[np.uint8]:
    """The picture uint8 [height, width, 3] of signs [h, w, L], in which 0 is a missing bit.

    Tokens outside the picture are taken from the nearest token inside.
    """
    patch = tokenizer.config.patch
    device = tokenizer.encoder.linear.weight.device
    rows, columns = signs.shape[:2]
    inside = (-(-height // patch), -(-width // patch))
    lack = ((0, rows - inside[0]), (0, columns - inside[1]), (0, 0))
    whole = np.pad(signs[: inside[0], : inside[1]], lack, mode="edge")
    with torch.autocast(device.type, enabled=False):
        x = tokenizer.decoder(torch.from_numpy(whole).to(device)[None].float())
        x = x[0, :, :height, :width].clamp(0, 255).round().to(torch.uint8)
        return x.permute(1, 2, 0).cpu().numpy()


def inside_of(height: int, width: int, patch: int) -> npt.NDArray[np.bool_]:
    """Which tokens of the padded grid touch a picture, [h, w]."""
    window = patch * WINDOW
    grid = (-(-height // window) * WINDOW, -(-width // window) * WINDOW)
    inside = np.zeros(grid, bool)
    inside[: -(-height // patch), : -(-width // patch)] = True
    return inside


def missing_regions(signs: Signs, inside: npt.NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Runs of rows of tokens (first, last + 1) in which bits of the picture are missing."""
    rows = ((signs == 0).any(-1) & inside).any(1)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], rows, [False]])))
    yield from ((int(first), int(end)) for first, end in edges.reshape(-1, 2))
