"""Pictures, files of tokens and weights of the family bsq: how they are changed,
and what is done."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from copy import deepcopy
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import torch

from bsqcodec.errors import FormatError
from bsqcodec.format.byte_source import CRC, ByteReader
from bsqcodec.format.image_container import Colour
from bsqcodec.format.token_file import token_format, unpack_tokens
from bsqcodec.format.varint import decode_varint, encode_varint
from bsqcodec.image.picture_tokens import header_of
from bsqcodec.models.bsq import weight_files as bsq_weight_files
from bsqcodec.models.bsq.generation import Drawing
from bsqcodec.models.bsq.level_payload import pack_slices
from bsqcodec.models.bsq.picture_model import BsqModel
from bsqcodec.models.families import load_picture_model

from ..hostile import (
    Parts,
    change_a_length,
    change_header,
    change_order,
    change_side_data,
    noise_for,
    resealed,
    sealed,
    with_payload,
)
from ..injuries import injured
from .material import Material
from .odd_texts import changed_weights, noise_text, odd_json
from .target import MAX_PIXELS, Pipe, Target, decode_frames, expect
from .video_changes import changed_video
from .video_parts import VideoFileParts, gop_parts_of, sealed_video, set_gop

# Slices -------------------------------------------------------------------------------------------


def slices_of(payload: bytes) -> list[bytes]:
    """The slices of a payload, however many its table has: as many as make it end where it ends."""
    for count in range(1, 65):
        reader = ByteReader(payload)
        try:
            sizes = []
            for _ in range(count):
                sizes.append(reader.varint("a length")[0])
                reader.exactly(CRC.size, "a checksum")
            slices = [reader.exactly(size, "a slice") for size in sizes]
        except FormatError:
            continue
        if not reader.up_to(1):
            return slices
    return [payload]


def change_slices(parts: Parts, rng: Random) -> None:
    """Other bytes, order or number of slices in a level, or a table that lies;
    most CRCs are right."""
    levels = [i for i, chunk in enumerate(parts.chunks) if chunk[0] == b"L"]
    if not levels:
        return
    index = rng.choice(levels)
    slices = slices_of(parts.chunks[index][2])
    table = [(encode_varint(len(data)), None) for data in slices]
    where = rng.randrange(len(slices))
    kind = rng.randrange(8)
    if kind < 3:
        slices[where] = noise_for(slices[where], rng)
        table[where] = (encode_varint(len(slices[where])), None)
    elif kind == 3:
        other = rng.randrange(len(slices))
        slices[where], slices[other] = slices[other], slices[where]
        table = [(encode_varint(len(data)), None) for data in slices]
    elif kind == 4:
        number = rng.choice((0, 1, len(slices[where]) + 1, 10**4, 2**31 - 1))
        size = rng.choice((encode_varint(number), b"\xff" * 5, b"\x84\x00"))
        table[where] = (size, None)
    elif kind == 5:
        del slices[where], table[where]
    elif kind == 6:
        slices.insert(where, rng.randbytes(rng.randrange(9)))
        table.insert(where, (encode_varint(len(slices[where])), None))
    crcs = [zlib.crc32(data) for data in slices]
    if kind == 7:
        crcs[where] ^= 1 << rng.randrange(32)
    head = b"".join(size + CRC.pack(crc) for (size, _), crc in zip(table, crcs, strict=True))
    with_payload(parts, index, head + b"".join(slices))


def change_level_count(parts: Parts, rng: Random) -> None:
    """Fewer or more levels than the weights make, of which the header mostly knows."""
    levels = [i for i, chunk in enumerate(parts.chunks) if chunk[0] == b"L"]
    if not levels:
        return
    if rng.randrange(2):
        for index in sorted(rng.sample(levels, rng.randrange(1, len(levels) + 1)), reverse=True):
            del parts.chunks[index]
    else:
        index = rng.choice(levels)
        parts.chunks[index:index] = [parts.chunks[index]] * rng.choice((1, 2, 60))
    if rng.randrange(4):
        parts.levels = sum(chunk[0] == b"L" for chunk in parts.chunks) & 255


CHANGES = (
    *(change_slices,) * 6,
    *(change_level_count, change_header, change_order, change_side_data, change_a_length),
)


def mended_bsq(material: Material, rng: Random) -> bytes:
    """One or two changes under right checksums; sometimes none of the bits' checksum at the end."""
    parts = rng.choice(material.bsq_pictures)
    kind = rng.randrange(20)
    if kind == 0:
        return sealed(parts)
    if kind < 4:
        return resealed(parts, rng)
    changed = replace(parts, chunks=list(parts.chunks))
    for _ in range(rng.choice((1, 1, 1, 2))):
        rng.choice(CHANGES)(changed, rng)
    if rng.randrange(2) and changed.chunks and changed.chunks[-1][0] == b"Z":
        del changed.chunks[-1]
    return sealed(changed)


def damaged_bsq(material: Material, rng: Random) -> bytes:
    """Bytes of levels that storage has changed: their chunks' checksums are wrong, and the slices'.

    Sometimes the file is cut, too.
    """
    parts = rng.choice(material.bsq_pictures)
    data = bytearray(sealed(parts))
    payloads = [payload for kind, _, payload in parts.chunks if kind == b"L" and payload]
    for payload in rng.sample(payloads, rng.randrange(1, len(payloads) + 1)):
        start = data.find(payload)
        for _ in range(rng.choice((1, 1, 2, 5)) if start >= 0 else 0):
            data[start + rng.randrange(len(payload))] ^= 1 << rng.randrange(8)
    if rng.randrange(4) == 0:
        del data[rng.randrange(len(data)) :]
    return bytes(data)


def injured_bsq(material: Material, rng: Random) -> bytes:
    return injured([sealed(parts) for parts in material.bsq_pictures], rng)


PARTIAL = {"partial": True}

OPTIONS: tuple[dict[str, Any], ...] = (
    *({}, PARTIAL, PARTIAL, {"partial": True, "fill": False}),
    *({"levels": 1}, {"levels": 2, "fill": False}, {"partial": True, "levels": 2}),
)


def decode_bsq(material: Material, data: bytes, rng: Random) -> str:
    options = rng.choice(OPTIONS)
    source = rng.choice((bytes, io.BytesIO, Pipe))(data)
    decoded = material.bsq_codec.decode(source, max_pixels=MAX_PIXELS, **options)
    pixels, header = decoded.picture.pixels, decoded.header
    size = (header.height, header.width)
    shape = size if header.colour is Colour.GRAY else (*size, 3)
    expect(pixels.shape == shape and pixels.dtype == np.uint8, "samples")
    ends = [0]
    for rows in decoded.filled_rows:
        expect(ends[-1] <= rows.start < rows.stop <= header.height, "rows that were filled in")
        ends.append(rows.stop)
    expect(options.get("fill", True) or len(ends) == 1, "rows that were filled in")
    expect(0 <= decoded.levels_decoded <= options.get("levels", header.levels), "levels")
    return "cut" if decoded.truncated else "decoded"


def read_codes(material: Material, data: bytes, rng: Random) -> str:
    """Only the codes; the file of them, in either format, gives them back."""
    source = rng.choice((bytes, io.BytesIO, Pipe))(data)
    tokens = material.bsq_codec.coded_tokens(source, max_pixels=MAX_PIXELS)
    expect(tokens.codes.shape == (-(-tokens.height // 8), -(-tokens.width // 8)), "codes")
    expect(bool((tokens.codes >= 0).all() and (tokens.codes < 2**18).all()), "codes")
    return "decoded"


# Files of tokens ----------------------------------------------------------------------------------


def near(value: Any, rng: Random) -> Any:
    """Another value for a fact of tokens."""
    values = [odd_json(rng)]
    if type(value) is int:
        values += [value + 1, value - 1, value * 2, 0, -value, float(value), str(value)]
    return rng.choice(values)


def odd_array(codes: np.ndarray, rng: Random) -> np.ndarray:
    """Codes of another type, shape or range."""
    kind = rng.randrange(8)
    if kind == 0:
        return codes.astype(rng.choice(("u1", "i4", "f8", "f2", "?", "u8", "c16", "S4", "<U3")))
    if kind == 1:
        return codes.T
    if kind == 2:
        return codes[rng.randrange(3) :, rng.randrange(3) :]
    if kind == 3:
        return codes.ravel()
    if kind == 4:
        return codes.astype(">i8")
    if kind == 5:
        return codes[None]
    changed = codes.copy()
    if changed.size:
        at = rng.randrange(changed.size)
        changed.flat[at] = rng.choice((-1, 2**18, 2**62, 2**63 - 1, -(2**63), 5))
    return changed


def changed_tokens(material: Material, rng: Random) -> bytes:
    """A file of tokens with other facts or codes, or injured."""
    data = rng.choice(material.token_files)
    kind = rng.randrange(6)
    if kind == 0:
        return injured([data], rng)
    if data[:2] != b"PK":
        return _changed_safetensors(data, rng)
    if kind == 1:
        return _changed_members(data, rng)
    with np.load(io.BytesIO(data)) as file:
        arrays: dict[str, Any] = {name: file[name] for name in file.files}
    name = rng.choice(list(arrays))
    if name == "codes":
        arrays[name] = odd_array(arrays[name], rng)
    elif rng.randrange(8) == 0:
        del arrays[name]
    else:
        value = near(arrays[name].item(), rng)
        arrays[name] = value if isinstance(value, (str, int, float, bool)) else np.array([1, 2])
    result = io.BytesIO()
    try:
        np.savez_compressed(result, **arrays)
    except (ValueError, OverflowError):  # an integer that only pickles hold
        return data[: rng.randrange(len(data))]
    return result.getvalue()


def _changed_members(data: bytes, rng: Random) -> bytes:
    """An archive whose members are noise, are called otherwise, are twice there, or are bombs."""
    result = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(data)) as old,
        zipfile.ZipFile(result, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as new,
    ):
        names = old.namelist()
        chosen = rng.choice(names)
        for name in names:
            content = old.read(name)
            if name == chosen:
                kind = rng.randrange(6)
                if kind < 3:
                    content = injured([content], rng)
                elif kind == 3:
                    content = content[:128] + bytes(rng.choice((5000, 10**6, 3 * 10**7)))
                elif kind == 4:
                    name = rng.choice(("codes", "../x.npy", "x.npy", "codes.npy/", "\u00e4"))
                else:
                    shape = rng.choice(("(99999, 99999)", "(-1, 5)", "(1" + "0" * 30 + ",)", "()"))
                    head = f"{{'descr': '<i8', 'fortran_order': False, 'shape': {shape}}}\n"
                    length = len(head).to_bytes(2, "little")
                    content = b"\x93NUMPY\x01\0" + length + head.encode()
            new.writestr(name, content)
    return result.getvalue()


def _changed_safetensors(data: bytes, rng: Random) -> bytes:
    length = int.from_bytes(data[:8], "little")
    header, body = json.loads(data[8 : 8 + length]), data[8 + length :]
    facts = json.loads(header["__metadata__"]["bsqcodec"])
    kind = rng.randrange(8)
    if kind < 4:
        name = rng.choice((*facts, "other"))
        facts[name] = near(facts.get(name), rng)
        if rng.randrange(8) == 0:
            del facts[name]
    elif kind == 4:
        entry = header["codes"]
        key = rng.choice(list(entry))
        entry[key] = rng.choice((odd_json(rng), entry[key], "U64", "F64", "BF16", [0, 1]))
    elif kind == 5:
        header[rng.choice(("codes", "other"))] = odd_json(rng)
    elif kind == 6:
        codes = odd_array(np.frombuffer(body, "<i8").reshape(header["codes"]["shape"]), rng)
        body = codes.astype("<i8").tobytes() if codes.dtype.kind in "iuf?" else body
        shape = list(codes.shape)
        header["codes"] = {"dtype": "I64", "shape": shape, "data_offsets": [0, len(body)]}
    text = json.dumps(facts)
    if kind == 7:
        text = rng.choice(("[" * 10**5, '{"bits":' * 10**4, noise_text(rng), text[:20]))
    header["__metadata__"]["bsqcodec"] = text
    packed = json.dumps(header).encode()
    packed += b" " * (-len(packed) % 8)
    return len(packed).to_bytes(8, "little") + packed + body


def decode_tokens(material: Material, data: bytes, rng: Random) -> str:
    token_format(data[:16])
    tokens = unpack_tokens(data, max_pixels=MAX_PIXELS)
    decoded = material.bsq_codec.decode_tokens(tokens)
    shape = (tokens.height, tokens.width) if tokens.gray else (tokens.height, tokens.width, 3)
    expect(decoded.picture.pixels.shape == shape, "samples")
    return "decoded"


# Weights ------------------------------------------------------------------------------------------


def changed_bsq_weights(material: Material, rng: Random) -> bytes:
    return changed_weights(material.bsq_weights, rng)


def load_bsq_weights(material: Material, data: bytes, rng: Random) -> str:
    """Weights that load also decode: what they cannot do must show when they are loaded."""
    path = material.folder / "fuzzed-bsq.safetensors"
    path.write_bytes(data)
    if rng.randrange(2):
        bsq_weight_files.load(path, torch.device("cpu"))
    model = load_picture_model(path, torch.device("cpu"))
    expect(len(model.id) == 8, "identity")
    if isinstance(model, BsqModel):
        grid = model.grid(9, 17)
        signs = np.zeros((*grid.padded_shape, model.bits), np.int8)
        levels = model.weights.prior.config.sub_codes
        drawn = model.drawn(signs, grid.inside, levels, Drawing(steps=2))
        expect(bool(drawn.values[grid.inside].all()), "bits")
        header = header_of(model, 17, 9, model.bits)
        expect(model.render(drawn, header).shape == (9, 17, 3), "samples")
        read = model.read([pack_slices([bytes(64)])] * header.levels, header)
        expect(read.levels == header.levels, "levels")
    return "decoded"


# Videos -------------------------------------------------------------------------------------------


def levels_of(payload: bytes) -> list[bytes]:
    """The levels of a frame behind its step, as many as there are."""
    levels, place = [], 1
    while place < len(payload):
        size, place = decode_varint(payload, place)
        levels.append(payload[place : place + size])
        place += size
    return levels


def change_levels(parts: VideoFileParts, rng: Random) -> None:
    """Another step, other levels or slices of a frame; checksums of slices are right."""
    chunk = rng.choice([chunk for chunk in parts.chunks if chunk.kind == b"G"])
    gop = gop_parts_of(chunk)
    index = rng.choice([i for i, (_, payload) in enumerate(gop.frames) if payload])
    kind, payload = gop.frames[index]
    head = payload[:4] if index == 0 else b""
    step, levels = payload[len(head)], levels_of(payload[len(head) :])
    what = rng.randrange(5)
    where = rng.randrange(len(levels))
    if what == 0:
        step = rng.choice((0, 1, 2, 3, 255))
    elif what == 1:
        levels.append(levels[where])
    elif what == 2:
        del levels[where]
    else:
        slices = slices_of(levels[where])
        at = rng.randrange(len(slices))
        slices[at] = noise_for(slices[at], rng)
        levels[where] = pack_slices(slices)
    packed = b"".join(encode_varint(len(level)) + level for level in levels)
    gop.frames[index] = kind, head + bytes([step]) + packed
    set_gop(chunk, gop)


def mended_bsq_video(material: Material, rng: Random) -> bytes:
    parts = deepcopy(rng.choice(material.bsq_videos))
    if rng.randrange(2):
        return sealed_video(changed_video(parts, rng))
    change_levels(parts, rng)
    return sealed_video(parts)


def decode_bsq_video(material: Material, data: bytes, rng: Random) -> str:
    return decode_frames(material.bsq_video_codec, data, rng)


BSQ_TARGETS = (
    Target("bsq picture", 30, mended_bsq, decode_bsq),
    Target("damaged bsq picture", 15, damaged_bsq, decode_bsq),
    Target("injured bsq picture", 10, injured_bsq, decode_bsq),
    Target("bsq video", 20, mended_bsq_video, decode_bsq_video),
    Target("bsq codes", 10, mended_bsq, read_codes),
    Target("tokens", 20, changed_tokens, decode_tokens),
    Target("bsq weights", 8, changed_bsq_weights, load_bsq_weights),
)
