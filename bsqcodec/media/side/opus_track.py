"""A track of sound that is converted to Opus, for few bits or where a container holds no other."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Final

import av

from bsqcodec.media.ffmpeg_io import REPRODUCIBLE

_ENCODER: Final = "libopus"
_RATE: Final = 48000
_LAYOUTS: Final = frozenset(("mono", "stereo", "5.1", "7.1"))
_DEFAULT_LAYOUT: Final = "stereo"
_BITS_A_CHANNEL: Final = 96_000
"""At which Opus is transparent to most listeners (RFC 6716 and its listening tests)."""


def can_convert(stream: Any) -> bool:
    """Return whether a track of a side stream is sound that FFmpeg decodes."""
    return stream.type == "audio" and stream.codec_context is not None


class OpusTrack:
    """Decodes the packets of `stream` and encodes them as a new track of `output`.

    bitrate: in bits a second, None for what is transparent to most. Raises ValueError or
    FFmpegError where the output does not hold Opus.
    """

    def __init__(
        self, output: av.container.OutputContainer, stream: Any, bitrate: int | None = None
    ) -> None:
        layout = stream.layout.name
        layout = layout if layout in _LAYOUTS else _DEFAULT_LAYOUT
        track: Any = output.add_stream(_ENCODER, rate=_RATE, options=dict(REPRODUCIBLE))
        track.codec_context.layout = layout
        track.codec_context.format = "flt"
        channels = track.codec_context.layout.nb_channels
        track.bit_rate = _BITS_A_CHANNEL * channels if bitrate is None else bitrate
        self.track = track

    def packets(self, packet: av.Packet[Any], shift: Fraction) -> list[av.Packet[Any]]:
        """Return the Opus packets that are ready once a packet came, moved by `shift` seconds.

        Raises FFmpegError where the packet is damaged.
        """
        found: list[av.Packet[Any]] = []
        for frame in packet.decode():
            found += self.track.encode(frame)
        return [_moved(each, shift) for each in found]

    def rest(self, shift: Fraction) -> list[av.Packet[Any]]:
        """Return the last packets."""
        return [_moved(each, shift) for each in self.track.encode(None)]


def _moved(packet: av.Packet[Any], shift: Fraction) -> av.Packet[Any]:
    if shift and packet.pts is not None and packet.dts is not None:
        ticks = round(shift / Fraction(packet.time_base))
        packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks
    return packet
