"""Pictures in one array, and the ways in which a crop may lie."""

import numpy as np
import numpy.typing as npt

from bsqcodec.training.data import Pictures

Pixels = npt.NDArray[np.uint8]


def pictures_of(*arrays: Pixels) -> Pictures:
    pixels = np.concatenate([a.reshape(-1) for a in arrays])
    return Pictures(pixels, np.array([a.shape[:2] for a in arrays]))


def ways_of_lying(crop: Pixels, piece: Pixels) -> list[str]:
    """The ways in which a crop [3, size, size] is the piece [size, size, 3] of a picture."""
    upright = piece.transpose(2, 0, 1)
    turned = np.rot90(upright, axes=(1, 2))
    variants = {
        "as is": upright,
        "flipped": upright[:, :, ::-1],
        "turned": turned,
        "both": turned[:, :, ::-1],
    }
    return [name for name, variant in variants.items() if np.array_equal(crop, variant)]
