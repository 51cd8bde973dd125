"""Motion compensation: exact for whole pixels, and constant where a frame is."""

from __future__ import annotations

import pytest
import torch

from bsqcodec.models.transform.compensation import compensate

from ...motion_fields import field, texture
from ...tiny_models import seeded

BLOCK = 8


@pytest.mark.parametrize(("down", "right"), [(0, 0), (3, -5), (-8, 8)])
def test_whole_pixels_are_compensated_exactly(down: int, right: int) -> None:
    reference = texture(48, 64)
    predicted = compensate(reference, field(6, 8, 4 * down, 4 * right))
    shifted = torch.roll(reference, (-down, -right), (1, 2))
    inside = (slice(None), slice(8, -8), slice(8, -8))
    assert torch.equal(predicted[inside], shifted[inside])


def test_half_a_pixel_of_a_slope() -> None:
    slope = (3.0 * torch.arange(64)).expand(3, 48, 64).contiguous()
    predicted = compensate(slope, field(6, 8, 0, 2))
    torch.testing.assert_close(predicted[:, :, 12:-12], slope[:, :, 12:-12] + 1.5)


@pytest.mark.parametrize("size", [(16, 16), (48, 32), (16, 80)])
def test_constant_frames_stay_constant_to_the_border(size: tuple[int, int]) -> None:
    with seeded(3):
        vectors = torch.randint(-384, 385, (size[0] // BLOCK, size[1] // BLOCK, 2))
    frame = torch.full((3, *size), 77.0)
    torch.testing.assert_close(compensate(frame, vectors), frame, rtol=0, atol=1e-3)
