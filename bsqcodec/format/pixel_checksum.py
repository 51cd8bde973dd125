"""The chunk of a picture's file with a checksum of its samples, by exact arithmetic.

    payload = u8 arithmetic, u32 CRC-32 of the samples

docs/BITSTREAM.md specifies it.
"""

from __future__ import annotations

import struct
import zlib
from typing import Final

import numpy as np
import numpy.typing as npt

from bsqcodec.errors import FormatError

ARITHMETIC: Final = 1
"""The rules by which samples follow from integers; a checksum by others is not compared."""

_FIELDS: Final = struct.Struct("<BI")

PAYLOAD_BYTES: Final = _FIELDS.size


def pack_checksum(pixels: npt.NDArray[np.uint8]) -> bytes:
    """The payload for samples [H, W] or [H, W, 3]."""
    return _FIELDS.pack(ARITHMETIC, zlib.crc32(pixels.tobytes()))


def check_pixels(payload: bytes, pixels: npt.NDArray[np.uint8]) -> bool:
    """Whether a payload is of the arithmetic known here, and so was compared with samples.

    Raises FormatError where they are other samples, and for a malformed payload.
    """
    if not payload or (payload[0] == ARITHMETIC and len(payload) != PAYLOAD_BYTES):
        raise FormatError("the pixel checksum chunk is malformed")
    if payload[0] != ARITHMETIC:
        return False
    if payload != pack_checksum(pixels):
        raise FormatError("the decoded samples do not match the file's checksum of them")
    return True
