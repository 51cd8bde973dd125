"""The quantizer against its definition: every corner of small hypercubes is enumerated."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from bsqcodec.models.bsq.spherical_quantizer import (
    binary_spherical_quantize,
    codebook_entropy,
    entropy_penalty,
    per_sample_entropy,
    to_sphere,
)

LENGTHS = [1, 2, 3, 5, 6]
TEMPERATURES = [0.3, 1.0, 5.0]


def corners(length: int) -> Tensor:
    """All 2^L corners of the hypercube in the unit sphere, [2^L, L]."""
    return torch.tensor(list(itertools.product([-1.0, 1.0], repeat=length))) / math.sqrt(length)


def samples(length: int, count: int = 200, seed: int = 0) -> Tensor:
    """Random vectors with correlated components, [count, L]."""
    generator = torch.Generator().manual_seed(seed)
    common = torch.randn(count, 1, generator=generator)
    return torch.randn(count, length, generator=generator) + common + 0.2


def soft_codes(u: Tensor, temperature: float) -> Tensor:
    """The paper's soft assignment over all corners, [N, 2^L]."""
    return torch.softmax(temperature * u @ corners(u.shape[-1]).T, dim=-1)


def entropy(p: Tensor) -> Tensor:
    return -(p * torch.log(p)).sum(-1)


@pytest.mark.parametrize("length", LENGTHS)
def test_code_is_the_nearest_corner(length: int) -> None:
    code, u = binary_spherical_quantize(samples(length))
    every = corners(length)
    nearest = every[torch.cdist(u, every).argmin(1)]
    assert torch.equal(torch.sign(code), torch.sign(nearest))
    torch.testing.assert_close(code, nearest)


@pytest.mark.parametrize("length", LENGTHS)
def test_code_and_projection_have_unit_norm(length: int) -> None:
    v = 1000 * samples(length)
    code, u = binary_spherical_quantize(v)
    torch.testing.assert_close(code.norm(dim=-1), torch.ones(len(v)))
    torch.testing.assert_close(u.norm(dim=-1), torch.ones(len(v)))
    torch.testing.assert_close(u * v.norm(dim=-1, keepdim=True), v)


def test_the_zero_vector_has_a_code() -> None:
    code, u = binary_spherical_quantize(torch.zeros(1, 4))
    assert torch.equal(u, torch.zeros(1, 4))
    assert torch.equal(code, torch.full((1, 4), 0.5))


def test_gradient_passes_straight_through_to_the_sphere() -> None:
    v = samples(5).requires_grad_()
    weight = torch.randn(v.shape, generator=torch.Generator().manual_seed(3))
    code, u = binary_spherical_quantize(v)
    (through_code,) = torch.autograd.grad((code * weight).sum(), v, retain_graph=True)
    (through_sphere,) = torch.autograd.grad((u * weight).sum(), v, retain_graph=True)
    (to_the_sphere,) = torch.autograd.grad((code * weight).sum(), u)
    assert torch.equal(to_the_sphere, weight)
    assert torch.equal(through_code, through_sphere)
    assert through_code.abs().max() > 0


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("length", LENGTHS)
def test_entropies_by_enumeration(length: int, temperature: float) -> None:
    u = to_sphere(samples(length))
    p = soft_codes(u, temperature)
    torch.testing.assert_close(per_sample_entropy(u, temperature), entropy(p).mean())
    torch.testing.assert_close(codebook_entropy(u, temperature), entropy(p.mean(0)))


def test_entropies_take_any_batch_shape() -> None:
    u = to_sphere(samples(4))
    folded = u.view(5, 2, 20, 4)
    torch.testing.assert_close(per_sample_entropy(folded), per_sample_entropy(u))
    torch.testing.assert_close(codebook_entropy(folded), codebook_entropy(u))


def test_grouped_codebook_entropy() -> None:
    u = to_sphere(samples(6))
    exact = codebook_entropy(u, 5.0)
    grouped = {g: codebook_entropy(u, 5.0, g) for g in (1, 2, 3, 6)}
    p = (soft_codes(u, 5.0) @ (corners(6) > 0).float()).mean(0)
    torch.testing.assert_close(grouped[6], exact)
    torch.testing.assert_close(grouped[1], (entropy(torch.stack([p, 1 - p], dim=-1))).sum())
    pairs = soft_codes(u, 5.0).mean(0).view(4, 4, 4)
    by_hand = sum(entropy(pairs.sum(other).flatten()) for other in [(1, 2), (0, 2), (0, 1)])
    torch.testing.assert_close(grouped[2], by_hand)
    assert exact + 0.01 < grouped[3] < grouped[2] < grouped[1] - 0.01


def test_groups_keep_the_order_of_the_bits() -> None:
    """Two bits that always agree have one bit of entropy in a group, two in separate groups."""
    x = torch.randn(4000, 2, generator=torch.Generator().manual_seed(0)).sign()
    twins = to_sphere(x[:, [0, 0, 1, 1]])
    strangers = to_sphere(x[:, [0, 1, 0, 1]])
    assert codebook_entropy(twins, 50.0, 2) / math.log(2) == pytest.approx(2, abs=0.01)
    assert codebook_entropy(strangers, 50.0, 2) / math.log(2) == pytest.approx(4, abs=0.01)


def test_codes_too_many_to_enumerate_are_refused() -> None:
    u = to_sphere(samples(18, count=2))
    with pytest.raises(ValueError, match="too much memory"):
        codebook_entropy(u)
    with pytest.raises(ValueError, match="split"):
        codebook_entropy(u, group=4)


@pytest.mark.parametrize("temperature", [100.0, 1e4])
def test_entropies_of_certain_bits_are_finite(temperature: float) -> None:
    """Their probabilities are 0 and 1 in float32."""
    u = to_sphere(samples(4)).requires_grad_()
    for figure in (
        per_sample_entropy(u, temperature),
        codebook_entropy(u, temperature),
        codebook_entropy(u, temperature, 2),
    ):
        (gradient,) = torch.autograd.grad(figure, u)
        assert 0 <= figure.item() <= 4 * math.log(2) + 1e-5
        assert torch.isfinite(gradient).all()


def test_penalty_wants_certain_and_diverse_codes() -> None:
    every = corners(4)
    diverse = entropy_penalty(every, 5.0)
    monotonous = entropy_penalty(every[:1].expand(16, 4), 5.0)
    uncertain = entropy_penalty(torch.zeros(16, 4), 5.0)
    assert diverse < monotonous - 1
    assert diverse < uncertain - 1


def test_penalty_is_the_weighted_difference() -> None:
    u = to_sphere(samples(6))
    expected = per_sample_entropy(u, 2.0) - 0.7 * codebook_entropy(u, 2.0, 3)
    torch.testing.assert_close(entropy_penalty(u, 2.0, 3, gamma=0.7), expected)


def test_descending_the_penalty_spreads_the_codes() -> None:
    generator = torch.Generator().manual_seed(0)
    v = (1 + 0.3 * torch.randn(64, 3, generator=generator)).requires_grad_()
    before = float(codebook_entropy(to_sphere(v.detach()), 5.0))
    for _ in range(200):
        (gradient,) = torch.autograd.grad(entropy_penalty(to_sphere(v), 5.0), v)
        with torch.no_grad():
            v -= 5.0 * gradient
    u = to_sphere(v.detach())
    assert float(codebook_entropy(u, 5.0)) > before + 0.3
    assert len(torch.unique(binary_spherical_quantize(u)[0].sign(), dim=0)) > 2
