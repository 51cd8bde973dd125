"""What files are by their names, and by their first bytes where names mislead."""

from __future__ import annotations

from pathlib import Path
from typing import Final

CODED_SUFFIX: Final = ".bsq"
"""Of what the codec writes."""

VIDEO_SUFFIXES: Final = frozenset((
    ".3g2", ".3gp", ".asf", ".avi", ".dv", ".f4v", ".flv", ".h264", ".h265", ".hevc", ".ivf",
    ".m1v", ".m2ts", ".m2v", ".m4v", ".mj2", ".mjpeg", ".mjpg", ".mkv", ".mov", ".mp4", ".mpeg",
    ".mpg", ".mts", ".mxf", ".nut", ".ogm", ".ogv", ".qt", ".rm", ".rmvb", ".ts", ".vob", ".webm",
    ".wmv", ".y4m", ".yuv",
))  # fmt: skip
PICTURE_SUFFIXES: Final = frozenset((
    ".apng", ".avif", ".avifs", ".bmp", ".dds", ".dib", ".gif", ".heic", ".heif", ".hif", ".icns",
    ".ico", ".j2c", ".j2k", ".jfif", ".jp2", ".jpc", ".jpe", ".jpeg", ".jpf", ".jpg", ".jpx",
    ".jxl", ".pbm", ".pcx", ".pgm", ".png", ".pnm", ".ppm", ".psd", ".qoi", ".rgb", ".sgi",
    ".tga", ".tif", ".tiff", ".webp",
))  # fmt: skip
"""Of GIF, WebP, PNG and AVIF some are animations. HEIF and JPEG XL need packages to be read."""

_AMBIGUOUS: Final = (".ts", ".mts")
"""Of MPEG transport streams, and of TypeScript."""

_SYNC: Final = 0x47
_MIN_PACKETS, _MAX_PACKETS = 3, 5
_PACKET_BYTES: Final = (188, 192, 204)
"""ISO/IEC 13818-1: plain packets, with a time in front (.m2ts), with Reed-Solomon code behind."""
_LOOK_BYTES: Final = 2**13


def looks_like_its_suffix(path: Path) -> bool:
    """Return False for a .ts or .mts file that is no MPEG transport stream; else True.

    A file that cannot be read is what its suffix says.
    """
    if path.suffix.lower() not in _AMBIGUOUS:
        return True
    try:
        with open(path, "rb") as file:
            start = file.read(_LOOK_BYTES)
    except OSError:
        return True
    return is_transport_stream(start)


def is_transport_stream(start: bytes) -> bool:
    """Return whether the first bytes of a file hold packets of an MPEG transport stream.

    Three to five of them must begin with the sync byte; the first may be cut.
    """
    return any(_has_packets(start, size) for size in _PACKET_BYTES)


def _has_packets(start: bytes, size: int) -> bool:
    """Whether sync bytes stand `size` bytes apart."""
    count = min(_MAX_PACKETS, len(start) // size)
    return count >= _MIN_PACKETS and any(
        all(start[first + i * size] == _SYNC for i in range(count))
        for first in range(min(size, len(start) - (count - 1) * size))
    )
