"""What an encoder of pictures needs of a family of weights, beside the decoder's half.

    pixels -> encoder.write at a step -> symbols and level payloads -> file

`bsqcodec.encoder.families` makes the encoder that belongs to a model;
`bsqcodec.models.picture_model.PictureModel` is the half that a decoder needs too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from bsqcodec.models.picture_model import Progress, Symbols


@dataclass(frozen=True)
class Written:
    """Symbols of a picture and the payloads [level chunks] that hold them.

    ideal_bits: the sum of -log2 of the probabilities that the prior gave to what was coded.
    """

    symbols: Symbols
    payloads: list[bytes]
    ideal_bits: float


class PictureEncoder(Protocol):
    """The encoder's half of a family, for one picture.

    It keeps what it found out about the picture, so that coding it at a further step is cheaper.
    """

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on what was asked for and is not done with this picture."""

    @property
    def steps(self) -> Sequence[int] | None:
        """The few steps that there are, finest first; None where an index 0..255 is one."""

    @property
    def strength(self) -> float:
        """The default weight of rate against distortion,
        1 if the encoder weighs them and 0 if not."""

    @property
    def optimises(self) -> bool:
        """Whether `write` can optimise the symbols of this picture for rate and distortion."""

    def step_for(self, quality: float | None) -> int:
        """The index of the quantizer step of a quality 0..100, or of the default one for None."""

    def quality_of(self, step: int) -> float | None:
        """The quality 0..100 that a step belongs to, None if the family has one only."""

    def write(
        self,
        step: int,
        strength: float,
        *,
        optimised: bool = False,
        progress: Progress | None = None,
    ) -> Written:
        """Code the picture at a step; a larger strength gives fewer bits and more distortion.

        optimised: look long for the best symbols, once for each step; needs `optimises`.
        """
