"""The digit planes that a prior is made for: enough for the largest integers, and hardly more."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from bsqcodec.models.prior.order import BUCKETS
from bsqcodec.training.prior import count_planes

from ..tiny_models import random_tokenizer


@pytest.fixture(scope="module")
def crops() -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(0)
    coarse = 255 * torch.rand(4, 3, 8, 8, generator=generator)
    yield torch.nn.functional.interpolate(coarse, (128, 128), mode="bilinear")


@pytest.mark.parametrize("margin", [1.0, 2.5])
def test_planes_hold_the_largest_values_times_the_margin(crops: Tensor, margin: float) -> None:
    tokenizer = random_tokenizer()
    planes = count_planes(tokenizer, crops, margin)
    assert planes.shape == (BUCKETS, 16) and planes.dtype == torch.uint8
    for index in range(BUCKETS):
        step = torch.full((4,), 16.0 * index)
        with torch.autocast("cpu", torch.bfloat16):
            largest = margin * tokenizer.encode(crops, step).abs().amax((0, 1, 2))
        reach = (3.0 ** planes[index].float() - 1) / 2
        assert (reach >= largest - 0.5).all()
        assert ((3.0 ** (planes[index].float() - 1) - 1) / 2 < largest).all()
    assert (planes[:-1] >= planes[1:]).float().mean() > 0.9
    assert planes[0].max() > planes[-1].max()
