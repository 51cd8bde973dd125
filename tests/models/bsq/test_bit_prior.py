"""The float prior of bits: its trees, and what its predictions may depend on."""

import math

import pytest
import torch
from torch import Tensor

from bsqcodec.models.bsq.bit_order import BitPriorConfig
from bsqcodec.models.bsq.bit_prior import BitPrior, cost_in_bits

from ...tiny_models import seeded, shake

CONFIG = BitPriorConfig(bits=6, sub_code=3, lattices=(2, 2), width=32, heads=2, blocks=1, hidden=32)


def tiny(seed: int = 0) -> BitPrior:
    with seeded(seed):
        prior = BitPrior(CONFIG)
        shake(prior, 0.1)
    return prior.eval().requires_grad_(False)


def every_number(length: int) -> Tensor:
    """All bits of numbers below 2^length, [2^length, length], the first the highest."""
    return (torch.arange(2**length)[:, None] >> torch.arange(length - 1, -1, -1)) & 1


def test_the_probabilities_of_a_tree_sum_to_one() -> None:
    logits = torch.randn(1, 1, 63, generator=torch.Generator().manual_seed(0))
    cost = cost_in_bits(logits.expand(64, 1, 63), every_number(6))
    assert float((2.0**-cost).sum()) == pytest.approx(1, abs=1e-5)


def test_a_tree_by_hand() -> None:
    """Three nodes: the first bit is 1 with 3/4; then 1/2 after a 0, 1/8 after a 1."""
    logits = torch.logit(torch.tensor([[[3 / 4, 1 / 2, 1 / 8]]])).expand(4, 1, 3)
    expected = [1 / 8, 1 / 8, 3 / 4 * 7 / 8, 3 / 4 / 8]
    cost = cost_in_bits(logits, every_number(2))[:, 0]
    torch.testing.assert_close(cost, torch.tensor([-math.log2(p) for p in expected]))


@pytest.mark.parametrize("quantized", [False, True])
def test_all_known_bits_of_a_window_matter(quantized: bool) -> None:
    prior = tiny()
    signs = torch.zeros(1, 8, 8, 6)
    outside = torch.zeros(1, 8, 8, dtype=torch.int64)
    index = torch.tensor([4])
    before = prior(signs, index, outside, quantized)
    assert before.shape == (1, 8, 8, 2, 7)
    signs[0, 0] = 1
    after = prior(signs, index, outside, quantized)
    assert (before != after).any(-1).any(-1).all()
    outside[0, 7, 7] = 1
    assert not torch.equal(prior(signs, index, outside, quantized), after)
    assert not torch.equal(prior(signs, index * 0, outside, quantized), after)
