"""Transformer and convolution blocks of the tokenizer, on grids of tokens [B, h, w, D]."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bsqcodec.machine.team import team
from bsqcodec.models.pieces import Tile, in_pieces, tiles
from bsqcodec.models.windows import WINDOW, from_windows, relative_index, to_windows


class WindowAttention(nn.Module):
    """Multi-head self-attention inside windows of 8x8 tokens, with a learned relative bias."""

    index: Tensor

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.bias = nn.Parameter(torch.zeros(heads, (2 * WINDOW - 1) ** 2))
        self.register_buffer("index", relative_index(), persistent=False)
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor) -> Tensor:
        n, t, d = x.shape
        q, k, v = self.qkv(x).view(n, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        score = (q * (d // self.heads) ** -0.5) @ k.transpose(-1, -2)
        score = score + self.bias[:, self.index].to(score.dtype)
        y = score.softmax(-1).to(v.dtype) @ v
        return self.out(y.transpose(1, 2).reshape(n, t, d))


def unshuffle(x: Tensor, size: int) -> Tensor:
    """`F.pixel_unshuffle`, with the channels last in memory, which convolutions on CPUs like.

    [B, C, H, W] -> [B, C size^2, H / size, W / size].
    """
    b, c, h, w = x.shape
    parts = x.reshape(b, c, h // size, size, w // size, size).permute(0, 2, 4, 1, 3, 5)
    return parts.reshape(b, h // size, w // size, c * size**2).permute(0, 3, 1, 2)


def shuffle(x: Tensor, size: int) -> Tensor:
    """`F.pixel_shuffle`, with the channels last in memory: the inverse of `unshuffle`."""
    b, c, h, w = x.shape
    parts = x.permute(0, 2, 3, 1).reshape(b, h, w, c // size**2, size, size)
    parts = parts.permute(0, 1, 4, 2, 5, 3)
    return parts.reshape(b, h * size, w * size, c // size**2).permute(0, 3, 1, 2)


INFERENCE_WINDOWS = 64
"""About how many windows pass a block at once without gradients, at least a row of them, which bounds
the memory."""

BLOCK_WINDOWS = 6
"""Windows of a row of windows, at most, that a thread of a team takes at a time."""


class Block(nn.Module):
    """A 3x3 depthwise convolution (so that windows meet), window attention, and a ReLU^2 MLP."""

    def __init__(self, width: int, heads: int, expansion: int = 4) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.norm_attention = nn.LayerNorm(width)
        self.attention = WindowAttention(width, heads)
        self.norm_mlp = nn.LayerNorm(width)
        self.up = nn.Linear(width, expansion * width)
        self.down = nn.Linear(expansion * width, width)
        nn.init.zeros_(self.depthwise.weight)
        nn.init.zeros_(self.depthwise.bias)  # type: ignore[arg-type]
        nn.init.zeros_(self.down.weight)
        nn.init.zeros_(self.down.bias)

    def forward(self, x: Tensor) -> Tensor:
        b, h, w, _ = x.shape
        if team() is not None and not torch.is_grad_enabled():
            return self._by_tiles(x)
        if torch.is_grad_enabled() or b * h * w <= INFERENCE_WINDOWS * WINDOW**2:
            return self._rows(x, 0, h)
        rows = max(1, INFERENCE_WINDOWS * WINDOW // (b * w)) * WINDOW
        result = torch.empty_like(x)
        for top in range(0, h, rows):
            bottom = min(top + rows, h)
            result[:, top:bottom] = self._rows(x, top, bottom)
        return result

    def _by_tiles(self, x: Tensor) -> Tensor:
        """What the block makes of x, by the threads of the team."""
        h, w = x.shape[1:3]
        some = tiles(h, w, WINDOW, BLOCK_WINDOWS * WINDOW)
        result = torch.empty_like(x)
        for tile, part in zip(some, in_pieces(partial(self._tile, x), some), strict=True):
            result[:, tile.rows, tile.columns] = part
        return result

    def _rows(self, x: Tensor, top: int, bottom: int) -> Tensor:
        """Rows top to bottom, whole windows, of what the block makes of x [B, h, w, width]."""
        return self._tile(x, Tile(top, bottom, 0, x.shape[2]))

    def _tile(self, x: Tensor, tile: Tile) -> Tensor:
        """A tile of whole windows of what the block makes of x [B, h, w, width]."""
        around = tile.with_margin(1, *x.shape[1:3])
        part = x[:, around.rows, around.columns]
        beside = self.depthwise(part.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        inside = tile.inside(around)
        part = (part + beside)[:, inside.rows, inside.columns]
        h, w = tile.bottom - tile.top, tile.right - tile.left
        return from_windows(self.within(to_windows(part)), h, w)

    def within(self, x: Tensor) -> Tensor:
        """Attention and MLP of windows [n, 64, width], which do not see each other."""
        x = x + self.attention(self.norm_attention(x))
        return x + self.down(F.relu(self.up(self.norm_mlp(x))).square())


class ResidualConv(nn.Module):
    """x + conv3x3(relu(conv3x3(relu(x)))) on maps [B, C, H, W]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.relu(self.first(F.relu(x))))
