"""The adversary: it learns to tell pictures apart, and its losses move only what they should."""

import pytest
import torch
from torch import Tensor

from bsqcodec.training.discriminator import (
    PatchDiscriminator,
    discriminator_loss,
    generator_loss,
)

from ..tiny_models import seeded


def tiny() -> PatchDiscriminator:
    with seeded(0):
        return PatchDiscriminator((8, 16))


def noise(seed: int) -> Tensor:
    return 255 * torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(seed))


def smooth(seed: int) -> Tensor:
    return torch.nn.functional.avg_pool2d(noise(seed), 5, 1, 2)


def test_each_patch_has_a_logit() -> None:
    with seeded(0):
        assert PatchDiscriminator()(torch.zeros(2, 3, 64, 128)).shape == (2, 1, 8, 16)


def test_it_learns_to_tell_smooth_from_sharp() -> None:
    network = tiny()
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3)
    first = discriminator_loss(network, smooth(1), noise(2), 0)[0].detach()
    for step in range(60):
        optimizer.zero_grad()
        loss, _ = discriminator_loss(network, smooth(2 * step), noise(2 * step + 1), 0)
        loss.backward()
        optimizer.step()
    last, accuracy = discriminator_loss(network, smooth(1000), noise(1001), 0)
    assert last < 0.5 * first and accuracy > 0.9
    assert generator_loss(network, smooth(1000)) > 4 * generator_loss(network, noise(1001))


def test_the_generators_loss_leaves_the_discriminator_alone() -> None:
    network, decoded = tiny(), smooth(1).requires_grad_()
    generator_loss(network, decoded).backward()
    assert decoded.grad is not None and decoded.grad.abs().max() > 0
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_the_discriminators_loss_leaves_the_reconstruction_alone(penalty: float) -> None:
    network, decoded, pixels = tiny(), smooth(1).requires_grad_(), noise(2).requires_grad_()
    loss, _ = discriminator_loss(network, decoded, pixels, penalty)
    loss.backward()
    assert decoded.grad is None and pixels.grad is None
    for parameter in network.parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all()


def test_r1_is_the_squared_slope() -> None:
    """A network that is linear in the pixels: its slope is known."""
    network = PatchDiscriminator((4,))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        first = network.convs[0]
        assert isinstance(first, torch.nn.Conv2d) and first.bias is not None
        first.weight[0, 0, 1, 1] = 1.0
        first.bias[0] = 5.0
        network.out.weight[0, 0, 1, 1] = 3.0
    pixels = noise(1)
    without, _ = discriminator_loss(network, pixels, pixels, 0)
    with_r1, _ = discriminator_loss(network, pixels, pixels, 2.0)
    # of 16 x 16 logits each sees one pixel with weight 3, and their mean is taken
    slope = 256 * (3 / 256) ** 2
    assert (with_r1 - without).detach().item() == pytest.approx(slope, rel=1e-4)
