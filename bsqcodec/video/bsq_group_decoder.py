"""Decoding of a group of frames of the family `bsq`:
codes of type P given those of the frames before.

The first payload of a group begins with the CRC-32 of the codes of all its frames. A frame's
payload is empty if its codes are those of the frame before; else it is the step (a byte) and, of
each level, the length (LEB128) and the bytes that a picture's level has
(`bsqcodec.models.bsq.level_payload`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import numpy as np

from bsqcodec.errors import FormatError, TruncatedError
from bsqcodec.format.byte_source import ByteReader
from bsqcodec.format.image_container import Colour, Header
from bsqcodec.format.video_gop import FrameType, Gop
from bsqcodec.models.bsq.coding import Signs
from bsqcodec.models.bsq.picture_model import BsqModel
from bsqcodec.models.picture_model import Symbols
from bsqcodec.video.decoding_loop import Pixels
from bsqcodec.video.group_decoder import GROUP_CRC

NO_FIRST_FRAME = "a group of frames has no first frame"


def frame_header(model: BsqModel, height: int, width: int, step: int) -> Header:
    """What a picture's header would say of a frame. Raises FormatError for a step that is none."""
    return Header(model.id, width, height, Colour.RGB, step, model.levels_of_step(step))


def split_frame(model: BsqModel, payload: bytes) -> tuple[int, list[bytes]]:
    """The step of a frame, and the payloads of its levels. Raises FormatError and its children."""
    reader, what = ByteReader(payload), "a frame"
    (step,) = reader.exactly(1, what)
    payloads = []
    for _ in range(model.levels_of_step(step)):
        length, _ = reader.varint(what)
        payloads.append(reader.exactly(length, what))
    if reader.up_to(1):
        raise FormatError("more data follows the last level of a frame")
    return step, payloads


class FrameMemory:
    """What the prior sees of the frames of a group that are done,
    and the checksum of their codes."""

    def __init__(self, model: BsqModel) -> None:
        self._signs: deque[Signs] = deque(maxlen=max(1, model.weights.prior.config.earlier_frames))
        self._model = model
        self.crc = 0

    @property
    def earlier(self) -> list[Signs]:
        """Signs [h, w, L] of the frames before, the latest first."""
        return list(self._signs)

    def add(self, symbols: Symbols, header: Header) -> None:
        """Remember a frame."""
        self.crc = self._model.checksum(symbols, header, self.crc)
        self._signs.appendleft(symbols.values.astype(np.int8))


class BsqFrameReader:
    """Reads the symbols of a group's frames in order."""

    def __init__(self, model: BsqModel, height: int, width: int) -> None:
        self._model, self._height, self._width = model, height, width
        self._memory = FrameMemory(model)
        self._latest: tuple[Symbols, Header] | None = None

    @property
    def crc(self) -> int:
        """CRC-32 of the codes so far."""
        return self._memory.crc

    def read(self, payload: bytes, kind: FrameType) -> tuple[Symbols, Header]:
        """The symbols of the next frame, and what a picture's header would say of it.

        kind: P for a frame whose bits follow from the frames before.

        Raises FormatError and its children.
        """
        if payload:
            step, levels = split_frame(self._model, payload)
            header = frame_header(self._model, self._height, self._width, step)
            earlier = self._memory.earlier if kind == FrameType.P else []
            symbols = self._model.read(levels, header, earlier=earlier)
            self._latest = symbols, header
        elif self._latest is None:
            raise FormatError(NO_FIRST_FRAME)
        self._memory.add(*self._latest)
        return self._latest


class BsqGroupDecoder:
    """Decodes one group, frame by frame."""

    def __init__(self, model: BsqModel, height: int, width: int, gop: Gop) -> None:
        self._model, self._gop = model, gop
        self._reader = BsqFrameReader(model, height, width)

    def symbols(self) -> Iterator[tuple[Symbols, Header]]:
        """The symbols of the frames in order. Raises FormatError and its children."""
        first, *others = self._gop.frames
        if len(first) < GROUP_CRC.size:
            raise TruncatedError(NO_FIRST_FRAME)
        payloads = (first[GROUP_CRC.size :], *others)
        for payload, kind in zip(payloads, self._gop.types, strict=True):
            yield self._reader.read(payload, kind)
        if self._reader.crc != GROUP_CRC.unpack(first[: GROUP_CRC.size])[0]:
            raise FormatError("the decoded bits do not match the file's checksum of them")

    def check(self) -> None:
        """Raise FormatError or one of its children if the group does not decode to what was
        coded."""
        for _ in self.symbols():
            pass

    def frames(self) -> Iterator[Pixels]:
        """The frames [H, W, 3] of the group, one by one. Raises FormatError and its children."""
        shown: Symbols | None = None
        pixels: Pixels | None = None
        renderer = self._model.frame_renderer()
        for symbols, header in self.symbols():
            if symbols is not shown or pixels is None:
                shown = symbols
                pixels = renderer.render(symbols.values, header.height, header.width)
            yield pixels
