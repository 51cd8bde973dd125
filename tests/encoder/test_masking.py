"""Dead zones of tokens by what they hide."""

import numpy as np
import pytest
import torch
from torch import Tensor

from bsqcodec.encoder.masking import (
    MAX_DEAD_ZONE,
    MIN_DEAD_ZONE,
    TYPICAL_DEAD_ZONE,
    dead_zones,
    token_variance,
)


def pixels(seed: int, height: int = 32, width: int = 48) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (2, 3, height, width), generator=generator).to(torch.uint8)


def test_variance_is_that_of_each_token() -> None:
    x = pixels(0)
    found = token_variance(x, 16)
    assert found.shape == (2, 2, 3)
    tokens = x.numpy().astype(np.float64).reshape(2, 3, 2, 16, 3, 16)
    np.testing.assert_allclose(found.numpy(), tokens.var(axis=(3, 5)).mean(1), rtol=1e-4)


@pytest.mark.parametrize("value", [0, 77, 255])
def test_a_flat_token_has_no_variance(value: int) -> None:
    assert token_variance(torch.full((1, 3, 16, 16), value, dtype=torch.uint8), 16).item() < 1e-2


def test_variance_does_not_feel_a_callers_autocast() -> None:
    x = pixels(1)
    with torch.autocast("cpu", torch.bfloat16):
        inside = token_variance(x, 16)
    assert torch.equal(inside, token_variance(x, 16))


def test_dead_zone_grows_with_the_deviation_and_has_bounds() -> None:
    deviation = torch.tensor([0.0, 5.0, 20.0, 40.0, 80.0, 1e6])
    zones = torch.stack([dead_zones((d**2).expand(1, 4, 4))[0, 1, 1] for d in deviation])
    assert (zones.diff() >= 0).all()
    assert zones[0] == MIN_DEAD_ZONE and zones[-1] == MAX_DEAD_ZONE
    assert float(zones[2]) == pytest.approx(TYPICAL_DEAD_ZONE, abs=0.005)
    assert float(zones[4] - zones[3]) == pytest.approx(0.06, abs=0.002)


def test_neighbours_count_and_the_edge_repeats() -> None:
    variance = torch.full((1, 5, 5), 400.0)
    spot = variance.clone()
    spot[0, 2, 2] = 6400.0
    changed = dead_zones(spot) > dead_zones(variance)
    assert changed[0].nonzero().tolist() == [[r, c] for r in (1, 2, 3) for c in (1, 2, 3)]
    torch.testing.assert_close(
        dead_zones(variance)[0], dead_zones(variance)[0, :1, :1].expand(5, 5)
    )
