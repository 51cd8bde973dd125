"""JSON that nobody expects, alone and as the configuration of a file of weights."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from ..injuries import injured
from .video_changes import TEXTS


def odd_json(rng: Random, depth: int = 0) -> Any:
    """A value of any kind, of which some are much too large, long or deep."""
    kind = rng.randrange(9 if depth < 3 else 6)
    if kind < 3:
        return rng.choice((0, 1, -1, 7, 2**31, -(2**63), 10**30, 1e308, 0.5, True, None))
    if kind < 6:
        return rng.choice((*TEXTS, "../../etc", "00" * 8, [[]], {}, []))
    if kind == 6:
        return [odd_json(rng, depth + 1) for _ in range(rng.randrange(4))]
    return {rng.choice(TEXTS): odd_json(rng, depth + 1) for _ in range(rng.randrange(4))}


def noise_text(rng: Random) -> str:
    return "".join(rng.choice('[]{}",:0e-.\\u\n tfn\u00e4') for _ in range(rng.randrange(60)))


def changed_weights(data: bytes, rng: Random) -> bytes:
    """A file of weights with another configuration, or injured."""
    if rng.randrange(3) == 0:
        return injured([data], rng)
    return _with_other_configs(data, rng)


def _with_other_configs(data: bytes, rng: Random) -> bytes:
    """A file of weights with another configuration."""
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    configs = json.loads(header["__metadata__"]["bsqcodec"])
    part = configs[rng.choice(("tokenizer", "prior"))]
    for _ in range(rng.choice((1, 1, 2))):
        key = rng.choice((*part, "other"))
        old = part.get(key)
        near = [old + 1, old - 1, old * 2, 0, -old] if type(old) is int else []
        part[key] = rng.choice((*near, odd_json(rng)))
    if rng.randrange(10) == 0:
        configs = odd_json(rng)
    text = json.dumps(configs)
    if rng.randrange(10) == 0:
        text = rng.choice(("[" * 10**5, '{"prior":' * 10**4, noise_text(rng), text[:50]))
    header["__metadata__"]["bsqcodec"] = text
    if rng.randrange(4) == 0:
        name = rng.choice([key for key in header if key != "__metadata__"])
        header[name] = rng.choice((header[name], odd_json(rng)))
        if rng.randrange(2):
            header[f"{name}x"] = header.pop(name)
    packed = json.dumps(header).encode()
    packed += b" " * (-len(packed) % 8)
    return len(packed).to_bytes(8, "little") + packed + data[8 + size :]
