"""The prior as a rate for encoders: what one more or one less in each value costs."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bsqcodec.models.prior.neighbour_context import CONTEXTS
from bsqcodec.models.prior.network import Prior
from bsqcodec.models.prior.order import bucket, planes_needed
from bsqcodec.training.checkpoints import prior_of
from bsqcodec.training.prior_passes import Draw, Passes, digit_table, prefix, run_pass, total_bits

SOFTNESS = 0.05
"""How far from a threshold, in integers, values are rounded either way."""

FURTHEST = 0.25
"""Beyond this from a threshold, values are rounded to the nearest integer."""

UNKNOWN = 12.0
"""Bits of what the prior was not asked about: a first digit in a token that has stopped, and a
plane more than a frame has."""


def rounded_softly(z: Tensor, zone: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(n, low, slope) for z: integers n, drawn where z is near a threshold between low and low + 1.

    zone: the dead zone; uniform: random numbers 0..1 as z; slope: of the mean of n.
    n has no gradient. If it were not drawn, gradients would be of a distortion as it is at n, where
    a flip looks better than it is from either side, and values would be driven to the thresholds.
    """
    magnitude, zone = z.abs(), zone.clamp_min(0.5)
    n = torch.where(magnitude < zone, 0.0, torch.round(magnitude))
    above = torch.where(n == 0, zone, n + 0.5) - magnitude
    below = magnitude - torch.where(n <= 1, zone, n - 0.5)
    below = torch.where(n == 0, torch.inf, below)
    inner = torch.where(above < below, n, n - 1)
    beyond = torch.where(above < below, -above, below)
    near = beyond.abs() < FURTHEST
    probability = torch.where(near, torch.sigmoid(beyond / SOFTNESS), (beyond > 0).to(z.dtype))
    drawn = inner + (uniform < probability)
    negative = z < 0
    low = torch.where(negative, -inner - 1, inner)
    return torch.where(negative, -drawn, drawn), low, probability * (1 - probability) / SOFTNESS


@dataclass(frozen=True)
class Rounded:
    """Values z [B, h, w, C] of an encoder, and the integers `hard` that they become.

    low, slope: see `rounded_softly`.
    """

    z: Tensor
    hard: Tensor
    low: Tensor
    slope: Tensor

    @classmethod
    def of(cls, z: Tensor, zone: Tensor, uniform: Tensor) -> Rounded:
        """See `rounded_softly`."""
        return cls(z, *rounded_softly(z.detach(), zone, uniform))

    @classmethod
    def cat(cls, parts: list[Rounded]) -> Rounded:
        """Those of several batches as one."""
        return cls(*(torch.cat([getattr(p, f.name) for p in parts]) for f in fields(cls)))

    def integers(self) -> Tensor:
        """The integers, with the gradient of their mean."""
        return self.hard + (self.z - self.z.detach()) * self.slope

    def rate_gradient(self, more: Tensor) -> Tensor:
        """Zeros [B], with the gradient of bits, of which low + 1 costs `more` than low."""
        return ((self.z - self.z.detach()) * (self.slope * more)).sum((1, 2, 3))


@torch.no_grad()
def differences(
    prior: Prior,
    passes: Passes,
    n: Tensor,
    low: Tensor,
    draws: list[Draw],
    context: Tensor | None = None,
    planes: list[int] | None = None,
) -> tuple[Tensor, Tensor]:
    """What low + 1 costs more than low, in bits [B, h, w, C], and the bits [B] of all of n.

    Unbiased estimates from one pass each. planes: of each sample, if not all are coded.
    """
    c = n.shape[-1]
    output = run_pass(prior, passes, n, draws, False, context)
    batch, t, stop = output.batch, output.targets, output.stop
    channel = torch.arange(c, device=n.device)
    row = (batch.kinds[:, None, None, None] * c + channel) * CONTEXTS + t.contexts
    table = F.embedding(row, digit_table(prior))
    nonzero, positive = (
        output.head[..., :c].float() + table[..., 0],
        output.head[..., c:-1].float() + table[..., 1],
    )
    some, sign = F.softplus(nonzero), F.softplus(positive)
    zero = some
    one, minus = some - nonzero + sign - positive, some - nonzero + sign

    def cost(digit: Tensor) -> Tensor:
        return torch.where(digit > 0, one, torch.where(digit < 0, minus, zero)) / math.log(2)

    def digit_of(value: Tensor) -> Tensor:
        power = batch.powers[:, None, None, None]
        return (prefix(value, power) - prefix(value, 3 * power)) / power

    coded = t.coded
    lowest = (batch.powers == 1)[:, None, None, None]
    mine = t.here[..., None] & batch.band[:, None, None] & lowest
    reach = batch.limits[:, None, None]
    if planes is not None:
        most = torch.tensor([(3**count - 1) // 2 for count in planes]).to(reach)
        reach = torch.minimum(reach, most[:, None, None, None])
    known = coded & (torch.maximum(low.abs(), (low + 1).abs()) <= reach)
    unknown = torch.where(n == low, UNKNOWN, -UNKNOWN) * mine
    more = torch.where(known, cost(digit_of(low + 1)) - cost(digit_of(low)), unknown)
    bits = torch.where(coded, cost(t.digits), 0.0).sum((1, 2, 3))
    flag = F.binary_cross_entropy_with_logits(stop, t.ends.float(), reduction="none") * t.active
    bits = bits + flag.sum((1, 2)) / math.log(2)
    weight = torch.tensor([d.weight for d in draws]).to(bits)
    return more * weight[:, None, None, None], bits * weight


@dataclass(frozen=True)
class Rate:
    """A prior that says what digits cost. plain: its passes, not compiled.

    Where there is a context, frames are predicted, and only the planes that they need are coded.
    """

    prior: Prior
    passes: Passes
    plain: Passes

    @classmethod
    def of(cls, source: Path, device: torch.device, compiled: bool) -> Rate:
        """The prior of a run's folder or a shipped file."""
        prior = prior_of(source).to(device)
        plain = Passes(prior)
        if not compiled:
            return cls(prior, plain, plain)
        prior.compile()
        passes = Passes(prior)
        passes.compile()
        return cls(prior, passes, plain)

    def differences(
        self,
        n: Tensor,
        low: Tensor,
        steps: list[int],
        generator: np.random.Generator,
        context: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """See `differences`, for a random pass of each sample."""
        buckets = [bucket(step) for step in steps]
        firsts, planes = [0] * len(steps), None
        if context is not None:
            largest = n.abs().amax((1, 2, 3)).tolist()
            planes = [max(planes_needed(int(most)), 1) for most in largest]
            firsts = [self.passes.begins(b, p) for b, p in zip(buckets, planes, strict=True)]
        draws = [
            self.passes.draw(b, generator, first) for b, first in zip(buckets, firsts, strict=True)
        ]
        return differences(self.prior, self.passes, n, low, draws, context, planes)

    def bits(self, n: Tensor, step: int, context: Tensor | None = None) -> float:
        """Bits of a picture or frame n [1, h, w, C], all passes."""
        if context is None:
            return total_bits(self.prior, self.plain, n, step, True)
        most = planes_needed(int(n.abs().max()))
        return total_bits(self.prior, self.plain, n, step, True, context, most) if most else 0.0
