"""Checksums of FFV1 frames, which FFmpeg's decoder compares but tells only its log about.

RFC 9043, 4.9: a frame is slices one after the other, each with a footer: its size (24 bits), and,
if the encoder was asked to (by default it is, from version 3 on), a status (8 bits) and a CRC that
makes that of the whole slice 0.
"""

from __future__ import annotations

import zlib

_SIZE, _FOOTER = 3, 8

_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
"""Each byte with its bits in the opposite order."""


def has_sound_slices(frame: bytes) -> bool:
    """Whether a coded frame is nothing but slices whose CRCs are right."""
    end = len(frame)
    while end >= _FOOTER:
        size = int.from_bytes(frame[end - _FOOTER : end - _FOOTER + _SIZE], "big")
        start = end - _FOOTER - size
        if start < 0 or _crc(frame[start:end]) != 0:
            return False
        end = start
    return end == 0 and len(frame) > 0


def _crc(data: bytes) -> int:
    """CRC of the polynomial 0x04C11DB7, first bits first and from 0, itself mirrored.

    zlib's has the same polynomial, last bits first, and inverts before and after.
    """
    return zlib.crc32(data.translate(_MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF


class SliceChecks:
    """Tells which frames of a stream are damaged, once one has shown that they have CRCs."""

    def __init__(self) -> None:
        self._have_crcs = False

    def is_damaged(self, frame: bytes) -> bool:
        """Whether a CRC of the stream's next coded frame is wrong."""
        sound = has_sound_slices(frame)
        self._have_crcs |= sound
        return self._have_crcs and not sound
