"""The coding order: which bits of which tokens are coded in which pass.

An integer n of the tokenizer is spelled in balanced ternary: n = sum of 3^p * digit_p, each digit
-1, 0 or 1. *Levels* are the digit planes p, coarse to fine (the sparse highest planes share one). A
plane is coded in *stages*, bands of channels from low to high frequency, and a stage in two
*passes*: first the tokens on the white, then those on the black squares of a checkerboard (a prior
may take all of them at once).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from bsqcodec.models.config_checks import check_counts

T = TypeVar("T")

LATTICES = 2
BUCKETS = 16
"""Step indices are taken in 16 buckets of 16 wherever the prior depends on the step."""


def bucket(step: int) -> int:
    """Bucket 0 .. 15 of a step index 0 .. 255."""
    return step * BUCKETS // 256


@dataclass(frozen=True)
class PriorConfig:
    """Shape of a prior; saved with its weights.

    bands: for plane 0, plane 1, and all higher ones, the channel at which each band ends.
    context: integers about each token that are known before the first pass, 0 for none.
    attention: whether blocks attend within windows, or only see the tokens beside them.
    depths: blocks that run for plane 0, plane 1, and all higher ones; none given: all run.
    lattices: 2 or 1 passes in a stage of plane 0, plane 1, and all higher ones; none given: 2.
    """

    channels: int = 256
    width: int = 256
    heads: int = 4
    blocks: int = 4
    hidden: int = 768
    bands: tuple[tuple[int, ...], ...] = field(default=((16, 48, 112, 256), (32, 256), (256,)))
    context: int = 0
    attention: bool = True
    depths: tuple[int, ...] = ()
    lattices: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        check_counts(self)
        object.__setattr__(self, "bands", tuple(tuple(b) for b in self.bands))
        object.__setattr__(self, "depths", tuple(self.depths))
        object.__setattr__(self, "lattices", tuple(self.lattices))
        if any(ends[-1] != self.channels or sorted(ends) != list(ends) for ends in self.bands):
            raise ValueError(f"bands {self.bands} do not split {self.channels} channels")
        if any(depth < 0 or depth > self.blocks for depth in self.depths):
            raise ValueError(f"depths {self.depths} are not 0 to {self.blocks} blocks")

        if not set(self.lattices) <= {1, LATTICES}:
            raise ValueError(f"lattices {self.lattices} are not 1 or {LATTICES}")

    def ends(self, plane: int) -> tuple[int, ...]:
        """The channels at which the bands of a plane end."""
        return _of_plane(self.bands, plane)

    def depth(self, plane: int) -> int:
        """How many blocks run for a plane."""
        return _of_plane(self.depths, plane) if self.depths else self.blocks

    def passes(self, plane: int) -> int:
        """In how many passes each stage of a plane is coded."""
        return _of_plane(self.lattices, plane) if self.lattices else LATTICES

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def _of_plane(entries: Sequence[T], plane: int) -> T:
    """The entry of a plane, the last one for all planes from it on."""
    return entries[min(plane, len(entries) - 1)]


@dataclass(frozen=True)
class Stage:
    """One band of one digit plane. `index` numbers the kinds of stages of a prior.

    channels [k]: indices of the channels that are coded; passes: 2 for a checkerboard, or 1.
    """

    plane: int
    band: int
    index: int
    channels: npt.NDArray[np.int64]
    passes: int = LATTICES


def stage_kinds(config: PriorConfig, top_plane: int) -> list[tuple[int, int]]:
    """All (plane, band), coarse to fine, of a prior whose highest plane is `top_plane`."""
    return [
        (plane, band)
        for plane in range(top_plane, -1, -1)
        for band in range(len(config.ends(plane)))
    ]


def planes_needed(largest: int) -> int:
    """How many planes spell integers of magnitudes up to `largest`."""
    count = 0
    while (3**count - 1) // 2 < largest:
        count += 1
    return count


def stages(
    config: PriorConfig, planes: npt.NDArray[np.uint8], step: int, most: int | None = None
) -> list[Stage]:
    """The stages at a step, in coding order. planes [BUCKETS, C]: digits of each channel.

    most: planes that are coded at all, the lowest ones; None for all that the table has.
    """
    count = planes[bucket(step)]
    result = []
    for index, (plane, band) in enumerate(stage_kinds(config, int(planes.max()) - 1)):
        if most is not None and plane >= most:
            continue
        ends = config.ends(plane)
        first = ends[band - 1] if band else 0
        channels = np.flatnonzero(count[first : ends[band]] > plane) + first
        if len(channels):
            result.append(Stage(plane, band, index, channels, config.passes(plane)))
    return result


def levels(order: list[Stage]) -> list[list[Stage]]:
    """Stages grouped into the levels of a file: a plane each, but sparse planes join the next.

    A plane is sparse if it codes at most a quarter as many channels as plane 0 does: the highest
    planes hold a few large values, too little for a chunk of their own.
    """
    coded: dict[int, int] = {}
    for stage in order:
        coded[stage.plane] = coded.get(stage.plane, 0) + len(stage.channels)
    groups: list[list[Stage]] = []
    for stage in order:
        last = groups[-1][-1].plane if groups else None
        if last is None or (last != stage.plane and 4 * coded[last] > coded.get(0, 0)):
            groups.append([])
        groups[-1].append(stage)
    return groups


def limits(planes: npt.NDArray[np.uint8], step: int) -> npt.NDArray[np.int32]:
    """Largest magnitude [C] that the digits of each channel can spell at a step."""
    return ((3 ** planes[bucket(step)].astype(np.int32) - 1) // 2).astype(np.int32)


def lattice(height: int, width: int) -> npt.NDArray[np.uint8]:
    """Which pass (0 or 1) codes each token of a grid: a checkerboard [height, width]."""
    return (np.add.outer(np.arange(height), np.arange(width)) % 2).astype(np.uint8)
