"""The families of weights for pictures, as an encoder needs them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bsqcodec.encoder.bsq_encoder import BsqEncoder
from bsqcodec.encoder.picture_encoder import PictureEncoder
from bsqcodec.encoder.transform_encoder import TransformEncoder
from bsqcodec.models.bsq.picture_model import BsqModel
from bsqcodec.models.picture_model import PictureModel
from bsqcodec.models.transform.picture_model import TransformModel
from bsqcodec.options import EncodeOptions


def picture_encoder(
    model: PictureModel, pixels: npt.NDArray[np.uint8], options: EncodeOptions
) -> PictureEncoder:
    """The encoder of a picture [H, W, 3] with the weights of a model.

    Raises TargetError for options that the model's family does not have, TypeError for a family
    without an encoder.
    """
    if isinstance(model, TransformModel):
        return TransformEncoder(model, pixels, options)
    if isinstance(model, BsqModel):
        return BsqEncoder(model, pixels, options)
    raise TypeError(f"no encoder is known for {type(model).__name__}")
