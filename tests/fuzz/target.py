"""What a target of the fuzzer is, and what every one of them asks of a result."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from bsqcodec.errors import BsqError

from .material import Material

MAX_PIXELS = 4096
LONGEST_MESSAGE = 500

Run = Callable[[Material, bytes, Random], str]
Make = Callable[[Material, Random], bytes]


@dataclass(frozen=True)
class Target:
    """make: the mutated file. run: what is done with it; returns "decoded" or how far it came.

    weight: how often it is chosen.
    """

    name: str
    weight: int
    make: Make
    run: Run


class Pipe(io.RawIOBase):
    """A source that cannot seek, and gives some bytes at a time."""

    def __init__(self, data: bytes) -> None:
        self._inner = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._inner.read(min(size, 777) if size >= 0 else 777)


class Wrong(Exception):
    """A result that is not as it should be."""


def expect(holds: bool, what: str) -> None:
    """Raise Wrong where something does not hold."""
    if not holds:
        raise Wrong(f"the {what} are not as they should be")


def check_message(error: BsqError) -> None:
    """Raise Wrong for an error whose text is not one line of bounded length."""
    text = str(error)
    if not text.strip() or len(text.splitlines()) != 1 or len(text) > LONGEST_MESSAGE:
        raise Wrong(f"the message of a {type(error).__name__} is {text[:LONGEST_MESSAGE]!r}")
