"""LPIPS as a loss: its gradient, its bounds, and that nothing of it is trained or saved."""

import pytest
import torch

from bsqcodec.encoder.lpips import MIN_SIDE, TAPS, Lpips


def random_weights() -> dict[str, torch.Tensor]:
    """SqueezeNet 1.1 with 8 channels throughout, random."""
    generator = torch.Generator().manual_seed(0)
    weights = {"features.0.weight": torch.randn(8, 3, 3, 3, generator=generator) / 5}
    weights["features.0.bias"] = torch.zeros(8)
    for layer in (3, 4, 6, 7, 9, 10, 11, 12):
        for part, shape in (
            ("squeeze", (4, 8, 1, 1)),
            ("expand1x1", (4, 4, 1, 1)),
            ("expand3x3", (4, 4, 3, 3)),
        ):
            weights[f"features.{layer}.{part}.weight"] = torch.randn(shape, generator=generator) / 3
            weights[f"features.{layer}.{part}.bias"] = torch.zeros(shape[0])
    for index in range(len(TAPS)):
        weights[f"lpips.lin{index}.weight"] = torch.rand(1, 8, 1, 1, generator=generator)
    return weights


def pictures(count: int, side: int, seed: int = 1) -> torch.Tensor:
    return 255 * torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(seed))


def test_each_picture_has_its_own_distance() -> None:
    network = Lpips(random_weights())
    a, b = pictures(2, 48), pictures(2, 48, seed=2)
    both = network(a, b)
    assert both.shape == (2,)
    for i in range(2):
        torch.testing.assert_close(network(a[i : i + 1], b[i : i + 1])[0], both[i])
    assert torch.equal(network(a, a), torch.zeros(2)) and both.min() > 0.01


def test_a_step_along_the_gradient_brings_pictures_nearer() -> None:
    network = Lpips(random_weights())
    a, b = pictures(1, 48), pictures(1, 48, seed=2).requires_grad_()
    before = network(a, b)[0]
    (gradient,) = torch.autograd.grad(before, b)
    assert torch.isfinite(gradient).all()
    after = network(a, b.detach() - 100 * gradient / gradient.abs().max())[0]
    assert after < before


def test_the_gradient_is_finite_where_features_are_all_zero() -> None:
    weights = random_weights()
    weights["features.0.weight"] = torch.zeros(8, 3, 3, 3)
    a, b = pictures(1, 48), pictures(1, 48, seed=2).requires_grad_()
    Lpips(weights)(a, b).sum().backward()
    assert b.grad is not None and torch.isfinite(b.grad).all()


def test_nothing_is_trained_and_nothing_is_saved() -> None:
    network = Lpips(random_weights())
    assert list(network.parameters()) == [] and network.state_dict() == {}


def test_small_pictures_are_refused() -> None:
    network = Lpips(random_weights())
    network(pictures(1, MIN_SIDE), pictures(1, MIN_SIDE))
    with pytest.raises(ValueError, match="35"):
        network(pictures(1, MIN_SIDE - 1), pictures(1, MIN_SIDE - 1))
