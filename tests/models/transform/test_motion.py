"""Motion: known shifts are found, and compensated exactly where that can be."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bsqcodec.models.transform.motion import (
    REACH,
    Rough,
    _median,
    compensate,
    estimate_roughly,
    luma,
    refine,
)

from ...tiny_models import seeded

BLOCK = 8


def texture(height: int, width: int, seed: int = 0) -> Tensor:
    """Smooth noise [3, height, width] of whole numbers 0..255."""
    with seeded(seed):
        noise = torch.rand(1, 3, height // 4, width // 4)
    smooth = torch.nn.functional.interpolate(noise, (height, width), mode="bicubic")[0]
    return (255 * smooth).round().clamp(0, 255)


def search(current: Tensor, reference: Tensor, price: float = 14.0) -> Tensor:
    """Vectors between two frames [3, H, W]."""
    rough = estimate_roughly(luma(current), luma(reference), price)
    return refine(rough, luma(current), luma(reference), price)


def field(rows: int, columns: int, down: int, right: int) -> Tensor:
    """The same vector, in quarters of a pixel, for all blocks."""
    return torch.tensor([down, right]).expand(rows, columns, 2).contiguous()


@pytest.mark.parametrize(("down", "right"), [(0, 0), (3, -5), (-7, 2), (12, 20)])
def test_a_known_shift_is_found(down: int, right: int) -> None:
    large = texture(128, 128)
    reference = large[:, 32:96, 32:96]
    current = large[:, 32 + down : 96 + down, 32 + right : 96 + right]
    found = search(current, reference)
    assert found.dtype == torch.int64 and found.shape == (8, 8, 2)
    covered = found[2:6, 2:6]  # blocks whose content is in the reference
    same = (covered == torch.tensor([4 * down, 4 * right])).all(-1)
    assert same.float().mean() > 0.7
    error = (compensate(reference, found) - current).abs()[:, 16:40, 16:40].mean()
    assert error < 2


@pytest.mark.parametrize(("down", "right"), [(0, 88), (-72, 40)])
def test_fast_motion_is_found(down: int, right: int) -> None:
    large = texture(320, 448)
    reference = large[:, 96:224, 96:352]
    current = large[:, 96 + down : 224 + down, 96 + right : 352 + right]
    found = search(current, reference)
    rows, columns = torch.arange(16)[:, None] * 8 + down, torch.arange(32) * 8 + right
    covered = (rows >= 0) & (rows <= 112) & (columns >= 0) & (columns <= 240)
    same = (found == torch.tensor([4 * down, 4 * right])).all(-1)
    assert same[covered].float().mean() > 0.8


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 5), (2, 3), (9, 7)])
def test_the_median_is_that_of_nine(rows: int, columns: int) -> None:
    with seeded(rows):
        vectors = torch.randint(-4, 5, (rows, columns, 2))
    found = _median(vectors)
    for row in range(rows):
        for column in range(columns):
            near = [
                vectors[min(max(row + i, 0), rows - 1), min(max(column + j, 0), columns - 1)]
                for i in (-1, 0, 1)
                for j in (-1, 0, 1)
            ]
            assert torch.equal(found[row, column], torch.stack(near).median(0).values)


def test_still_frames_have_no_motion() -> None:
    frame = texture(48, 64)
    assert not search(frame, frame).any()


def test_vectors_of_the_frame_before_are_candidates() -> None:
    """A shift that the coarse search cannot see is found where those before say so."""
    large = texture(64, 256)
    reference, current = large[:, :, :64], large[:, :, 63:127]
    known = Rough(
        field(4, 4, 0, 4 * 63), field(8, 8, 0, 4 * 63), torch.zeros(4, 4, dtype=torch.bool)
    )
    alone = estimate_roughly(luma(current), luma(reference), 14.0)
    found = estimate_roughly(luma(current), luma(reference), 14.0, known)
    assert not (alone.whole[..., 1] == 4 * 63).any()
    assert (found.whole[..., 1] == 4 * 63).any()
    assert (search(current, reference)[..., 1].abs() <= 4 * REACH).all()


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
