"""Encoding a picture with the family `bsq`: every token gets its one code, of so many bits."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bsqcodec.encoder.picture_encoder import Written
from bsqcodec.encoder.target_search import quality_among, step_among
from bsqcodec.errors import TargetError
from bsqcodec.machine.team import team_of
from bsqcodec.models.bsq.coding import Bits, bits_of_picture, write_bits
from bsqcodec.models.bsq.level_payload import pack_slices
from bsqcodec.models.bsq.picture_model import BsqModel
from bsqcodec.models.picture_model import Progress
from bsqcodec.options import EncodeOptions
from bsqcodec.targets import DEFAULT_QUALITY


def check_bsq_options(options: EncodeOptions) -> None:
    """Raise TargetError for effort 2 and any tune, which the family does not have."""
    if options.effort > 1:
        raise TargetError(
            f"weights of the family bsq have no effort {options.effort}, only 0 and 1"
        )
    if options.tune is not None:
        raise TargetError("weights of the family bsq cannot be tuned for a measure")


class BsqEncoder:
    """A picture [H, W, 3] that is coded with weights of the family `bsq`; a `PictureEncoder`.

    A quality chooses the number of bits of a code, if the weights have more than one. Efforts 0 and
    1 are the same. Raises TargetError for effort 2, any tune, and any target where there is one
    number of bits only.
    """

    strength = 0.0
    optimises = False
    notes: tuple[str, ...] = ()

    def __init__(
        self, model: BsqModel, pixels: npt.NDArray[np.uint8], options: EncodeOptions
    ) -> None:
        check_bsq_options(options)
        if options.target is not None and len(model.steps) == 1:
            raise TargetError(
                f"the weights {model.id.hex()} have one quality: they spend"
                f" {model.bits} bits on each {model.patch} x {model.patch} pixels,"
                " less what entropy coding saves, and take no quality, size, bpp or PSNR"
            )
        self._model, self._pixels = model, pixels
        self._bits: Bits | None = None
        self._payloads: list[bytes] = []
        self._ideal_bits: list[float] = []

    @property
    def steps(self) -> tuple[int, ...]:
        return self._model.steps

    def step_for(self, quality: float | None) -> int:
        return step_among(self.steps, DEFAULT_QUALITY if quality is None else quality)

    def quality_of(self, step: int) -> float | None:
        return quality_among(self.steps, step)

    def write(
        self,
        step: int,
        strength: float,
        *,
        optimised: bool = False,
        progress: Progress | None = None,
    ) -> Written:
        model = self._model
        height, width = self._pixels.shape[:2]
        with team_of(model.device):
            if self._bits is None:
                self._bits = bits_of_picture(model.weights.tokenizer, self._pixels)
            bits = self._bits[..., : model.depth_of(step)]
            levels = model.levels_of_step(step)
            if levels > len(self._payloads):  # the first levels of more bits are those of fewer
                inside = model.grid(height, width).inside
                coded = write_bits(model.weights.prior, bits, inside, progress)
                self._payloads = [pack_slices(parts) for parts in coded.payloads]
                self._ideal_bits = coded.ideal_bits
        return Written(
            model.symbols_of_bits(bits, height, width),
            self._payloads[:levels],
            sum(self._ideal_bits[:levels]),
        )
