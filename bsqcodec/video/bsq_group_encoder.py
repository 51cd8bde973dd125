"""Coding of a group of frames of the family `bsq`;
`bsqcodec.video.bsq_group_decoder` says what it holds."""

from __future__ import annotations

import numpy as np

from bsqcodec.encoder.frame_types import is_unlike
from bsqcodec.encoder.rate_control import CodedGroup
from bsqcodec.format.varint import encode_varint
from bsqcodec.format.video_gop import FrameType
from bsqcodec.machine.team import team_of
from bsqcodec.models.bsq.coding import bits_of_picture, write_bits
from bsqcodec.models.bsq.level_payload import pack_slices
from bsqcodec.models.bsq.picture_model import BsqModel
from bsqcodec.models.picture_model import Symbols
from bsqcodec.video.bsq_group_decoder import FrameMemory, frame_header
from bsqcodec.video.decoding_loop import Pixels
from bsqcodec.video.group_decoder import GROUP_CRC

LEAST_AGREEMENT = 0.65
"""Fraction of equal bits of two frames from which on the prior is given the frame before.

Below, what it would expect of it misleads it. In training clips .65 takes .1 % more bits than the
better of both ways for each frame, .6 and .7 take .4 and .8 %."""


class BsqGroupEncoder:
    """Codes one group, frame by frame."""

    def __init__(self, model: BsqModel, height: int, width: int) -> None:
        self._model = model
        self._inside = model.grid(height, width).inside
        self._memory = FrameMemory(model)
        self._latest: tuple[Pixels, Symbols, float] | None = None
        self._payloads: list[bytes] = []
        self._types: list[FrameType] = []
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
                self._keep(pixels, symbols, b"", error, FrameType.P)
                self._memory.add(symbols, header)
                return True
            if detect_scene_change and is_unlike(pixels, before):
                return False
        with team_of(model.device):
            bits = bits_of_picture(model.weights.tokenizer, pixels)[..., : model.depth_of(step)]
            symbols = model.symbols_of_bits(bits, header.height, header.width)
            kind = self._type_of(symbols)
            earlier = self._memory.earlier if kind == FrameType.P else []
            coded = write_bits(model.weights.prior, bits, self._inside, None, earlier)
        levels = [pack_slices(parts) for parts in coded.payloads]
        payload = bytes([step]) + b"".join(encode_varint(len(each)) + each for each in levels)
        self._memory.add(symbols, header)
        decoded = model.render(symbols, header)
        error = float(np.mean((decoded.astype(np.float32) - pixels) ** 2))
        self._keep(pixels, symbols, payload, error, kind)
        return True

    def _type_of(self, symbols: Symbols) -> FrameType:
        """Whether a frame is coded given the frames before:
        if enough of its bits are those of the last."""
        if self._latest is None:
            return FrameType.I
        same = symbols.values == self._latest[1].values
        present = symbols.values != 0
        return FrameType.P if same[present].mean() >= LEAST_AGREEMENT else FrameType.I

    def finish(self) -> CodedGroup:
        """The whole group."""
        first, *others = self._payloads
        payloads = (GROUP_CRC.pack(self._memory.crc) + first, *others)
        return CodedGroup(payloads, tuple(self._errors), tuple(self._types))

    def _keep(
        self, pixels: Pixels, symbols: Symbols, payload: bytes, error: float, kind: FrameType
    ) -> None:
        self._latest = pixels, symbols, error
        self._payloads.append(payload)
        self._errors.append(error)
        self._types.append(kind)
