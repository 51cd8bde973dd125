"""Drawing pictures with the prior of the family `bsq`: from nothing, or into a hole of a picture.

Bits are drawn in exact integers from a seed, so the same seed, size and weights give the same codes
on every machine. The networks that make pixels of them may differ in the last digit.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bsqcodec.errors import MediaError
from bsqcodec.image.picture_tokens import header_of, rendered
from bsqcodec.image.samples import to_rgb
from bsqcodec.media.image.picture import Picture
from bsqcodec.models.bsq.coding import bits_of_picture
from bsqcodec.models.bsq.generation import Drawing
from bsqcodec.models.bsq.picture_model import BsqModel
from bsqcodec.models.picture_model import Progress


def generate_picture(
    model: BsqModel,
    width: int,
    height: int,
    drawing: Drawing,
    progress: Progress | None = None,
) -> Picture:
    """Draw a picture of width x height pixels from nothing."""
    depth = model.default_depth
    grid = model.grid(height, width)
    signs = np.zeros((*grid.padded_shape, model.bits), np.int8)
    header = header_of(model, width, height, depth)
    symbols = model.drawn(signs, grid.inside, header.levels, drawing, progress)
    return rendered(model, symbols, header)


def complete_picture(
    model: BsqModel,
    picture: Picture,
    hole: npt.NDArray[np.bool_],
    drawing: Drawing,
    progress: Progress | None = None,
) -> Picture:
    """Draw what is in the hole of a picture; the pixels outside the hole stay as they are.

    hole: bool [height, width]. Tokens that touch it are drawn, given all others. Raises MediaError
    for a hole of another size, or none.
    """
    shape = (picture.height, picture.width)
    if hole.shape != shape:
        raise MediaError(
            f"the mask is {hole.shape[1]} x {hole.shape[0]} pixels,"
            f" the picture {picture.width} x {picture.height}"
        )
    if not hole.any():
        raise MediaError("the mask has no hole: nothing in it is white")
    grid = model.grid(*shape)
    depth = model.default_depth
    bits = bits_of_picture(model.weights.tokenizer, to_rgb(picture.pixels))
    signs = model.symbols_of_bits(bits[..., :depth], *shape).values.astype(np.int8)
    lack = [(0, grid.padded_rows * model.patch - shape[0])]
    lack += [(0, grid.padded_columns * model.patch - shape[1])]
    blocks = np.pad(hole, lack).reshape(grid.padded_rows, model.patch, -1, model.patch)
    signs[blocks.any((1, 3))] = 0
    header = header_of(model, shape[1], shape[0], depth, gray=picture.is_grey)
    symbols = model.drawn(signs, grid.inside, header.levels, drawing, progress)
    drawn = rendered(model, symbols, header)
    where = hole if picture.is_grey else hole[..., None]
    pixels = np.where(where, drawn.pixels, picture.pixels)
    return Picture(
        pixels, picture.alpha, picture.icc, picture.exif, picture.xmp, list(picture.notes)
    )
