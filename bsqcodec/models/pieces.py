"""Grids of tokens cut into the pieces that the threads of a team take,
as the grid's size has it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor

from bsqcodec.machine.team import team
from bsqcodec.models.windows import WINDOW

Item = TypeVar("Item")
Result = TypeVar("Result")

PIECE_TOKENS = 384
"""About how many tokens a piece has whose tokens do not see each other:
some milliseconds of work."""

EXACT_TOKENS = (128, 768)
"""Fewest and most tokens of a piece whose results are exact, however many there are."""

PIECES_AT_ONCE = 8
"""Pieces that are under way at a time, which bounds the memory, whatever the number of threads."""


@dataclass(frozen=True)
class Tile:
    """Rows top to bottom and columns left to right of a grid, the ends not included."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def rows(self) -> slice:
        return slice(self.top, self.bottom)

    @property
    def columns(self) -> slice:
        return slice(self.left, self.right)

    def with_margin(self, margin: int, height: int, width: int) -> Tile:
        """The tile with a margin, as far as a grid of height and width has one."""
        return Tile(
            max(0, self.top - margin),
            min(height, self.bottom + margin),
            max(0, self.left - margin),
            min(width, self.right + margin),
        )

    def inside(self, other: Tile) -> Tile:
        """The same tile in a grid that is cut down to another."""
        return Tile(
            self.top - other.top,
            self.bottom - other.top,
            self.left - other.left,
            self.right - other.left,
        )

    def moved(self, down: int, right: int) -> Tile:
        """The tile so many rows further down and columns further right."""
        return Tile(self.top + down, self.bottom + down, self.left + right, self.right + right)

    def meet(self, other: Tile) -> Tile:
        """What is in both tiles, which have something in common."""
        return Tile(
            max(self.top, other.top),
            min(self.bottom, other.bottom),
            max(self.left, other.left),
            min(self.right, other.right),
        )

    def cover(self, unit: int) -> Tile:
        """The smallest tile around this one whose edges are multiples of `unit`."""
        return Tile(
            self.top // unit * unit,
            -(-self.bottom // unit) * unit,
            self.left // unit * unit,
            -(-self.right // unit) * unit,
        )

    def over(self, unit: int) -> Tile:
        """Which cells, of unit x unit each, the tile touches, in a grid that is so much coarser."""
        covered = self.cover(unit)
        edges = (covered.top, covered.bottom, covered.left, covered.right)
        return Tile(*(edge // unit for edge in edges))

    def times(self, factor: int) -> Tile:
        """The tile in a grid that is finer by a factor."""
        return Tile(*(factor * edge for edge in (self.top, self.bottom, self.left, self.right)))


def bands(height: int, width: int) -> list[tuple[int, int]]:
    """Top and bottom of bands of rows of a grid, of about PIECE_TOKENS each."""
    rows = max(1, PIECE_TOKENS // width)
    return [(top, min(top + rows, height)) for top in range(0, height, rows)]


def tiles(height: int, width: int, rows: int, columns: int) -> list[Tile]:
    """A grid of whole windows cut into tiles of whole windows, at most `rows` by `columns`."""

    def edges(size: int, most: int) -> list[int]:
        windows, each = -(-size // WINDOW), max(1, most // WINDOW)
        count = -(-windows // each)
        return [min(WINDOW * (i * windows // count), size) for i in range(count)] + [size]

    across = edges(width, columns)
    return [
        Tile(top, bottom, left, right)
        for top, bottom in pairwise(edges(height, rows))
        for left, right in pairwise(across)
    ]


def exact_tokens(count: int, most: int = EXACT_TOKENS[1]) -> int:
    """Tokens of a piece of `count` whose results are exact, at most so many,
    so that a team's threads have equally many pieces of one size."""
    helpers = team()
    threads = 1 if helpers is None else helpers.size
    rounds = max(1, -(-count // (most * threads)))
    return max(-(-count // (rounds * threads)), EXACT_TOKENS[0])


def by_rows(function: Callable[..., Tensor], *grids: Tensor) -> Tensor:
    """What a function makes of grids [B, h, w, ...], by a team's threads if there is one.

    The function takes grids of any rows and returns one of the same;
    its tokens do not see each other.
    """
    helpers = team()
    if helpers is None or torch.is_grad_enabled():
        return function(*grids)
    some = bands(*grids[0].shape[1:3])
    parts = helpers.map(
        lambda band: function(*(grid[:, band[0] : band[1]] for grid in grids)), some, PIECES_AT_ONCE
    )
    return torch.cat(parts, 1)


def in_pieces(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """What a function makes of pieces, by a team's threads if there is one; see `Team.map`."""
    helpers = team()
    if helpers is None:
        return [function(item) for item in items]
    return helpers.map(function, items, PIECES_AT_ONCE)
