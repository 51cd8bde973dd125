"""Range coding of bits with given probabilities, by constriction, as little-endian words.

constriction is lenient about damaged data, so lengths and checksums are the container's.
"""

from __future__ import annotations

import constriction
import numpy as np
import numpy.typing as npt

from bsqcodec.errors import FormatError

PRECISION = 65536
"""Probabilities are integers k in 1 .. 65535, meaning k / 65536."""

CHUNK_SYMBOLS = 2**20
"""Symbols in one call of constriction, which bounds the memory."""

_BITS = -np.log2(np.arange(PRECISION + 1).clip(1) / PRECISION)
"""Bits that a symbol of each probability costs."""

_MODEL = constriction.stream.model.Bernoulli(perfect=False)
"""`perfect=False` is exact for these probabilities and does not depend on the platform's libm."""


def ideal_bits(bits: npt.NDArray[np.bool_], probability: npt.NDArray[np.int32]) -> float:
    """Sum of -log2 of the probabilities of bits [n]; probability [n]: 65536 times that of a 1."""
    return float(_BITS[np.where(bits, probability, PRECISION - probability)].sum())


class BitEncoder:
    """Collects bits and their probabilities; `finish` returns the coded bytes."""

    def __init__(self) -> None:
        self._encoder = constriction.stream.queue.RangeEncoder()
        self.ideal_bits = 0.0

    def encode(self, bits: npt.NDArray[np.bool_], probability: npt.NDArray[np.int32]) -> None:
        """Append bits [n]; probability [n]: 65536 times that of a 1."""
        for first in range(0, bits.size, CHUNK_SYMBOLS):
            some = slice(first, first + CHUNK_SYMBOLS)
            self._encoder.encode(bits[some].astype(np.int32), _MODEL, probability[some] / PRECISION)
            self.ideal_bits += ideal_bits(bits[some], probability[some])

    def finish(self) -> bytes:
        return self._encoder.get_compressed().astype("<u4").tobytes()


class BitDecoder:
    """Reads back what `BitEncoder` wrote. Raises FormatError for data that is no whole words."""

    def __init__(self, data: bytes) -> None:
        if len(data) % 4:
            raise FormatError(f"range-coded data has {len(data)} bytes, not a multiple of 4")
        words = np.frombuffer(data, "<u4").astype(np.uint32)
        self._decoder = constriction.stream.queue.RangeDecoder(words)

    def decode(self, probability: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
        """The next bits [n], given 65536 times the probability of each being 1.

        Raises FormatError for data that no encoder writes, where that shows.
        """
        bits = np.zeros(probability.size, bool)
        try:
            for first in range(0, probability.size, CHUNK_SYMBOLS):
                some = slice(first, first + CHUNK_SYMBOLS)
                bits[some] = self._decoder.decode(_MODEL, probability[some] / PRECISION)
        except AssertionError as error:  # what constriction raises for invalid data
            raise FormatError("the range-coded data is damaged") from error
        return bits
