"""What files are by their names, and by their first bytes where names mislead."""

from __future__ import annotations

from pathlib import Path
from typing import Final

VIDEO_SUFFIXES: Final = frozenset((
    ".3g2", ".3gp", ".asf", ".avi", ".dv", ".f4v", ".flv", ".h264", ".h265", ".hevc", ".ivf",
    ".m1v", ".m2ts", ".m2v", ".m4v", ".mj2", ".mjpeg", ".mjpg", ".mkv", ".mov", ".mp4", ".mpeg",
    ".mpg", ".mts", ".mxf", ".nut", ".ogm", ".ogv", ".qt", ".rm", ".rmvb", ".ts", ".vob", ".webm",
    ".wmv", ".y4m", ".yuv",
))  # fmt: skip
PICTURE_SUFFIXES: Final = frozenset((
    ".apng", ".avif", ".bmp", ".dib", ".exr", ".gif", ".heic", ".heif", ".ico", ".j2k", ".jfif",
    ".jp2", ".jpe", ".jpeg", ".jpg", ".jxl", ".pbm", ".pcx", ".pgm", ".png", ".pnm", ".ppm",
    ".qoi", ".svg", ".tga", ".tif", ".tiff", ".webp",
))  # fmt: skip

_AMBIGUOUS: Final = (".ts", ".mts")
"""Of MPEG transport streams, and of TypeScript."""

_SYNC: Final = 0x47
_FEWEST, _MOST = 3, 5
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
    count = min(_MOST, len(start) // size)
    return count >= _FEWEST and any(
        all(start[first + i * size] == _SYNC for i in range(count))
        for first in range(min(size, len(start) - (count - 1) * size))
    )
