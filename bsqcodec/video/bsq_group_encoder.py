"""Coding of a group of frames of the family `bsq`; `bsqcodec.video.bsq_group_decoder` says what it holds."""

from __future__ import annotations

import numpy as np

from bsqcodec.encoder.frame_types import is_scene_change
from bsqcodec.encoder.motion_estimation import load_frame
from bsqcodec.encoder.rate_control import CodedGroup
from bsqcodec.format.varint import encode_varint
from bsqcodec.machine.team import team_of
from bsqcodec.models.bsq.coding import bits_of_picture, write_bits
from bsqcodec.models.bsq.level_payload import pack_slices
from bsqcodec.models.bsq.picture_model import BsqModel
from bsqcodec.models.picture_model import Symbols
from bsqcodec.models.token_grid import TokenGrid
from bsqcodec.video.bsq_group_decoder import FrameMemory, frame_header
from bsqcodec.video.decoding_loop import Pixels
from bsqcodec.video.group_decoder import GROUP_CRC


class BsqGroupEncoder:
    """Codes one group, frame by frame."""

    def __init__(self, model: BsqModel, height: int, width: int) -> None:
        self._model = model
        self._grid = TokenGrid(height, width)  # of 16 pixels, for what tells scenes apart
        self._inside = model.grid(height, width).inside
        self._memory = FrameMemory(model)
        self._latest: tuple[Pixels, Symbols, float] | None = None
        self._payloads: list[bytes] = []
        self._errors: list[float] = []

    def add(
        self,
        pixels: Pixels,
        step: int,
        detect_scene_change: bool = True,
        following: Pixels | None = None,
    ) -> bool:
        """Code the next frame [H, W, 3]; return False, and do nothing, if it begins a new scene.

        The first frame of a group never does; nor does any without `detect_scene_change`.
        """
        model = self._model
        header = frame_header(model, pixels.shape[0], pixels.shape[1], step)
        if self._latest is not None:
            before, symbols, error = self._latest
            if np.array_equal(before, pixels):
                self._keep(pixels, symbols, b"", error)
                self._memory.add(symbols, header)
                return True
            if detect_scene_change and self._is_new_scene(before, pixels):
                return False
        with team_of(model.device):
            bits = bits_of_picture(model.weights.tokenizer, pixels)[..., : model.depth_of(step)]
            coded = write_bits(model.weights.prior, bits, self._inside, None, self._memory.earlier)
        levels = [pack_slices(parts) for parts in coded.payloads]
        payload = bytes([step]) + b"".join(encode_varint(len(each)) + each for each in levels)
        symbols = model.symbols_of_bits(bits, header.height, header.width)
        self._memory.add(symbols, header)
        decoded = model.render(symbols, header)
        error = float(np.mean((decoded.astype(np.float32) - pixels) ** 2))
        self._keep(pixels, symbols, payload, error)
        return True

    def finish(self) -> CodedGroup:
        """The whole group."""
        first, *others = self._payloads
        payloads = (GROUP_CRC.pack(self._memory.crc) + first, *others)
        return CodedGroup(payloads, tuple(self._errors))

    def _keep(self, pixels: Pixels, symbols: Symbols, payload: bytes, error: float) -> None:
        self._latest = pixels, symbols, error
        self._payloads.append(payload)
        self._errors.append(error)

    def _is_new_scene(self, before: Pixels, pixels: Pixels) -> bool:
        device = self._model.device
        frame, reference = (load_frame(each, self._grid, device) for each in (pixels, before))
        return is_scene_change(frame, reference)
