"""Hostile .bsq files: changed contents under checksums that are right, and bombs."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass, field, replace
from random import Random

from PIL import Image

from bsqcodec.format.image_container import MAGIC, Container
from bsqcodec.format.varint import encode_varint

LETTERS = b"LAZQiexq"


@dataclass
class Parts:
    """A file taken apart, so that any field can be changed; `sealed` puts it together again.

    width, height: as bytes, to allow malformed ones. chunks: (kind, length as bytes, payload).
    """

    model_id: bytes
    colour: int
    step: int
    levels: int
    first_level: int
    width: bytes
    height: bytes
    chunks: list[tuple[bytes, bytes, bytes]] = field(default_factory=list)


def parts_of(container: Container) -> Parts:
    """The parts of a whole file, END included."""
    h = container.header
    chunks = [(c.kind, encode_varint(len(c.payload)), c.payload) for c in container.chunks]
    chunks.append((b"Z", b"\x04", struct.pack("<I", container.symbols_crc or 0)))
    sides = encode_varint(h.width), encode_varint(h.height)
    return Parts(h.model_id, h.colour, h.step, h.levels, h.first_level, *sides, chunks)


def sealed(parts: Parts) -> bytes:
    """The parts as a file whose checksums are right, whatever they say."""
    numbers = (parts.colour, parts.step, parts.levels, parts.first_level)
    fields = bytes(number % 256 for number in numbers)  # two changes may count beyond a byte
    head = MAGIC + b"\x01" + parts.model_id + fields + parts.width + parts.height
    crc = zlib.crc32(head)
    result = [head, struct.pack("<I", crc)]
    for kind, size, payload in parts.chunks:
        crc = zlib.crc32(kind + size + payload, crc)
        result += [kind, size, payload, struct.pack("<I", crc)]
    return b"".join(result)


def with_payload(parts: Parts, index: int, payload: bytes) -> None:
    """Give chunk `index` another payload, its length right."""
    parts.chunks[index] = (parts.chunks[index][0], encode_varint(len(payload)), payload)


# Changes under right checksums --------------------------------------------------------------------


def noise_for(payload: bytes, rng: Random) -> bytes:
    """Something else in the place of a payload."""
    words = rng.randrange(12)
    kind = rng.randrange(8)
    if kind == 0:
        return rng.randbytes(4 * words)
    if kind == 1:
        return rng.randbytes(rng.randrange(50))
    if kind == 2:
        return rng.choice((b"\0", b"\xff", b"\x80", b"\x7f")) * (4 * words)
    if kind == 3:
        return b""
    if kind == 4:
        return payload + rng.randbytes(4 * words)
    if kind == 5:
        return payload[: 4 * rng.randrange(len(payload) // 4 + 1)]
    data = bytearray(payload or b"\0")
    for _ in range(rng.choice((1, 1, 3, 9))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def change_levels(parts: Parts, rng: Random) -> None:
    """Other bits in one or all levels: what the range decoder and the prior get to see."""
    levels = [i for i, chunk in enumerate(parts.chunks) if chunk[0] == b"L"]
    if not levels:
        return
    chosen = levels if rng.randrange(3) == 0 else [rng.choice(levels)]
    for index in chosen:
        with_payload(parts, index, noise_for(parts.chunks[index][2], rng))


def change_header(parts: Parts, rng: Random) -> None:
    """Another value in one field of the header."""
    name = rng.choice(("model_id", "colour", "step", "levels", "first_level", "width", "height"))
    value: bytes | int
    if name == "model_id":
        value = bytes([parts.model_id[0] ^ 1]) + parts.model_id[1:]
    elif name in ("width", "height"):
        value = rng.choice(
            (
                encode_varint(rng.randrange(1, 60)),
                encode_varint(rng.choice((0, 10**4, 10**6, 2**31 - 1))),
                rng.choice((b"\xff\xff\xff\xff\xff", b"\x80\x00", b"\xff\xff\xff\xff\x0f")),
            )
        )
    elif name == "colour":
        value = rng.choice((0, 1, 2, 255))
    elif name == "step":
        value = rng.randrange(256)
    else:
        value = rng.choice((0, 1, getattr(parts, name) + 1, 255))
    setattr(parts, name, value)


def change_order(parts: Parts, rng: Random) -> None:
    """Chunks swapped, doubled, dropped, or of another kind; sometimes the header knows."""
    if not parts.chunks:
        return
    i, j = (rng.randrange(len(parts.chunks)) for _ in range(2))
    kind = rng.randrange(4)
    if kind == 0:
        parts.chunks[i], parts.chunks[j] = parts.chunks[j], parts.chunks[i]
    elif kind == 1:
        parts.chunks.insert(j, parts.chunks[i])
    elif kind == 2:
        del parts.chunks[i]
    else:
        letter = bytes([rng.choice(LETTERS)])
        parts.chunks[i] = (letter, *parts.chunks[i][1:])
    if rng.randrange(2):
        parts.levels = sum(chunk[0] == b"L" for chunk in parts.chunks)


def change_side_data(parts: Parts, rng: Random) -> None:
    """Other bytes in alpha, metadata or END; a chunk of alpha or metadata where there was none."""
    others = [i for i, chunk in enumerate(parts.chunks) if chunk[0] != b"L"]
    if not others:
        return
    index = rng.choice(others)
    kind, _, payload = parts.chunks[index]
    if kind == b"Z" and rng.randrange(4):
        letter, start = rng.choice((b"A", b"i", b"e", b"x")), rng.choice((b"\0\7", b"\1"))
        new = (letter, b"", start + b"II*" * rng.randrange(2))
        index = len(parts.chunks) - 1 if new[0] == b"A" else 0
        parts.chunks.insert(index, new)
        payload = new[2]
    with_payload(parts, index, noise_for(payload, rng))


def change_a_length(parts: Parts, rng: Random) -> None:
    """A chunk that claims another length than it has."""
    if not parts.chunks:
        return
    index = rng.randrange(len(parts.chunks))
    kind, _, payload = parts.chunks[index]
    claims = (0, len(payload) + 1, 10**5, 10**8, 2**31 - 1)
    size = rng.choice((*map(encode_varint, claims), b"\xff" * 5, b"\x84\x00"))
    parts.chunks[index] = (kind, size, payload)


CHANGES = (
    *(change_levels,) * 4,
    *(change_header, change_order, change_side_data, change_a_length),
)


def resealed(parts: Parts, rng: Random) -> bytes:
    """The file with one or two changes, all checksums right; END is sometimes missing."""
    changed = replace(parts, chunks=list(parts.chunks))
    for _ in range(rng.choice((1, 1, 1, 2))):
        rng.choice(CHANGES)(changed, rng)
    if rng.randrange(3) == 0 and changed.chunks[-1:] and changed.chunks[-1][0] == b"Z":
        del changed.chunks[-1]
    return sealed(changed)


# Bombs --------------------------------------------------------------------------------------------


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *chunks: bytes) -> bytes:
    """A grey PNG that claims a size, of the chunks given."""
    size = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + size + b"".join(chunks) + png_chunk(b"IEND", b"")


def bombs(parts: Parts) -> dict[str, bytes]:
    """Small files, their checksums right, that claim to be large. parts: of 20 x 20 pixels."""
    zeros = zlib.compress(bytes(60_000_000), 9)
    large = io.BytesIO()
    Image.new("1", (20000, 20000)).save(large, "PNG", optimize=True)
    alphas = {
        "alpha-of-another-size": large.getvalue(),
        "alpha-that-claims-to-be-huge": png(2**31 - 1, 2**31 - 1, png_chunk(b"IDAT", zeros)),
        "alpha-with-too-many-rows": png(20, 20, png_chunk(b"IDAT", zeros)),
        "alpha-with-large-text": png(20, 20, png_chunk(b"zTXt", b"a\0\0" + zeros)),
        "alpha-with-large-profile": png(20, 20, png_chunk(b"iCCP", b"a\0\0" + zeros)),
    }
    body = [chunk for chunk in parts.chunks if chunk[0] in (b"L", b"Z")]
    result = {}
    for name, alpha in alphas.items():
        payload = b"\x01" + alpha
        chunk = (b"A", encode_varint(len(payload)), payload)
        result[name] = sealed(replace(parts, chunks=[*body[:-1], chunk, body[-1]]))
    sides = {
        "huge": (2**31 - 1, 2**31 - 1),
        "one-line": (250_000_000, 1),
        "one-column": (1, 250_000_000),
        "thin": (5, 50_000_000),
        "just-too-large": (16_001, 16_000),
    }
    for name, (width, height) in sides.items():
        result[name] = sealed(
            replace(parts, width=encode_varint(width), height=encode_varint(height))
        )
    for kind in (b"L", b"A", b"e", b"q", b"Z"):
        for claim in (60_000, 60_000_000, 2**31 - 1):
            cut = replace(parts, chunks=[(kind, encode_varint(claim), bytes(100))])
            result[f"{kind.decode()}-of-{claim}"] = sealed(cut)
    return result
