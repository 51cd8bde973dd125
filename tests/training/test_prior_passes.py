"""Training of the prior sees the very passes that coding takes, bit for bit."""

from collections import defaultdict
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from bsqcodec.models.prior.integer import IntegerPrior, quantize_prior
from bsqcodec.models.prior.network import Prior
from bsqcodec.models.prior.order import BUCKETS, limits
from bsqcodec.models.prior.walk import Position, Probabilities, walk
from bsqcodec.models.prior.walk_coders import EncodingCoder
from bsqcodec.training.prior_passes import (
    Draw,
    Passes,
    partial,
    pass_losses,
    prefix,
    total_bits,
)

from ..tiny_models import PRIOR, random_prior, random_values, some_planes

STEPS = [0, 100, 255]
GRID = (16, 24)


def values(step: int, seed: int = 0) -> npt.NDArray[np.int32]:
    return random_values(some_planes(), step, *GRID, seed)


class PassBits(EncodingCoder):
    """Bits of each pass, by (kind of stage, lattice)."""

    def __init__(self, n: npt.NDArray[np.int32], step: int) -> None:
        allowed = limits(some_planes().numpy(), step)
        super().__init__(n.reshape(-1, n.shape[-1]).astype(np.float32), allowed)
        self.marks: list[tuple[tuple[int, int], float]] = []

    def stops(self, at: Position, probability: Probabilities) -> npt.NDArray[np.bool_]:
        token = int(at.tokens[0])
        white = (token // GRID[1] + token % GRID[1]) % 2
        self.marks.append(((at.stage.index, white), self.ideal_bits))
        return super().stops(at, probability)

    def bits(self) -> dict[tuple[int, int], float]:
        ends = [bits for _, bits in self.marks[1:]] + [self.ideal_bits]
        return {key: end - start for (key, start), end in zip(self.marks, ends, strict=True)}


def coded_bits(prior: Prior, n: npt.NDArray[np.int32], step: int) -> dict[tuple[int, int], float]:
    coder = PassBits(n, step)
    exact = IntegerPrior(prior.config, quantize_prior(prior))
    assert np.array_equal(walk(exact, step, np.ones(GRID, bool), coder), n)
    return coder.bits()


def trained_bits(prior: Prior, n: npt.NDArray[np.int32], step: int) -> dict[tuple[int, int], float]:
    passes = Passes(prior)
    x = torch.from_numpy(n)[None].float()
    index = step * BUCKETS // 256
    return {
        (stage.index, white): float(
            pass_losses(prior, passes, x, [Draw(index, position, white, 1.0)], quantized=True)[0]
        )
        for position, stage in enumerate(passes.orders[index])
        for white in range(stage.passes)
    }


@pytest.mark.parametrize(
    "shape", [{}, {"lattices": (2, 1)}, {"lattices": (1, 2), "depths": (1, 0, 2)}], ids=str
)
@pytest.mark.parametrize("step", STEPS)
def test_each_pass_costs_in_training_what_it_costs_in_a_file(
    step: int, shape: dict[str, Any]
) -> None:
    prior = random_prior(config=replace(PRIOR, **shape))
    prior.embed_token.weight.mul_(8)  # so that a wrong flag of one token would show
    n = values(step)
    coded, trained = coded_bits(prior, n, step), trained_bits(prior, n, step)
    assert coded.keys() <= trained.keys()
    for key, bits in trained.items():
        assert bits == pytest.approx(coded.get(key, 0.0), rel=0.005, abs=1.0), key
    assert sum(coded.values()) > 500


@pytest.mark.parametrize("step", STEPS)
def test_total_bits_are_those_of_the_file(step: int) -> None:
    prior = random_prior(1)
    n = values(step, seed=1)
    coded = sum(coded_bits(prior, n, step).values())
    x = torch.from_numpy(n)[None].float()
    assert total_bits(prior, Passes(prior), x, step, True) == pytest.approx(coded, rel=2e-3)
    assert total_bits(prior, Passes(prior), x, step, False) == pytest.approx(coded, rel=2e-2)


def test_all_passes_of_tokens_that_have_stopped_are_free() -> None:
    prior = random_prior()
    n = np.zeros((*GRID, 16), np.int32)
    bits = trained_bits(prior, n, 0)
    first = min(bits)[0]
    for (stage, _), cost in bits.items():
        assert (cost > 1) if stage == first else (cost == 0)


def test_a_sample_costs_the_same_alone_and_in_a_batch() -> None:
    prior = random_prior()
    passes = Passes(prior)
    x = torch.stack([torch.from_numpy(values(s)).float() for s in STEPS])
    drawn = [(4, 1, 1.0), (0, 0, 2.0), (0, 1, 0.25)]
    draws = [Draw(s * BUCKETS // 256, *d) for s, d in zip(STEPS, drawn, strict=True)]
    together = pass_losses(prior, passes, x, draws, True)
    for i in range(3):
        alone = pass_losses(prior, passes, x[i : i + 1], draws[i : i + 1], True)
        torch.testing.assert_close(together[i : i + 1], alone, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("lattices", [(), (2, 1), (1,)], ids=str)
def test_weights_make_drawn_passes_an_unbiased_estimate(lattices: tuple[int, ...]) -> None:
    passes = Passes(random_prior(config=replace(PRIOR, lattices=lattices)))
    generator = np.random.default_rng(0)
    for index in (0, 6):
        seen: dict[tuple[int, int], list[float]] = defaultdict(list)
        for _ in range(4000):
            draw = passes.draw(index, generator)
            assert draw.bucket == index
            seen[draw.position, draw.lattice].append(draw.weight)
        order = passes.orders[index]
        assert set(seen) == {(p, w) for p, stage in enumerate(order) for w in range(stage.passes)}
        for weights in seen.values():
            assert len(set(weights)) == 1
            assert len(weights) / 4000 == pytest.approx(1 / weights[0], abs=0.03)
        assert sum(1 / weights[0] for weights in seen.values()) == pytest.approx(1)


def test_the_weight_scales_the_loss() -> None:
    prior = random_prior()
    passes = Passes(prior)
    x = torch.from_numpy(values(0))[None].float()
    one, six = (
        float(pass_losses(prior, passes, x, [Draw(0, 2, 0, weight)], False)[0])
        for weight in (0.5, 3.0)
    )
    assert six == pytest.approx(6 * one) and one > 1


def test_values_beyond_the_limits_are_clipped_to_them() -> None:
    prior = random_prior()
    x = torch.from_numpy(values(100))[None].float()
    limit = Passes(prior).limits[6]
    clipped = torch.sign(x) * limit
    found = [total_bits(prior, Passes(prior), 1000 * x.sign(), 100, False)]
    found.append(total_bits(prior, Passes(prior), clipped, 100, False))
    assert found[0] == pytest.approx(found[1])


def test_every_parameter_of_the_prior_learns() -> None:
    prior = random_prior().requires_grad_(True)
    passes = Passes(prior)
    x = torch.from_numpy(values(0))[None].float()
    for position in range(len(passes.orders[0])):
        for white in range(2):
            draw = Draw(0, position, white, 1.0)
            pass_losses(prior, passes, x, [draw], True).sum().backward()
    for name, parameter in prior.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("plane", range(5))
def test_prefix_is_the_nearest_multiple(plane: int) -> None:
    n = torch.arange(-121.0, 122.0)
    found = prefix(n, torch.tensor(3.0**plane))
    assert torch.equal(found % 3**plane, torch.zeros_like(n))
    assert ((found - n).abs() <= (3**plane - 1) / 2).all()


def test_before_a_stage_earlier_bands_are_a_digit_further() -> None:
    n = torch.arange(-40.0, 40.0)[:, None].expand(80, 16)
    passes = Passes(random_prior())
    for position, stage in enumerate(passes.orders[0]):
        power = torch.tensor(3.0**stage.plane)
        assert passes.power[0, position] == power and passes.kind[0, position] == stage.index
        coded = passes.channels[0, position].nonzero().flatten().tolist()
        assert coded == stage.channels.tolist()
        ends = PRIOR.bands[min(stage.plane, 2)]
        first = ends[stage.band - 1] if stage.band else 0
        found = partial(
            n[None, None], passes.power[0, position][None], passes.first[0, position][None]
        )[0, 0]
        assert torch.equal(found[:, :first], prefix(n, power)[:, :first])
        assert torch.equal(found[:, first:], prefix(n, 3 * power)[:, first:])
