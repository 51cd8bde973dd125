"""Standard input as a pipe that delivers one byte at a time."""

from __future__ import annotations

import io
from typing import Any


class Slow(io.RawIOBase):
    """The raw end of a pipe that delivers one byte at a time."""

    def __init__(self, data: bytes) -> None:
        self._rest = data

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        piece, self._rest = self._rest[:1], self._rest[1:]
        buffer[: len(piece)] = piece
        return len(piece)


def slow_input(data: bytes) -> io.TextIOWrapper:
    """Takes the place of `sys.stdin`."""
    return io.TextIOWrapper(io.BufferedReader(Slow(data)))
