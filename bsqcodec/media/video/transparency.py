"""Whether anything of a video is transparent, so that a note says where it is dropped."""

from __future__ import annotations

from typing import Any, Final

import av
import numpy as np

NOTE: Final = "transparency was dropped"

_OPAQUE: Final = 255
_NEARLY_OPAQUE: Final = 250
_NEARLY_OPAQUE_LIMITED: Final = 230
"""Alpha that a lossy codec stores as grey, of the full range or of 16 to 235,
may be off a little."""

_BLOCK_ADDITION_ID_BYTES: Final = 8
_FULL_RANGE: Final = 2


class Transparency:
    """Looks for transparent pixels until some are found, and then adds a note.

    alpha: the stream of a second video that holds the first one's alpha, None for none.
    """

    def __init__(self, notes: list[str], alpha: av.VideoStream | None = None) -> None:
        self._notes = notes
        self._stream = alpha
        self._blocks: Any = None
        self.is_found = False

    @property
    def alpha_stream(self) -> int | None:
        """Index of the stream whose packets `alpha` wants; None for none."""
        return None if self._stream is None else self._stream.index

    def frame(self, frame: av.VideoFrame) -> None:
        """Look at a decoded frame of the picture."""
        if self.is_found or not _has_alpha(frame.format):
            return
        rgba = frame.reformat(format="rgba", threads=1).to_ndarray()
        self._take(int(rgba[..., 3].min()) < _OPAQUE)

    def alpha(self, packet: av.Packet[Any]) -> None:
        """Look at a packet of the alpha stream."""
        if self._stream is not None and not self.is_found:
            self._decode(self._stream.codec_context, packet)

    def block(self, packet: av.Packet[Any]) -> None:
        """Look at a packet of VP8 or VP9 in Matroska, whose alpha is a second frame beside it."""
        if self.is_found or not packet.has_sidedata("matroska_block_additional"):
            return
        data = bytes(packet.get_sidedata("matroska_block_additional"))
        if self._blocks is None:
            self._blocks = av.CodecContext.create(packet.stream.codec_context.name, "r")
        self._decode(self._blocks, av.Packet(data[_BLOCK_ADDITION_ID_BYTES:]))

    def _decode(self, decoder: Any, packet: av.Packet[Any]) -> None:
        """Look at frames of which only the luma counts; alpha that is damaged counts as such."""
        try:
            frames = decoder.decode(packet)
        except (av.error.FFmpegError, ValueError):
            self._take(True)
            return
        for frame in frames:
            grey = frame.planes[0]
            rows = np.frombuffer(grey, np.uint8).reshape(grey.height, grey.line_size)
            bits = frame.format.components[0].bits
            samples = rows.view(np.uint16) >> (bits - 8) if bits > 8 else rows
            full = frame.format.name.startswith("gray") or int(frame.color_range) == _FULL_RANGE
            least = _NEARLY_OPAQUE if full else _NEARLY_OPAQUE_LIMITED
            self._take(int(samples[:, : frame.width].min()) < least)

    def _take(self, is_transparent: bool) -> None:
        if is_transparent and not self.is_found:
            self.is_found = True
            self._notes.append(NOTE)


def _has_alpha(layout: av.VideoFormat) -> bool:
    return layout.has_palette or any(component.is_alpha for component in layout.components)
