"""The measure of filling in: what is lost, what it is compared with, and a run on one picture."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.filling import LOST, PATTERNS, Filled, lost_tokens, means, measure, with_means
from bsqcodec.image.codec import Codec
from bsqcodec.image.picture_tokens import bsq_model

from ..tiny_models import save_bsq_weights


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_tenth_of_the_tokens_is_lost(pattern: str) -> None:
    lost = lost_tokens(pattern, (64, 96), np.random.default_rng(1))
    assert lost.mean() == pytest.approx(LOST, rel=0.05)
    rows, columns = np.flatnonzero(lost.any(1)), np.flatnonzero(lost.any(0))
    box = lost[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    assert bool(box.all()) == (pattern == PATTERNS[1])


def test_the_mean_of_the_surroundings() -> None:
    pixels = np.zeros((32, 40, 3), np.uint8)
    pixels[:, :16] = 100
    pixels[:, 16:] = 200
    lost = np.zeros((4, 5), bool)
    lost[1:3, 0] = True  # a group of two at the edge, within 100
    lost[1, 4] = True  # one within 200
    found = with_means(pixels, lost, 8)
    assert np.array_equal(
        found[~lost.repeat(8, 0).repeat(8, 1)], pixels[~lost.repeat(8, 0).repeat(8, 1)]
    )
    assert (found[8:24, :8] == 100).all() and (found[8:16, 32:] == 200).all()
    mixed = lost.copy()
    mixed[:] = False
    mixed[1, 1] = True  # five neighbours of 100, three of 200
    assert (with_means(pixels, mixed, 8)[8:16, 8:16] == 138).all()
    assert (with_means(pixels, np.ones((4, 5), bool), 8) == 128).all()


def test_a_picture_is_measured(tmp_path: Path) -> None:
    model = bsq_model(Codec(save_bsq_weights(tmp_path), device="cpu").model)
    y, x = np.mgrid[:70, :100]
    pixels = np.stack([x * 2, y * 3, x + y], -1).astype(np.uint8)
    first, second = measure(model, pixels, seed=3), measure(model, pixels, seed=3)
    assert first == second and [each.pattern for each in first] == list(PATTERNS)
    for each in first:
        assert 0 < each.filled < 60 and 0 < each.undamaged < 60
        assert each.filled != each.undamaged != each.mean_of_surroundings


def test_means() -> None:
    rows = [
        [Filled("a", 1, 2, 3), Filled("b", 4, 5, 6)],
        [Filled("a", 3, 4, 5), Filled("b", 6, 7, 8)],
    ]
    assert means(rows) == [Filled("a", 2, 3, 4), Filled("b", 5, 6, 7)]
