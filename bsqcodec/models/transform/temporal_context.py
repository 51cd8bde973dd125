"""What the inter prior knows of a token before it is coded: vectors, and tokens of earlier frames.

Integers only, all of them decoded before; the tokens are looked up where the motion comes from.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bsqcodec.models.prior.neighbour_context import CLIP
from bsqcodec.models.windows import continued

AGES = 8
"""Ages of a reference (frames since the group's first) that are told apart."""

VECTOR_FEATURES = 16
"""Integers about the vectors of a token."""

MEMORY_UNIT = 8
"""Memory is in eighths of an integer, and keeps seven eighths of itself from frame to frame."""


def context_size(channels: int) -> int:
    """Integers of context for each token."""
    return 2 * channels + VECTOR_FEATURES + AGES


@dataclass(frozen=True)
class Past:
    """Magnitudes of the frame before and the fading memory of all frames since the group's first.

    before, memory [h, w, C] (float tensors that hold integers); age: frames since the first.
    """

    before: Tensor
    memory: Tensor
    age: int

    @staticmethod
    def of_first(n: Tensor) -> Past:
        """After a group's first frame with integers n [h, w, C]."""
        magnitude = n.abs().float()
        return Past(magnitude, MEMORY_UNIT * magnitude, 0)

    def moved(self, vectors: Tensor) -> Past:
        """The past where vectors [2 h, 2 w, 2] say that each token comes from."""
        h, w = self.before.shape[:2]
        quarters = vectors.view(h, 2, w, 2, 2).sum((1, 3))
        shift = (quarters + 128) >> 8  # sums of four, quarters of a pixel, 16 pixels
        rows = (torch.arange(h, device=shift.device)[:, None] + shift[..., 0]).clamp(0, h - 1)
        columns = (torch.arange(w, device=shift.device) + shift[..., 1]).clamp(0, w - 1)
        return Past(self.before[rows, columns], self.memory[rows, columns], self.age)

    def after(self, n: Tensor) -> Past:
        """After a further frame with integers n; self is the past, moved to it."""
        magnitude = n.abs().float()
        faded = torch.floor(self.memory * (7 / 8))  # exact: small integers times 7 / 8
        return Past(magnitude, torch.maximum(faded, MEMORY_UNIT * magnitude), self.age + 1)


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


def context_of(vectors: Tensor, past: Past) -> Tensor:
    """Context [h, w, context_size(C)] of a frame's tokens; past: moved by the vectors."""
    h, w = past.before.shape[:2]
    age = torch.zeros(h, w, AGES, device=vectors.device, dtype=torch.float32)
    age[..., min(past.age, AGES - 1)] = CLIP
    memory = torch.floor(past.memory / 4)
    return torch.cat(
        [past.before.clamp(max=CLIP), memory.clamp(max=CLIP), vector_features(vectors), age], dim=-1
    )
