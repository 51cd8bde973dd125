"""The tokenizer on whole pictures of any size, in memory that grows with the tokens only.

Attention and MLPs run window by window and convolutions on tiles with the neighbouring tokens they
look at, so the results do not depend on where a picture is cut, but for rounding. Where it is cut
depends on its size alone, so that any number of threads gets the same.
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from bsqcodec.machine.team import team_of
from bsqcodec.models.pieces import Tile, in_pieces, tiles
from bsqcodec.models.transform.blocks import reach
from bsqcodec.models.transform.tokenizer import MARGIN, STEPS, Tokenizer, TokenizerConfig
from bsqcodec.models.windows import WINDOW

STRIP_TOKENS = 4096
"""About how many tokens a strip has, which devices other than CPUs take at once."""

TILE_TOKENS = (16, 48)
"""Rows and columns of tokens, at most, that a thread takes at once on a CPU."""

STEPS_PER_PLANE = 32 * math.log2(3)
"""Step indices that make the step 3 times larger."""


def grid_size(height: int, width: int, window_pixels: int, patch: int) -> tuple[int, int]:
    """Rows and columns of tokens of a picture, padded to whole windows."""
    unit = window_pixels // patch
    return tuple(-(-n // window_pixels) * unit for n in (height, width))  # type: ignore[return-value]


def _strips(rows: int, columns: int, device: torch.device) -> list[Tile]:
    """Strips of whole rows of a grid."""
    height = max(8, STRIP_TOKENS // columns)
    tops = range(0, rows, height)
    return [Tile(top, min(top + height, rows), 0, columns) for top in tops]


def _tiles(rows: int, columns: int, device: torch.device) -> list[Tile]:
    """What of a grid passes the convolutions at once."""
    if device.type == "cpu":
        return tiles(rows, columns, *TILE_TOKENS)
    return _strips(rows, columns, device)


@torch.inference_mode()
def encode_picture(
    tokenizer: Tokenizer, pixels: npt.NDArray[np.uint8], step: int, device: torch.device
) -> Tensor:
    """pixels [H, W, 3] -> z [h, w, C] (float32), the picture padded by its edge."""
    config = tokenizer.config
    height, width = pixels.shape[:2]
    grid = grid_size(height, width, tokenizer.window_pixels, config.patch)
    steps = torch.tensor([step], device=device, dtype=torch.float32)

    def local(tile: Tile) -> tuple[Tensor, Tensor | None]:
        around = tile.with_margin(MARGIN, *grid)
        x = _padded(pixels, around.times(config.patch))
        part = torch.from_numpy(x).to(device).permute(2, 0, 1)[None].float()
        linear, maps = tokenizer.encoder.local(part)
        inside = tile.inside(around)
        linear = linear[:, inside.rows, inside.columns]
        return linear, None if maps is None else maps[:, inside.rows, inside.columns]

    with torch.autocast(device.type, enabled=False), team_of(device):
        some = _tiles(*grid, device)
        made = in_pieces(local, some)
        maps = [m for _, m in made if m is not None]
        linear = _assembled([y for y, _ in made], some, grid)
        whole = _assembled(maps, some, grid) if maps else None
        del made, maps
        z = tokenizer.compand(linear, steps)
        return tokenizer.encoder.attend(z, whole, steps)[0]


def _padded(pixels: npt.NDArray[np.uint8], tile: Tile) -> npt.NDArray[np.uint8]:
    """A tile of pixels [H, W, 3], which are continued by their edge."""
    height, width = pixels.shape[:2]
    part = pixels[min(tile.top, height - 1) : tile.bottom, min(tile.left, width - 1) : tile.right]
    lack = (tile.bottom - tile.top - len(part), tile.right - tile.left - part.shape[1])
    return np.pad(part, ((0, lack[0]), (0, lack[1]), (0, 0)), mode="edge")


def _assembled(parts: list[Tensor], some: list[Tile], grid: tuple[int, int]) -> Tensor:
    """A grid [1, h, w, D] of the parts [1, ...] of its tiles."""
    whole = parts[0].new_empty(1, *grid, parts[0].shape[-1])
    for part, tile in zip(parts, some, strict=True):
        whole[:, tile.rows, tile.columns] = part
    return whole


class Rendering(Protocol):
    """The decoder's networks for one step, in floating point or in exact arithmetic."""

    @property
    def config(self) -> TokenizerConfig: ...

    @property
    def reach(self) -> int:
        """How many tokens around whole windows take part in what the blocks make of these."""

    def dequantize(self, n: Tensor) -> tuple[Tensor, Tensor]:
        """(latents [B, h, w, C], unit of maps: [B, 1, h 4, w 4], or one number) of integers n."""

    def attend(self, latents: Tensor, shown: Tile) -> Tensor:
        """The part on tokens, [B, h, w, width], of a tile."""

    def local(self, latents: Tensor, tokens: Tensor, unit: Tensor) -> Tensor:
        """The rest: samples [B, 3, H, W], neither rounded nor clipped."""


class FloatRendering:
    """The networks of a tokenizer, as they are.

    missing_planes: see `decode_picture`.
    """

    def __init__(self, tokenizer: Tokenizer, step: int, missing_planes: int = 0) -> None:
        self.config, self._tokenizer = tokenizer.config, tokenizer
        device = tokenizer.scale.device
        self._step = torch.tensor([step], device=device, dtype=torch.float32)
        self._apparent = (self._step + missing_planes * STEPS_PER_PLANE).clamp(max=STEPS - 1)
        self.reach = reach(tokenizer.decoder.blocks)

    def dequantize(self, n: Tensor) -> tuple[Tensor, Tensor]:
        return self._tokenizer.dequantize(n.float(), self._step, self._apparent)

    def attend(self, latents: Tensor, shown: Tile) -> Tensor:
        tokenizer = self._tokenizer
        return tokenizer.decoder.attend(latents, self._apparent, tokenizer.scale, shown)

    def local(self, latents: Tensor, tokens: Tensor, unit: Tensor) -> Tensor:
        return self._tokenizer.decoder.local(latents, tokens, unit)


def decode_picture(
    tokenizer: Tokenizer,
    n: Tensor,
    step: int,
    height: int,
    width: int,
    missing_planes: int = 0,
    crop: Tile | None = None,
) -> npt.NDArray[np.uint8]:
    """Integers n [h, w, C] -> pixels uint8 [height, width, 3], or those of a crop alone.

    If the last `missing_planes` digits of n are not known (0), the picture is as good as one with a
    step that is 3 times larger for each of them, and the networks take that step. crop: see
    `render`.
    """
    return render(FloatRendering(tokenizer, step, missing_planes), n, height, width, crop)


@torch.inference_mode()
def render(
    rendering: Rendering, n: Tensor, height: int, width: int, crop: Tile | None = None
) -> npt.NDArray[np.uint8]:
    """Integers n [h, w, C] -> pixels uint8 [height, width, 3], or those of a crop alone.

    Tokens wholly outside the picture are taken from the nearest token inside. crop: pixels of the
    picture, for which only those tokens are looked at that they depend on.
    """
    config = rendering.config
    grid = n.shape[0], n.shape[1]
    patch, quarter = config.patch, config.patch // 4
    crop = crop or Tile(0, height, 0, width)
    shown = crop.over(patch)
    around = shown.with_margin(MARGIN, *grid).cover(WINDOW)
    held = around.with_margin(max(rendering.reach, 1), *grid)  # units see the next token
    result = np.empty((crop.bottom - crop.top, crop.right - crop.left, 3), np.uint8)

    with torch.autocast(n.device.type, enabled=False), team_of(n.device):
        part = _continued_tokens(n, held, (-(-height // patch), -(-width // patch)))
        latents, unit = rendering.dequantize(part)
        tokens = rendering.attend(latents, around.inside(held))

        def local(tile: Tile) -> npt.NDArray[np.uint8]:
            seen = tile.with_margin(MARGIN, *grid)
            coarse, deep = seen.inside(held), seen.inside(around)
            fine = coarse.times(quarter)
            x = rendering.local(
                latents[:, coarse.rows, coarse.columns],
                tokens[:, deep.rows, deep.columns],
                unit if unit.numel() == 1 else unit[:, :, fine.rows, fine.columns],
            )
            kept = tile.inside(seen).times(patch)
            x = x[0, :, kept.rows, kept.columns].clamp(0, 255).round().to(torch.uint8)
            return x.permute(1, 2, 0).cpu().numpy()

        size = shown.bottom - shown.top, shown.right - shown.left
        some = [tile.moved(shown.top, shown.left) for tile in _tiles(*size, n.device)]
        for tile, pixels in zip(some, in_pieces(local, some), strict=True):
            whole = tile.times(patch)
            kept = whole.meet(crop)
            at, of = kept.inside(crop), kept.inside(whole)
            result[at.rows, at.columns] = pixels[of.rows, of.columns]
        return result


def _continued_tokens(n: Tensor, tile: Tile, inside: tuple[int, int]) -> Tensor:
    """A tile [1, h, w, C], float32, of integers n [h, w, C].

    Beyond the rows and columns of `inside` they are those of the nearest token inside.
    """
    known = tile.meet(Tile(0, inside[0], 0, inside[1]))
    part = n[known.rows, known.columns].permute(2, 0, 1)[None].float()
    lack = (0, tile.right - known.right, 0, tile.bottom - known.bottom)
    return F.pad(part, lack, mode="replicate").permute(0, 2, 3, 1)
