"""The two sides of the walk over the prior: an encoder that decides digits, a decoder."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bsqcodec.entropy.range_coder import PRECISION, BitDecoder, BitEncoder
from bsqcodec.models.prior.walk import Position, Probabilities, Signs, read_digits, write_digits

RATE_WEIGHT = 0.02
"""Squared error, in units of the squared integer step, that one bit is worth.

Far less than the slope of uniform quantization (0.134): what a dropped digit costs is more than its
own error, because the decoder network and the contexts of other digits see it too, and structural
similarity misses the texture. Measured on Kodak.
"""


class EncodingCoder:
    """Chooses the digits of z with rate and distortion in view, and writes them.

    z [T, C]: values to approximate by integers; allowed [C]: the largest integers; dead_zone [T]:
    magnitudes below which values of a token are never worth a first digit; weight: what one bit is
    worth, in squared units of z. Without these two, integers are written as they are.
    """

    def __init__(
        self,
        z: npt.NDArray[np.float32],
        allowed: npt.NDArray[np.int32],
        dead_zone: npt.NDArray[np.float32] | None = None,
        weight: float = 0.0,
    ) -> None:
        self._z = np.clip(z, -allowed, allowed).astype(np.float32)
        magnitude = np.abs(self._z)
        n = np.floor(magnitude + 0.5)
        if dead_zone is not None:
            n[magnitude < dead_zone[:, None]] = 0
        self._n = (np.sign(self._z) * np.minimum(n, allowed)).astype(np.int32)
        self._v = np.zeros_like(self._n)
        self._weight = weight
        self._encoders: list[BitEncoder] = []

    def payloads(self) -> list[bytes]:
        """The coded levels."""
        return [encoder.finish() for encoder in self._encoders]

    @property
    def ideal_bits(self) -> float:
        """Sum of -log2 of the probabilities of everything coded."""
        return sum(encoder.ideal_bits for encoder in self._encoders)

    def begin_level(self, level: int) -> bool:
        self._encoders.append(BitEncoder())
        return True

    def stops(self, at: Position, probability: Probabilities) -> npt.NDArray[np.bool_]:
        stops = (self._n[at.tokens] == self._v[at.tokens]).all(1)
        self._encoders[-1].encode(stops, probability)
        return np.asarray(stops)

    def digits(
        self, at: Position, v: npt.NDArray[np.float32], nonzero: Probabilities, positive: Signs
    ) -> npt.NDArray[np.int8]:
        where = np.ix_(at.tokens, at.stage.channels)
        power = 3**at.stage.plane
        begun = self._v[where]
        z = self._z[where]
        # the target's prefix down to this plane is its nearest multiple of 3^plane
        digit = np.rint((self._n[where] - begun) / power).astype(np.int8)
        np.clip(digit, -1, 1, out=digit)
        digit = self._decide(digit, z - begun, at.stage.plane, nonzero, positive)
        self._v[where] = begun + digit.astype(np.int32) * power
        if at.stage.plane == 0:
            self._n[where] = self._v[where]
        else:  # what the remaining planes can still reach
            reach = (power - 1) // 2
            low, high = self._v[where] - reach, self._v[where] + reach
            self._n[where] = np.clip(self._n[where], low, high)
        write_digits(self._encoders[-1], digit, nonzero, positive)
        return digit

    def _decide(
        self,
        digit: npt.NDArray[np.int8],
        rest: npt.NDArray[np.float32],
        plane: int,
        nonzero: Probabilities,
        positive: Signs,
    ) -> npt.NDArray[np.int8]:
        """Digits [n, k] with nonzero ones dropped where their bits cost more than they gain.

        rest [n, k]: what is left of z. A digit of plane p > 0 is in question only for the smallest
        values that need it, (3^p + 1) / 2, which plane p - 1 and below approximate by one less.
        """
        rows, columns = np.nonzero(digit)
        value = digit[rows, columns].astype(np.float32)
        left = rest[rows, columns] * value  # along the digit's direction
        probability = nonzero[rows, columns] / PRECISION
        sign = positive.of(digit != 0) / PRECISION
        bits = np.log2((1 - probability) / probability) - np.log2(
            np.where(value > 0, sign, 1 - sign)
        )
        smallest = (3**plane + 1) // 2
        gain = (left - (smallest - 1)) ** 2 - (left - smallest) ** 2
        drop = (gain < self._weight * bits) & (left < smallest + 0.5)
        digit[rows[drop], columns[drop]] = 0
        return digit


class RecordingCoder(EncodingCoder):
    """Writes digits, and records their probabilities on the planes 0 and 1.

    probabilities [2, 2, T, C]: see `bsqcodec.encoder.rdo.Coding`.
    """

    def __init__(
        self,
        z: npt.NDArray[np.float32],
        allowed: npt.NDArray[np.int32],
        dead_zone: npt.NDArray[np.float32] | None = None,
        weight: float = 0.0,
    ) -> None:
        super().__init__(z, allowed, dead_zone, weight)
        self.probabilities = np.full((2, 2, *z.shape), np.nan, np.float32)

    def digits(
        self, at: Position, v: npt.NDArray[np.float32], nonzero: Probabilities, positive: Signs
    ) -> npt.NDArray[np.int8]:
        if at.stage.plane < len(self.probabilities):
            where = np.ix_(at.tokens, at.stage.channels)
            self.probabilities[at.stage.plane, 0][where] = nonzero / PRECISION
            every = positive.of(np.ones_like(nonzero, bool)).reshape(nonzero.shape)
            self.probabilities[at.stage.plane, 1][where] = every / PRECISION
        return super().digits(at, v, nonzero, positive)


class DecodingCoder:
    """Reads the digits back from the payloads of as many levels as there are."""

    def __init__(self, payloads: list[bytes]) -> None:
        self._payloads = payloads
        self._next = 0
        self._decoder = BitDecoder(b"")

    def begin_level(self, level: int) -> bool:
        if self._next == len(self._payloads):
            return False
        self._decoder = BitDecoder(self._payloads[self._next])
        self._next += 1
        return True

    def stops(self, at: Position, probability: Probabilities) -> npt.NDArray[np.bool_]:
        return self._decoder.decode(probability)

    def digits(
        self, at: Position, v: npt.NDArray[np.float32], nonzero: Probabilities, positive: Signs
    ) -> npt.NDArray[np.int8]:
        return read_digits(self._decoder, nonzero, positive)
