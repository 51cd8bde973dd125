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
from torch import Tensor

from bsqcodec.machine.team import team_of
from bsqcodec.models.bsq.bit_walk import SubCodeDecoder, SubCodeEncoder, walk_bits
from bsqcodec.models.bsq.integer_bit_prior import IntegerBitPrior
from bsqcodec.models.bsq.network import BsqTokenizer, bits_of
from bsqcodec.models.pieces import Tile, in_pieces
from bsqcodec.models.token_grid import TokenGrid
from bsqcodec.models.transform.blocks import reach
from bsqcodec.models.windows import WINDOW

SLICE_ROWS = 4 * WINDOW
"""Rows of tokens of a slice; pictures with more than `MAX_SLICES` of them have larger ones."""

MAX_SLICES = 64
"""Slices of a picture, at most."""

STRIP_TOKENS = 2048
"""About how many tokens pass the local parts of the networks at once."""

Bits = npt.NDArray[np.bool_]
Signs = npt.NDArray[np.int8]
Progress = Callable[[float], None]


def slices(rows: int) -> list[slice]:
    """The slices of a grid with so many rows of tokens, a multiple of 8."""
    height = SLICE_ROWS * -(-rows // (SLICE_ROWS * MAX_SLICES))
    return [slice(top, min(top + height, rows)) for top in range(0, rows, height)]


@dataclass(frozen=True)
class CodedBits:
    """Payloads [sub-codes][slices], and what the prior promised of each sub-code.

    ideal_bits [sub-codes]: sums of -log2 probabilities.
    """

    payloads: list[list[bytes]]
    ideal_bits: list[float]


def _part(progress: Progress | None, index: int, count: int) -> Progress | None:
    """Progress of one of `count` equal parts of the work."""
    if progress is None:
        return None
    whole = progress
    return lambda done: whole((index + done) / count)


def write_bits(
    prior: IntegerBitPrior,
    bits: Bits,
    inside: npt.NDArray[np.bool_],
    progress: Progress | None,
    earlier: Sequence[Signs] = (),
) -> CodedBits:
    """Code the first bits [h, w, n] of codes, whole sub-codes.

    inside [h, w]: which tokens are no padding. earlier: signs [h, w, L] of the frames before in a
    video, the latest first.
    """
    parts = slices(len(inside))
    config = prior.config
    columns: list[list[bytes]] = []
    ideal = np.zeros(bits.shape[-1] // config.sub_code)
    for index, rows in enumerate(parts):
        coder = SubCodeEncoder(bits[rows].reshape(-1, bits.shape[-1]), config.sub_code)
        before = [signs[rows] for signs in earlier]
        walk_bits(prior, inside[rows], coder, _part(progress, index, len(parts)), before)
        columns.append(coder.payloads())
        ideal += np.array(coder.ideal_bits)
    return CodedBits([list(row) for row in zip(*columns, strict=True)], ideal.tolist())


def read_bits(
    prior: IntegerBitPrior,
    payloads: Sequence[Sequence[bytes | None]],
    inside: npt.NDArray[np.bool_],
    progress: Progress | None = None,
    earlier: Sequence[Signs] = (),
) -> Signs:
    """Signs int8 [h, w, L] of payloads [sub-codes][slices]: +1, -1, or 0 for what is missing.

    There may be fewer sub-codes than the codes have. Where a slice's payload is None, its later
    sub-codes cannot be read either. earlier: as `write_bits` had them.
    Raises FormatError for damaged payloads.
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
        tell = _part(progress, index, len(parts))
        before = [signs[rows] for signs in earlier]
        result[rows] = walk_bits(prior, inside[rows], coder, tell, before)
    return result


def _strips(rows: int, columns: int) -> list[tuple[int, int]]:
    """(top, bottom) of strips of rows of tokens that pass the local parts of the
    networks at once."""
    height = max(1, STRIP_TOKENS // columns)
    return [(top, min(top + height, rows)) for top in range(0, rows, height)]


@torch.inference_mode()
def bits_of_picture(tokenizer: BsqTokenizer, pixels: npt.NDArray[np.uint8]) -> Bits:
    """The bits [h, w, L] of a picture [H, W, 3], continued by its edge to whole windows."""
    encoder, patch = tokenizer.encoder, tokenizer.config.patch
    device = encoder.linear.weight.device
    height, width = pixels.shape[:2]
    rows, columns = TokenGrid(height, width, patch, WINDOW).padded_shape

    def local(strip: tuple[int, int]) -> tuple[Tensor, Tensor]:
        top, bottom = strip
        part = pixels[min(top * patch, height - 1) : bottom * patch]
        lack = ((0, (bottom - top) * patch - len(part)), (0, columns * patch - width), (0, 0))
        x = torch.from_numpy(np.pad(part, lack, mode="edge")).to(device)
        return encoder.local(x.permute(2, 0, 1)[None].float())

    with torch.autocast(device.type, enabled=False), team_of(device):
        linear, tokens = map(list, zip(*in_pieces(local, _strips(rows, columns)), strict=True))
        whole = torch.cat(tokens, 1)
        tokens.clear()
        code, _ = tokenizer.quantize(encoder.attend(torch.cat(linear, 1), whole))
        return bits_of(code)[0].cpu().numpy()


@torch.inference_mode()
def picture_of_signs(
    tokenizer: BsqTokenizer,
    signs: Signs | npt.NDArray[np.float32],
    height: int,
    width: int,
    crop: Tile | None = None,
) -> npt.NDArray[np.uint8]:
    """The picture uint8 [height, width, 3], or a crop of it, of signs [h, w, L];
    0 is a missing bit.

    They may be means of what is expected, between -1 and 1. Tokens outside the picture are taken
    from the nearest token inside. crop: pixels, for which only those tokens are looked at that they
    depend on.
    """
    decoder, patch = tokenizer.decoder, tokenizer.config.patch
    device = decoder.linear.weight.device
    grid = signs.shape[0], signs.shape[1]
    crop = crop or Tile(0, height, 0, width)
    shown = crop.over(patch)
    around = shown.with_margin(decoder.margin, *grid).cover(WINDOW)
    held = around.with_margin(reach(decoder.blocks), *grid)
    inside = held.meet(Tile(0, -(-height // patch), 0, -(-width // patch)))
    lack = ((0, held.bottom - inside.bottom), (0, held.right - inside.right), (0, 0))
    known = np.pad(signs[inside.rows, inside.columns], lack, mode="edge")

    with torch.autocast(device.type, enabled=False), team_of(device):
        whole = torch.from_numpy(known).to(device)[None].float()
        deep = around.inside(held)
        tokens = decoder.attend(whole, deep)
        whole = whole[:, deep.rows, deep.columns]

        def local(strip: tuple[int, int]) -> npt.NDArray[np.uint8]:
            tile = Tile(strip[0], strip[1], 0, shown.right - shown.left)
            tile = tile.moved(shown.top, shown.left)
            seen = tile.with_margin(decoder.margin, *grid)
            part = seen.inside(around)
            x = decoder.local(whole[:, part.rows, part.columns], tokens[:, part.rows, part.columns])
            kept = tile.times(patch).meet(crop).inside(seen.times(patch))
            x = x[0, :, kept.rows, kept.columns].clamp(0, 255).round().to(torch.uint8)
            return x.permute(1, 2, 0).cpu().numpy()

        strips = _strips(shown.bottom - shown.top, around.right - around.left)
        return np.concatenate(in_pieces(local, strips))


def missing_rows(signs: Signs, inside: npt.NDArray[np.bool_]) -> Iterator[range]:
    """Runs of rows of tokens in which bits of the picture are missing."""
    rows = ((signs == 0).any(-1) & inside).any(1)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], rows, [False]])))
    yield from (range(first, end) for first, end in edges.reshape(-1, 2).tolist())
