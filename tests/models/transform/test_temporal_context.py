"""What the inter prior is told: whole numbers, the same however they are computed."""

from __future__ import annotations

import numpy as np
import torch

from bsqcodec.models.prior.neighbour_context import CLIP
from bsqcodec.models.transform.temporal_context import (
    AGES,
    MEMORY_UNIT,
    VECTOR_FEATURES,
    TemporalContext,
    context_of,
    context_size,
    vector_features,
)

H, W, C = 3, 5, 4


def integers(seed: int, largest: int = 300) -> torch.Tensor:
    generator = np.random.default_rng(seed)
    return torch.from_numpy(generator.integers(-largest, largest + 1, (H, W, C)))


def vectors(seed: int, largest: int = 384) -> torch.Tensor:
    generator = np.random.default_rng(seed)
    return torch.from_numpy(generator.integers(-largest, largest + 1, (2 * H, 2 * W, 2)))


def test_memory_fades_by_an_eighth_and_keeps_the_largest() -> None:
    temporal = TemporalContext.of_intra(integers(0))
    memory = MEMORY_UNIT * integers(0).abs()
    assert torch.equal(temporal.memory.long(), memory) and temporal.age == 0
    for seed in range(1, 12):
        temporal = temporal.after(integers(seed, 300 >> seed))
        magnitude = integers(seed, 300 >> seed).abs()
        memory = torch.maximum(memory * 7 // 8, MEMORY_UNIT * magnitude)
        assert torch.equal(temporal.memory.long(), memory)
        assert torch.equal(temporal.before.long(), magnitude)
        assert temporal.age == seed


def test_the_past_is_moved_by_whole_tokens() -> None:
    temporal = TemporalContext.of_intra(integers(1))
    still = torch.zeros(2 * H, 2 * W, 2, dtype=torch.int64)
    assert torch.equal(temporal.moved(still).before, temporal.before)
    down = still + torch.tensor([64, 0])  # 16 pixels: a token
    moved = temporal.moved(down)
    assert torch.equal(moved.before[:-1], temporal.before[1:])
    assert torch.equal(moved.before[-1], temporal.before[-1])  # the edge goes on
    right = still + torch.tensor([0, -64])
    assert torch.equal(temporal.moved(right).memory[:, 1:], temporal.memory[:, :-1])
    half = still + torch.tensor([31, -33])
    assert torch.equal(temporal.moved(half).before[:, 1:], temporal.before[:, :-1])


def test_context_is_of_small_whole_numbers() -> None:
    temporal = TemporalContext.of_intra(integers(2))
    for age in range(AGES + 3):
        field = vectors(age)
        temporal = temporal.moved(field)
        context = context_of(field, temporal)
        assert context.shape == (H, W, context_size(C))
        assert torch.equal(context, context.round())
        assert context.min() >= 0 and context.max() <= CLIP
        marks = context[..., 2 * C + VECTOR_FEATURES :]
        assert (marks.sum(-1) == CLIP).all() and (marks[..., min(age, AGES - 1)] == CLIP).all()
        temporal = temporal.after(integers(age + 50))


def test_features_tell_vectors_apart() -> None:
    still = torch.zeros(2 * H, 2 * W, 2, dtype=torch.int64)
    assert vector_features(still)[..., :-1].sum() == H * W  # only that all is still
    for change in (torch.tensor([4, 0]), torch.tensor([0, 4]), torch.tensor([0, 2])):
        moved = still.clone()
        moved[2:4, 2:4] = change
        assert not torch.equal(vector_features(moved), vector_features(still))
    split = still.clone()
    split[0, 0, 0] = 8
    features = vector_features(split)
    assert not torch.equal(features[0, 0], features[2, 4])
