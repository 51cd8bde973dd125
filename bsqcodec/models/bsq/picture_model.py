"""The family `bsq` as the picture codec sees it: one code on the sphere for 8x8 pixels.

A picture has a level for each sub-code of its codes. A level's payload holds that sub-code of all
tokens, in slices (`bsqcodec.models.bsq.level_payload`), so that damage to a slice costs the rows of
tokens that it covers, and no more.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from bsqcodec.errors import FormatError
from bsqcodec.format.image_container import Header
from bsqcodec.format.token_file import bits_of_codes, codes_of_bits
from bsqcodec.machine.team import team_of
from bsqcodec.media.image.picture import reduce_samples
from bsqcodec.models.bsq.coding import Bits, missing_rows, picture_of_signs, read_bits, slices
from bsqcodec.models.bsq.generation import Drawing, expected_signs, fill
from bsqcodec.models.bsq.level_payload import salvage_slices, unpack_slices
from bsqcodec.models.bsq.weight_files import BsqWeights
from bsqcodec.models.picture_model import Progress, Symbols
from bsqcodec.models.token_grid import TokenGrid
from bsqcodec.models.windows import WINDOW

STEP = 0
"""What headers say of the quantizer step, which the family does not have."""

UNKNOWN_GREY = 128
"""Sample value of tokens of which no bit is known."""


class BsqModel:
    """A tokenizer and an integer prior of the family `bsq`; a `PictureModel`.

    Its symbols are signs int8 [h, w, L]: +1 or -1 for a bit, 0 in the padding and for missing bits.
    """

    def __init__(self, weights: BsqWeights) -> None:
        self.weights = weights

    @property
    def id(self) -> bytes:
        return self.weights.id

    @property
    def device(self) -> torch.device:
        return self.weights.prior.device

    @property
    def bits(self) -> int:
        """Bits of a code."""
        return self.weights.prior.config.bits

    @property
    def patch(self) -> int:
        """Side of a token in pixels."""
        return self.weights.tokenizer.config.patch

    def grid(self, height: int, width: int) -> TokenGrid:
        return TokenGrid(height, width, self.patch, WINDOW)

    def level_count(self, header: Header) -> int:
        if header.step != STEP:
            raise FormatError(f"the file has a quantizer step of {header.step}, its weights none")
        return self.weights.prior.config.sub_codes

    def read(
        self,
        payloads: Sequence[bytes],
        header: Header,
        progress: Progress | None = None,
        damaged: Sequence[bytes] = (),
    ) -> Symbols:
        grid = self.grid(header.height, header.width)
        inside = grid.inside
        count = len(slices(len(inside)))
        parts: list[Sequence[bytes | None]] = [unpack_slices(data, count) for data in payloads]
        parts += [salvage_slices(data, count) for data in damaged]
        with team_of(self.device):
            signs = read_bits(self.weights.prior, parts, inside, progress)
        return self.symbols(signs, inside)

    def symbols(self, signs: npt.NDArray[np.int8], inside: npt.NDArray[np.bool_]) -> Symbols:
        """Return signs as symbols, with what is missing of them; inside: the tokens of the picture."""
        config = self.weights.prior.config
        known = [
            bool(part[inside].all()) for part in np.split(signs != 0, config.sub_codes, axis=2)
        ]
        levels = known.index(False) if False in known else config.sub_codes
        present = (signs != 0) & inside[..., None]
        last = int(present.any((0, 1)).sum()) // config.sub_code
        behind = signs[..., : last * config.sub_code]
        return Symbols(signs, levels, tuple(missing_rows(behind, inside)))

    def checksum(self, symbols: Symbols, header: Header) -> int:
        """CRC-32 of the codes of the picture's tokens, row by row, as little-endian uint64."""
        return zlib.crc32(self.codes(symbols, header).astype("<u8").tobytes())

    def render(self, symbols: Symbols, header: Header) -> npt.NDArray[np.uint8]:
        signs = symbols.values if symbols.expected is None else symbols.expected
        pixels = picture_of_signs(self.weights.tokenizer, signs, header.height, header.width)
        grid = self.grid(header.height, header.width)
        unknown = ~signs[: grid.rows, : grid.columns].any(-1)
        if unknown.any():
            mask = unknown.repeat(self.patch, 0).repeat(self.patch, 1)
            pixels[mask[: header.height, : header.width]] = UNKNOWN_GREY
        return pixels

    def levels_at(self, header: Header, factor: int) -> int:
        return header.levels  # a sub-code is a part of what a token shows, not a coarser picture

    def render_reduced(
        self, symbols: Symbols, header: Header, factor: int
    ) -> npt.NDArray[np.uint8]:
        return reduce_samples(self.render(symbols, header), factor)

    def codes(self, symbols: Symbols, header: Header) -> npt.NDArray[np.int64]:
        """Return the codes [rows, columns] of a picture's tokens, the first bit the highest.

        Missing bits are 0 in them.
        """
        grid = self.grid(header.height, header.width)
        return codes_of_bits(symbols.values[: grid.rows, : grid.columns] > 0)

    def symbols_of_codes(self, codes: npt.NDArray[np.int64], height: int, width: int) -> Symbols:
        """Return the symbols of codes [rows, columns] of a picture of this many pixels."""
        grid = self.grid(height, width)
        bits = np.zeros((*grid.padded_shape, self.bits), bool)
        bits[: grid.rows, : grid.columns] = bits_of_codes(codes, self.bits)
        return self.symbols_of_bits(bits, height, width)

    def symbols_of_bits(self, bits: Bits, height: int, width: int) -> Symbols:
        """Return the symbols of bits [h, w, L] of the padded grid of a picture."""
        inside = self.grid(height, width).inside
        signs = np.where(inside[..., None], 2 * bits.astype(np.int8) - 1, 0).astype(np.int8)
        return Symbols(signs, self.weights.prior.config.sub_codes)

    def filled(self, symbols: Symbols, header: Header, progress: Progress | None = None) -> Symbols:
        inside = self.grid(header.height, header.width).inside
        with team_of(self.device):
            expected = expected_signs(self.weights.prior, symbols.values.astype(np.int8), inside)
        return replace(symbols, expected=expected)

    def drawn(
        self,
        signs: npt.NDArray[np.int8],
        inside: npt.NDArray[np.bool_],
        drawing: Drawing,
        progress: Progress | None = None,
    ) -> Symbols:
        """Return signs [h, w, L] in which the prior has drawn what was 0.

        inside [h, w]: the tokens of the picture.
        """
        with team_of(self.device):
            result = fill(self.weights.prior, signs, inside, drawing, progress)
        return Symbols(result, self.weights.prior.config.sub_codes)
