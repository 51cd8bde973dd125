"""A start for the linear paths of a BSQ tokenizer: a Karhunen-Loeve transform,
rotated for its bits.

Rotation by iterative quantization (Gong, Lazebnik, "Iterative Quantization: a Procrustean Approach
to Learning Binary Codes", CVPR 2011), decoding by least squares over 3x3 tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bsqcodec.models.bsq.network import PIXEL_MIDDLE, PIXEL_UNIT, BsqTokenizer
from bsqcodec.models.bsq.spherical_quantizer import signs
from bsqcodec.models.transform.blocks import unshuffle

ROTATIONS = 50
"""Iterations of the rotation."""

WHITENING = (0.3, 0.5, 0.7, 0.9)
"""Exponents by which components may be divided by their deviations; the best one is taken."""

RIDGE = 1e-3
"""Weight of the unit matrix in least squares."""


def rotation_for_bits(components: Tensor, generator: torch.Generator) -> Tensor:
    """Orthogonal [L, L] for components [N, L] that brings them near to corners of a cube."""
    size = components.shape[1]
    rotation = torch.linalg.qr(
        torch.randn(size, size, generator=generator, dtype=components.dtype)
    ).Q
    for _ in range(ROTATIONS):
        left, _, right = torch.linalg.svd(signs(components @ rotation).T @ components)
        rotation = (left @ right).T
    return rotation


def around(grid: Tensor) -> Tensor:
    """Values [B, h, w, L] of the 3x3 tokens around each inner one: [n, L * 9], as a kernel's."""
    columns = torch.nn.functional.unfold(grid.permute(0, 3, 1, 2), 3)
    return columns.transpose(1, 2).reshape(-1, columns.shape[1])


def least_squares(known: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """(estimates, weights) of targets [N, T] from what is known [N, K] and a constant.

    weights [K + 1, T], the constant's last. They are found with a small ridge.
    """
    known = torch.cat([known, torch.ones(len(known), 1, dtype=known.dtype)], 1)
    gram = known.T @ known / len(known)
    gram += RIDGE * torch.eye(len(gram), dtype=gram.dtype)
    weights = torch.linalg.solve(gram, known.T @ targets / len(known))
    return known @ weights, weights


@torch.no_grad()
def start_from_klt(model: BsqTokenizer, crops: Tensor, generator: torch.Generator) -> float:
    """Set the linear paths of a tokenizer by training crops [N, 3, H, W];
    networks stay as they are.

    Returns the squared error of the linear paths alone, in pixel units, on the crops' inner tokens.
    """
    bits = model.config.bits
    patches = unshuffle((crops.double() - PIXEL_MIDDLE) / PIXEL_UNIT, model.config.patch)
    patches = patches.permute(0, 2, 3, 1)
    flat = patches.reshape(-1, patches.shape[-1])
    values, vectors = torch.linalg.eigh(flat.T @ flat / len(flat))
    basis = vectors[:, -bits:]
    deviations = values[-bits:].clamp_min(1e-9).sqrt()
    targets = patches[:, 1:-1, 1:-1].reshape(-1, patches.shape[-1])
    best = None
    for exponent in WHITENING:
        scaled = basis / deviations**exponent
        components = flat @ scaled
        projection = scaled @ rotation_for_bits(components, generator) / components.std()
        found, solution = least_squares(around(signs(patches @ projection)), targets)
        error = float((found - targets).square().mean()) * PIXEL_UNIT**2
        if best is None or error < best[0]:
            best = (error, projection, solution)
    assert best is not None
    error, projection, solution = best
    model.encoder.linear.weight.copy_(projection.T)
    model.decoder.linear.weight.copy_(solution[:-1].T.reshape(model.decoder.linear.weight.shape))
    assert model.decoder.linear.bias is not None
    model.decoder.linear.bias.copy_(solution[-1])
    return error
