"""Transformer and convolution blocks of the tokenizer, on grids of tokens [B, h, w, D]."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

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
"""About how many windows pass a block at once without gradients, at least a row of them,
which bounds the memory."""

BLOCK_WINDOWS = 6
"""Windows of a row of windows, at most, that a thread of a team takes at a time."""


def by_tiles(
    function: Callable[[Tensor, Tile], Tensor], x: Tensor, shown: Tile | None = None
) -> Tensor:
    """What a function makes of tiles of x [B, h, w, D], of whole windows; shown: in this tile only.

    The function takes x and a tile of whole windows, and returns what it makes of that tile.
    """
    b, h, w, _ = x.shape
    shown = shown or Tile(0, h, 0, w)
    h, w = shown.bottom - shown.top, shown.right - shown.left
    if torch.is_grad_enabled() or (team() is None and b * h * w <= INFERENCE_WINDOWS * WINDOW**2):
        return function(x, shown)
    made: Iterable[Tensor]
    if team() is not None:
        some = tiles(h, w, WINDOW, BLOCK_WINDOWS * WINDOW)
        made = in_pieces(lambda tile: function(x, tile.moved(shown.top, shown.left)), some)
    else:
        rows = max(1, INFERENCE_WINDOWS * WINDOW // (b * w)) * WINDOW
        some = [Tile(top, min(top + rows, h), 0, w) for top in range(0, h, rows)]
        made = (function(x, tile.moved(shown.top, shown.left)) for tile in some)
    result = x.new_empty(b, h, w, x.shape[3])
    for tile, part in zip(some, made, strict=True):
        result[:, tile.rows, tile.columns] = part
    return result


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

    def forward(self, x: Tensor, shown: Tile | None = None) -> Tensor:
        """What the block makes of x [B, h, w, width], whole windows; shown: in this tile only."""
        return by_tiles(self._tile, x, shown)

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


REACH_WINDOWS = 3
"""Windows on each side of a crop whose tokens take part in it, at most.

Each block sees the tokens beside a window, so with every block one more window has a part in the
result. Those further away change less than rounding does: of the shipped weights' samples one in
200,000 differs, by one, from the whole picture's.
"""


class BlockList(Protocol):
    """Blocks in their order: an `nn.Sequential`, or a list of what is called like a `Block`."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Callable[..., Tensor]]: ...


def reach(blocks: nn.Sequential) -> int:
    """How many tokens around whole windows take part in what blocks make of these."""
    return WINDOW * min(len(blocks), REACH_WINDOWS)


def run_blocks(blocks: BlockList, x: Tensor, shown: Tile | None = None) -> Tensor:
    """What blocks make of x [B, h, w, D]; shown: a tile of whole windows, the only one returned.

    x reaches `reach(blocks)` beyond the tile, or to the end of the picture's grid. No block
    computes what the tile does not depend on.
    """
    for left, block in zip(reversed(range(len(blocks))), blocks, strict=True):
        if shown is None:
            x = block(x)
            continue
        needed = shown.with_margin(left * WINDOW, *x.shape[1:3])
        x = block(x, needed)
        shown = shown.inside(needed)
    return x


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
