"""What a user may ask for (quality, rate, size, PSNR), and the search for the step that gives it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Generic, TypeAlias, TypeVar

from bsqcodec.errors import TargetError

COARSEST, FINEST = 244, 12
"""Step indices of quality 0 and quality 100, without a search."""

DEFAULT_QUALITY = 50.0
"""The quality of a picture where nothing else is asked for."""

LAST_STEP = 255
"""Step index down to which a size or a PSNR is searched for, coarser than quality 0."""

SEARCH_COARSER = 10
"""Step indices by which a picture is coarser if its integers are searched for, to be about as good.

By MS-SSIM it would be 8 at .1 bits per pixel of Kodak pictures, 11 at .26 and 15 at .5.
"""

SEARCH_FULLY = 80
"""Quality from which downwards it is coarser by that much; at quality 100 it is not at all."""

TOLERANCE = 0.02
"""A size target is met when the file is at most this share below it."""

STRONGEST = 100.0
"""Strength, relative to the usual one, at which bits are dropped for next to nothing."""

_LONGEST_NUMBER = 40
"""Characters of a number in a size at most."""

WEAKEST = 0.05
"""Strengths (of rate against distortion) below this count as this where they are bisected."""


@dataclass(frozen=True)
class Quality:
    """Quality 0 (coarsest) .. 100 (finest); see `step_of_quality`."""

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
    if len(number) > _LONGEST_NUMBER:
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


def step_of_quality(quality: float, searched: bool = False) -> int:
    """Step index 0..255 (smaller is finer) of a quality 0..100, in which it is linear.

    searched: of a picture whose integers are searched for, which is about as good, by what it is
    tuned for, at a coarser step. Above `SEARCH_FULLY` the line is steeper, down to the finest step.
    """
    step = COARSEST + (FINEST - COARSEST) * quality / 100
    if searched:
        step += SEARCH_COARSER * min(1.0, (100 - quality) / (100 - SEARCH_FULLY))
    return round(step)


def quality_of_step(step: int, searched: bool = False) -> float:
    """Inverse of `step_of_quality`; 0 for coarser steps."""
    slope = (COARSEST - FINEST) / 100
    quality = (COARSEST - step) / slope
    if searched:  # of two lines that meet at SEARCH_FULLY, the lower one
        near_finest = 100 - (step - FINEST) / (slope + SEARCH_COARSER / (100 - SEARCH_FULLY))
        quality = min(quality + SEARCH_COARSER / slope, near_finest)
    return max(0.0, quality)


T = TypeVar("T")


@dataclass(frozen=True)
class Trial(Generic[T]):
    """One attempt: the step and strength tried, the figure it gave, and what was made."""

    step: int
    strength: float
    figure: float
    result: T


def search_size(
    attempt: Callable[[int, float], tuple[int, T]],
    limit: int,
    strength: float,
    near: int = LAST_STEP,
) -> Trial[T]:
    """The largest result of at most `limit` bytes that steps and strengths give.

    attempt(step, strength) -> (bytes, result): bytes fall as the step index grows, and, more
    finely, as the strength (of rate against distortion in the encoder's decisions) grows.
    Bisects the step, then the strength at the coarsest step that is too large.
    near: the step to try first; it saves attempts if the right one is not far.
    Raises TargetError if even the coarsest step is too large.
    """
    sizes: dict[int, int] = {}
    best: Trial[T] | None = None  # the only result kept: they are large

    def at(step: int) -> int:
        nonlocal best
        if step not in sizes:
            sizes[step], result = attempt(step, strength)
            if sizes[step] <= limit and (best is None or sizes[step] > best.figure):
                best = Trial(step, strength, sizes[step], result)
        return sizes[step]

    low, high, stride = FINEST, near, 4  # low too large (or unknown), high small enough
    while at(high) > limit and high < LAST_STEP:
        low, high, stride = high, min(high + stride, LAST_STEP), 2 * stride
    if best is None:
        strong = STRONGEST * max(strength, 1.0)
        size, result = attempt(LAST_STEP, strong)
        if size > limit:
            raise TargetError(
                f"the smallest file this picture gives is {size} bytes,"
                f" more than the {limit} asked for"
            )
        best = Trial(LAST_STEP, strong, size, result)
        return _bisect_strength(attempt, limit, best, LAST_STEP, strength)
    slope = 32.0  # steps for a factor of two in size, refined from what was tried
    while high - low > 1 and not at_limit(best.figure, limit):
        distance = slope * math.log2(limit / sizes[high])
        guess = min(max(round(high - max(distance, 1.0)), low + 1), high - 1)
        if len(sizes) > 6:  # the size hardly follows the step, as with large metadata
            guess = (low + high) // 2
        if at(guess) <= limit:
            if sizes[guess] > sizes[high]:
                slope = (high - guess) / math.log2(sizes[guess] / sizes[high])
                slope = min(max(slope, 8.0), 64.0)
            high = guess
        else:
            low = guess
            slope *= 0.75
    if at_limit(best.figure, limit) or (low == FINEST and at(FINEST) <= limit):
        return best
    strong = STRONGEST * max(strength, 1.0)
    return _bisect_strength(attempt, limit, best, low, strength, strong)


def _bisect_strength(
    attempt: Callable[[int, float], tuple[int, T]],
    limit: int,
    best: Trial[T],
    step: int,
    weak: float,
    strong: float | None = None,
) -> Trial[T]:
    """The largest of `best` and a few trials at `step`, where `weak` gives too large a file.

    strong: a strength to stay below, that of `best` by default.
    """
    strong = best.strength if strong is None else strong
    for _ in range(6):
        if at_limit(best.figure, limit):
            break
        middle = math.sqrt(max(weak, WEAKEST) * strong)
        size, result = attempt(step, middle)
        if size <= limit:
            strong = middle
            if size > best.figure:
                best = Trial(step, middle, size, result)
        else:
            weak = middle
    return best


def at_limit(figure: float, limit: float) -> bool:
    """Whether a size is within the tolerance below the limit."""
    return limit * (1 - TOLERANCE) <= figure <= limit


def search_psnr(
    attempt: Callable[[int], tuple[float, T]], wanted: float, near: int | None = None
) -> Trial[T]:
    """The coarsest step whose PSNR is at least `wanted`, by bisection.

    near: a step to try first; it saves attempts if the right one is not far.
    Raises TargetError if the finest step does not reach it.
    """
    low, high = FINEST, LAST_STEP + 1
    best: Trial[T] | None = None
    middle, stride = ((low + high) // 2, high) if near is None else (near, 2)
    while high - low > 1:
        middle = min(max(middle, low + 1), high - 1)
        figure, result = attempt(middle)
        if figure >= wanted:
            low, best = middle, Trial(middle, 1.0, figure, result)
            middle = min((low + high) // 2, low + stride)
        else:
            high = middle
            middle = max((low + high) // 2, high - stride)
        stride *= 2
    if best is None:
        figure, result = attempt(FINEST)
        if figure < wanted:
            raise TargetError(
                f"{wanted:g} dB is out of reach: the finest step gives {figure:.2f} dB"
            )
        best = Trial(FINEST, 1.0, figure, result)
    return best
