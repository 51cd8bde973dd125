"""The quantizer step that gives a quality, and the search for the one that gives a
size or a PSNR."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from bsqcodec.errors import TargetError

COARSEST, FINEST = 244, 12
"""Step indices of quality 0 and quality 100, without a search."""

LAST_STEP = 255
"""Step index down to which a size or a PSNR is optimised for, coarser than quality 0."""

OPTIMISED_STEP_OFFSET = 10
"""Step indices by which a picture of about the same MS-SSIM is coarser if its
integers are optimised.

By MS-SSIM it would be 8 at .1 bits per pixel of Kodak pictures, 11 at .26 and 15 at .5.
"""

FULL_OFFSET_QUALITY = 80
"""Quality from which downwards it is coarser by that much; at quality 100 it is not at all."""

TOLERANCE = 0.02
"""A size target is met when the file is at most this fraction below it."""

MAX_STRENGTH = 100.0
"""Strength, relative to the default one, at which nearly all bits are dropped."""

MIN_STRENGTH = 0.05
"""Strengths (of rate against distortion) below this one are raised to it before a bisection."""


def step_of_quality(quality: float, optimised: bool = False) -> int:
    """Step index 0..255 (smaller is finer) of a quality 0..100, in which it is linear.

    optimised: of a picture whose integers are optimised, which is about as good, by what it is
    tuned for, at a coarser step. Above `FULL_OFFSET_QUALITY` the line is steeper,
    down to the finest step.
    """
    step = COARSEST + (FINEST - COARSEST) * quality / 100
    if optimised:
        step += OPTIMISED_STEP_OFFSET * min(1.0, (100 - quality) / (100 - FULL_OFFSET_QUALITY))
    return round(step)


def quality_of_step(step: int, optimised: bool = False) -> float:
    """Inverse of `step_of_quality`; 0 for coarser steps."""
    slope = (COARSEST - FINEST) / 100
    quality = (COARSEST - step) / slope
    if optimised:  # of two lines that meet at FULL_OFFSET_QUALITY, the lower one
        near_finest = 100 - (step - FINEST) / (
            slope + OPTIMISED_STEP_OFFSET / (100 - FULL_OFFSET_QUALITY)
        )
        quality = min(quality + OPTIMISED_STEP_OFFSET / slope, near_finest)
    return max(0.0, quality)


def step_among(steps: Sequence[int], quality: float) -> int:
    """The step of a quality 0..100 where there are a few, finest first, at equal distances.

    The coarser of two that are as near.
    """
    return steps[math.floor((1 - quality / 100) * (len(steps) - 1) + 0.5)]


def quality_among(steps: Sequence[int], step: int) -> float | None:
    """The quality at which `step_among` gives a step; None if there is no other."""
    if len(steps) == 1:
        return None
    return 100 * (1 - steps.index(step) / (len(steps) - 1))


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
        strong = MAX_STRENGTH * max(strength, 1.0)
        size, result = attempt(LAST_STEP, strong)
        if size > limit:
            raise TargetError(
                f"the smallest file this picture gives is {size} bytes,"
                f" more than the {limit} asked for; ask for more, or make the picture smaller"
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
    strong = MAX_STRENGTH * max(strength, 1.0)
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
        middle = math.sqrt(max(weak, MIN_STRENGTH) * strong)
        size, result = attempt(step, middle)
        if size <= limit:
            strong = middle
            if size > best.figure:
                best = Trial(step, middle, size, result)
        else:
            weak = middle
    return best


def largest_within(
    attempt: Callable[[int], tuple[int, T]], steps: Sequence[int], limit: int
) -> Trial[T]:
    """The largest result of at most `limit` bytes that a few steps give, finest first.

    Raises TargetError if none is small enough.
    """
    size = 0
    for step in steps:
        size, result = attempt(step)
        if size <= limit:
            return Trial(step, 1.0, size, result)
    raise TargetError(
        f"the smallest file this picture gives is {size} bytes, more than the {limit} asked for;"
        " ask for more, or make the picture smaller"
    )


def coarsest_within(
    attempt: Callable[[int], tuple[float, T]], steps: Sequence[int], wanted: float
) -> Trial[T]:
    """The coarsest of a few steps, finest first, whose PSNR is at least `wanted`.

    Raises TargetError if the finest step does not reach it.
    """
    figure = 0.0
    for step in reversed(steps):
        figure, result = attempt(step)
        if figure >= wanted:
            return Trial(step, 1.0, figure, result)
    raise TargetError(
        f"{wanted:g} dB is out of reach: the finest step gives {figure:.2f} dB; ask for less"
    )


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
                f"{wanted:g} dB is out of reach: the finest step gives {figure:.2f} dB;"
                " ask for less"
            )
        best = Trial(FINEST, 1.0, figure, result)
    return best
