"""Windows of 8x8 tokens: cutting, putting together, relative positions."""

import itertools

import pytest
import torch

from bsqcodec.windows import WINDOW, from_windows, relative_index, to_windows


@pytest.mark.parametrize("shape", [(1, 8, 8, 3), (2, 8, 24, 1), (3, 40, 16, 5)])
def test_round_trip(shape: tuple[int, ...]) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    assert torch.equal(from_windows(to_windows(x), *shape[1:3]), x)


def test_each_window_is_a_square_of_the_grid() -> None:
    x = torch.arange(2 * 16 * 24).view(2, 16, 24, 1)
    windows = to_windows(x)
    squares = [
        x[picture, top : top + WINDOW, left : left + WINDOW].reshape(-1, 1)
        for picture, top, left in itertools.product(range(2), (0, 8), (0, 8, 16))
    ]
    assert torch.equal(windows, torch.stack(squares))


def test_relative_index_names_each_displacement_once() -> None:
    index = relative_index()
    assert index.shape == (64, 64)
    seen: dict[int, tuple[int, int]] = {}
    for a, b in itertools.product(range(64), repeat=2):
        displacement = (a // WINDOW - b // WINDOW, a % WINDOW - b % WINDOW)
        assert seen.setdefault(int(index[a, b]), displacement) == displacement
    assert sorted(seen) == list(range(225))
    assert len(set(seen.values())) == 225
