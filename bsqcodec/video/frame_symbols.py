"""The symbols of a group's frames, integers and vectors, and their entropy coding frame by frame.

Payload of a frame: its step index (one byte); the number of digit planes that are coded, plus 128 if
anything moves (one byte, not in a first frame); and the words of one range coder, with the vectors
(if anything moves) and the tokens.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bsqcodec.entropy.motion_vectors import SlotChances, code_vectors
from bsqcodec.errors import FormatError
from bsqcodec.models.prior.integer import IntegerPrior
from bsqcodec.models.prior.order import planes_needed
from bsqcodec.models.prior.walk import walk
from bsqcodec.models.token_grid import TokenGrid
from bsqcodec.models.transform.temporal_context import Past, context_of
from bsqcodec.video.frame_coders import FrameDecoder, FrameEncoder

MOVES = 128
"""Added to a frame's number of planes if it has vectors other than 0, which are coded then."""


@dataclass(frozen=True)
class Priors:
    """What codes integers: of first frames, of predicted ones, and the vectors' chances.

    patience: how slowly those follow a group's vectors (see `SlotChances`).
    """

    first: IntegerPrior
    inter: IntegerPrior
    vectors: npt.NDArray[np.int32]
    patience: int


@dataclass(frozen=True)
class Symbols:
    """The integers n [h, w, C] of a frame, and its vectors [2 rows, 2 columns, 2] or None."""

    step: int
    n: npt.NDArray[np.int32]
    vectors: npt.NDArray[np.int64] | None

    @property
    def repeats(self) -> bool:
        """Whether the frame is the one before it, again."""
        return self.vectors is not None and not self.vectors.any() and not self.n.any()

    def packed(self) -> Packed:
        """The same in fewer bytes: integers and vectors fit 16 bits."""
        vectors = None if self.vectors is None else self.vectors.astype(np.int16)
        return Packed(self.step, self.n.astype(np.int16), vectors)


@dataclass(frozen=True)
class Packed:
    """Symbols on their way to another process."""

    step: int
    n: npt.NDArray[np.int16]
    vectors: npt.NDArray[np.int16] | None

    def symbols(self) -> Symbols:
        """What was packed."""
        vectors = None if self.vectors is None else self.vectors.astype(np.int64)
        return Symbols(self.step, self.n.astype(np.int32), vectors)


@dataclass
class Memory:
    """What the coding of a frame depends on of those before it in its group.

    before: their last vectors. crc: CRC-32 of all integers and vectors so far.
    """

    past: Past | None
    before: npt.NDArray[np.int64]
    chances: SlotChances
    crc: int = 0

    @staticmethod
    def of_nothing(priors: Priors, grid: TokenGrid) -> Memory:
        """At the start of a group."""
        rows, columns = grid.shape
        before = np.zeros((2 * rows, 2 * columns, 2), np.int64)
        return Memory(None, before, SlotChances(priors.vectors, priors.patience))


class SymbolCoder:
    """The entropy coder's side of a group: symbols to payloads and back, frame by frame.

    memory: of another coder, whose group this one goes on with; None for the start of a group.
    """

    def __init__(self, priors: Priors, grid: TokenGrid, memory: Memory | None = None) -> None:
        self._priors = priors
        self._inside = grid.inside
        self._rows, self._columns = grid.shape
        self.memory = Memory.of_nothing(priors, grid) if memory is None else memory

    @property
    def crc(self) -> int:
        """CRC-32 of all integers and vectors so far."""
        return self.memory.crc

    def _prior(self, first: bool) -> IntegerPrior:
        return self._priors.first if first else self._priors.inter

    def _grid_vectors(self, vectors: npt.NDArray[np.int64]) -> Tensor:
        h, w = self._inside.shape
        lack = ((0, 2 * h - len(vectors)), (0, 2 * w - vectors.shape[1]), (0, 0))
        return torch.from_numpy(np.pad(vectors, lack))

    def context(self, vectors: npt.NDArray[np.int64]) -> Tensor:
        """Context [1, h, w, K] of the tokens of the next frame, a predicted one."""
        return self._look_back(vectors)[0]

    def _look_back(self, vectors: npt.NDArray[np.int64]) -> tuple[Tensor, Past]:
        """(the context, the past moved by vectors) of the next frame. Raises FormatError."""
        if self.memory.past is None:
            raise FormatError("a predicted frame comes before a first one")
        field = self._grid_vectors(vectors)
        past = self.memory.past.moved(field)
        return context_of(field, past)[None], past

    def _remember(self, symbols: Symbols) -> None:
        memory = self.memory
        n = torch.from_numpy(symbols.n)
        if symbols.vectors is None:
            memory.past = Past.of_first(n)
        else:
            assert memory.past is not None
            memory.past = memory.past.after(n)
            memory.before = symbols.vectors
            memory.crc = zlib.crc32(symbols.vectors.astype("<i2").tobytes(), memory.crc)
        memory.crc = zlib.crc32(symbols.n[self._inside].astype("<i2").tobytes(), memory.crc)

    def encode(self, symbols: Symbols) -> bytes:
        """The payload of the next frame, without the group's CRC."""
        memory = self.memory
        first = symbols.vectors is None
        n = symbols.n.reshape(-1, symbols.n.shape[-1])
        coder = FrameEncoder(n, memory.chances)
        context = None
        head = [symbols.step]
        most = None
        if symbols.vectors is not None:
            most = planes_needed(int(np.abs(n).max(initial=0)))
            moves = bool(symbols.vectors.any())
            head.append(most + MOVES * moves)
            if moves:
                code_vectors(coder, symbols.vectors, memory.before, self._rows, self._columns)
            context, memory.past = self._look_back(symbols.vectors)
        walk(
            self._prior(first), symbols.step, self._inside, coder, context=context, most_planes=most
        )
        self._remember(symbols)
        return bytes(head) + coder.finish()

    def decode(
        self,
        payload: bytes,
        first: bool,
        reader: Callable[[bytes, SlotChances], FrameDecoder] = FrameDecoder,
    ) -> Symbols:
        """The next frame's symbols, read by what `reader` makes. Raises FormatError."""
        memory = self.memory
        head = 1 if first else 2
        if len(payload) < head:
            raise FormatError("a frame has too few bytes")
        step, most = payload[0], None if first else payload[1] % MOVES
        coder = reader(payload[head:], memory.chances)
        vectors = context = None
        if not first:
            vectors = np.zeros_like(memory.before)
            if payload[1] >= MOVES:
                vectors = code_vectors(coder, None, memory.before, self._rows, self._columns)
            context, memory.past = self._look_back(vectors)
        n = walk(self._prior(first), step, self._inside, coder, context=context, most_planes=most)
        symbols = Symbols(step, n, vectors)
        self._remember(symbols)
        return symbols
