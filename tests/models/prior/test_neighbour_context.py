"""What the prior sees: integers, within their ranges, the same however it is computed."""

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from bsqcodec.models.prior.neighbour_context import (
    CLIP,
    CONTEXTS,
    contexts,
    divide_by_power,
    features,
    neighbour_sums,
)

PLANES = range(9)
LARGEST = (3**9 - 1) // 2


def values(plane: int, *shape: int, seed: int = 0) -> Tensor:
    """Partial values before a plane: small and large multiples of 3^(plane + 1), half of them 0."""
    generator = torch.Generator().manual_seed(seed)
    power = 3 ** (plane + 1)
    reach = max(1, LARGEST // power)
    small = torch.randint(-2, 3, shape, generator=generator)
    large = torch.randint(-reach, reach + 1, shape, generator=generator)
    pick = torch.randint(0, 4, shape, generator=generator)
    return torch.where(pick < 2, 0, torch.where(pick == 2, small, large)).clamp(-reach, reach) * (
        power * 1.0
    )


@pytest.mark.parametrize("plane", PLANES)
def test_division_is_exact_for_every_value(plane: int) -> None:
    v = torch.arange(-LARGEST, LARGEST + 1)
    power = 3**plane
    quotient = divide_by_power(v.float(), torch.tensor(float(power)))
    assert torch.equal(quotient, torch.div(v, power, rounding_mode="trunc").float())


@pytest.mark.parametrize("plane", PLANES)
def test_features_are_clipped_integers(plane: int) -> None:
    v = values(plane, 2, 8, 16, 3)
    x = features(v, torch.tensor(3.0**plane))
    assert x.shape == (2, 8, 16, 6)
    assert torch.equal(x, x.round()) and x.abs().max() <= CLIP
    assert torch.equal(x[..., :3], (v / 3**plane).round().clamp(-7, 7))
    assert torch.equal(x[..., 3:], x[..., :3].abs())


def test_features_of_known_values() -> None:
    v = torch.tensor([0, 1, -2, 3, -3, 4, 8, 9, -62, 63, 1000.0]).view(1, 1, 11, 1)
    x = features(v, torch.tensor(9.0))[0, 0, :, 0]
    assert x.tolist() == [0, 0, 0, 0, 0, 0, 0, 1, -6, 7, 7]


def test_neighbour_sums_by_hand() -> None:
    v = values(0, 2, 5, 4, 3)
    magnitude, trend = neighbour_sums(v)
    for b, i, j in itertools.product(range(2), range(5), range(4)):
        expected = torch.zeros(2, 3)
        for di, dj in itertools.product((-1, 0, 1), repeat=2):
            if (di, dj) != (0, 0) and 0 <= i + di < 5 and 0 <= j + dj < 4:
                weight = 2 if 0 in (di, dj) else 1
                value = v[b, i + di, j + dj]
                expected += weight * torch.stack([value.abs(), value])
        assert torch.equal(torch.stack([magnitude[b, i, j], trend[b, i, j]]), expected)


def test_a_flat_neighbourhood_sums_to_twelve_times_its_value() -> None:
    magnitude, trend = neighbour_sums(torch.full((1, 3, 3, 1), -5.0))
    assert magnitude[0, 1, 1, 0] == 60 and trend[0, 1, 1, 0] == -60


def context_of(v: int, magnitude: int, trend: int, power: int) -> int:
    """The rule for one digit, in Python's integers."""
    u = abs(v) // power * (1 if v > 0 else -1)
    own = 0 if u == 0 else 3 if abs(u) > 4 else 1 if u > 0 else 2
    size = sum(magnitude >= edge * power for edge in (1, 3, 6, 10, 16, 26, 44))
    slope = sum(trend - 12 * v >= edge * power for edge in (-12, -4, 5, 13))
    return (own * 8 + size) * 5 + slope


@pytest.mark.parametrize("plane", PLANES)
def test_contexts_follow_the_rule(plane: int) -> None:
    v = values(plane, 1, 16, 16, 4)
    magnitude, trend = neighbour_sums(v)
    found = contexts(v, magnitude, trend, torch.tensor(3.0**plane))
    assert found.dtype == torch.int32
    expected = [
        context_of(int(own), int(size), int(slope), 3**plane)
        for own, size, slope in zip(v.flatten(), magnitude.flatten(), trend.flatten(), strict=True)
    ]
    assert found.flatten().tolist() == expected


def test_contexts_fill_their_range() -> None:
    generator = torch.Generator().manual_seed(0)
    v = torch.randint(-8, 9, (40_000,), generator=generator).float()
    magnitude = torch.randint(0, 100, v.shape, generator=generator).float()
    trend = 12 * v + torch.randint(-20, 21, v.shape, generator=generator)
    found = contexts(v, magnitude, trend, torch.tensor(1.0))
    assert torch.unique(found).tolist() == list(range(CONTEXTS))


def test_a_mirrored_picture_has_the_mirrored_contexts() -> None:
    v = values(1, 1, 9, 9, 2)
    power = torch.tensor(3.0)
    found = contexts(v, *neighbour_sums(v), power)
    turned = torch.rot90(v, dims=(1, 2))
    again = contexts(turned, *neighbour_sums(turned), power)
    assert torch.equal(again, torch.rot90(found, dims=(1, 2)))


@pytest.mark.parametrize("plane", [0, 1, 4])
def test_training_and_coding_see_the_same(plane: int) -> None:
    """Training takes whole grids and a power a picture; coding a band, some tokens, one power."""
    v = torch.cat([values(plane, 1, 8, 8, 6, seed=seed) for seed in range(3)])
    powers = torch.full((3, 1, 1, 1), 3.0**plane)
    power = torch.tensor(3.0**plane)
    everywhere = contexts(v, *neighbour_sums(v), powers)
    band, channels = slice(1, 5), torch.tensor([1, 2, 4])
    tokens = torch.from_numpy(np.flatnonzero(np.arange(64) % 3 == 0))
    for i in range(3):
        assert torch.equal(features(v[i : i + 1], power), features(v, powers)[i : i + 1])
        own = v[i].view(64, 6)[tokens[:, None], channels]
        near, slope = (
            s.view(64, 4)[tokens[:, None], channels - 1]
            for s in neighbour_sums(v[i : i + 1, ..., band])
        )
        expected = everywhere[i].view(64, 6)[tokens[:, None], channels]
        assert torch.equal(contexts(own, near, slope, power), expected)


@pytest.mark.parametrize("dtype", [torch.float64, torch.int64])
def test_the_type_of_the_integers_does_not_matter(dtype: torch.dtype) -> None:
    v = values(2, 1, 8, 8, 4)
    power = torch.tensor(9.0)
    expected = contexts(v, *neighbour_sums(v), power)
    other = v.to(dtype)
    assert torch.equal(contexts(other, *neighbour_sums(other), power), expected)
    assert torch.equal(features(other, power).float(), features(v, power))
