"""Decoding of a group of pictures: an intra frame, and inter frames predicted from the one before.

Every group decodes without any other. A group is a payload for each frame (see
`bsqcodec/video/frame_symbols.py`); the first begins with the CRC-32 of all integers and vectors of
the group. A frame without motion and without change is the one before it, again.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterator

import torch

from bsqcodec.errors import FormatError
from bsqcodec.models.video_priors import VideoPriors
from bsqcodec.video.coding_threads import AHEAD, CodingThreads
from bsqcodec.video.decoding_loop import DecodingLoop, Pixels
from bsqcodec.video.frame_symbols import FrameSymbols

GROUP_CRC = struct.Struct("<I")
"""The CRC-32 with which the first payload of a group begins."""


class GroupDecoder:
    """Decodes one group; the entropy decoding of its intra frame, which takes longest,
    begins at once."""

    def __init__(
        self,
        loop: DecodingLoop,
        priors: VideoPriors,
        payloads: tuple[bytes, ...],
        threads: CodingThreads,
    ) -> None:
        self._loop, self._threads = loop, threads
        self._coder = threads.coder(priors, loop.grid)
        head = payloads[0] if payloads else b""
        self._crc, intra = head[: GROUP_CRC.size], head[GROUP_CRC.size :]
        self._others = payloads[1:]
        self._intra = threads.ahead.submit(self._coder.decode, intra, True)

    def _decode(self, index: int) -> FrameSymbols:
        """The symbols of an inter frame, in order."""
        self._intra.result()
        return self._coder.decode(self._others[index], False)

    def frames(self) -> Iterator[Pixels]:
        """The frames [H, W, 3] of the group, one by one. Raises FormatError."""
        if len(self._crc) < GROUP_CRC.size:
            raise FormatError("a group of pictures has no intra frame")
        loop, count = self._loop, len(self._others)
        submit = self._threads.entropy.submit
        pending = deque(submit(self._decode, index) for index in range(min(AHEAD, count)))
        symbols = self._intra.result()
        yield loop.intra_frame(torch.from_numpy(symbols.n).to(loop.device), symbols.step)
        for index in range(count):
            if index + AHEAD < count:
                pending.append(submit(self._decode, index + AHEAD))
            symbols = pending.popleft().result()
            if symbols.repeats:
                yield loop.repeat()
                continue
            assert symbols.vectors is not None
            prediction = loop.predict(torch.from_numpy(symbols.vectors).to(loop.device))
            n = torch.from_numpy(symbols.n).to(loop.device)
            yield loop.inter_frame(prediction, n, symbols.step)
        if self._coder.crc != GROUP_CRC.unpack(self._crc)[0]:
            raise FormatError("the decoded bits do not match the file's checksum of them")
