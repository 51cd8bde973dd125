"""Grids of tokens: sizes against plain counting of the pixels that each token holds."""

from __future__ import annotations

import doctest
import importlib
import pickle

import numpy as np
import pytest

from bsqcodec.models.token_grid import TokenGrid


@pytest.mark.parametrize("patch", [8, 16])
@pytest.mark.parametrize("window", [1, 4, 8])
@pytest.mark.parametrize("size", [(1, 1), (16, 16), (17, 16), (40, 300), (128, 129), (1, 4000)])
def test_tokens_cover_the_picture_and_windows_cover_the_tokens(
    size: tuple[int, int], window: int, patch: int
) -> None:
    grid = TokenGrid(*size, patch, window)
    for side, count, padded in zip(size, grid.shape, grid.padded_shape, strict=True):
        assert count == len({pixel // patch for pixel in range(side)})
        assert padded == window * len({token // window for token in range(count)})
    assert grid.shape == (grid.rows, grid.columns)
    assert grid.padded_shape == (grid.padded_rows, grid.padded_columns)
    assert grid.pixels == (grid.rows * patch, grid.columns * patch)
    assert grid.padded_pixels == (grid.padded_rows * patch, grid.padded_columns * patch)


@pytest.mark.parametrize("size", [(1, 1), (40, 300), (128, 128), (129, 17)])
def test_a_token_is_inside_where_a_pixel_of_the_picture_is(size: tuple[int, int]) -> None:
    grid = TokenGrid(*size)
    pixels = np.zeros(grid.padded_pixels, bool)
    pixels[: size[0], : size[1]] = True
    tokens = pixels.reshape(grid.padded_rows, 16, grid.padded_columns, 16).any((1, 3))
    np.testing.assert_array_equal(grid.inside, tokens)


def test_the_default_is_the_grid_of_the_transform_family() -> None:
    assert TokenGrid(4000, 6000) == TokenGrid(4000, 6000, patch=16, window=8)
    assert TokenGrid(4000, 6000).padded_shape == (256, 376)


def test_a_grid_goes_to_another_process() -> None:
    grid = TokenGrid(40, 300, 8, 4)
    assert pickle.loads(pickle.dumps(grid)) == grid


def test_the_example_in_the_documentation() -> None:
    result = doctest.testmod(importlib.import_module("bsqcodec.models.token_grid"))
    assert result.attempted
    assert not result.failed
