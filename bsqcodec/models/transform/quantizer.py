"""Binary spherical quantization: signs of a vector on the unit sphere, in one or several levels.

Source: Zhao, Xiong, Kraehenbuehl, "Image and Video Tokenization with Binary Spherical
Quantization", arXiv 2406.07548, sections 4 (quantizer) and 4.1 (entropy regularisers).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def straight_through(hard: Tensor, soft: Tensor) -> Tensor:
    """The value of `hard` with the gradient of `soft`."""
    return soft + (hard - soft).detach()


def signs(x: Tensor) -> Tensor:
    """+1 where x >= 0, else -1 (never 0, so that each sign is one bit)."""
    return torch.where(x >= 0, 1.0, -1.0).to(x.dtype)


def to_sphere(v: Tensor) -> Tensor:
    """v [..., L] scaled to unit Euclidean length; signs do not change."""
    return v / v.norm(dim=-1, keepdim=True).clamp_min(1e-12)


def binary_spherical_quantize(v: Tensor) -> tuple[Tensor, Tensor]:
    """Project v [..., L] on the unit sphere and keep its signs.

    Returns (code, u): u [..., L] on the sphere, and code = sign(u) / sqrt(L), the corner of the
    inscribed hypercube nearest to u, with a straight-through gradient to u.
    """
    u = to_sphere(v)
    code = signs(u) / math.sqrt(v.shape[-1])
    return straight_through(code, u), u


def bit_probabilities(u: Tensor, temperature: float = 1.0) -> Tensor:
    """Soft assignment P(bit = +1 | u) [..., L] = sigmoid(2 * temperature * u / sqrt(L)).

    The softmax over all 2^L corners c of temperature * <u, c> factorises into these (the paper's
    equation 9).
    """
    return torch.sigmoid(_bit_logits(u, temperature))


def _bit_logits(u: Tensor, temperature: float) -> Tensor:
    return 2.0 * temperature * u / math.sqrt(u.shape[-1])


def _binary_entropy(logit: Tensor) -> Tensor:
    """Entropy in nats of bits; with its gradient, finite and accurate for certain bits too."""
    certainty = logit.abs()
    return F.softplus(-certainty) + certainty * torch.sigmoid(-certainty)


def per_sample_entropy(u: Tensor, temperature: float = 1.0) -> Tensor:
    """Mean over samples of the soft code's entropy in nats; exact, since the bits factorise."""
    return _binary_entropy(_bit_logits(u, temperature)).sum(-1).mean()


def codebook_entropy(u: Tensor, temperature: float = 1.0, group: int | None = None) -> Tensor:
    """Entropy in nats of the soft code averaged over samples, u [..., L].

    `group=None` is exact and enumerates 2^L codes (L <= 16). With `group=g` the bits are taken in
    groups of g, each enumerated exactly and the groups treated as independent: an upper bound,
    which g = 1 makes the factorised estimate and g = L the exact value.
    """
    length = u.shape[-1]
    group = length if group is None else group
    if group > 16:
        raise ValueError(f"enumerating 2^{group} codes needs too much memory; use group <= 16")
    if length % group:
        raise ValueError(f"{length} bits cannot be split into groups of {group}")
    logit = _bit_logits(u, temperature).reshape(-1, length // group, group)
    codes = torch.arange(2**group, device=u.device)
    bits = (codes[:, None] >> torch.arange(group, device=u.device)) & 1
    log_p, log_not = F.logsigmoid(logit), F.logsigmoid(-logit)
    joint = torch.exp(log_p @ bits.T.to(u) + log_not @ (1 - bits).T.to(u))
    mean = joint.mean(0)
    return -(mean * torch.log(mean.clamp_min(1e-30))).sum()


def entropy_penalty(
    u: Tensor, temperature: float = 1.0, group: int | None = None, gamma: float = 1.0
) -> Tensor:
    """The paper's regulariser: per-sample entropy down, codebook entropy (times gamma) up."""
    return per_sample_entropy(u, temperature) - gamma * codebook_entropy(u, temperature, group)


# Residual levels ---------------------------------------------------------------------------------
#
# One level of C channels is BSQ with L = 2 C bits after the affine projection
# [r + h, r - h], h being half the level's step: the two signs of a channel say whether its residual
# r lies above -h and above +h. Half their sum is a digit -1, 0 or +1; the next level quantizes what
# is left, with a third of the step. So the bits of all levels together spell the nearest integer in
# balanced ternary, most significant digit first, and any prefix of them is its best approximation.


def level_bits(residual: Tensor, step: float) -> Tensor:
    """The signs [..., 2 C] (+1/-1) of one level for residual [..., C]: first all r + h, then r - h.

    They equal `sign(to_sphere(...))` of the projection, the scale of a vector being no part of
    its signs.
    """
    half = step / 2
    return signs(to_sphere(torch.cat([residual + half, residual - half], dim=-1)))


def digits_from_bits(bits: Tensor) -> Tensor:
    """Signs [..., 2 C] of one level to its digits [..., C] in {-1, 0, +1}."""
    above_low, above_high = bits.chunk(2, dim=-1)
    return (above_low + above_high) / 2


def residual_bsq(z: Tensor, levels: int) -> Tensor:
    """Bits [..., levels, 2 C] (+1/-1), coarse to fine, of z [..., C] in units of the last step."""
    bits = []
    residual = z
    for level in range(levels):
        step = float(3 ** (levels - 1 - level))
        code = level_bits(residual, step)
        residual = residual - step * digits_from_bits(code)
        bits.append(code)
    return torch.stack(bits, dim=-2)


def reconstruct(bits: Tensor, levels: int) -> Tensor:
    """Inverse of `residual_bsq` for its first bits.shape[-2] of `levels` levels: z_hat [..., C]."""
    steps = [float(3 ** (levels - 1 - level)) for level in range(bits.shape[-2])]
    digits = digits_from_bits(bits)
    return (digits * torch.tensor(steps, device=bits.device)[:, None]).sum(-2)


def quantize_beyond(z: Tensor, dead_zone: Tensor | float) -> Tensor:
    """Nearest integers of z, but 0 where its magnitude is below the dead zone (0.5 .. 1).

    What the encoder decides; straight-through gradient.
    """
    n = torch.round(z)
    return straight_through(torch.where(z.abs() < dead_zone, torch.zeros_like(n), n), z)
