"""Rounding of latents: which integers come out, and where the gradient goes."""

import torch

from bsqcodec.models.transform.quantizer import quantize_beyond, straight_through


def test_quantize_rounds_beyond_the_dead_zone_and_lets_the_gradient_through() -> None:
    z = torch.tensor([-2.6, -0.59, -0.61, 0.0, 0.5, 1.5, 7.51], requires_grad=True)
    weight = torch.tensor([1.0, -2.0, 3.0, 4.0, -5.0, 6.0, 7.0])
    n = quantize_beyond(z, 0.6)
    (gradient,) = torch.autograd.grad((n * weight).sum(), z)
    assert n.tolist() == [-3, 0, -1, 0, 0, 2, 8]
    assert torch.equal(gradient, weight)


def test_dead_zone_may_differ_by_token() -> None:
    z = torch.tensor([-1.4, 0.55, 0.9]).expand(2, 3)
    n = quantize_beyond(z, torch.tensor([[0.5], [0.95]]))
    assert n.tolist() == [[-1, 1, 1], [-1, 0, 0]]


def test_straight_through_takes_value_and_gradient_from_different_sources() -> None:
    hard = torch.tensor([1.0, 5.0], requires_grad=True)
    soft = torch.tensor([2.0, -3.0], requires_grad=True)
    mixed = straight_through(hard, soft)
    assert torch.equal(mixed, hard)
    mixed.sum().backward()
    assert hard.grad is None
    assert soft.grad is not None and torch.equal(soft.grad, torch.ones(2))
