"""The grid of tokens over a picture or a frame, which encoder and decoder share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bsqcodec.models.windows import WINDOW


@dataclass(frozen=True)
class TokenGrid:
    """Tokens of patch x patch pixels that cover a picture, padded to whole attention windows.

    height, width: of the picture, in pixels. patch: side of a token, in pixels. window: side of an
    attention window, in tokens.

    >>> grid = TokenGrid(40, 300)
    >>> grid.shape, grid.padded_shape, grid.padded_pixels
    ((3, 19), (8, 24), (128, 384))
    >>> int(grid.inside.sum())
    57
    """

    height: int
    width: int
    patch: int = 16
    window: int = WINDOW

    @property
    def rows(self) -> int:
        """Rows of tokens that touch the picture."""
        return -(-self.height // self.patch)

    @property
    def columns(self) -> int:
        """Columns of tokens that touch the picture."""
        return -(-self.width // self.patch)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of tokens that touch the picture."""
        return self.rows, self.columns

    @property
    def padded_rows(self) -> int:
        """Rows of tokens, padded to whole windows."""
        return -(-self.rows // self.window) * self.window

    @property
    def padded_columns(self) -> int:
        """Columns of tokens, padded to whole windows."""
        return -(-self.columns // self.window) * self.window

    @property
    def padded_shape(self) -> tuple[int, int]:
        """Rows and columns of tokens, padded to whole windows."""
        return self.padded_rows, self.padded_columns

    @property
    def pixels(self) -> tuple[int, int]:
        """Height and width, padded to whole tokens, in pixels."""
        return self.rows * self.patch, self.columns * self.patch

    @property
    def padded_pixels(self) -> tuple[int, int]:
        """Height and width, padded to whole windows, in pixels."""
        return self.padded_rows * self.patch, self.padded_columns * self.patch

    @property
    def inside(self) -> npt.NDArray[np.bool_]:
        """Which tokens of the padded grid touch the picture, [padded_rows, padded_columns]."""
        result = np.zeros(self.padded_shape, bool)
        result[: self.rows, : self.columns] = True
        return result
