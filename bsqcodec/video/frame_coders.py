"""One range coder for all that a frame holds, in the shapes that the walks over it ask for."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bsqcodec.entropy.motion_vectors import SlotProbabilities
from bsqcodec.entropy.range_coder import BitDecoder, BitEncoder
from bsqcodec.models.prior.walk import Position, Probabilities, Signs
from bsqcodec.models.prior.walk_coders import read_digits, write_digits


class FrameSymbolWriter:
    """Writes vectors and tokens: the integers n [T, C] as they are. probabilities: of the vectors."""

    def __init__(self, n: npt.NDArray[np.int32], probabilities: SlotProbabilities) -> None:
        self._n = n
        self._v = np.zeros_like(n)
        self._probabilities = probabilities
        self._encoder = BitEncoder()

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
        stops = (self._n[at.tokens] == self._v[at.tokens]).all(1)
        self._encoder.encode(stops, probability)
        return np.asarray(stops)

    def digits(
        self, at: Position, v: npt.NDArray[np.float32], nonzero: Probabilities, positive: Signs
    ) -> npt.NDArray[np.int8]:
        where = np.ix_(at.tokens, at.stage.channels)
        power = 3**at.stage.plane
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
