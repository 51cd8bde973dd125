"""The stand-in rate model against definitions."""

import math

import pytest
import torch

from bsqcodec.training.losses import (
    CausalRate,
    laplace_bits,
    multiplier,
)

from ..models import seeded, shake


def test_multiplier_is_the_slope_of_uniform_quantization() -> None:
    """D = step^2 / 12, one bit for a halved step: -dR/dD = 6 / (ln 2 step^2), about 1 / 0.116."""
    step = torch.tensor([1.0, 8.0])
    ratio = multiplier(step) * math.log(2) * step**2 / 6
    torch.testing.assert_close(ratio, torch.full((2,), 0.862), atol=0.01, rtol=0)


# Laplace bits ------------------------------------------------------------------------------------


def laplace_mass(low: float, high: float, mean: float, scale: float) -> float:
    """Mass of an interval, from the distribution function, by the side that loses no digits."""

    def below(x: float) -> float:
        return 0.5 * math.exp(x / scale) if x <= 0 else 1 - 0.5 * math.exp(-x / scale)

    low, high = low - mean, high - mean
    if low > 0:  # mirrored
        low, high = -high, -low
    return below(high) - below(low)


@pytest.mark.parametrize("mean", [0.0, 0.3, -7.6])
@pytest.mark.parametrize("log_scale", [-3.0, -1.0, 0.5, 3.0])
def test_laplace_bits_are_those_of_the_interval(mean: float, log_scale: float) -> None:
    scale = math.exp(log_scale)
    for n in (-10.0, -8.0, -7.5, -1.0, -0.5, 0.0, 0.2, 0.5, 0.8, 1.0, 4.0):
        mass = laplace_mass(n - 0.5, n + 0.5, mean, scale)
        if mass < 1e-8:
            continue
        bits = laplace_bits(torch.tensor(n), torch.tensor(mean), torch.tensor(log_scale))
        assert float(bits) == pytest.approx(-math.log2(mass), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("mean", [0.0, 0.31, 0.5, -3.7])
@pytest.mark.parametrize("log_scale", [-3.5, -1.0, 0.0, 2.0, 4.0])
def test_laplace_mass_of_all_integers_is_one(mean: float, log_scale: float) -> None:
    n = torch.arange(-3000.0, 3001.0, dtype=torch.float64)
    bits = laplace_bits(n, torch.tensor(mean).double(), torch.tensor(log_scale).double())
    assert float((2.0**-bits).sum()) == pytest.approx(1, abs=1e-6)


def test_improbable_integers_have_finite_bits_and_gradients() -> None:
    n = torch.tensor([-2000.0, 0.0, 0.5, 3000.0], requires_grad=True)
    mean = torch.zeros(4, requires_grad=True)
    log_scale = torch.full((4,), -3.5, requires_grad=True)
    bits = laplace_bits(n, mean, log_scale)
    bits.sum().backward()
    assert torch.isfinite(bits).all() and (bits >= 0).all()
    for x in (n, mean, log_scale):
        assert x.grad is not None and torch.isfinite(x.grad).all()


# Causal rate -------------------------------------------------------------------------------------


def random_rate() -> CausalRate:
    with seeded(0):
        rate = CausalRate(4, width=16, knots=3)
        shake(rate, 0.2)
    return rate


@pytest.mark.parametrize("place", [(0, 0), (3, 0), (3, 4), (5, 6), (2, 6)])
def test_rate_of_a_token_depends_on_earlier_tokens_only(place: tuple[int, int]) -> None:
    row, column = place
    generator = torch.Generator().manual_seed(0)
    n = (3 * torch.randn(1, 6, 7, 4, generator=generator)).requires_grad_()
    noisy = n.detach().round()
    bits = random_rate()(n, noisy, torch.tensor([100.0]))
    (gradient,) = torch.autograd.grad(bits[0, row, column].sum(), n)
    seen = gradient[0].abs().amax(-1) > 0
    order = torch.arange(6 * 7).view(6, 7)
    assert not seen[order >= row * 7 + column].any()
    inside = {
        (row + i, column + j)
        for i, j in [(-2, -1), (-2, 0), (-2, 1), (-1, -1), (-1, 0), (-1, 1), (0, -2), (0, -1)]
        if 0 <= row + i and 0 <= column + j < 7
    }
    assert {tuple(index) for index in seen.nonzero().tolist()} == inside


def test_a_tokens_own_value_only_sets_its_own_bits() -> None:
    rate = random_rate()
    n = torch.zeros(1, 6, 7, 4)
    noisy = torch.zeros(1, 6, 7, 4, requires_grad=True)
    bits = rate(n, noisy + 0.7, torch.tensor([100.0]))
    (gradient,) = torch.autograd.grad(bits[0, 3, 3, 1], noisy)
    assert gradient[0, 3, 3, 1] != 0
    assert int((gradient != 0).sum()) == 1


def test_rate_follows_the_step() -> None:
    rate = random_rate()
    n = torch.ones(2, 4, 4, 4)
    bits = rate(n, n, torch.tensor([10.0, 240.0]))
    assert bits.shape == n.shape and (bits >= 0).all()
    assert (bits[0] - bits[1]).abs().min() > 0
