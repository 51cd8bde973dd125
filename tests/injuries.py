"""Files injured at random: what storage, transfer and editors do to bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from random import Random

COUNTS = (1, 1, 1, 2, 3)
LENGTHS = tuple(range(1, 20))


def injured(
    originals: Iterable[bytes],
    rng: Random,
    *,
    counts: Sequence[int] = COUNTS,
    lengths: Sequence[int] = LENGTHS,
    others: Sequence[Callable[[bytearray, Random], None]] = (),
) -> bytes:
    """One of the originals with some injuries, which may be the rest of another of them.

    counts, lengths: how many injuries, and of how many bytes each; one is chosen at random.
    others: injuries of other kinds, which change the bytes that they are given.
    """
    files = list(originals)
    data = bytearray(rng.choice(files))
    for _ in range(rng.choice(counts)):
        start = rng.randrange(len(data) + 1)
        end = min(len(data), start + rng.choice(lengths))
        kind = rng.randrange(8 + len(others))
        if kind == 0:
            data[start:end] = rng.randbytes(end - start)
        elif kind == 1:
            del data[start:end]
        elif kind == 2:
            data[start:start] = rng.randbytes(rng.choice(lengths))
        elif kind == 3:
            data[start:end] = bytes(end - start)
        elif kind == 4:
            data[start:start] = data[start:end]
        elif kind == 5:
            del data[start:]
        elif kind == 6:
            other = rng.choice(files)
            data[start:] = other[rng.randrange(len(other)) :]
        elif kind > 7:
            others[kind - 8](data, rng)
        elif start < end:
            data[start] ^= 1 << rng.randrange(8)
    return bytes(data)
