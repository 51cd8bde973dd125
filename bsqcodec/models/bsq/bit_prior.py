"""The prior of a BSQ tokenizer's bits: a transformer that sees all bits that are known.

Its integer version is what files are coded with. Blocks are those of the transform family's prior:
window attention whose weights are squares of clipped scores, and an MLP over a token and its eight
neighbours. One network serves coding, where a fixed schedule says which bits are known, and
generating or filling in, where any may be; it is trained on both. In a video, what a second network
makes of the frames before is added to its stream.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bsqcodec.models.bsq.bit_order import BitPriorConfig
from bsqcodec.models.prior.network import (
    CLIP_UNIT,
    STREAM,
    PriorBlock,
    QuantLinear,
    activation,
    rounded,
)

EARLIER = "earlier."
"""What the names of the tensors begin with that read earlier frames."""


class EarlierFrames(nn.Module):
    """What the frames before a frame tell of its tokens,
    for the stream of the prior of its bits."""

    def __init__(self, config: BitPriorConfig) -> None:
        super().__init__()
        self.embed = QuantLinear(config.earlier_frames * config.bits, config.width)
        self.embed_known = nn.Embedding(config.earlier_frames + 1, config.width)
        self.blocks = nn.ModuleList(PriorBlock(config) for _ in range(config.earlier_blocks))
        for parameter in (self.embed.weight, self.embed.bias, self.embed_known.weight):
            nn.init.zeros_(parameter)  # so that it begins as if it were not there

    def forward(self, signs: Tensor, known: Tensor, quantized: bool) -> Tensor:
        """The stream [B, h, w, width].

        signs [B, h, w, frames * L]: +1 or -1 for bits, of the latest frame first, 0 for frames that
        there are not; known [B]: how many of them there are.
        """
        y = self.embed.run(signs, quantized) + self.embed_known(known)[:, None, None]
        y = rounded(y, STREAM, quantized)
        for block in self.blocks:
            y = block(y, quantized)
        return y


class BitPrior(nn.Module):
    """Logits of the trees of all sub-codes of every token."""

    def __init__(self, config: BitPriorConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = QuantLinear(config.bits, config.width)
        self.embed_pass = nn.Embedding(config.passes + 1, config.width)
        self.embed_token = nn.Embedding(2, config.width)
        self.blocks = nn.ModuleList(PriorBlock(config) for _ in range(config.blocks))
        self.gain = nn.Parameter(torch.ones(config.width))
        self.head = QuantLinear(config.width, config.sub_codes * config.nodes)
        self.earlier = EarlierFrames(config) if config.earlier_frames else None
        for embedding in (self.embed_pass, self.embed_token):
            nn.init.normal_(embedding.weight, std=0.1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(
        self,
        signs: Tensor,
        passes: Tensor,
        outside: Tensor,
        quantized: bool,
        earlier: Tensor | None = None,
    ) -> Tensor:
        """Logits [B, h, w, sub-codes, nodes].

        signs [B, h, w, L]: +1 or -1 for known bits, 0 for others; passes [B]: index of the pass,
        or their number for other sets of known bits; outside [B, h, w] int64: 1 for tokens that
        are padding, else 0; earlier [B, h, w, width]: what `EarlierFrames` makes of the frames
        before, None for pictures and first frames.
        """
        y = self.embed.run(signs, quantized)  # CLIP_UNIT integers for a sign, in units of as many
        y = y + self.embed_pass(passes)[:, None, None] + self.embed_token(outside)
        y = rounded(y, STREAM, quantized)
        if earlier is not None:
            y = y + earlier
        for block in self.blocks:
            y = block(y, quantized)
        logits = self.head.run(activation(y * self.gain, quantized), quantized)
        return logits.unflatten(-1, (self.config.sub_codes, self.config.nodes))


SIGN = CLIP_UNIT
"""The integer that stands for a known bit's sign at the network's input."""


def cost_in_bits(logits: Tensor, bits: Tensor) -> Tensor:
    """-log2 of the probability of each sub-code [..., S] of bits [..., L], by its path in its tree.

    logits [..., S, 2^n - 1], with L = S n.
    """
    count = logits.shape[-2]
    length = bits.shape[-1] // count
    prefix = torch.zeros((*bits.shape[:-1], count), dtype=torch.int64, device=bits.device)
    parts = bits.long().unflatten(-1, (count, length))
    nodes = []
    for depth in range(length):
        nodes.append(prefix + 2**depth - 1)
        prefix = 2 * prefix + parts[..., depth]
    own = logits.gather(-1, torch.stack(nodes, dim=-1)).float()
    return F.softplus(own * (1 - 2 * parts)).sum(-1) / math.log(2)
