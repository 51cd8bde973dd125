"""The head of a JPEG XL file: size, depth and orientation, before anything is decoded.

ISO/IEC 18181-1 (the codestream) and 18181-2 (the boxes around it). The plugin of Pillow decodes a
file as it opens it, whatever its size, so this must be known before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_CODESTREAM: Final = b"\xff\x0a"
_BOXES: Final = b"\0\0\0\x0cJXL \r\n\x87\n"
_RATIOS: Final = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}
_Choice = tuple[int, int]
"""What is added to how many bits."""
_SIDE: Final[tuple[_Choice, ...]] = ((1, 9), (1, 13), (1, 18), (1, 30))


@dataclass(frozen=True)
class JxlHeader:
    """width, height: in pixels, as stored. orientation: of EXIF, 1..8; bits: of a sample."""

    width: int
    height: int
    orientation: int = 1
    bits: int = 8
    is_float: bool = False
    is_animated: bool = False


def is_jxl(head: bytes) -> bool:
    """Return whether a file that begins with these bytes (12 are enough) is JPEG XL."""
    return head.startswith((_CODESTREAM, _BOXES))


def read_jxl_header(data: bytes) -> JxlHeader:
    """Return what the beginning of a file says. Raises ValueError where it is damaged."""
    bits = _Bits(_codestream(data)[2:])
    width, height = _size(bits)
    if bits.read(1):  # all defaults
        return JxlHeader(width, height)
    orientation, is_animated = 1, False
    if bits.read(1):  # extra fields
        orientation = 1 + bits.read(3)
        if bits.read(1):
            _size(bits)  # intrinsic
        if bits.read(1):
            _skip_preview(bits)
        is_animated = bool(bits.read(1))
        if is_animated:
            bits.choose((100, 0), (1000, 0), (1, 10), (1, 30))
            bits.choose((1, 0), (1001, 0), (1, 8), (1, 10))
            bits.choose((0, 0), (0, 3), (0, 16), (0, 32))
            bits.read(1)
    is_float = bool(bits.read(1))
    if is_float:
        depth = bits.choose((32, 0), (16, 0), (24, 0), (1, 6))
    else:
        depth = bits.choose((8, 0), (10, 0), (12, 0), (1, 6))
    return JxlHeader(width, height, orientation, depth, is_float, is_animated)


class _Bits:
    """Bits of some bytes, the least significant first."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data[:64], "little")
        self._left = 8 * len(data[:64])

    def read(self, count: int) -> int:
        if count > self._left:
            raise ValueError("the header of the JPEG XL codestream ends early")
        value = self._value & ((1 << count) - 1)
        self._value >>= count
        self._left -= count
        return value

    def choose(self, *choices: _Choice) -> int:
        """A number by two bits that choose how it is stored."""
        base, count = choices[self.read(2)]
        return base + self.read(count)


def _size(bits: _Bits) -> tuple[int, int]:
    """Width and height."""
    small = bits.read(1)
    height = 8 * (1 + bits.read(5)) if small else bits.choose(*_SIDE)
    ratio = bits.read(3)
    if ratio:
        numerator, denominator = _RATIOS[ratio]
        return height * numerator // denominator, height
    return (8 * (1 + bits.read(5)) if small else bits.choose(*_SIDE)), height


def _skip_preview(bits: _Bits) -> None:
    """Pass over the size of a preview."""
    choices: tuple[_Choice, ...] = ((1, 6), (65, 8), (321, 10), (1345, 12))
    if bits.read(1):
        choices = ((16, 0), (32, 0), (1, 5), (33, 9))
    bits.choose(*choices)
    if not bits.read(3):
        bits.choose(*choices)


def _codestream(data: bytes) -> bytes:
    """The beginning of the codestream, out of its box where it is in one."""
    if data.startswith(_CODESTREAM):
        return data
    at = 0
    while at + 16 <= len(data):
        size, start = int.from_bytes(data[at : at + 4], "big"), at + 8
        kind = data[at + 4 : at + 8]
        if size == 1:
            size, start = int.from_bytes(data[at + 8 : at + 16], "big"), at + 16
        if kind in (b"jxlc", b"jxlp"):
            found = data[start + (4 if kind == b"jxlp" else 0) :]
            if not found.startswith(_CODESTREAM):
                break
            return found
        if size < 8:
            break
        at += size
    raise ValueError("no JPEG XL codestream")
