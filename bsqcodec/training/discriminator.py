"""An adversary of reconstructions: a small discriminator of patches, and its losses.

Sources: Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks", CVPR 2017
(patches); Mescheder, Geiger, Nowozin, "Which Training Methods for GANs do actually Converge?", ICML
2018 (the penalty R1).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTHS = (64, 128, 256)
"""Channels after each halving of the sides."""

PENALTY_EVERY = 8
"""Steps from one R1 penalty to the next, which is weighted by as much."""


class PatchDiscriminator(nn.Module):
    """Pixels [B, 3, H, W] in 0..255 to logits [B, 1, H / 8, W / 8] of being a picture's own."""

    def __init__(self, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        before = (3, *widths[:-1])
        self.convs = nn.ModuleList(
            nn.Conv2d(a, b, 4, stride=2, padding=1) for a, b in zip(before, widths, strict=True)
        )
        self.out = nn.Conv2d(widths[-1], 1, 3, padding=1)

    def forward(self, pixels: Tensor) -> Tensor:
        x = pixels / 127.5 - 1
        for conv in self.convs:
            x = F.leaky_relu(conv(x), 0.2)
        return self.out(x).float()


def generator_loss(discriminator: PatchDiscriminator, decoded: Tensor) -> Tensor:
    """How surely reconstructions are told from pictures;
    its gradient leaves the discriminator alone."""
    frozen = {name: value.detach() for name, value in discriminator.named_parameters()}
    return F.softplus(-torch.func.functional_call(discriminator, frozen, (decoded,))).mean()


def discriminator_loss(
    discriminator: PatchDiscriminator, decoded: Tensor, pixels: Tensor, penalty: float
) -> tuple[Tensor, Tensor]:
    """(loss, accuracy) of telling reconstructions from pictures; the former get no gradient.

    penalty: weight of R1, the squared gradient of the logits by the pictures' pixels (in units of
    half the range of pixels); 0 leaves it out.
    """
    pixels = pixels.detach().requires_grad_(penalty > 0)
    # a copy, since torch's counter of operations fails where a module's input is a leaf
    real, fake = discriminator(pixels.clone()), discriminator(decoded.detach())
    loss = F.softplus(-real).mean() + F.softplus(fake).mean()
    if penalty:
        (slope,) = torch.autograd.grad(real.mean((1, 2, 3)).sum(), pixels, create_graph=True)
        loss = loss + penalty / 2 * (127.5 * slope).square().sum((1, 2, 3)).mean()
    accuracy = ((real > 0).float().mean() + (fake < 0).float().mean()) / 2
    return loss, accuracy.detach()
