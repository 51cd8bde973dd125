"""The context of the inter prior for a token: its vectors, and tokens of earlier frames.

All of it is integers that were decoded before.
Tokens are taken from where the motion vectors point.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bsqcodec.models.prior.neighbour_context import CLIP
from bsqcodec.models.windows import continued

AGES = 8
"""Ages of a reference (frames since the intra frame) that the prior tells apart."""

VECTOR_FEATURES = 16
"""Integers about the vectors of a token."""

MEMORY_UNIT = 8
"""Memory is in eighths of an integer, and keeps seven eighths of itself from frame to frame."""


def context_size(channels: int) -> int:
    """Integers of context for each token."""
    return 2 * channels + VECTOR_FEATURES + AGES


@dataclass(frozen=True)
class TemporalContext:
    """Magnitudes of the integers of earlier frames of a group, as the inter prior sees them.

    before [h, w, C]: of the frame before. memory [h, w, C]: the fading maximum over all frames of
    the group, in eighths. Both are float tensors that hold integers. age: frames since the intra
    frame.
    """

    before: Tensor
    memory: Tensor
    age: int

    @staticmethod
    def of_intra(n: Tensor) -> TemporalContext:
        """After the intra frame with integers n [h, w, C]."""
        magnitude = n.abs().float()
        return TemporalContext(magnitude, MEMORY_UNIT * magnitude, 0)

    def moved(self, vectors: Tensor) -> TemporalContext:
        """The same, each token taken from where vectors [2 h, 2 w, 2] point."""
        h, w = self.before.shape[:2]
        quarters = vectors.view(h, 2, w, 2, 2).sum((1, 3))
        shift = (quarters + 128) >> 8  # sums of four, quarters of a pixel, 16 pixels
        rows = (torch.arange(h, device=shift.device)[:, None] + shift[..., 0]).clamp(0, h - 1)
        columns = (torch.arange(w, device=shift.device) + shift[..., 1]).clamp(0, w - 1)
        return TemporalContext(self.before[rows, columns], self.memory[rows, columns], self.age)

    def after(self, n: Tensor) -> TemporalContext:
        """After an inter frame with integers n; self was moved by its vectors."""
        magnitude = n.abs().float()
        faded = torch.floor(self.memory * (7 / 8))  # exact: small integers times 7 / 8
        return TemporalContext(
            magnitude, torch.maximum(faded, MEMORY_UNIT * magnitude), self.age + 1
        )


def _octaves(x: Tensor) -> Tensor:
    """0, 1, 2 .. 7 for 0, 1, 2..3, 4..7 .., by comparing."""
    edges = [1, 2, 4, 8, 16, 32, 64]
    return torch.stack([x >= edge for edge in edges]).sum(0)


def vector_features(vectors: Tensor) -> Tensor:
    """Integers 0 .. 7 [h, w, VECTOR_FEATURES] about vectors [2 h, 2 w, 2] (integers)."""
    h, w = vectors.shape[0] // 2, vectors.shape[1] // 2
    parts = vectors.view(h, 2, w, 2, 2).permute(0, 2, 1, 3, 4).reshape(h, w, 4, 2)
    first = parts[:, :, 0]
    spread = parts.amax(2) - parts.amin(2)
    total = parts.sum(2)
    around = continued(total.permute(2, 0, 1), 1, 1, 1, 1).permute(1, 2, 0)
    near = [around[:-2, 1:-1], around[2:, 1:-1], around[1:-1, :-2], around[1:-1, 2:]]
    fraction = first & 3
    features = [
        *_octaves(first.abs() // 4).unbind(-1),
        *(_octaves((n - total).abs().sum(-1) // 4) for n in near),
        *_octaves(spread).unbind(-1),
        *(fraction != 0).unbind(-1),
        *(fraction == 2).unbind(-1),
        (parts == 0).all(-1).all(-1),
    ]
    features += [torch.zeros_like(features[0])] * (VECTOR_FEATURES - len(features))
    return torch.stack([f.float() for f in features], dim=-1)


def context_of(vectors: Tensor, temporal: TemporalContext) -> Tensor:
    """Context [h, w, context_size(C)] of a frame's tokens; temporal: moved by the vectors."""
    h, w = temporal.before.shape[:2]
    age = torch.zeros(h, w, AGES, device=vectors.device, dtype=torch.float32)
    age[..., min(temporal.age, AGES - 1)] = CLIP
    memory = torch.floor(temporal.memory / 4)
    return torch.cat(
        [temporal.before.clamp(max=CLIP), memory.clamp(max=CLIP), vector_features(vectors), age],
        dim=-1,
    )
