"""A second decoder of the codes in a .bsq file of the family `bsq`,
from docs/BITSTREAM_BSQ.md alone.

It shares no code with bsqcodec, and with the first second decoder what the page takes from the
other page: the range coder, linear layers, blocks, and the identity of weights.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from copy import copy

import numpy as np
import numpy.typing as npt

from .reference_decoder import Integers, RangeDecoder, ReferencePrior, rounded, scaled

LATTICES = {1: ((0, 0), (0, 0)), 2: ((0, 1), (1, 0)), 4: ((0, 2), (3, 1))}


def varint(data: bytes, at: int) -> tuple[int, int]:
    """A number, and where the next byte is."""
    number = shift = 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return number, at


def levels_of(data: bytes, count: int) -> list[bytes]:
    """The levels of a frame, each after its length."""
    at = 0
    levels = []
    for _ in range(count):
        length, at = varint(data, at)
        levels.append(data[at : at + length])
        at += length
    if at != len(data):
        raise ValueError("more follows")
    return levels


class SliceBytes:
    """The table and the bytes of section "Level payload"."""

    def __init__(self, payload: bytes, count: int) -> None:
        at = 0
        table = []
        for _ in range(count):
            length, at = varint(payload, at)
            table.append((length, int.from_bytes(payload[at : at + 4], "little")))
            at += 4
        self.parts = []
        for length, crc in table:
            part = payload[at : at + length]
            at += length
            if len(part) != length or zlib.crc32(part) != crc:
                raise ValueError("a slice is damaged")
            self.parts.append(part)
        if at != len(payload):
            raise ValueError("more follows")


def decode_codes(
    prior: ReferencePrior,
    patch: int,
    width: int,
    height: int,
    payloads: list[bytes],
    earlier: Sequence[Integers] = (),
) -> Integers:
    """Signs [h, w, L] of the padded grid: 1, -1, and 0 in the padding.

    earlier: those of the frames before in a video, the latest first.
    """
    config = prior.config
    rows, columns = -(-height // patch), -(-width // patch)
    h, w = -(-rows // 8) * 8, -(-columns // 8) * 8
    inside = np.zeros((h, w), bool)
    inside[:rows, :columns] = True
    signs = np.zeros((h, w, config["bits"]), np.int64)
    tall = 32 * -(-h // 2048)
    tops = range(0, h, tall)
    levels = [SliceBytes(payload, len(tops)).parts for payload in payloads]
    for j, top in enumerate(tops):
        part = slice(top, top + tall)
        before = [frame[part] for frame in earlier]
        decode_slice(prior, inside[part], signs[part], [level[j] for level in levels], before)
    return signs


def decode_slice(
    prior: ReferencePrior,
    inside: npt.NDArray[np.bool_],
    signs: Integers,
    parts: list[bytes],
    earlier: Sequence[Integers],
) -> None:
    """Decode a slice, changing signs [h, w, L]."""
    config, t = prior.config, prior.t
    n, nodes = config["sub_code"], 2 ** config["sub_code"] - 1
    h, w = inside.shape
    index = 0
    told = earlier_stream(prior, earlier)
    for s, data in enumerate(parts):
        decoder = RangeDecoder(data)
        count = config["lattices"][s]
        pattern = np.array(LATTICES[count])
        lattice = pattern[np.arange(h)[:, None] % 2, np.arange(w)[None] % 2]
        for number in range(count):
            tokens = inside & (lattice == number)
            embedding = t["embed_pass"][index].astype(np.int64)
            embedding = embedding + t["embed_token"][(~inside).astype(int)]
            index += 1
            if not tokens.any():
                continue
            x = prior.blocks(rounded(prior.linear("embed", 4 * signs)) + embedding + told)
            logits = rounded(prior.linear("head", scaled(x[tokens], t["gain"])))
            probabilities = t["probability"][
                np.clip(logits[:, s * nodes : (s + 1) * nodes], -768, 768) + 768
            ]
            node = np.zeros(len(probabilities), np.int64)
            found = np.zeros((len(probabilities), n), np.int64)
            for depth in range(n):
                bits = decoder.bits(probabilities[np.arange(len(probabilities)), node])
                found[:, depth] = np.where(bits, 1, -1)
                node = 2 * node + 1 + bits
            where = np.argwhere(tokens)
            signs[where[:, 0], where[:, 1], s * n : (s + 1) * n] = found


def earlier_stream(prior: ReferencePrior, earlier: Sequence[Integers]) -> Integers | int:
    """What the frames before tell, of section "Videos"."""
    count = prior.config.get("earlier_frames", 0)
    if not (count and earlier):
        return 0
    known = list(earlier[:count])
    signs = np.concatenate(known + [np.zeros_like(known[0])] * (count - len(known)), -1)
    part = copy(prior)
    part.config = prior.config | {"blocks": prior.config["earlier_blocks"]}
    part.t = {k[8:]: v for k, v in prior.t.items() if k.startswith("earlier.")}
    embedding = part.t["embed_known"][len(known)].astype(np.int64)
    return part.blocks(rounded(part.linear("embed", 4 * signs)) + embedding)


def decode_group(
    prior: ReferencePrior,
    patch: int,
    width: int,
    height: int,
    frames: Sequence[bytes],
    types: Sequence[int],
) -> list[Integers]:
    """Signs of each frame of a group of section "Videos", whose checksum is checked.

    types: of the frames, 0 for I and 1 for P.
    """
    shape = prior.all_configs["prior"]
    sub_codes = shape["bits"] // shape["sub_code"]
    crc = int.from_bytes(frames[0][:4], "little")
    found: list[Integers] = []
    depth = sub_codes
    own_crc = 0
    for payload, kind in zip((frames[0][4:], *frames[1:]), types, strict=True):
        if not payload:
            found.append(found[-1])
        else:
            depth = sub_codes - payload[0]
            levels = levels_of(payload[1:], depth)
            earlier = found[::-1] if kind else []
            found.append(decode_codes(prior, patch, width, height, levels, earlier))
        codes = found[-1][..., : depth * shape["sub_code"]]
        own_crc = codes_crc(codes, patch, width, height, own_crc)
    if own_crc != crc:
        raise ValueError("the codes are not those that were coded")
    return found


def codes_crc(signs: Integers, patch: int, width: int, height: int, crc: int = 0) -> int:
    """The checksum in END; crc: of what goes before."""
    inside = signs[: -(-height // patch), : -(-width // patch)] > 0
    for code in inside.reshape(-1, inside.shape[-1]):
        number = int("".join("1" if bit else "0" for bit in code), 2)
        crc = zlib.crc32(number.to_bytes(8, "little"), crc)
    return crc
