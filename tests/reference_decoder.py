"""A second decoder of the integers in a .bsq file, written from docs/BITSTREAM.md alone.

It shares no code with bsqcodec: numpy integers for the prior, Python's for the range coder. Single
operations in np.float32 stand where the page asks for them.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import safe_open
from safetensors.numpy import load_file

Integers = npt.NDArray[np.int64]

NEIGHBOURS = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))
WEIGHT_OF_NEIGHBOUR = (1, 2, 1, 2, 2, 1, 2, 1)
NAMES_OF_TYPES = {"f2": "float16", "f4": "float32", "u1": "uint8", "i1": "int8", "i2": "int16"}
NAMES_OF_TYPES |= {"i4": "int32"}


class RangeDecoder:
    """The decoder of section "Range coder"."""

    def __init__(self, payload: bytes) -> None:
        self.words = list(struct.unpack(f"<{len(payload) // 4}I", payload))
        self.low, self.range = 0, 2**64 - 1
        self.point = self.word() << 32
        self.point |= self.word()

    def word(self) -> int:
        return self.words.pop(0) if self.words else 0

    def bit(self, probability: int) -> bool:
        split = 256 * (65536 - probability) - (probability < 32768)
        scale = self.range >> 24
        quantile = (self.point - self.low) % 2**64 // scale
        if quantile >= 2**24:
            raise ValueError("damaged")
        one = quantile >= split
        self.low += scale * (split if one else 0)
        self.range = scale * (2**24 - split if one else split)
        if self.range < 2**32:
            self.range <<= 32
            self.low <<= 32
            self.point = self.point << 32 | self.word()
        self.low %= 2**64
        self.point %= 2**64
        return one

    def bits(self, probabilities: Integers) -> npt.NDArray[np.bool_]:
        return np.array([self.bit(int(k)) for k in probabilities.ravel()], bool).reshape(
            probabilities.shape
        )


def rounded(x: npt.NDArray[np.float32]) -> Integers:
    """To the nearest integer, halves to the even one."""
    assert x.dtype == np.float32
    return np.rint(x).astype(np.int64)


def scaled(x: Integers, factor: npt.NDArray[np.float32], low: int = -127) -> Integers:
    """x * factor in one float32 multiplication, rounded, and clipped to low .. 127."""
    return np.clip(rounded(x.astype(np.float32) * factor), low, 127)


class ReferencePrior:
    """The prior of section "The prior", from a file of weights."""

    def __init__(self, path: Path) -> None:
        tensors = load_file(path)
        with safe_open(path, "np") as file:
            self.all_configs: dict[str, Any] = json.loads(file.metadata()["bsqcodec"])
        self.config = self.all_configs["prior"]
        self.id = self.identity(tensors)
        self.t = {k[6:]: v for k, v in tensors.items() if k.startswith("prior.")}
        self.channels = self.config.get("channels", 0)

    def identity(self, tensors: dict[str, npt.NDArray[Any]]) -> bytes:
        digest = hashlib.sha256(json.dumps(self.all_configs, sort_keys=True).encode())
        for name in sorted(tensors):
            array = tensors[name]
            kind = NAMES_OF_TYPES[array.dtype.str[1:]]
            digest.update(f"\n{name} torch.{kind} {array.shape}\n".encode())
            digest.update(array.tobytes())
        return digest.digest()[:8]

    def stages(self, step: int) -> list[tuple[int, int, Integers]]:
        """(plane, kind, channels) of each stage in coding order."""
        planes, bands = self.t["planes"], self.config["bands"]
        result = []
        kind = 0
        for plane in range(int(planes.max()) - 1, -1, -1):
            start = 0
            for end in bands[min(plane, len(bands) - 1)]:
                channels = np.arange(start, end)
                channels = channels[planes[step // 16, start:end] > plane]
                if len(channels):
                    result.append((plane, kind, channels))
                kind += 1
                start = end
        return result

    def linear(self, name: str, a: Integers) -> npt.NDArray[np.float32]:
        """Exact sums [..., N] of a [..., K] and the weights, times the multipliers, not rounded."""
        sums = a @ self.t[f"{name}.weight"].astype(np.int64).T + self.t[f"{name}.bias"]
        assert abs(sums).max() < 2**24
        return sums.astype(np.float32) * self.t[f"{name}.multiplier"]

    def trunk(self, v: Integers, power: int, embedding: Integers) -> Integers:
        """The stream x [h, w, D]."""
        u = np.clip(np.sign(v) * (abs(v) // power), -7, 7)
        return self.blocks(
            rounded(self.linear("embed", np.concatenate([u, abs(u)], -1))) + embedding
        )

    def blocks(self, x: Integers) -> Integers:
        """The stream x [h, w, D] after all blocks."""
        for i in range(self.config["blocks"]):
            new = x.copy()
            attends = self.config.get("attention", True)
            for top in range(0, x.shape[0] if attends else 0, 8):
                for left in range(0, x.shape[1], 8):
                    window = x[top : top + 8, left : left + 8]
                    new[top : top + 8, left : left + 8] += self.attention(i, window)
            a = scaled(new, self.t[f"blocks.{i}.mlp_gain"])
            parts = np.split(a, 8, axis=-1)
            around = [neighbour(part, *at) for part, at in zip(parts, NEIGHBOURS, strict=True)]
            hidden = rounded(self.linear(f"blocks.{i}.up", np.concatenate([a, *around], -1)))
            x = new + rounded(self.linear(f"blocks.{i}.down", np.clip(hidden, 0, 127)))
        assert abs(x).max() < 2**24
        return x

    def attention(self, i: int, window: Integers) -> Integers:
        """What attention adds to a window [8, 8, D]."""
        heads = self.config["heads"]
        a = scaled(window.reshape(64, -1), self.t[f"blocks.{i}.attention_gain"])
        qkv = np.clip(rounded(self.linear(f"blocks.{i}.qkv", a)), -127, 127)
        y = []
        row, column = np.divmod(np.arange(64), 8)
        place = (row[:, None] - row + 7) * 15 + (column[:, None] - column + 7)
        q, k, v = (np.split(part, heads, axis=1) for part in np.split(qkv, 3, axis=1))
        for head in range(heads):
            raw = (q[head] @ k[head].T).astype(np.float32)
            score = rounded(raw * self.t[f"blocks.{i}.slope"][head])
            score = np.clip(score + self.t[f"blocks.{i}.score_bias"][head][place], 0, 15)
            weight = score * score
            total = 1 + weight.sum(1, keepdims=True)
            mean = (weight @ v[head]).astype(np.float32) / total.astype(np.float32)
            y.append(np.clip(rounded(mean), -127, 127))
        return rounded(self.linear(f"blocks.{i}.out", np.concatenate(y, 1))).reshape(window.shape)

    def contexts(self, v: Integers, power: int) -> Integers:
        """Context of each digit [h, w, C]."""
        u = np.sign(v) * (abs(v) // power)
        own = np.where(u == 0, 0, np.where(abs(u) > 4, 3, np.where(u > 0, 1, 2)))
        pairs = list(zip(NEIGHBOURS, WEIGHT_OF_NEIGHBOUR, strict=True))
        magnitude = sum(weight * neighbour(abs(v), *at) for at, weight in pairs)
        trend = sum(weight * neighbour(v, *at) for at, weight in pairs) - 12 * v
        size = sum(np.asarray(magnitude >= e * power, int) for e in (1, 3, 6, 10, 16, 26, 44))
        slope = sum((trend >= e * power).astype(int) for e in (-12, -4, 5, 13))
        return (own * 8 + size) * 5 + slope

    def probability(self, logits: Integers) -> Integers:
        return self.t["probability"][np.clip(logits, -768, 768) + 768]


def neighbour(x: Integers, down: int, right: int) -> Integers:
    """y[i, j] = x[i + down, j + right], 0 outside."""
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    height, width = x.shape[:2]
    return padded[1 + down : 1 + down + height, 1 + right : 1 + right + width]


def decode_integers(
    prior: ReferencePrior, step: int, width: int, height: int, payloads: list[bytes]
) -> Integers:
    """Integers [h, w, C] of the padded grid, from the level payloads."""
    rows, columns = -(-height // 16), -(-width // 16)
    h, w = -(-rows // 8) * 8, -(-columns // 8) * 8
    v = np.zeros((h, w, prior.channels), np.int64)
    stopped = np.ones((h, w), bool)
    stopped[:rows, :columns] = False
    coded: dict[int, int] = {}
    for plane, _, channels in prior.stages(step):
        coded[plane] = coded.get(plane, 0) + len(channels)
    levels: list[list[tuple[int, int, Integers]]] = []
    for stage in prior.stages(step):
        before = levels[-1][-1][0] if levels else None
        if before is None or (before != stage[0] and 4 * coded[before] > coded[0]):
            levels.append([])
        levels[-1].append(stage)
    for level, payload in zip(levels, payloads, strict=False):
        bits = RangeDecoder(payload).bits
        for stage in level:
            for colour in (0, 1):
                decode_pass(prior, step, stage, colour, v, stopped, bits)
    return v


def decode_pass(
    prior: ReferencePrior,
    step: int,
    stage: tuple[int, int, Integers],
    colour: int,
    v: Integers,
    stopped: npt.NDArray[np.bool_],
    bits: Callable[[Integers], npt.NDArray[np.bool_]],
) -> None:
    """Decode one colour of the checkerboard in a stage, changing v and stopped."""
    plane, kind, channels = stage
    power, c, t = 3**plane, prior.channels, prior.t
    parity = np.add.outer(np.arange(v.shape[0]), np.arange(v.shape[1])) % 2
    tokens = (parity == colour) & ~stopped
    if not tokens.any():
        return
    known = (parity == 0) & (colour == 1)
    embedding = t["embed_pass"][2 * kind + colour].astype(np.int64) + t["embed_bucket"][step // 16]
    x = prior.trunk(v, power, embedding + t["embed_token"][known + 2 * stopped])
    head = rounded(prior.linear("head", scaled(x[tokens], t["gain"])))
    stops = bits(prior.probability(head[:, 2 * c] + t["stop_table"][kind, step // 16]))
    context = prior.contexts(v, power)[tokens][:, channels]
    stopped[tokens] = stops
    going = ~stops
    if not going.any():
        return
    table = t["table"][kind, channels, context[going]]
    nonzero = bits(prior.probability(head[going][:, channels] + table[..., 0]))
    positive = prior.probability(head[going][:, c + channels] + table[..., 1])
    digits = np.zeros(nonzero.shape, np.int64)
    digits[nonzero] = np.where(bits(positive[nonzero]), 1, -1)
    tokens &= ~stopped
    where = np.argwhere(tokens)
    v[where[:, :1], where[:, 1:], channels] += power * digits


def symbols_crc(v: Integers, width: int, height: int) -> int:
    """The checksum in END."""
    inside = v[: -(-height // 16), : -(-width // 16)]
    return zlib.crc32(inside.astype("<i2").tobytes())
