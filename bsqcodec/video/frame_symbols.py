"""The symbols of a group's frames, integers and vectors, and their entropy coding frame by frame.

Payload of a frame: its step index (one byte); the number of digit planes that are coded, plus 128
if anything moves (one byte, not in an intra frame); and the words of one range coder, with the
vectors (if anything moves) and the tokens.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bsqcodec.entropy.motion_vectors import SlotProbabilities, code_vectors
from bsqcodec.entropy.range_coder import BitDecoder, BitEncoder
from bsqcodec.errors import FormatError
from bsqcodec.models.prior.integer import IntegerPrior
from bsqcodec.models.prior.integer_blocks import compiled_loops
from bsqcodec.models.prior.order import planes_needed
from bsqcodec.models.prior.walk import (
    Position,
    Probabilities,
    Signs,
    read_digits,
    walk,
    write_digits,
)
from bsqcodec.models.token_grid import TokenGrid
from bsqcodec.models.transform.temporal_context import TemporalContext, context_of
from bsqcodec.models.video_priors import VideoPriors

MOVES = 128
"""Added to a frame's number of planes if it has vectors other than 0; only then they are coded."""


@dataclass(frozen=True)
class FrameSymbols:
    """The integers n [h, w, C] of a frame, and its vectors [2 rows, 2 columns, 2] or None."""

    step: int
    n: npt.NDArray[np.int32]
    vectors: npt.NDArray[np.int64] | None

    @property
    def repeats(self) -> bool:
        """Whether the frame repeats the one before it."""
        return self.vectors is not None and not self.vectors.any() and not self.n.any()

    def packed(self) -> Packed:
        """The same in fewer bytes: integers and vectors fit 16 bits."""
        vectors = None if self.vectors is None else self.vectors.astype(np.int16)
        return Packed(self.step, self.n.astype(np.int16), vectors)


@dataclass(frozen=True)
class Packed:
    """Symbols for another process, in 16 bits each."""

    step: int
    n: npt.NDArray[np.int16]
    vectors: npt.NDArray[np.int16] | None

    def symbols(self) -> FrameSymbols:
        """What was packed."""
        vectors = None if self.vectors is None else self.vectors.astype(np.int64)
        return FrameSymbols(self.step, self.n.astype(np.int32), vectors)


@dataclass
class GopState:
    """What the coding of a frame depends on of the frames before it in its group.

    temporal: None before the intra frame. vectors_before: of the frame before. crc: CRC-32 of all
    integers and vectors so far.
    """

    temporal: TemporalContext | None
    vectors_before: npt.NDArray[np.int64]
    probabilities: SlotProbabilities
    crc: int = 0

    @staticmethod
    def at_start(priors: VideoPriors, grid: TokenGrid) -> GopState:
        """The state at the start of a group."""
        rows, columns = grid.shape
        before = np.zeros((2 * rows, 2 * columns, 2), np.int64)
        return GopState(None, before, SlotProbabilities(priors.vectors, priors.prior_count))


class FrameSymbolWriter:
    """Writes vectors and tokens: the integers n [T, C] as they are.

    probabilities: of the vectors.
    """

    def __init__(self, n: npt.NDArray[np.int32], probabilities: SlotProbabilities) -> None:
        self._n = n
        self._v = np.zeros_like(n)
        self._probabilities = probabilities
        self._encoder = BitEncoder()
        self._loops = compiled_loops()

    @property
    def ideal_bits(self) -> float:
        """Sum of -log2 of the probabilities of everything coded."""
        return self._encoder.ideal_bits

    def finish(self) -> bytes:
        return self._encoder.finish()

    def bits(
        self, wanted: npt.NDArray[np.bool_] | None, slots: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.bool_]:
        if wanted is None:
            raise ValueError("an encoder needs the bits to write")
        self._encoder.encode(wanted, self._probabilities.of(slots))
        self._probabilities.count(slots, wanted)
        return wanted

    def begin_level(self, level: int) -> bool:
        return True

    def stops(self, at: Position, probability: Probabilities) -> npt.NDArray[np.bool_]:
        if self._loops is not None:
            stops = np.empty(len(at.tokens), bool)
            self._loops.have_arrived(self._n, self._v, at.tokens, stops)
        else:
            stops = (self._n[at.tokens] == self._v[at.tokens]).all(1)
        self._encoder.encode(stops, probability)
        return stops

    def digits(
        self, at: Position, v: npt.NDArray[np.float32], nonzero: Probabilities, positive: Signs
    ) -> npt.NDArray[np.int8]:
        power = 3**at.stage.plane
        if self._loops is not None:
            digit = np.empty((len(at.tokens), len(at.stage.channels)), np.int8)
            places = at.tokens, at.stage.channels
            self._loops.take_next_digits(self._n, self._v, *places, power, digit)
            write_digits(self._encoder, digit, nonzero, positive)
            return digit
        where = np.ix_(at.tokens, at.stage.channels)
        begun = self._v[where]
        # the target's prefix down to this plane is its nearest multiple of 3^plane
        digit = np.rint((self._n[where] - begun) / power).astype(np.int8)
        self._v[where] = begun + digit.astype(np.int32) * power
        write_digits(self._encoder, digit, nonzero, positive)
        return digit


class FrameSymbolReader:
    """Reads vectors and tokens. probabilities: of the vectors."""

    def __init__(self, data: bytes, probabilities: SlotProbabilities) -> None:
        self._decoder = BitDecoder(data)
        self._probabilities = probabilities

    def bits(
        self, wanted: npt.NDArray[np.bool_] | None, slots: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.bool_]:
        bits = self._decoder.decode(self._probabilities.of(slots))
        self._probabilities.count(slots, bits)
        return bits

    def begin_level(self, level: int) -> bool:
        return True

    def stops(self, at: Position, probability: Probabilities) -> npt.NDArray[np.bool_]:
        return self._decoder.decode(probability)

    def digits(
        self, at: Position, v: npt.NDArray[np.float32], nonzero: Probabilities, positive: Signs
    ) -> npt.NDArray[np.int8]:
        return read_digits(self._decoder, nonzero, positive)


class SymbolCoder:
    """Entropy coding of a group: symbols to payloads and back, frame by frame.

    state: of another coder, whose group this one continues; None for the start of a group.
    """

    def __init__(self, priors: VideoPriors, grid: TokenGrid, state: GopState | None = None) -> None:
        self._priors = priors
        self._inside = grid.inside
        self._rows, self._columns = grid.shape
        self.state = GopState.at_start(priors, grid) if state is None else state

    @property
    def crc(self) -> int:
        """CRC-32 of all integers and vectors so far."""
        return self.state.crc

    def _prior(self, intra: bool) -> IntegerPrior:
        return self._priors.intra if intra else self._priors.inter

    def _grid_vectors(self, vectors: npt.NDArray[np.int64]) -> Tensor:
        """Vectors of the padded grid: 0 in the padding."""
        h, w = self._inside.shape
        lack = ((0, 2 * h - len(vectors)), (0, 2 * w - vectors.shape[1]), (0, 0))
        return torch.from_numpy(np.pad(vectors, lack))

    def context(self, vectors: npt.NDArray[np.int64]) -> Tensor:
        """Context [1, h, w, K] of the tokens of the next frame, an inter frame."""
        return self._context_and_temporal(vectors)[0]

    def _context_and_temporal(
        self, vectors: npt.NDArray[np.int64]
    ) -> tuple[Tensor, TemporalContext]:
        """The next frame's context, and the temporal context moved by vectors.

        Raises FormatError.
        """
        if self.state.temporal is None:
            raise FormatError("an inter frame comes before the intra frame of its group")
        field = self._grid_vectors(vectors)
        temporal = self.state.temporal.moved(field)
        return context_of(field, temporal)[None], temporal

    def _update(self, symbols: FrameSymbols) -> None:
        """Make the state that of the frame after these symbols."""
        state = self.state
        n = torch.from_numpy(symbols.n)
        if symbols.vectors is None:
            state.temporal = TemporalContext.of_intra(n)
        else:
            assert state.temporal is not None
            state.temporal = state.temporal.after(n)
            state.vectors_before = symbols.vectors
            state.crc = zlib.crc32(symbols.vectors.astype("<i2").tobytes(), state.crc)
        state.crc = zlib.crc32(symbols.n[self._inside].astype("<i2").tobytes(), state.crc)

    def encode(self, symbols: FrameSymbols) -> bytes:
        """The payload of the next frame, without the group's CRC."""
        state = self.state
        intra = symbols.vectors is None
        n = symbols.n.reshape(-1, symbols.n.shape[-1])
        coder = FrameSymbolWriter(n, state.probabilities)
        context = None
        head = [symbols.step]
        planes = None
        if symbols.vectors is not None:
            planes = planes_needed(int(np.abs(n).max(initial=0)))
            moves = bool(symbols.vectors.any())
            head.append(planes + MOVES * moves)
            if moves:
                code_vectors(
                    coder, symbols.vectors, state.vectors_before, self._rows, self._columns
                )
            context, state.temporal = self._context_and_temporal(symbols.vectors)
        prior = self._prior(intra)
        walk(prior, symbols.step, self._inside, coder, context=context, most_planes=planes)
        self._update(symbols)
        return bytes(head) + coder.finish()

    def decode(
        self,
        payload: bytes,
        intra: bool,
        reader: Callable[[bytes, SlotProbabilities], FrameSymbolReader] = FrameSymbolReader,
    ) -> FrameSymbols:
        """The symbols of the next frame, read by the decoder that `reader` makes.

        Raises FormatError.
        """
        state = self.state
        head = 1 if intra else 2
        if len(payload) < head:
            raise FormatError("a frame has too few bytes")
        step, planes = payload[0], None if intra else payload[1] % MOVES
        coder = reader(payload[head:], state.probabilities)
        vectors = context = None
        if not intra:
            vectors = np.zeros_like(state.vectors_before)
            if payload[1] >= MOVES:
                vectors = code_vectors(coder, None, state.vectors_before, self._rows, self._columns)
            context, state.temporal = self._context_and_temporal(vectors)
        prior = self._prior(intra)
        n = walk(prior, step, self._inside, coder, context=context, most_planes=planes)
        symbols = FrameSymbols(step, n, vectors)
        self._update(symbols)
        return symbols
