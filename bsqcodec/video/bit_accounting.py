"""Bytes of each level of a video's frames, measured by decoding the tokens and no pixel."""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from bsqcodec.entropy.motion_vectors import SlotProbabilities
from bsqcodec.entropy.range_coder import ideal_bits
from bsqcodec.format.video_gop import FrameType, Gop
from bsqcodec.models.bsq.picture_model import BsqModel
from bsqcodec.models.prior.walk import Position, Probabilities, Signs
from bsqcodec.models.token_grid import TokenGrid
from bsqcodec.models.video_priors import VideoPriors
from bsqcodec.video.bsq_group_decoder import BsqGroupDecoder, split_frame
from bsqcodec.video.frame_symbols import FrameSymbolReader
from bsqcodec.video.group_decoder import GROUP_CRC
from bsqcodec.video.verify import check_group

Tally = defaultdict[tuple[FrameType, int | None], float]
"""Bits by type of frame and digit plane, None for the vectors."""


class LevelMeter:
    """Adds up the bytes of each level of the groups that it gets.

    A frame has one range coder, so the bytes of a level are what its bits cost by their
    probabilities. They add up to the payloads but for the frames' heads and a few bytes of rounding
    each.
    """

    def __init__(self, priors: VideoPriors, grid: TokenGrid) -> None:
        self._priors, self._grid = priors, grid
        self._bits: Tally = defaultdict(float)

    def add(self, gop: Gop) -> None:
        """Count a group. Raises FormatError if it does not decode to what was coded."""
        bits: Tally = defaultdict(float)
        types = iter(gop.types)

        def reader(data: bytes, probabilities: SlotProbabilities) -> MeasuringDecoder:
            return MeasuringDecoder(data, probabilities, next(types), bits)

        check_group(self._priors, self._grid, gop, reader)
        for key, found in bits.items():
            self._bits[key] += found

    def rows(self) -> list[dict[str, Any]]:
        """Rows, in coding order: frames ("I", "P"), plane (None: vectors), bytes (not whole)."""
        order = sorted(
            self._bits, key=lambda key: (key[0].name, key[1] is not None, -(key[1] or 0))
        )
        return [
            {"frames": kind.name, "plane": plane, "bytes": self._bits[kind, plane] / 8}
            for kind, plane in order
        ]


class BsqLevelMeter:
    """Adds up the bytes of each level of the groups that it gets, of the family `bsq`.

    A level is a sub-code. The bytes add up to the payloads but for the frames' heads.
    """

    def __init__(self, model: BsqModel, height: int, width: int) -> None:
        self._model, self._height, self._width = model, height, width
        self._bytes: defaultdict[tuple[FrameType, int], int] = defaultdict(int)

    def add(self, gop: Gop) -> None:
        """Count a group. Raises FormatError if it does not decode to what was coded."""
        BsqGroupDecoder(self._model, self._height, self._width, gop).check()
        payloads = (gop.frames[0][GROUP_CRC.size :], *gop.frames[1:])
        for kind, payload in zip(gop.types, payloads, strict=True):
            levels = split_frame(self._model, payload)[1] if payload else []
            for level, data in enumerate(levels):
                self._bytes[kind, level] += len(data)

    def rows(self) -> list[dict[str, Any]]:
        """Rows, in coding order: frames ("I", "P"), plane (the sub-code), bytes."""
        order = sorted(self._bytes, key=lambda key: (key[0].name, key[1]))
        return [
            {"frames": kind.name, "plane": level, "bytes": self._bytes[kind, level]}
            for kind, level in order
        ]


class MeasuringDecoder(FrameSymbolReader):
    """Reads a frame and counts what its bits cost by their probabilities."""

    def __init__(
        self, data: bytes, probabilities: SlotProbabilities, kind: FrameType, tally: Tally
    ) -> None:
        super().__init__(data, probabilities)
        self._count = partial(self._add, tally, kind)

    @staticmethod
    def _add(
        tally: Tally,
        kind: FrameType,
        plane: int | None,
        bits: npt.ArrayLike,
        probability: Probabilities,
    ) -> None:
        tally[kind, plane] += ideal_bits(np.asarray(bits, bool), probability)

    def bits(
        self, wanted: npt.NDArray[np.bool_] | None, slots: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.bool_]:
        probability = self._probabilities.of(slots)
        bits = super().bits(wanted, slots)
        self._count(None, bits, probability)
        return bits

    def stops(self, at: Position, probability: Probabilities) -> npt.NDArray[np.bool_]:
        stops = super().stops(at, probability)
        self._count(at.stage.plane, stops, probability)
        return stops

    def digits(
        self, at: Position, v: npt.NDArray[np.float32], nonzero: Probabilities, positive: Signs
    ) -> npt.NDArray[np.int8]:
        digits = super().digits(at, v, nonzero, positive)
        significant = digits != 0
        self._count(at.stage.plane, significant, nonzero)
        self._count(at.stage.plane, digits[significant] > 0, positive.of(significant))
        return digits
