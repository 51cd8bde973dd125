"""Alignment of an earlier picture: motion that is known is found, to quarters of a pixel."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from bsqcodec.models.bsq.alignment import REACH, SHRINK, aligned, vectors_between

SIDE = 96


def texture(height: int = SIDE + 80, width: int = SIDE + 80) -> Tensor:
    """A picture [3, height, width] of smooth random spots."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand((1, 3, height // 6, width // 6), generator=generator) * 255
    fine = F.interpolate(coarse, (height, width), mode="bicubic", align_corners=False)
    return fine[0].clamp(0, 255)


def cut(picture: Tensor, top: int, left: int) -> Tensor:
    return picture[:, 40 + top : 40 + top + SIDE, 40 + left : 40 + left + SIDE]


def psnr(a: Tensor, b: Tensor) -> float:
    return 10 * math.log10(255**2 / float((a - b).square().mean()))


FAR = REACH * SHRINK


@pytest.mark.parametrize("motion", [(0, 0), (1, -2), (-7, 5), (16, -11), (FAR, FAR)])
def test_whole_pixels(motion: tuple[int, int]) -> None:
    whole = texture()
    frame, earlier = cut(whole, *motion), cut(whole, 0, 0)
    vectors = vectors_between(frame, earlier)
    assert vectors.shape == (SIDE // 8, SIDE // 8, 2)
    inner = vectors[4:-4, 4:-4].reshape(-1, 2)  # what both pictures show
    assert (inner == 4 * torch.tensor(motion)).all(1).float().mean() > 0.9
    inside = slice(32, -32)
    assert psnr(aligned(frame, earlier)[:, inside, inside], frame[:, inside, inside]) > 40


def test_quarters_of_a_pixel() -> None:
    """Pictures that are four times as large, and made smaller from places two samples apart."""
    large = texture(4 * SIDE + 16, 4 * SIDE + 16)
    frame, earlier = (F.avg_pool2d(large[:, top : top + 4 * SIDE, : 4 * SIDE], 4) for top in (7, 1))
    vectors = vectors_between(frame, earlier)[2:-2, 2:-2].reshape(-1, 2).float()
    assert (vectors - torch.tensor([6.0, 0.0])).abs().mean() < 0.5
    near = F.pad(earlier, (0, 0, 0, 2))[:, 2:]  # by whole pixels
    inside = slice(16, -16)
    found = psnr(aligned(frame, earlier)[:, inside, inside], frame[:, inside, inside])
    assert found > psnr(near[:, inside, inside], frame[:, inside, inside]) + 6


def test_parts_that_move_differently() -> None:
    whole = texture()
    frame = torch.cat([cut(whole, 3, 0)[..., :48], cut(whole, -6, 0)[..., 48:]], -1)
    vectors = vectors_between(frame, cut(whole, 0, 0))[2:-2]
    assert (vectors[:, 1:5, 0] == 12).float().mean() > 0.9
    assert (vectors[:, 7:11, 0] == -24).float().mean() > 0.9


def test_pictures_without_texture_have_no_motion() -> None:
    flat = torch.full((3, 32, 48), 90.0)
    assert not vectors_between(flat, flat + 20).any()
    assert torch.equal(aligned(flat, flat + 20), flat + 20)
