"""LEB128 integers of 31 or 64 bits, unsigned or signed, with one valid spelling for each value."""

from bsqcodec.errors import FormatError, TruncatedError

MAX_VARINT = 2**31 - 1
MAX_VARINT_BYTES = 5
MAX_VARINT64 = 2**64 - 1


def encode_varint(value: int, largest: int = MAX_VARINT) -> bytes:
    """Return `value` seven bits a byte, lowest first; bit 7 of a byte says "more follows".

    That is 1 to 5 bytes, or up to 10 when `largest` is MAX_VARINT64.
    Raises ValueError when `value` is outside 0..largest.
    """
    if not 0 <= value <= largest:
        raise ValueError(f"{value} is outside 0..{largest}")
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def decode_varint(data: bytes, offset: int = 0, largest: int = MAX_VARINT) -> tuple[int, int]:
    """Read the integer at `offset` of `data`; return it and the offset just after it.

    Raises TruncatedError when `data` ends inside the integer, and FormatError when it is over
    `largest` or spelled with more bytes than it needs.
    """
    most = max_bytes(largest)
    value = 0
    for count, byte in enumerate(data[offset : offset + most]):
        value |= (byte & 0x7F) << 7 * count
        if byte < 0x80:
            if byte == 0 and count > 0:
                raise FormatError(f"the integer {value} is written with needless bytes")
            if value > largest:
                raise FormatError(f"the integer {value} is over {largest}")
            return value, offset + count + 1
    if len(data) - offset < most:
        raise TruncatedError("the data ends inside an integer")
    raise FormatError(f"an integer is longer than {most} bytes")


def max_bytes(largest: int) -> int:
    """How many bytes an integer of 0..largest takes at most."""
    return max(1, -(-largest.bit_length() // 7))


def encode_signed(value: int) -> bytes:
    """Return an integer of -2**63..2**63-1 as the varint of 64 bits that `zigzag` makes of it."""
    return encode_varint(zigzag(value), MAX_VARINT64)


def decode_signed(data: bytes, offset: int = 0) -> tuple[int, int]:
    """Read what `encode_signed` wrote at `offset`; returns and raises as `decode_varint` does."""
    value, end = decode_varint(data, offset, MAX_VARINT64)
    return unzigzag(value), end


def zigzag(value: int) -> int:
    """Number the integers 0, -1, 1, -2, 2 ... from 0,
    so that small ones of either sign are short."""
    return 2 * value if value >= 0 else -2 * value - 1


def unzigzag(number: int) -> int:
    """The integer that `zigzag` gave this number."""
    return -(number + 1) // 2 if number & 1 else number // 2
