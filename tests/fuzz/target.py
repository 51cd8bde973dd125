"""What a target of the fuzzer is, and what every one of them asks of a result."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from bsqcodec.errors import BsqError
from bsqcodec.video.codec import VideoCodec

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


def decode_frames(codec: VideoCodec, data: bytes, rng: Random) -> str:
    """Decode a video, or a part of it, from a source of any kind."""
    options: dict[str, Any] = {"partial": rng.randrange(2) == 0}
    if rng.randrange(4) == 0:
        options["start"] = rng.choice((0.0, 0.04, 0.1, 5.0, 1e18))
    if rng.randrange(4) == 0:
        options["duration"] = rng.choice((0.0, 0.04, 0.1, 1e18))
    source = rng.choice((bytes, io.BytesIO, Pipe))(data)
    decoded = codec.decode(source, max_pixels=MAX_PIXELS, **options)
    header = decoded.file.header
    count, last = 0, None
    for frame in decoded.frames():
        expect(frame.pixels.shape == (header.height, header.width, 3), "samples")
        expect(last is None or frame.pts > last, "times")
        last, count = frame.pts, count + 1
    for lost in decoded.missing:
        expect(options["partial"] and "\n" not in lost.reason, "missing frames")
    return "cut" if decoded.missing else f"decoded{'' if count else ' to nothing'}"


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
