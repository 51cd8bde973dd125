"""Coding of a group of frames of the family `bsq`;
`bsqcodec.video.bsq_group_decoder` says what it holds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bsqcodec.encoder.depth_steps import depth_at
from bsqcodec.encoder.frame_types import is_unlike
from bsqcodec.encoder.rate_control import CodedGroup
from bsqcodec.format.image_container import Header
from bsqcodec.format.varint import encode_varint
from bsqcodec.format.video_gop import FrameType
from bsqcodec.machine.team import team_of
from bsqcodec.models.bsq.coding import Bits, bits_of_picture, write_bits
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


@dataclass(frozen=True)
class _Coded:
    """A frame [H, W, 3], its symbols, and the mean squared error with which it is decoded."""

    pixels: Pixels
    symbols: Symbols
    header: Header
    error: float


class BsqGroupEncoder:
    """Codes one group, frame by frame.

    dry: only find the errors of the frames; there are no payloads then. Steps are those of
    `bsqcodec.encoder.depth_steps`.
    """

    def __init__(self, model: BsqModel, height: int, width: int, dry: bool = False) -> None:
        self._model, self._dry = model, dry
        self._inside = model.grid(height, width).inside
        self._memory = FrameMemory(model)
        self._renderer = model.frame_renderer()
        self._latest: _Coded | None = None
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
        latest = self._latest
        if latest is not None:
            if np.array_equal(latest.pixels, pixels):
                self._keep(latest, b"", FrameType.P)
                return True
            if detect_scene_change and is_unlike(pixels, latest.pixels):
                return False
        model = self._model
        header_step = model.steps[depth_at(step, len(self._types))]
        header = frame_header(model, pixels.shape[0], pixels.shape[1], header_step)
        with team_of(model.device):
            bits = bits_of_picture(model.weights.tokenizer, pixels)
            bits = bits[..., : model.depth_of(header_step)]
            symbols = model.symbols_of_bits(bits, header.height, header.width)
            kind = self._type_of(symbols)
            payload = b"" if self._dry else self._payload(bits, header_step, kind)
        decoded = self._renderer.render(symbols.values, header.height, header.width)
        error = float(np.mean((decoded.astype(np.float32) - pixels) ** 2))
        self._keep(_Coded(pixels, symbols, header, error), payload, kind)
        return True

    def _payload(self, bits: Bits, header_step: int, kind: FrameType) -> bytes:
        """A frame's payload without the checksum."""
        earlier = self._memory.earlier if kind == FrameType.P else []
        coded = write_bits(self._model.weights.prior, bits, self._inside, None, earlier)
        levels = [pack_slices(parts) for parts in coded.payloads]
        return bytes([header_step]) + b"".join(encode_varint(len(each)) + each for each in levels)

    def _type_of(self, symbols: Symbols) -> FrameType:
        """Whether a frame is coded given the frames before:
        if enough of its bits are those of the last."""
        if self._latest is None:
            return FrameType.I
        before = self._latest.symbols.values
        both = (symbols.values != 0) & (before != 0)
        agreement = (symbols.values == before)[both].mean()
        return FrameType.P if agreement >= LEAST_AGREEMENT else FrameType.I

    def finish(self) -> CodedGroup:
        """The whole group."""
        payloads: tuple[bytes, ...] = ()
        if not self._dry:
            first, *others = self._payloads
            payloads = (GROUP_CRC.pack(self._memory.crc) + first, *others)
        return CodedGroup(payloads, tuple(self._errors), tuple(self._types))

    def _keep(self, coded: _Coded, payload: bytes, kind: FrameType) -> None:
        self._latest = coded
        self._memory.add(coded.symbols, coded.header)
        self._payloads.append(payload)
        self._errors.append(coded.error)
        self._types.append(kind)
