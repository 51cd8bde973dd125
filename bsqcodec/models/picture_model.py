"""What a decoder of pictures needs of a family of weights.

The picture codec knows a family through this protocol only; `bsqcodec.models.families` finds the
family of a file of weights. The half of a family that only an encoder needs is
`bsqcodec.encoder.picture_encoder.PictureEncoder`.

    file -> level payloads -> model.read -> symbols -> model.render -> pixels
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from bsqcodec.format.image_container import Header
from bsqcodec.models.pieces import Tile
from bsqcodec.models.token_grid import TokenGrid

Progress = Callable[[float], None]
"""Takes the part of the work that is done, 0..1."""


@dataclass(frozen=True)
class Symbols:
    """The symbols of a picture's tokens, as far as they are known.

    values [h, w, n]: integers for each token of the padded grid, 0 in the padding and for symbols
    that are not known. levels: how many levels, from the first on, are known of every token.
    damaged_rows: the rows of tokens, in runs, whose further levels are missing while those of
    other rows are known. expected [h, w, n]: what a model expects of all symbols, known ones as
    they are, in place of which `render` takes it; None where nothing was asked of it.
    """

    values: npt.NDArray[np.signedinteger]
    levels: int
    damaged_rows: tuple[range, ...] = ()
    expected: npt.NDArray[np.float32] | None = None


class PictureModel(Protocol):
    """The decoder's half of a family, with its weights on a device."""

    @property
    def id(self) -> bytes:
        """The 8 bytes that name the weights in a file."""

    @property
    def device(self) -> torch.device:
        """Where the networks run."""

    @property
    def renders_exactly(self) -> bool:
        """Whether `render` gives the same samples on every machine."""

    def grid(self, height: int, width: int) -> TokenGrid:
        """The tokens of a picture of this many pixels."""

    def level_count(self, header: Header) -> int:
        """How many levels such a picture has, each of them one chunk.

        Raises FormatError for a header that no encoder of the family writes.
        """

    def read(
        self,
        payloads: Sequence[bytes],
        header: Header,
        progress: Progress | None = None,
        damaged: Sequence[bytes] = (),
    ) -> Symbols:
        """The symbols that the payloads of a picture's first levels hold.

        payloads: sound ones, of as many levels as there are; damaged: those of the levels behind
        them, in which something may be sound. What follows from a missing part is not known.
        Raises FormatError for sound payloads that do not decode.
        """

    def checksum(self, symbols: Symbols, header: Header) -> int:
        """CRC-32 of all symbols of a picture, as docs/BITSTREAM.md defines it."""

    def render(
        self, symbols: Symbols, header: Header, crop: Tile | None = None
    ) -> npt.NDArray[np.uint8]:
        """The picture [height, width, 3], R, G, B, of symbols, as good as what is known allows.

        crop: the only pixels of the picture to return, and to compute.
        """

    def levels_at(self, header: Header, factor: int) -> int:
        """How many levels, from the first on, `render_reduced` has use for."""

    def render_reduced(
        self, symbols: Symbols, header: Header, factor: int
    ) -> npt.NDArray[np.uint8]:
        """The picture [ceil(height / factor), ceil(width / factor), 3], about as fast as possible.

        factor: 2, 4, 8 or 16; each pixel is about the mean of factor x factor pixels.
        """

    def filled(self, symbols: Symbols, header: Header, progress: Progress | None = None) -> Symbols:
        """Symbols with what the model expects of missing ones, if the family can tell.

        Otherwise the symbols as they are.
        """
