"""A second decoder of the codes in a .bsq file of the family `bsq`, from docs/BITSTREAM_BSQ.md alone.

It shares no code with bsqcodec, and with the first second decoder what the page takes from the other
page: the range coder, linear layers, blocks, and the identity of weights.
"""

from __future__ import annotations

import zlib

import numpy as np
import numpy.typing as npt

from .reference_decoder import Integers, RangeDecoder, ReferencePrior, rounded, scaled

LATTICES = {1: ((0, 0), (0, 0)), 2: ((0, 1), (1, 0)), 4: ((0, 2), (3, 1))}


class SliceBytes:
    """The table and the bytes of section "Level payload"."""

    def __init__(self, payload: bytes, count: int) -> None:
        at = 0
        table = []
        for _ in range(count):
            length = shift = 0
            while True:
                byte = payload[at]
                at += 1
                length |= (byte & 127) << shift
                shift += 7
                if byte < 128:
                    break
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
    prior: ReferencePrior, patch: int, width: int, height: int, payloads: list[bytes]
) -> Integers:
    """Signs [h, w, L] of the padded grid: 1, -1, and 0 in the padding."""
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
        decode_slice(prior, inside[part], signs[part], [level[j] for level in levels])
    return signs


def decode_slice(
    prior: ReferencePrior, inside: npt.NDArray[np.bool_], signs: Integers, parts: list[bytes]
) -> None:
    """Decode a slice, changing signs [h, w, L]."""
    config, t = prior.config, prior.t
    n, nodes = config["sub_code"], 2 ** config["sub_code"] - 1
    h, w = inside.shape
    index = 0
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
            x = prior.blocks(rounded(prior.linear("embed", 4 * signs)) + embedding)
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


def codes_crc(signs: Integers, patch: int, width: int, height: int) -> int:
    """The checksum in END."""
    inside = signs[: -(-height // patch), : -(-width // patch)] > 0
    crc = 0
    for code in inside.reshape(-1, inside.shape[-1]):
        number = int("".join("1" if bit else "0" for bit in code), 2)
        crc = zlib.crc32(number.to_bytes(8, "little"), crc)
    return crc
