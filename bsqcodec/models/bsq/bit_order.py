"""The order in which the bits of a picture's codes are coded: sub-codes, and lattices of tokens.

A sub-code is so many neighbouring bits of each code. A pass codes one sub-code of the tokens of one
lattice; all that earlier passes coded is known to it. The bits of a sub-code are coded one after
the other, each given the ones before it: they are the path from the root of a binary tree, whose
2^n - 1 inner nodes each have the probability of a 1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from bsqcodec.models.config_checks import check_counts

MAX_BITS = 62
"""Bits of a code, at most: codes are signed integers of 64 bits."""

MAX_EARLIER_FRAMES = 8
"""Frames before a frame that its prior sees, at most."""

LATTICES: dict[int, tuple[tuple[int, ...], ...]] = {
    1: ((0, 0), (0, 0)),
    2: ((0, 1), (1, 0)),
    4: ((0, 2), (3, 1)),
}
"""By the number of lattices: which of them the tokens at even and odd rows and columns are in."""


@dataclass(frozen=True)
class BitPriorConfig:
    """Shape of a prior of bits; saved with its weights.

    bits: of a code. sub_code: bits of a sub-code. lattices: their number for each sub-code.
    attention: whether blocks attend in windows; without, they only look at the 8 neighbours.
    earlier_frames: how many frames of a video before a frame the prior of its bits sees, by a
    network of `earlier_blocks` blocks; 0 for pictures alone.
    """

    bits: int = 18
    sub_code: int = 6
    lattices: tuple[int, ...] = (4, 4, 4)
    width: int = 128
    heads: int = 4
    blocks: int = 4
    hidden: int = 384
    attention: bool = True
    earlier_frames: int = 0
    earlier_blocks: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "lattices", tuple(self.lattices))  # JSON has lists
        check_counts(self)
        if not isinstance(self.attention, bool):
            text = f"attention is {self.attention!r:.40}, neither true nor false"
            raise ValueError(text)  # noqa: TRY004
        if self.earlier_frames > MAX_EARLIER_FRAMES:
            raise ValueError(
                f"{self.earlier_frames} earlier frames are more than {MAX_EARLIER_FRAMES}"
            )
        if self.width % 8:
            raise ValueError(f"a width of {self.width} is no multiple of 8")
        if self.width % self.heads:
            raise ValueError(f"{self.heads} heads do not divide a width of {self.width}")
        if self.bits > MAX_BITS:
            raise ValueError(f"{self.bits} bits are more than the {MAX_BITS} of a code")
        if not 1 <= self.sub_code <= 8 or self.bits % self.sub_code:
            raise ValueError(f"{self.bits} bits are no whole sub-codes of {self.sub_code}")
        known = all(type(n) is int and n in LATTICES for n in self.lattices)
        if len(self.lattices) != self.sub_codes or not known:
            raise ValueError(f"{self.lattices} are no lattices of {self.sub_codes} sub-codes")

    @property
    def sub_codes(self) -> int:
        """Sub-codes of a code."""
        return self.bits // self.sub_code

    @property
    def earlier(self) -> BitPriorConfig:
        """The shape of the blocks that read earlier frames."""
        return replace(self, blocks=self.earlier_blocks)

    @property
    def nodes(self) -> int:
        """Inner nodes of a sub-code's tree."""
        return 2**self.sub_code - 1

    @property
    def passes(self) -> int:
        return sum(self.lattices)


@dataclass(frozen=True)
class Pass:
    """One pass: its index, its sub-code, and the lattice of how many."""

    index: int
    sub_code: int
    lattice: int
    lattices: int


def passes(config: BitPriorConfig) -> list[Pass]:
    """All passes of a picture in their order."""
    parts = [(s, i, n) for s, n in enumerate(config.lattices) for i in range(n)]
    return [Pass(index, *part) for index, part in enumerate(parts)]


def lattice_of(height: int, width: int, count: int) -> npt.NDArray[np.int8]:
    """Which of so many lattices each token of a grid is in, [height, width]."""
    tile = np.array(LATTICES[count], np.int8)
    return np.tile(tile, (-(-height // 2), -(-width // 2)))[:height, :width]


def node_of(prefix: npt.NDArray[np.int64], length: int) -> npt.NDArray[np.int64]:
    """Index of the inner node that prefixes of so many bits lead to; the first bit is the highest.

    prefix: the bits as numbers. The root is 0, and the children of node i are 2 i + 1 and 2 i + 2.
    """
    return prefix + 2**length - 1
