"""Drawing the bits that are not known: pictures from nothing, holes, and what damage has taken.

As in masked generative transformers (MaskGIT, arXiv 2202.04200): each step predicts all unknown
sub-codes, draws them, and keeps some, so that a cosine of them stays unknown; fixed passes of
the coding order would do as well for compression (M2T, arXiv 2304.07313). Everything is done in
integers, so that a seed gives the same bits on every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
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

    seed: 0..2^63 - 1. steps: in which all is drawn. temperature: logits are divided
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
) -> npt.NDArray[np.bool_]:
    """Return bits [n, length] drawn from trees [n, 2^length - 1]."""
    rows = np.arange(len(trees))
    bits = np.zeros((len(trees), length), bool)
    prefix = np.zeros(len(trees), np.int64)
    for depth in range(length):
        one = trees[rows, node_of(prefix, depth)]
        bits[:, depth] = random.draw(len(trees)) < one
        prefix = 2 * prefix + bits[:, depth]
    return bits


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


@dataclass(frozen=True)
class _Unknown:
    """Sub-codes of a grid that are not known, and the prior's trees of them.

    places [n]: token * sub-codes + sub-code, flat; trees [n, nodes].
    """

    places: npt.NDArray[np.int64]
    trees: npt.NDArray[np.int32]


def _predicted(
    prior: IntegerBitPrior,
    codes: npt.NDArray[np.int8],
    unknown: npt.NDArray[np.bool_],
    inside: npt.NDArray[np.bool_],
    temperature: float = 1.0,
) -> Iterator[_Unknown]:
    """What the prior says of unknown sub-codes [h * w, sub-codes] of codes, one index at a time."""
    config = prior.config
    h, w = inside.shape
    tokens = np.flatnonzero(unknown.any(1))
    with torch.inference_mode(), torch.autocast(prior.device.type, enabled=False):
        outside = torch.from_numpy((~inside).astype(np.int64)).to(prior.device)[None]
        grid = torch.from_numpy(codes.reshape(1, h, w, config.bits)).to(prior.device).float()
        wanted = torch.from_numpy(tokens).to(prior.device)
        x = prior.trunk(grid, config.passes, outside, wanted).view(h * w, -1)[wanted]
        for sub_code in range(config.sub_codes):
            mine = np.flatnonzero(unknown[tokens, sub_code])
            trees = _trees_of(prior, x, mine, sub_code, temperature)
            yield _Unknown(tokens[mine] * config.sub_codes + sub_code, trees)


def _with_unknown(
    prior: IntegerBitPrior,
    signs: npt.NDArray[np.int8],
    inside: npt.NDArray[np.bool_],
    sub_codes: int | None,
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.bool_]]:
    """(codes int8 [h * w, sub-codes, length], which of the first sub-codes are unknown).

    Those are 0 throughout.
    """
    config = prior.config
    codes = signs.reshape(-1, config.sub_codes, config.sub_code).copy()
    unknown = (codes == 0).any(-1) & inside.reshape(-1, 1)
    if sub_codes is not None:
        unknown[:, sub_codes:] = False
    codes[unknown] = 0
    return codes, unknown


def fill(
    prior: IntegerBitPrior,
    signs: npt.NDArray[np.int8],
    inside: npt.NDArray[np.bool_],
    drawing: Drawing,
    progress: Callable[[float], None] | None = None,
    sub_codes: int | None = None,
) -> npt.NDArray[np.int8]:
    """Draw the sub-codes of signs [h, w, L] that have a 0 in them; returns signs without any.

    inside [h, w]: the tokens of the picture; others stay 0, and so do those behind the first
    `sub_codes`. The sub-codes of a step are chosen at
    random: the surest first would make flat areas of everything.
    """
    steps = drawing.steps
    random = RandomBits(drawing.seed)
    codes, unknown = _with_unknown(prior, signs, inside, sub_codes)
    flat = codes.reshape(-1, prior.config.sub_code)
    total = int(unknown.sum())
    for step in range(steps):
        if not unknown.any():
            break
        parts = list(_predicted(prior, codes, unknown, inside, drawing.temperature))
        places = np.concatenate([part.places for part in parts])
        trees = np.concatenate([part.trees for part in parts])
        bits = draw_sub_codes(trees, prior.config.sub_code, random)
        keep = max(len(places) - left_after(step, steps, total), 1)
        chosen = np.argsort(random.draw(len(places)), kind="stable")[:keep]
        flat[places[chosen]] = bits[chosen] * 2 - 1
        unknown.reshape(-1)[places[chosen]] = False
        if progress is not None:
            progress((step + 1) / steps)
    return codes.reshape(signs.shape)


def expected_signs(
    prior: IntegerBitPrior,
    signs: npt.NDArray[np.int8],
    inside: npt.NDArray[np.bool_],
    sub_codes: int | None = None,
) -> npt.NDArray[np.float32]:
    """Return signs [h, w, L] in which the sub-codes with a 0 are the means of what the
    prior expects.

    Those behind the first `sub_codes` stay as they are.

    Between -1 and 1: what gives the least squared error where the picture follows from signs in a
    linear way, and about so elsewhere.
    """
    codes, unknown = _with_unknown(prior, signs, inside, sub_codes)
    result = codes.astype(np.float32)
    flat = result.reshape(-1, prior.config.sub_code)
    if unknown.any():
        for part in _predicted(prior, codes, unknown, inside):
            flat[part.places] = _means(part.trees, prior.config.sub_code)
    return result.reshape(signs.shape)


def _means(trees: npt.NDArray[np.int32], length: int) -> npt.NDArray[np.float32]:
    """The mean sign of each bit [n, length] of sub-codes drawn from trees [n, 2^length - 1]."""
    ones = trees / 65536
    reached = np.ones((len(trees), 1))  # the probability of each node of a depth
    means = np.empty((len(trees), length), np.float32)
    for depth in range(length):
        one = reached * ones[:, 2**depth - 1 : 2 ** (depth + 1) - 1]
        means[:, depth] = 2 * one.sum(1) - 1
        reached = np.stack([reached - one, one], -1).reshape(len(trees), 2 ** (depth + 1))
    return means
