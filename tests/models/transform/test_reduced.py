"""Pictures at a fraction of their size: means of pixels, and the levels that these need."""

import numpy as np
import pytest
import torch

from bsqcodec.models.transform.reduced import decode_reduced, spared_planes
from bsqcodec.models.transform.strips import decode_picture

from ...tiny_models import linear_tokenizer

STEP = 60


@pytest.mark.parametrize("factor", [1, 2, 4, 8, 16])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (37, 150), (1040, 20)])
def test_pixels_are_means_of_those_of_the_whole_picture(
    height: int, width: int, factor: int
) -> None:
    """Of a tokenizer without networks, and where nothing is clipped: exactly, but for rounding."""
    tokenizer = linear_tokenizer()
    rows, columns = (-(-n // 128) * 8 for n in (height, width))
    generator = np.random.default_rng(factor)
    channels = tokenizer.config.channels
    n = torch.from_numpy(generator.integers(-30, 31, (rows, columns, channels)).astype(np.int32))
    n[-(-height // 16) :] = 0
    n[:, -(-width // 16) :] = 0
    padded = decode_picture(tokenizer, n, STEP, 16 * -(-height // 16), 16 * -(-width // 16))
    assert 0 < padded.min() and padded.max() < 255
    assert padded.std() > 9
    blocks = padded.reshape(len(padded) // factor, factor, padded.shape[1] // factor, factor, 3)
    means = blocks.mean((1, 3))[: -(-height // factor), : -(-width // factor)]
    reduced = decode_reduced(tokenizer, n, STEP, height, width, factor)
    assert reduced.dtype == np.uint8
    np.testing.assert_allclose(reduced, means, atol=0.75)


def test_large_factors_spare_planes() -> None:
    assert [spared_planes(factor) for factor in (1, 2, 4, 8, 16)] == [0, 0, 0, 1, 2]
