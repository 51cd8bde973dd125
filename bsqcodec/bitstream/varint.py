"""Unsigned LEB128 integers of at most 31 bits, with one valid spelling for each value."""

from bsqcodec.errors import FormatError, TruncatedError

MAX_VARINT = 2**31 - 1
MAX_VARINT_BYTES = 5


def encode_varint(value: int) -> bytes:
    """Return `value` as 1 to 5 bytes, seven bits each, lowest first; bit 7 says "more follows".

    Raises ValueError when `value` is outside 0..MAX_VARINT.
    """
    if not 0 <= value <= MAX_VARINT:
        raise ValueError(f"{value} is outside 0..{MAX_VARINT}")
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def decode_varint(data: bytes, offset: int = 0) -> tuple[int, int]:
    """Read the integer at `offset` of `data`; return it and the offset just after it.

    Raises TruncatedError when `data` ends inside the integer, and FormatError when it is over
    MAX_VARINT or spelled with more bytes than it needs.
    """
    value = 0
    for count, byte in enumerate(data[offset : offset + MAX_VARINT_BYTES]):
        value |= (byte & 0x7F) << 7 * count
        if byte < 0x80:
            if byte == 0 and count > 0:
                raise FormatError(f"the integer {value} is written with needless bytes")
            if value > MAX_VARINT:
                raise FormatError(f"the integer {value} is over {MAX_VARINT}")
            return value, offset + count + 1
    if len(data) - offset < MAX_VARINT_BYTES:
        raise TruncatedError("the data ends inside an integer")
    raise FormatError(f"an integer is longer than {MAX_VARINT_BYTES} bytes")
