"""What an encoder may be asked for: a quality, a rate, a size or a PSNR."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from numbers import Integral, Real
from typing import TypeAlias

_MAX_NUMBER_CHARACTERS = 40
"""Characters of a number in a size at most."""


@dataclass(frozen=True)
class Quality:
    """Quality 0 (coarsest) .. 100 (finest)."""

    value: float

    def __post_init__(self) -> None:
        _check_number("a quality", self.value)
        if not 0 <= self.value <= 100:
            raise ValueError(f"quality {self.value:g} is outside 0..100")


@dataclass(frozen=True)
class BitsPerPixel:
    """Bits of the whole file for each pixel."""

    value: float

    def __post_init__(self) -> None:
        _check_number("bits per pixel", self.value)
        if not (math.isfinite(self.value) and self.value > 0):
            raise ValueError(f"{self.value:g} bits per pixel is not a positive number")


@dataclass(frozen=True)
class Bitrate:
    """Bits a second of the pictures of a video, on average."""

    value: float

    def __post_init__(self) -> None:
        _check_number("a bitrate", self.value)
        if not (math.isfinite(self.value) and self.value > 0):
            raise ValueError(f"a bitrate of {self.value:g} is not a positive number")


@dataclass(frozen=True)
class Size:
    """Bytes of the whole file."""

    bytes: int

    def __post_init__(self) -> None:
        if isinstance(self.bytes, bool) or not isinstance(self.bytes, Integral):
            raise TypeError(f"a size is a whole number of bytes, not {self.bytes!r}")
        if self.bytes < 1:
            raise ValueError(f"a size of {self.bytes} bytes is not positive")


@dataclass(frozen=True)
class Psnr:
    """PSNR of 8-bit samples in dB, of the decoded picture as a file would hold it."""

    db: float

    def __post_init__(self) -> None:
        _check_number("a PSNR", self.db)
        if not (math.isfinite(self.db) and self.db > 0):
            raise ValueError(f"a PSNR of {self.db:g} dB is not a positive number")


def _check_number(what: str, value: object) -> None:
    """Raise TypeError for what is no number, such as text."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{what} is a number, not {value!r}")


Target: TypeAlias = Quality | BitsPerPixel | Bitrate | Size | Psnr


def parse_size(text: str) -> int:
    """Bytes meant by "20000", "20k" or "1.5M" (powers of 1000) or "20Ki", "1Mi" (of 1024).

    Raises ValueError.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([kKmMgG]?)(i?)[bB]?\s*", text)
    if match is None:
        raise ValueError(f"{text!r} is not a size such as 20000, 20k or 1.5M")
    number, prefix, binary = match.groups()
    if len(number) > _MAX_NUMBER_CHARACTERS:
        raise ValueError(f"{text[:20]!r}... is no size that a file has")
    base = 1024 if binary else 1000
    size = int(float(number) * base ** " kmg".index(prefix.lower() or " "))
    if size < 1:
        raise ValueError(f"{text!r} is less than a byte")
    return size


def parse_bitrate(text: str) -> float:
    """Bits a second meant by "500000", "500k" or "1.5M" (powers of 1000). Raises ValueError."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([kKmMgG]?)(?:bit/s|bps)?\s*", text)
    if match is None:
        raise ValueError(f"{text!r} is not a bitrate such as 500000, 500k or 1.5M")
    number, prefix = match.groups()
    return float(number) * 1000.0 ** " kmg".index(prefix.lower() or " ")


DEFAULT_QUALITY = 50.0
"""The quality where nothing else is asked for."""

DEFAULT_TARGET = Quality(DEFAULT_QUALITY)
