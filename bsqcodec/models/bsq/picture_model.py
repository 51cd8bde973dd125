"""The family `bsq` as the picture codec sees it: one code on the sphere for 8x8 pixels.

Codes may be cut to their first bits, where the tokenizer was trained for that; the step of a header
is the number of sub-codes that are cut off. A picture has a level for each sub-code that is left. A
level's payload holds that sub-code of all tokens, in slices (`bsqcodec.models.bsq.level_payload`),
so that damage to a slice costs the rows of tokens that it covers, and no more.
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
from bsqcodec.models.bsq.coding import (
    Bits,
    Signs,
    missing_rows,
    picture_of_signs,
    read_bits,
    slices,
)
from bsqcodec.models.bsq.frame_renderer import FrameRenderer
from bsqcodec.models.bsq.generation import Drawing, expected_signs, fill
from bsqcodec.models.bsq.level_payload import salvage_slices, unpack_slices
from bsqcodec.models.bsq.weight_files import BsqWeights, steps_of
from bsqcodec.models.picture_model import Progress, Symbols
from bsqcodec.models.pieces import Tile
from bsqcodec.models.token_grid import TokenGrid
from bsqcodec.models.windows import WINDOW

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
    def depths(self) -> tuple[int, ...]:
        """Numbers of bits that codes can have, ascending; the last are all."""
        return self.weights.tokenizer.config.depths

    @property
    def steps(self) -> tuple[int, ...]:
        """What the step of a header can be, finest first."""
        return steps_of(self.weights.tokenizer.config, self.weights.prior.config)

    @property
    def default_depth(self) -> int:
        """Bits of a code where nothing else is asked for: the middle one of the depths."""
        return self.depths[(len(self.depths) - 1) // 2]

    def step_of(self, bits: int) -> int:
        """The step of codes of so many bits, a multiple of the sub-code's."""
        return (self.bits - bits) // self.weights.prior.config.sub_code

    def depth_of(self, step: int) -> int:
        """Bits of a code at a step."""
        return self.bits - step * self.weights.prior.config.sub_code

    @property
    def patch(self) -> int:
        """Side of a token in pixels."""
        return self.weights.tokenizer.config.patch

    @property
    def renders_exactly(self) -> bool:
        return False

    def grid(self, height: int, width: int) -> TokenGrid:
        return TokenGrid(height, width, self.patch, WINDOW)

    def level_count(self, header: Header) -> int:
        return self.levels_of_step(header.step)

    def levels_of_step(self, step: int) -> int:
        """Levels of codes at a step. Raises FormatError for a step that the weights do not have."""
        if step not in self.steps:
            raise FormatError(
                f"the file has a step of {step}, its weights have {listed(self.steps)}"
            )
        return self.weights.prior.config.sub_codes - step

    def read(
        self,
        payloads: Sequence[bytes],
        header: Header,
        progress: Progress | None = None,
        damaged: Sequence[bytes] = (),
        earlier: Sequence[Signs] = (),
    ) -> Symbols:
        """See `PictureModel.read`; earlier: signs [h, w, L] of the frames before in a video.

        The latest of them comes first.
        """
        grid = self.grid(header.height, header.width)
        inside = grid.inside
        count = len(slices(len(inside)))
        parts: list[Sequence[bytes | None]] = [unpack_slices(data, count) for data in payloads]
        parts += [salvage_slices(data, count) for data in damaged]
        with team_of(self.device):
            signs = read_bits(self.weights.prior, parts, inside, progress, earlier)
        return self.symbols(signs, inside)

    def symbols(self, signs: npt.NDArray[np.int8], inside: npt.NDArray[np.bool_]) -> Symbols:
        """Return signs as symbols, with what is missing of them; inside:
        the tokens of the picture."""
        config = self.weights.prior.config
        known = [
            bool(part[inside].all()) for part in np.split(signs != 0, config.sub_codes, axis=2)
        ]
        levels = known.index(False) if False in known else config.sub_codes
        present = (signs != 0) & inside[..., None]
        last = int(present.any((0, 1)).sum()) // config.sub_code
        behind = signs[..., : last * config.sub_code]
        return Symbols(signs, levels, tuple(missing_rows(behind, inside)))

    def checksum(self, symbols: Symbols, header: Header, before: int = 0) -> int:
        """CRC-32 of the codes of the picture's tokens, row by row, as little-endian uint64.

        before: that of the frames before in a video's group, with which it goes on.
        """
        return zlib.crc32(self.codes(symbols, header).astype("<u8").tobytes(), before)

    def render(
        self, symbols: Symbols, header: Header, crop: Tile | None = None
    ) -> npt.NDArray[np.uint8]:
        signs = symbols.values if symbols.expected is None else symbols.expected
        crop = crop or Tile(0, header.height, 0, header.width)
        pixels = picture_of_signs(self.weights.tokenizer, signs, header.height, header.width, crop)
        shown = crop.over(self.patch)
        unknown = ~signs[shown.rows, shown.columns].any(-1)
        if unknown.any():
            mask = unknown.repeat(self.patch, 0).repeat(self.patch, 1)
            kept = crop.inside(shown.times(self.patch))
            pixels[mask[kept.rows, kept.columns]] = UNKNOWN_GREY
        return pixels

    def frame_renderer(self) -> FrameRenderer:
        """What renders the frames of a video's next group."""
        return FrameRenderer(self.weights.tokenizer)

    def levels_at(self, header: Header, factor: int) -> int:
        return header.levels  # a sub-code is a part of what a token shows, not a coarser picture

    def render_reduced(
        self, symbols: Symbols, header: Header, factor: int
    ) -> npt.NDArray[np.uint8]:
        return reduce_samples(self.render(symbols, header), factor)

    def codes(self, symbols: Symbols, header: Header) -> npt.NDArray[np.int64]:
        """Return the codes [rows, columns] of a picture's tokens, the first bit the highest.

        They have as many bits as the header's step leaves. Missing bits are 0 in them.
        """
        grid = self.grid(header.height, header.width)
        bits = self.depth_of(header.step)
        return codes_of_bits(symbols.values[: grid.rows, : grid.columns, :bits] > 0)

    def symbols_of_codes(
        self, codes: npt.NDArray[np.int64], bits: int, height: int, width: int
    ) -> Symbols:
        """Return the symbols of codes [rows, columns] of so many bits, of a picture in pixels."""
        grid = self.grid(height, width)
        padded = np.zeros((*grid.padded_shape, bits), bool)
        padded[: grid.rows, : grid.columns] = bits_of_codes(codes, bits)
        return self.symbols_of_bits(padded, height, width)

    def symbols_of_bits(self, bits: Bits, height: int, width: int) -> Symbols:
        """Return the symbols of the first bits [h, w, n] of the padded grid of a picture."""
        inside = self.grid(height, width).inside
        count = bits.shape[-1]
        signs = np.zeros((*inside.shape, self.bits), np.int8)
        signs[..., :count] = np.where(inside[..., None], 2 * bits.astype(np.int8) - 1, 0)
        return Symbols(signs, count // self.weights.prior.config.sub_code)

    def filled(self, symbols: Symbols, header: Header, progress: Progress | None = None) -> Symbols:
        """Symbols with what the prior expects of the header's levels where they are missing.

        Those of a file that is cut to codes of fewer bits stay as they are.
        """
        sub_code = self.weights.prior.config.sub_code
        if not symbols.damaged_rows and symbols.levels * sub_code in self.depths:
            return symbols
        inside = self.grid(header.height, header.width).inside
        signs = symbols.values.astype(np.int8)
        with team_of(self.device):
            expected = expected_signs(self.weights.prior, signs, inside, header.levels)
        return replace(symbols, expected=expected)

    def drawn(
        self,
        signs: npt.NDArray[np.int8],
        inside: npt.NDArray[np.bool_],
        levels: int,
        drawing: Drawing,
        progress: Progress | None = None,
    ) -> Symbols:
        """Return signs [h, w, L] in which the prior has drawn what was 0 of the first levels.

        inside [h, w]: the tokens of the picture.
        """
        with team_of(self.device):
            result = fill(self.weights.prior, signs, inside, drawing, progress, levels)
        return Symbols(result, levels)


def listed(numbers: Sequence[int]) -> str:
    """Numbers for a sentence: "0", or "0, 1 or 2"."""
    *others, last = map(str, numbers)
    return f"{', '.join(others)} or {last}" if others else last
