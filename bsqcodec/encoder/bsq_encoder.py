"""Encoding a picture with the family `bsq`: every token gets its one code, so there is no choice."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bsqcodec.encoder.picture_encoder import Written
from bsqcodec.errors import TargetError
from bsqcodec.machine.team import team_of
from bsqcodec.models.bsq.coding import bits_of_picture, write_bits
from bsqcodec.models.bsq.level_payload import pack_slices
from bsqcodec.models.bsq.picture_model import STEP, BsqModel
from bsqcodec.models.picture_model import Progress
from bsqcodec.options import EncodeOptions


class BsqEncoder:
    """A picture [H, W, 3] that is coded with weights of the family `bsq`; a `PictureEncoder`.

    Efforts 0 and 1 are the same. Raises TargetError for effort 2, any tune and any target.
    """

    strength = 0.0
    optimises = False
    notes: tuple[str, ...] = ()

    def __init__(
        self, model: BsqModel, pixels: npt.NDArray[np.uint8], options: EncodeOptions
    ) -> None:
        if options.effort > 1:
            raise TargetError(
                f"weights of the family bsq have no effort {options.effort}, only 0 and 1"
            )
        if options.tune is not None:
            raise TargetError("weights of the family bsq cannot be tuned for a measure")
        if options.target is not None:
            raise TargetError(
                "weights of the family bsq have one quality: they spend"
                f" {model.bits} bits on each {model.patch} x {model.patch} pixels,"
                " less what entropy coding saves, and take no quality, size, bpp or PSNR"
            )
        self._model, self._pixels = model, pixels

    def step_for(self, quality: float | None) -> int:
        return STEP

    def quality_of(self, step: int) -> float | None:
        return None

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
        inside = model.grid(height, width).inside
        with team_of(model.device):
            bits = bits_of_picture(model.weights.tokenizer, self._pixels)
            coded = write_bits(model.weights.prior, bits, inside, progress)
        payloads = [pack_slices(parts) for parts in coded.payloads]
        return Written(model.symbols_of_bits(bits, height, width), payloads, coded.ideal_bits)
