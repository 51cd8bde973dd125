"""Motion compensation: exact for whole pixels, and constant where a frame is."""

from __future__ import annotations

import pytest
import torch

from bsqcodec.models.transform.compensation import SAMPLE_UNITS, compensate

from ...conftest import use_loops
from ...motion_fields import field, texture
from ...tiny_models import seeded

pytestmark = pytest.mark.usefixtures("loops")

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


def test_loops_make_the_same_prediction(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of noise, with vectors of all fractions, of tokens and of quarters, beyond the borders."""
    with seeded(4):
        reference = 255 * torch.rand(3, 64, 80)
        vectors = torch.randint(-368, 369, (8, 10, 2))
    vectors[:4] = vectors[:4:2, ::2].repeat_interleave(2, 0).repeat_interleave(2, 1)
    found = []
    for wanted in (False, True):
        use_loops(monkeypatch, wanted)
        found.append(compensate(reference, vectors))
    assert torch.equal(*found)
    with_gradient = compensate(reference.clone().requires_grad_(), vectors).detach()
    assert 0 < (found[0] - with_gradient).abs().max() < 2 / SAMPLE_UNITS
