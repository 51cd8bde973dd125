"""Builders of small picture files that Pillow reads but does not write."""

import struct
import zlib
from collections.abc import Callable

import pytest

PngBuilder = Callable[..., bytes]


@pytest.fixture
def build_png() -> PngBuilder:
    """A function that makes a PNG of raw rows, with any bit depth, colour type and tRNS chunk."""

    def chunk(kind: bytes, payload: bytes) -> bytes:
        crc = zlib.crc32(kind + payload)
        return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", crc)

    def build(
        width: int, height: int, depth: int, colour: int, rows: bytes, trns: bytes | None = None
    ) -> bytes:
        stride = len(rows) // height
        lines = b"".join(b"\0" + rows[y * stride : (y + 1) * stride] for y in range(height))
        head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
        transparent = b"" if trns is None else chunk(b"tRNS", trns)
        return (
            b"\x89PNG\r\n\x1a\n"
            + chunk(b"IHDR", head)
            + transparent
            + chunk(b"IDAT", zlib.compress(lines))
            + chunk(b"IEND", b"")
        )

    return build


@pytest.fixture
def build_icc() -> Callable[[str], bytes]:
    """A function that makes the shell of an ICC profile for a colour space such as "RGB"."""

    def build(space: str) -> bytes:
        profile = bytearray(132)
        struct.pack_into(">I", profile, 0, len(profile))
        profile[12:16] = b"mntr"
        profile[16:20] = space.encode().ljust(4)
        profile[20:24] = b"XYZ "
        profile[36:40] = b"acsp"
        return bytes(profile)

    return build


@pytest.fixture
def grey_ink_icc() -> bytes:
    """A CMYK profile by which every mix of inks is the same mid grey, L* = 50."""
    entry = bytes([round(50 / 100 * 255), 128, 128])  # L*, a*, b* in 8 bits
    identity = bytes(range(256))
    table = (
        b"mft1\0\0\0\0"
        + bytes([4, 3, 2, 0])
        + struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
        + identity * 4
        + entry * 2**4
        + identity * 3
    )
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 0xF6D6, 0x10000, 0xD32D)
    text = b"text\0\0\0\0none\0\0\0\0"
    parts = [(b"A2B0", table), (b"A2B1", table), (b"wtpt", white), (b"cprt", text)]
    offset = 128 + 4 + 12 * len(parts)
    tags, data = struct.pack(">I", len(parts)), b""
    for name, payload in parts:
        payload += b"\0" * (-len(payload) % 4)
        tags += name + struct.pack(">II", offset + len(data), len(payload))
        data += payload
    head = bytearray(128)
    struct.pack_into(">I", head, 0, 128 + len(tags) + len(data))
    head[8:12] = b"\x02\x40\0\0"
    head[12:16], head[16:20], head[20:24] = b"prtr", b"CMYK", b"Lab "
    head[36:40] = b"acsp"
    struct.pack_into(">3i", head, 68, 0xF6D6, 0x10000, 0xD32D)
    return bytes(head) + tags + data
