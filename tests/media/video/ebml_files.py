"""Small Matroska files with elements that FFmpeg's muxer does not write."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import av

_VIDEO_TRACK, _LENGTH_BYTES = 1, 8


def element(identity: int, content: bytes | int | str) -> bytes:
    """An EBML element: its identity as it is written, a length of eight bytes, its content."""
    if isinstance(content, int):
        content = content.to_bytes(max(1, (content.bit_length() + 7) // 8), "big")
    elif isinstance(content, str):
        content = content.encode()
    name = identity.to_bytes((identity.bit_length() + 7) // 8, "big")
    return name + (len(content) | 1 << 56).to_bytes(_LENGTH_BYTES, "big") + content


def with_track_elements(
    clip: bytes,
    in_video: bytes = b"",
    in_track: bytes = b"",
    additions: Sequence[bytes] | None = None,
) -> bytes:
    """The picture of a clip in Matroska, with more elements in its Video and TrackEntry elements.

    No frame has a duration, and the track names none. additions: of each block, what is beside it.
    """
    with av.open(io.BytesIO(clip), "r") as source:
        stream: Any = source.streams.video[0]
        codec = {"h264": "V_MPEG4/ISO/AVC", "vp9": "V_VP9"}[stream.codec_context.name]
        context = stream.codec_context
        size = element(0xB0, context.width) + element(0xBA, context.height)
        private = element(0x63A2, context.extradata) if context.extradata else b""
        packets = [packet for packet in source.demux(stream) if packet.size]
        base = stream.time_base
        blocks = b""
        for index, packet in enumerate(packets):
            block = bytes([0x80 | _VIDEO_TRACK])
            block += round(1000 * packet.pts * base).to_bytes(2, "big", signed=True)
            block += bytes([0x80 if packet.is_keyframe and additions is None else 0])
            block += bytes(packet)
            if additions is None:
                blocks += element(0xA3, block)
                continue
            more = element(0xEE, 1) + element(0xA5, additions[index])
            group = element(0xA1, block) + element(0x75A1, element(0xA6, more))
            if not packet.is_keyframe:
                group += element(0xFB, bytes([0xD8]))  # ReferenceBlock: 40 ms before
            blocks += element(0xA0, group)
    track = element(
        0xAE,
        element(0xD7, _VIDEO_TRACK)
        + element(0x73C5, _VIDEO_TRACK)
        + element(0x83, 1)
        + element(0x86, codec)
        + private
        + element(0xE0, size + in_video)
        + in_track,
    )
    head = element(0x4286, 1) + element(0x42F7, 1) + element(0x42F2, 4) + element(0x42F3, 8)
    head += element(0x4282, "matroska") + element(0x4287, 4) + element(0x4285, 2)
    info = element(0x2AD7B1, 1_000_000) + element(0x4D80, "test") + element(0x5741, "test")
    segment = element(0x1549A966, info) + element(0x1654AE6B, track)
    segment += element(0x1F43B675, element(0xE7, 0) + blocks)
    return element(0x1A45DFA3, head) + element(0x18538067, segment)


def crop(*, left: int = 0, right: int = 0, top: int = 0, bottom: int = 0) -> bytes:
    """The elements PixelCropLeft, PixelCropRight, PixelCropTop and PixelCropBottom."""
    sides = ((0x54CC, left), (0x54DD, right), (0x54BB, top), (0x54AA, bottom))
    return b"".join(element(identity, count) for identity, count in sides if count)
