"""The payload of a level of a BSQ picture: a sub-code of all tokens, slice by slice.

A table comes first, with the length (LEB128) and the CRC-32 of each slice, then the slices' bytes
one after the other. So damage to a slice is known, and the others can be found and checked without
it.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from bsqcodec.errors import ChecksumError, FormatError, TruncatedError
from bsqcodec.format.byte_source import CRC, ByteReader
from bsqcodec.format.varint import encode_varint


def pack_slices(slices: Sequence[bytes]) -> bytes:
    """Return the payload of slices."""
    table = b"".join(encode_varint(len(data)) + CRC.pack(zlib.crc32(data)) for data in slices)
    return table + b"".join(slices)


def unpack_slices(payload: bytes, count: int) -> list[bytes]:
    """Return the `count` slices of a payload.

    Raises TruncatedError, ChecksumError or FormatError for anything that is not as it was packed.
    """
    reader = ByteReader(payload)
    table = _table(reader, count)
    slices = []
    for index, (length, crc) in enumerate(table):
        what = f"slice {index} of a level"
        data = reader.exactly(length, what)
        if zlib.crc32(data) != crc:
            raise ChecksumError(f"{what} is damaged: its checksum differs")
        slices.append(data)
    if reader.up_to(1):
        raise FormatError("more data follows the last slice of a level")
    return slices


def salvage_slices(payload: bytes, count: int) -> list[bytes | None]:
    """Return the `count` slices of a damaged payload,
    None for those that are damaged or missing."""
    reader = ByteReader(payload)
    try:
        table = _table(reader, count)
    except (FormatError, TruncatedError):
        return [None] * count
    found: list[bytes | None] = []
    for length, crc in table:
        data = reader.up_to(length)
        found.append(data if len(data) == length and zlib.crc32(data) == crc else None)
    return found


def _table(reader: ByteReader, count: int) -> list[tuple[int, int]]:
    """The length and the CRC-32 of each slice."""
    what = "the table of a level's slices"
    table = []
    for _ in range(count):
        length, _ = reader.varint(what)
        (crc,) = CRC.unpack(reader.exactly(CRC.size, what))
        table.append((length, crc))
    return table
