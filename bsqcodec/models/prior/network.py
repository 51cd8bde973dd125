"""The prior as a float network, trained with fake quantization; `integer.py` runs it exactly.

    features of the digits so far -> linear -> x        (tokens [B, h, w, width])
    N times:  x += linear(attention(clip(x * gain)))      windows of 8x8 tokens,
                                                          squared-ReLU weights
              (a prior may leave that out)
              x += linear(relu(linear(clip(x * gain), and of the 8 neighbours)))
    logits = linear(clip(x * gain)) + table[stage, context of the digit]

There is no LayerNorm, softmax or exponential: every operation has an exact integer counterpart.
Activations are multiples of 1/32 within +-127/32, the running sum x of 1/256, logits of 1/64.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bsqcodec.models.prior.neighbour_context import CONTEXTS
from bsqcodec.models.prior.order import BUCKETS, PriorConfig, stage_kinds
from bsqcodec.models.windows import WINDOW, from_windows, relative_index, to_windows

ACTIVATION = 32
"""Integers per unit of an activation (int8)."""
STREAM = 256
"""Integers per unit of the residual stream."""
LOGIT = 64
"""Integers per unit (nat) of a logit."""
SCORE_MAX = 15
"""Largest integer attention score before it is squared (so that squares fit 8 bits)."""
CLIP_UNIT = 4
"""Features, integers within +-7, enter the network divided by this."""
FLAGS = 2
"""Kinds of tokens that the embedding tells apart: (known in this stage, stopped or outside)."""


AROUND = [(i, j) for i in range(3) for j in range(3) if (i, j) != (1, 1)]
"""Rows and columns of the 8 neighbours in a 3 x 3 square."""


def with_neighbours(x: Tensor) -> Tensor:
    """x [B, h, w, D] and, of each eighth k of its channels,
    the k-th of the 8 neighbours: [.., 2 D].

    0 beyond the grid.
    """
    return neighbours_inside(padded(x), x)


def padded(x: Tensor) -> Tensor:
    """x [B, h, w, D] with zeros around each grid: [B, h + 2, w + 2, D]."""
    return F.pad(x, (0, 0, 1, 1, 1, 1))


def neighbours_inside(p: Tensor, inside: Tensor | None = None) -> Tensor:
    """`with_neighbours` of what is inside p [B, h + 2, w + 2, D], the outermost being neighbours.

    inside [B, h, w, D]: the same without those, if it is at hand.
    """
    h, w = p.shape[1] - 2, p.shape[2] - 2
    inside = p[:, 1:-1, 1:-1] if inside is None else inside
    parts = p.chunk(len(AROUND), dim=-1)
    around = [part[:, i : i + h, j : j + w] for part, (i, j) in zip(parts, AROUND, strict=True)]
    return torch.cat([inside, *around], dim=-1)


def with_neighbours_of(x: Tensor, tokens: Tensor) -> Tensor:
    """`with_neighbours` of some tokens [n, 2 D]; x [B, h + 2, w + 2, D] is `padded`.

    tokens [n]: flat indices into the grids without their padding.
    """
    h, w, d = x.shape[1] - 2, x.shape[2] - 2, x.shape[3]
    place = tokens + tokens // w * 2 + tokens // (h * w) * 2 * (w + 2)  # of its top left neighbour
    offsets = [i * (w + 2) + j for i, j in AROUND]
    count = len(AROUND)
    step = torch.tensor(offsets, device=x.device) * count + torch.arange(count, device=x.device)
    eighths = (place[:, None] * count + step).view(-1)
    around = x.view(-1, d // count).index_select(0, eighths).view(-1, d)
    return torch.cat([x.view(-1, d).index_select(0, place + w + 3), around], dim=-1)


def rounded(x: Tensor, unit: int, quantized: bool) -> Tensor:
    """x to the nearest multiple of 1/unit, straight-through; x itself when not quantized."""
    if not quantized:
        return x
    return x + (torch.round(x.detach() * unit) / unit - x.detach())


def _clip(x: Tensor, low: float, high: float) -> Tensor:
    return F.hardtanh(x, low, high)


def _keep_result(ctx: Any, inputs: tuple[Tensor, float, float], output: Tensor) -> None:
    ctx.save_for_backward(output)
    ctx.bounds = inputs[1:]


def _clip_backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
    (y,) = ctx.saved_tensors
    return torch.ops.aten.hardtanh_backward(gradient, y, *ctx.bounds), None, None


clip = torch.library.custom_op("bsqcodec::clip", _clip, mutates_args=())
"""x clipped to low .. high, whose gradient is zero at the bounds too.

An operator of its own, which keeps its result, that the next product needs anyway. What a compiler
makes of `clamp` keeps a mask instead, and on CPUs takes longer to store that than for the product.
"""
clip.register_fake(lambda x, low, high: torch.empty_like(x))
clip.register_autograd(_clip_backward, setup_context=_keep_result)


def activation(x: Tensor, quantized: bool) -> Tensor:
    """Clip to the range of int8 activations and round to their grid."""
    return rounded(x.clamp(-127 / ACTIVATION, 127 / ACTIVATION), ACTIVATION, quantized)


class QuantLinear(nn.Linear):
    """A linear layer whose weights are rounded to int8, one scale an output."""

    def effective(self, quantized: bool) -> Tensor:
        if not quantized:
            return self.weight
        scale = self.weight.detach().abs().amax(1, keepdim=True).clamp_min(1e-8) / 127
        hard = torch.round(self.weight.detach() / scale) * scale
        return self.weight + (hard - self.weight.detach())

    def run(self, x: Tensor, quantized: bool) -> Tensor:
        return F.linear(x, self.effective(quantized), self.bias)


class Attention(nn.Module):
    """Window attention; weights are squares of clipped scores, so no exponential is needed."""

    index: Tensor

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.gain = nn.Parameter(torch.ones(width))
        self.qkv = QuantLinear(width, 3 * width)
        self.out = QuantLinear(width, width)
        self.slope = nn.Parameter(torch.full((heads,), 0.1))
        self.bias = nn.Parameter(torch.full((heads, (2 * WINDOW - 1) ** 2), 0.4))
        self.register_buffer("index", relative_index(), persistent=False)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor, quantized: bool) -> Tensor:
        h, w = x.shape[1:3]
        a = to_windows(activation(x * self.gain, quantized))
        n, t, d = a.shape
        qkv = activation(self.qkv.run(a, quantized), quantized)
        q, k, v = qkv.view(n, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        score = rounded((q @ k.transpose(-1, -2)) * self.slope[:, None, None], SCORE_MAX, quantized)
        bias = rounded(self.bias, SCORE_MAX, quantized)[:, self.index]
        score = clip(score + bias, 0.0, 1.0)
        weight = score * score
        total = weight.sum(-1, keepdim=True) + 1 / SCORE_MAX**2
        y = (weight.to(v.dtype) @ v) / total
        y = activation(y.transpose(1, 2).reshape(n, t, d), quantized)
        return from_windows(self.out.run(y, quantized), h, w)


class Mlp(nn.Module):
    """A ReLU MLP over a token and its 8 neighbours (which gives it sight beyond its window)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))
        self.up = QuantLinear(2 * width, hidden)
        self.down = QuantLinear(hidden, width)
        nn.init.zeros_(self.down.weight)
        nn.init.zeros_(self.down.bias)

    def forward(self, x: Tensor, quantized: bool) -> Tensor:
        a = activation(x * self.gain, quantized)
        hidden = clip(self.up.run(with_neighbours(a), quantized), 0.0, 127 / ACTIVATION)
        hidden = rounded(hidden, ACTIVATION, quantized)
        return self.down.run(hidden, quantized)


class BlockShape(Protocol):
    """What a configuration says of its blocks; those of both families do."""

    @property
    def width(self) -> int: ...
    @property
    def heads(self) -> int: ...
    @property
    def hidden(self) -> int: ...
    @property
    def blocks(self) -> int: ...
    @property
    def attention(self) -> bool: ...


class PriorBlock(nn.Module):
    """Window attention, unless the configuration does without, and an MLP over neighbours."""

    def __init__(self, config: BlockShape) -> None:
        super().__init__()
        self.attention = Attention(config.width, config.heads) if config.attention else None
        self.mlp = Mlp(config.width, config.hidden)

    def forward(self, x: Tensor, quantized: bool) -> Tensor:
        if self.attention is not None:
            x = rounded(x + self.attention(x, quantized), STREAM, quantized)
        return rounded(x + self.mlp(x, quantized), STREAM, quantized)


class Prior(nn.Module):
    """Logits of the next bits of every token. planes [BUCKETS, C]: digits of each channel."""

    planes: Tensor
    depths: Tensor

    def __init__(self, config: PriorConfig, planes: Tensor) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("planes", planes.to(torch.uint8))
        every = stage_kinds(config, int(planes.max()) - 1)
        depths = torch.tensor([config.depth(plane) for plane, _ in every])
        self.register_buffer("depths", depths, persistent=False)
        kinds = len(every)
        self.embed = QuantLinear(2 * config.channels, config.width)
        if config.context:
            self.embed_context = QuantLinear(config.context, config.width)
            nn.init.zeros_(self.embed_context.weight)
            nn.init.zeros_(self.embed_context.bias)
        self.embed_pass = nn.Embedding(2 * kinds, config.width)
        self.embed_bucket = nn.Embedding(BUCKETS, config.width)
        self.embed_token = nn.Embedding(2**FLAGS, config.width)
        self.blocks = nn.ModuleList(PriorBlock(config) for _ in range(config.blocks))
        self.gain = nn.Parameter(torch.ones(config.width))
        self.head = QuantLinear(config.width, 2 * config.channels + 1)
        self.table = nn.Embedding(kinds * config.channels * CONTEXTS, 2)
        self.shared_table = nn.Embedding(kinds * CONTEXTS, 2)
        self.stop_table = nn.Embedding(kinds * BUCKETS, 1)
        for embedding in (self.embed_pass, self.embed_bucket, self.embed_token):
            nn.init.normal_(embedding.weight, std=0.1)
        for embedding in (self.table, self.shared_table, self.stop_table):
            nn.init.zeros_(embedding.weight)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        with torch.no_grad():
            self.shared_table.weight[:, 0] = -3.0

    @property
    def top_plane(self) -> int:
        return int(self.planes.max()) - 1

    def forward(
        self,
        x: Tensor,
        passes: Tensor,
        bucket: Tensor,
        flags: Tensor,
        quantized: bool,
        context: Tensor | None = None,
    ) -> Tensor:
        """Logits of the head [B, h, w, 2 C + 1], before the tables.

        x: `neighbour_context.features` [B, h, w, 2 C]; passes [B]: 2 * stage index + lattice;
        bucket [B]; flags [B, h, w]: 1 for tokens already known in this stage, plus 2 for stopped
        ones; context [B, h, w, K]: integers within +-7, if the configuration has any.
        """
        y = self.embed.run(x / CLIP_UNIT, quantized)
        if context is not None:
            y = y + self.embed_context.run(context / CLIP_UNIT, quantized)
        y = y + (self.embed_pass(passes) + self.embed_bucket(bucket))[:, None, None]
        y = rounded(y + self.embed_token(flags), STREAM, quantized)
        depth = self.depths[passes // 2][:, None, None, None]
        for index, block in enumerate(self.blocks):
            after = block(y, quantized)
            y = torch.where(index < depth, after, y) if self.config.depths else after
        return self.head.run(activation(y * self.gain, quantized), quantized)
