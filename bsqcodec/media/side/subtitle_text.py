"""Text subtitles: the plain text of each codec's packets,
and packets of it for MP4 and Matroska."""

from __future__ import annotations

import re
import struct
from typing import Final

TEXT_CODECS: Final = ("subrip", "srt", "ass", "ssa", "text", "webvtt", "mov_text")
"""FFmpeg's names of the subtitle codecs that `packet_text` understands."""

MOV_TEXT_HEADER: Final = (
    b"[Script Info]\n"
    b"ScriptType: v4.00+\n"
    b"[V4+ Styles]\n"
    b"Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour,"
    b" Bold, Italic, Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline,"
    b" Shadow, Alignment, MarginL, MarginR, MarginV, Encoding\n"
    b"Style: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,1\n"
    b"[Events]\n"
    b"Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
)
"""What FFmpeg's mov_text encoder makes the track's default style of."""

_MARKUP: Final = re.compile(r"<[^<>]*>|\{\\[^{}]*\}")
_ASS_FIELDS_BEFORE_TEXT: Final = 8


def packet_text(codec: str, data: bytes) -> str:
    """Return the text of one packet without markup, lines parted by newlines; "" for an empty one.

    codec: one of TEXT_CODECS.
    """
    if codec == "mov_text":
        return _mov_text(data)
    text = data.decode("utf-8", "replace")
    if codec in ("ass", "ssa"):
        text = text.split(",", _ASS_FIELDS_BEFORE_TEXT)[-1]
        text = text.replace("\\N", "\n").replace("\\n", "\n").replace("\\h", " ")
    return _MARKUP.sub("", text).replace("\r\n", "\n").strip("\0\n")


def has_styles(codec: str, data: bytes) -> bool:
    """Return whether the packet holds more than `packet_text` returns."""
    if codec == "mov_text":
        return len(data) > 2 + struct.unpack(">H", data[:2].rjust(2, b"\0"))[0]
    return codec in ("ass", "ssa") or _MARKUP.search(data.decode("utf-8", "replace")) is not None


def mov_text_packet(text: str) -> bytes:
    """Return a sample of 3GPP timed text (ISO/IEC 14496-17): length in 16 bits, then UTF-8."""
    data = text.encode()[:0xFFFF]
    return struct.pack(">H", len(data)) + data


def _mov_text(data: bytes) -> str:
    """The text of a sample of 3GPP timed text; style boxes follow it and are left out."""
    if len(data) < 2:
        return ""
    (length,) = struct.unpack_from(">H", data)
    return data[2 : 2 + length].decode("utf-8", "replace").replace("\r\n", "\n")
