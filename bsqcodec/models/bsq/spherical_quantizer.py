"""Binary spherical quantization: the signs of a vector on the unit sphere, and their entropies.

Source: Zhao, Xiong, Kraehenbuehl, "Image and Video Tokenization with Binary Spherical
Quantization", arXiv 2406.07548, sections 4 (quantizer) and 4.1 (entropy regularisers).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from bsqcodec.models.transform.quantizer import straight_through


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


def _bit_logits(u: Tensor, temperature: float) -> Tensor:
    """Logits [..., L] of the soft assignment P(bit = +1 | u) = sigmoid(2 temperature u / sqrt(L)).

    The softmax over all 2^L corners c of temperature * <u, c> factorises into these (the paper's
    equation 9).
    """
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
