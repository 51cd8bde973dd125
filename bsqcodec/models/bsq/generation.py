"""Drawing the bits that are not known: pictures from nothing, holes, and what damage has taken.

As in masked generative transformers (MaskGIT, arXiv 2202.04200): each step predicts all unknown
sub-codes, draws them, and keeps the surest, so that a cosine of them stays unknown; fixed passes of
the coding order would do as well for compression (M2T, arXiv 2304.07313). Everything is done in
integers, so that a seed gives the same bits on every machine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from bsqcodec.models.bsq.bit_order import node_of
from bsqcodec.models.bsq.integer_bit_prior import IntegerBitPrior

TOKENS_AT_ONCE = 4096
"""Tokens whose trees are made at once, which bounds the memory; no result depends on it."""


@dataclass(frozen=True)
class Drawing:
    """How bits are drawn. Raises ValueError for what cannot be.

    seed: 0..2^63 - 1. steps: in which all is drawn, the surest first. temperature: logits are divided
    by it; 0 takes the likelier bit each time.
    """

    seed: int = 0
    steps: int = 12
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"the seed {self.seed} is outside 0..2^63 - 1")
        if self.steps < 1:
            raise ValueError(f"{self.steps} steps are too few")
        if not 0 <= self.temperature < np.inf:
            raise ValueError(f"a temperature of {self.temperature} is impossible")


class RandomBits:
    """Numbers of 16 bits from a seed: the raw output of PCG64, which numpy keeps as it is."""

    def __init__(self, seed: int) -> None:
        self._source = np.random.PCG64(seed)

    def draw(self, count: int) -> npt.NDArray[np.int64]:
        """Numbers 0 .. 65535, [count]."""
        words = self._source.random_raw(-(-count // 4))
        return np.asarray(words, np.uint64).astype("<u8").view("<u2")[:count].astype(np.int64)


def left_after(step: int, steps: int, count: int) -> int:
    """How many of `count` unknown sub-codes are still unknown after a step 0 .. steps - 1.

    Rounded from a cosine that is rounded to 1/65536 before, so that no machine's `cos` matters.
    """
    if step + 1 >= steps:
        return 0
    cosine = round(65536 * float(np.cos(np.pi / 2 * (step + 1) / steps)))
    return min(count * cosine // 65536, count - 1)


def draw_sub_codes(
    trees: npt.NDArray[np.int32], length: int, random: RandomBits
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
    """(bits [n, length], how sure each was [n], 0 .. 2^32) drawn from trees [n, 2^length - 1]."""
    rows = np.arange(len(trees))
    bits = np.zeros((len(trees), length), bool)
    prefix = np.zeros(len(trees), np.int64)
    sure = np.full(len(trees), 2**32, np.int64)
    for depth in range(length):
        one = trees[rows, node_of(prefix, depth)].astype(np.int64)
        bits[:, depth] = random.draw(len(trees)) < one
        sure = (sure >> 16) * np.where(bits[:, depth], one, 65536 - one) + (
            (sure & 0xFFFF) * np.where(bits[:, depth], one, 65536 - one) >> 16
        )
        prefix = 2 * prefix + bits[:, depth]
    return bits, sure


def _trees_of(
    prior: IntegerBitPrior,
    x: torch.Tensor,
    tokens: npt.NDArray[np.int64],
    sub_code: int,
    temperature: float,
) -> npt.NDArray[np.int32]:
    """What `IntegerBitPrior.trees` gives of some rows of the stream x, in bounded memory."""
    result = np.empty((len(tokens), prior.config.nodes), np.int32)
    for first in range(0, len(tokens), TOKENS_AT_ONCE):
        rows = slice(first, first + TOKENS_AT_ONCE)
        some = torch.from_numpy(tokens[rows]).to(prior.device)
        result[rows] = prior.trees(x[some], sub_code, temperature).cpu().numpy()
    return result


def fill(
    prior: IntegerBitPrior,
    signs: npt.NDArray[np.int8],
    inside: npt.NDArray[np.bool_],
    drawing: Drawing,
    progress: Callable[[float], None] | None = None,
) -> npt.NDArray[np.int8]:
    """Draw the sub-codes of signs [h, w, L] that have a 0 in them; returns signs without any.

    inside [h, w]: the tokens of the picture; others stay 0.
    """
    steps = drawing.steps
    config = prior.config
    length = config.sub_code
    h, w = inside.shape
    random = RandomBits(drawing.seed)
    codes = signs.reshape(h * w, config.sub_codes, length).copy()
    unknown = (codes == 0).any(-1) & inside.reshape(-1, 1)
    codes[unknown] = 0
    outside = torch.from_numpy((~inside).astype(np.int64)).to(prior.device)[None]
    total = int(unknown.sum())
    with torch.inference_mode(), torch.autocast(prior.device.type, enabled=False):
        for step in range(steps):
            tokens = np.flatnonzero(unknown.any(1))
            if not len(tokens):
                break
            grid = torch.from_numpy(codes.reshape(1, h, w, config.bits)).to(prior.device).float()
            wanted = torch.from_numpy(tokens).to(prior.device)
            x = prior.trunk(grid, config.passes, outside, wanted).view(h * w, -1)[wanted]
            places, drawn, keys = [], [], []
            for sub_code in range(config.sub_codes):
                mine = np.flatnonzero(unknown[tokens, sub_code])
                trees = _trees_of(prior, x, mine, sub_code, drawing.temperature)
                bits, sure = draw_sub_codes(trees, length, random)
                places.append(tokens[mine] * config.sub_codes + sub_code)
                drawn.append(bits)
                keys.append(sure * (1 + random.draw(len(mine))) >> 16)
            place, key = np.concatenate(places), np.concatenate(keys)
            keep = len(place) - left_after(step, steps, total)
            chosen = np.argsort(-key, kind="stable")[: max(keep, 1)]
            flat = codes.reshape(-1, length)
            flat[place[chosen]] = np.concatenate(drawn)[chosen] * 2 - 1
            unknown.reshape(-1)[place[chosen]] = False
            if progress is not None:
                progress((step + 1) / steps)
    return codes.reshape(h, w, config.bits)
