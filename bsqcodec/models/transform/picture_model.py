"""The family `transform` as the picture codec sees it: 256 integers for 16x16 pixels."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch

from bsqcodec.format.image_container import Header
from bsqcodec.machine.team import team_of
from bsqcodec.models.picture_model import Progress, Symbols
from bsqcodec.models.pieces import Tile
from bsqcodec.models.prior.order import levels, stages
from bsqcodec.models.prior.walk import walk
from bsqcodec.models.prior.walk_coders import DecodingCoder
from bsqcodec.models.token_grid import TokenGrid
from bsqcodec.models.transform.exact_decoder import ExactDecoder, ExactRendering
from bsqcodec.models.transform.reduced import decode_reduced, spared_planes
from bsqcodec.models.transform.strips import FloatRendering, Rendering, render
from bsqcodec.models.weight_files import Weights


class TransformModel:
    """A tokenizer and an integer prior of the family `transform`; a `PictureModel`.

    Nothing of a damaged level can be read, and nothing behind it.
    """

    def __init__(self, weights: Weights) -> None:
        self.weights = weights

    @property
    def id(self) -> bytes:
        return self.weights.id

    @property
    def device(self) -> torch.device:
        return self.weights.prior.device

    def grid(self, height: int, width: int) -> TokenGrid:
        tokenizer = self.weights.tokenizer
        patch = tokenizer.config.patch
        return TokenGrid(height, width, patch, tokenizer.window_pixels // patch)

    @property
    def renders_exactly(self) -> bool:
        return self.device.type == "cpu"

    @cached_property
    def _exact_decoder(self) -> ExactDecoder:
        return ExactDecoder(self.weights.tokenizer)

    def level_count(self, header: Header) -> int:
        prior = self.weights.prior
        return len(levels(stages(prior.config, prior.planes, header.step)))

    def read(
        self,
        payloads: Sequence[bytes],
        header: Header,
        progress: Progress | None = None,
        damaged: Sequence[bytes] = (),
    ) -> Symbols:
        coder = DecodingCoder(list(payloads))
        inside = self._inside(header)
        with team_of(self.device):
            values = walk(self.weights.prior, header.step, inside, coder, progress=progress)
        return Symbols(values, len(payloads))

    def checksum(self, symbols: Symbols, header: Header) -> int:
        """CRC-32 of the integers of the coded tokens, row by row, as little-endian int16."""
        return zlib.crc32(symbols.values[self._inside(header)].astype("<i2").tobytes())

    def render(
        self, symbols: Symbols, header: Header, crop: Tile | None = None
    ) -> npt.NDArray[np.uint8]:
        missing = self.level_count(header) - symbols.levels
        rendering: Rendering
        if self.renders_exactly:
            rendering = ExactRendering(self._exact_decoder, header.step, missing)
        else:
            rendering = FloatRendering(self.weights.tokenizer, header.step, missing)
        n = torch.from_numpy(symbols.values).to(self.device)
        return render(rendering, n, header.height, header.width, crop)

    def levels_at(self, header: Header, factor: int) -> int:
        return max(1, header.levels - spared_planes(factor))

    def render_reduced(
        self, symbols: Symbols, header: Header, factor: int
    ) -> npt.NDArray[np.uint8]:
        n = torch.from_numpy(symbols.values).to(self.device)
        return decode_reduced(
            self.weights.tokenizer, n, header.step, header.height, header.width, factor
        )

    def filled(self, symbols: Symbols, header: Header, progress: Progress | None = None) -> Symbols:
        return symbols  # the decoder's networks know how to go without

    def _inside(self, header: Header) -> npt.NDArray[np.bool_]:
        return self.grid(header.height, header.width).inside
