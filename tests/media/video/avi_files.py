"""AVI files taken apart and put together again: empty chunks, counts and sizes of any kind."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping


def riff_chunks(data: bytes, start: int, end: int) -> Iterator[tuple[int, bytes, int]]:
    """Place, name and size of the chunks between two places."""
    at = start
    while at + 8 <= end:
        name, count = struct.unpack_from("<4sI", data, at)
        yield at, name, count
        at += 8 + count + (count & 1)


def movi_of(data: bytes) -> tuple[int, int]:
    """Place and size of the list of frames."""
    return next(
        (at, count)
        for at, name, count in riff_chunks(data, 12, len(data))
        if name == b"LIST" and data[at + 8 : at + 12] == b"movi"
    )


def with_empty_chunks(data: bytes, empty: Mapping[int, int], *, index: bool = True) -> bytes:
    """The file with so many empty chunks behind the frames of these numbers, counted everywhere."""
    movi, size = movi_of(data)
    head, body, entries = bytearray(data[:movi]), bytearray(b"movi"), bytearray()
    frame = 0
    for at, name, count in riff_chunks(data, movi + 12, movi + 8 + size):
        if name[:2] not in (b"00", b"01"):
            continue
        entries += struct.pack("<4sIII", name, 0x10, len(body), count)
        body += data[at : at + 8 + count + (count & 1)]
        if name[:2] == b"00":
            for _ in range(empty.get(frame, 0)):
                entries += struct.pack("<4sIII", name, 0, len(body), 0)
                body += name + bytes(4)
            frame += 1
    set_count(head, frame + sum(empty.values()))
    parts = [bytes(head), b"LIST", struct.pack("<I", len(body)), bytes(body)]
    if index:
        parts += [b"idx1", struct.pack("<I", len(entries)), bytes(entries)]
    whole = bytearray(b"".join(parts))
    struct.pack_into("<I", whole, 4, len(whole) - 8)
    return bytes(whole)


def set_count(head: bytearray, frames: int) -> None:
    """Write a number of frames wherever a header has one."""
    struct.pack_into("<I", head, head.index(b"avih") + 8 + 16, frames)
    struct.pack_into("<I", head, head.index(b"strh") + 8 + 32, frames)
    if b"dmlh" in head:
        struct.pack_into("<I", head, head.index(b"dmlh") + 8, frames)
