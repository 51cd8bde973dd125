"""What a file is by its first bytes, whatever it is called: pictures, videos and archives."""

from __future__ import annotations

import re
from typing import Final

from bsqcodec.media.suffixes import is_transport_stream

HEAD_BYTES: Final = 2**13
"""How much of a file's beginning `kind_of` wants."""

_JPEG: Final = "a JPEG picture"
_PICTURES: Final = (
    (rb"\x89PNG\r\n\x1a\n", "a PNG picture"),
    (rb"\xff\xd8\xff[\xc0-\xfe]", _JPEG),
    (rb"GIF8[79]a", "a GIF picture"),
    (rb"RIFF.{4}WEBP", "a WebP picture"),
    (rb".{4}ftyp(avif|avis)", "an AVIF picture"),
    (rb".{4}ftyp(mif1|msf1|hei[cmsx]|hev[cmsx])", "a HEIF picture"),
    (rb"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL picture"),
    (rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51\0", "a JPEG 2000 picture"),
    (rb"II[\x2a\x2b]\0|MM\0[\x2a\x2b]", "a TIFF picture"),
    (rb"BM.{4}\0{4}.{4}[\x0c\x28\x34\x38\x40\x6c\x7c]\0{3}", "a BMP picture"),
    (rb"8BPS\0[\1\2]", "a Photoshop picture"),
    (rb"P[1-7][ \t\r\n]+[#\dW]", "a PNM picture"),
    (rb"qoif.{8}[\3\4][\0\1]", "a QOI picture"),
    (rb"DDS \x7c\0\0\0", "a DDS picture"),
    (rb"icns", "an icon"),
    (rb"\x76\x2f\x31\x01", "an OpenEXR picture"),
    (rb"#\?(RADIANCE|RGBE)", "a Radiance picture"),
)
_VIDEOS: Final = (
    (rb"YUV4MPEG2 ", "a y4m video"),
    (rb"\x1aE\xdf\xa3", "a Matroska or WebM video"),
    (
        rb".{4}(ftyp(?!avi[fs]|mif1|msf1|hei[cmsx]|hev[cmsx]|crx )|moov)",
        "a video of the MP4 family",
    ),
    (rb"RIFF.{4}AVI ", "an AVI video"),
    (rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "an ASF video"),
    (rb"FLV\x01", "an FLV video"),
    (rb"OggS\0", "an Ogg file"),
    (rb"DKIF\0\0", "an IVF video"),
    (rb"nut/multimedia", "a NUT video"),
    (rb"\0\0\x01\xba[\x21\x44-\x7f]|\0\0\x01\xb3.{3}", "an MPEG video"),
    (rb"\x06\x0e\x2b\x34\x02\x05\x01", "an MXF video"),
    (rb"\.RMF", "a RealMedia video"),
)
_OTHERS: Final = (
    (rb"\x89BSQ\r\n\x1a\n", "a .bsq file"),
    (rb"\x1f\x8b\x08", "a gzip archive"),
    (rb"PK\x03\x04", "a ZIP archive"),
    (rb"BZh[1-9]1AY&SY", "a bzip2 archive"),
    (rb"\xfd7zXZ\0", "an xz archive"),
    (rb"\x28\xb5\x2f\xfd", "a Zstandard archive"),
    (rb"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (rb"RIFF.{4}WAVE|ID3[\2-\4]|fLaC\0", "an audio file"),
    (rb"%PDF-", "a PDF document"),
)


def _compiled(table: tuple[tuple[bytes, str], ...]) -> tuple[tuple[re.Pattern[bytes], str], ...]:
    return tuple((re.compile(text, re.DOTALL), name) for text, name in table)


_PICTURES_COMPILED: Final = _compiled(_PICTURES)
_VIDEOS_COMPILED: Final = _compiled(_VIDEOS)
_OTHERS_COMPILED: Final = _compiled(_OTHERS)
_TRANSPORT_STREAM: Final = "an MPEG transport stream"
_PROGRAM_TABLE: Final = re.compile(rb"\x47[\x40-\x5f]\0[\x10-\x3f]")
"""ISO/IEC 13818-1: the head of a packet with the table of programs,
which comes ten times a second."""


def picture_kind(head: bytes) -> str | None:
    """Return the kind of picture that a file begins as, with its article, or None for no picture.

    The signatures are long enough not to be met by chance.
    """
    found = _kind(head, _PICTURES_COMPILED)
    return found if found != _JPEG or _has_segments(head) else None


def video_kind(head: bytes) -> str | None:
    """Return the kind of video that a file begins as, with its article, or None for no video.

    head: HEAD_BYTES of it, or all of a shorter file.
    """
    found = _kind(head, _VIDEOS_COMPILED)
    if found is None and is_transport_stream(head) and _PROGRAM_TABLE.search(head):
        return _TRANSPORT_STREAM
    return found


def kind_of(head: bytes) -> str | None:
    """Return the kind of a file by its first bytes, as `picture_kind` and `video_kind` do.

    It knows archives, audio and documents, too, and what is none of all these gives None.
    """
    return picture_kind(head) or video_kind(head) or _kind(head, _OTHERS_COMPILED)


def _kind(head: bytes, table: tuple[tuple[re.Pattern[bytes], str], ...]) -> str | None:
    return next((name for pattern, name in table if pattern.match(head)), None)


def _has_segments(head: bytes) -> bool:
    """Whether the first segment of a JPEG file is followed by another one,
    if `head` goes so far."""
    second = 4 + int.from_bytes(head[4:6], "big")
    return second > 5 and (second >= len(head) or head[second] == 0xFF)
