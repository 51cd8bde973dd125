"""Colour of JPEG 2000 and BMP files, where Pillow does not look for it."""

from __future__ import annotations

import struct
from typing import BinaryIO, Final

from bsqcodec.media.image.icc import Gamma, NamedColour, Primaries
from bsqcodec.media.image.item_facts import boxes

_JP2_START: Final = b"\0\0\0\x0cjP  \r\n\x87\n"
_HEAD_BYTES: Final = 2**22
_ICC_METHODS: Final = (2, 3)
"""Of JPEG 2000's colr box: a restricted profile, and any."""

_BMP_HEADER_AT: Final = 14
_V4_BYTES, _V5_BYTES = 108, 124
_EMBEDDED: Final = b"DEBM"
_CALIBRATED: Final = bytes(4)
_MAX_PROFILE_BYTES: Final = 2**24
_GAMMAS: Final = (0.1, 10.0)


def hidden_profile(file: BinaryIO) -> bytes | None:
    """Return the ICC profile of a JPEG 2000 or BMP file, unchecked; None where there is none."""
    file.seek(0)
    head = file.read(_HEAD_BYTES)
    if head.startswith(_JP2_START):
        return _jpeg2000_profile(head)
    if _bmp_space(head) != _EMBEDDED or _bmp_header_bytes(head) < _V5_BYTES:
        return None
    offset, size = struct.unpack_from("<II", head, _BMP_HEADER_AT + 112)
    if size > _MAX_PROFILE_BYTES:
        return None
    file.seek(_BMP_HEADER_AT + offset)
    return file.read(size) or None


def bmp_colour(file: BinaryIO) -> NamedColour | None:
    """Return the colour that a BMP names by end points and gammas; None where it names none."""
    file.seek(0)
    head = file.read(_BMP_HEADER_AT + _V5_BYTES)
    if _bmp_space(head) != _CALIBRATED:
        return None
    numbers = struct.unpack_from("<9I", head, _BMP_HEADER_AT + 60)
    gammas = [g / 2**16 for g in struct.unpack_from("<3I", head, _BMP_HEADER_AT + 96)]
    ends = [[value / 2**30 for value in numbers[at : at + 3]] for at in (0, 3, 6)]
    white = [sum(values) for values in zip(*ends, strict=True)]
    if not all(map(sum, ends)) or max(gammas) - min(gammas) > 0.01:
        return None
    if not _GAMMAS[0] <= gammas[0] <= _GAMMAS[1]:
        return None
    red, green, blue, middle = ((x / (x + y + z), y / (x + y + z)) for x, y, z in (*ends, white))
    return NamedColour(Primaries(middle, red, green, blue), Gamma(gammas[0]), "colours of the file")


def _jpeg2000_profile(head: bytes) -> bytes | None:
    """The profile in the colr box of ISO/IEC 15444-1."""
    try:
        for kind, content in boxes(head, allow_cut=True):
            if kind == b"jp2h":
                for inner, data in boxes(content):
                    if inner == b"colr" and data[:1] and data[0] in _ICC_METHODS:
                        return data[3:] or None
    except ValueError:
        pass
    return None


def _bmp_header_bytes(head: bytes) -> int:
    """The size of a BMP's header; 0 of anything else."""
    if head[:2] != b"BM" or len(head) < _BMP_HEADER_AT + _V4_BYTES:
        return 0
    size = int.from_bytes(head[_BMP_HEADER_AT : _BMP_HEADER_AT + 4], "little")
    return size if len(head) >= _BMP_HEADER_AT + size else 0


def _bmp_space(head: bytes) -> bytes | None:
    """The four bytes that name a BMP's colour space; None where the header is older than that."""
    if _bmp_header_bytes(head) < _V4_BYTES:
        return None
    return head[_BMP_HEADER_AT + 56 : _BMP_HEADER_AT + 60]
