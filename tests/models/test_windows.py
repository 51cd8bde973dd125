"""Windows of 8x8 tokens: cutting, putting together, relative positions."""

import itertools

import pytest
import torch

from bsqcodec.models.windows import WINDOW, continued, from_windows, relative_index, to_windows


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


@pytest.mark.parametrize("sides", [(0, 0, 0, 0), (3, 0, 0, 0), (0, 2, 5, 0), (9, 7, 4, 11)])
@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (2, 4, 6), (2, 3, 4, 6)])
def test_continued_is_padding_by_the_edge(
    shape: tuple[int, ...], sides: tuple[int, int, int, int]
) -> None:
    x = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    top, bottom, left, right = sides
    padded = torch.nn.functional.pad(
        x.reshape(1, -1, *shape[-2:]), (left, right, top, bottom), mode="replicate"
    )
    found = continued(x, top, bottom, left, right)
    assert torch.equal(found, padded.view(*shape[:-2], *padded.shape[-2:]))
