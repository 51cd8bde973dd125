"""Which quantizer step each group of pictures gets, for a quality, a rate or a PSNR."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from bsqcodec.encoder.psnr import psnr_of_error
from bsqcodec.encoder.target_search import FINEST, LAST_STEP, step_of_quality
from bsqcodec.errors import TargetError
from bsqcodec.format.video_gop import FrameType
from bsqcodec.models.token_grid import TokenGrid
from bsqcodec.targets import Bitrate, BitsPerPixel, Psnr, Quality, Target

INITIAL_STEP = 176
"""Step index of the first group, where no target gives another."""

STEPS_PER_HALVING = 28.0
"""Step indices that halve the bits, about."""

STEPS_PER_DECIBEL = 6.5
"""Step indices that lose a dB of PSNR, about."""

COMPENSATION_GROUPS = 4
"""Groups over which bits that were spent too much or too little are compensated."""

MAX_GROUP_RATE_RATIO = 1.3
"""A group is coded again if its bits are more than this times the wanted bits,
or that much fewer."""

PSNR_TOLERANCE_DB = 0.1
"""A PSNR at most so many dB above the wanted one is accepted."""


@dataclass(frozen=True)
class CodedGroup:
    """Payloads of the frames of a group, and the decoded frames' mean squared errors.

    types: of the frames, by default I of the first and P of the others.
    """

    payloads: tuple[bytes, ...]
    errors: tuple[float, ...]
    types: tuple[FrameType, ...] = ()

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(map(len, self.payloads))


class RateControl(Protocol):
    """Chooses the step of each group.

    dry: whether the next coding needs errors only, no payloads.
    """

    dry: bool

    def first_step(self) -> int:
        """The step with which the next group is coded first."""

    def judge(self, step: int, coded: CodedGroup, seconds: float) -> int | None:
        """Another step with which to code the group again, or None to accept the coding.

        seconds: how long the frames of the group are shown.
        """


class ConstantStep:
    """The same step for all groups."""

    dry = False

    def __init__(self, step: int) -> None:
        self._step = step

    def first_step(self) -> int:
        return self._step

    def judge(self, step: int, coded: CodedGroup, seconds: float) -> int | None:
        return None


MISSED_RATE_RATIO = 1.1
"""A video with more than this times the wanted bits gets a note."""


class AverageRate:
    """So many bits a frame, or a second, on average;
    later groups compensate for one that differs."""

    dry = False

    def __init__(self, *, per_frame: float = 0.0, per_second: float = 0.0) -> None:
        self._per_frame, self._per_second = per_frame, per_second
        self._step = float(INITIAL_STEP)
        self._unspent = 0.0
        self._codings = 0

    def first_step(self) -> int:
        return self._clamped(self._step)

    def missed(self, bits: int, frames: int, seconds: float) -> str | None:
        """A note if frames of so many seconds have far more bits than they should, else None."""
        wanted = self._per_frame * frames + self._per_second * seconds
        if bits <= MISSED_RATE_RATIO * wanted:
            return None
        return f"the frames take {bits / wanted:.2f} times the bits asked for"

    @staticmethod
    def _clamped(step: float) -> int:
        return min(max(round(step), FINEST), LAST_STEP)

    def judge(self, step: int, coded: CodedGroup, seconds: float) -> int | None:
        frames, bits = len(coded.payloads), 8 * coded.size
        nominal = self._per_frame * frames + self._per_second * seconds
        wanted = max(nominal + self._unspent / COMPENSATION_GROUPS, nominal / 4)
        off = math.log2(bits / wanted)
        better = self._clamped(step + STEPS_PER_HALVING * off)
        self._codings += 1
        if abs(off) > math.log2(MAX_GROUP_RATE_RATIO) and better != step and self._codings < 4:
            return better
        self._codings = 0
        self._unspent += nominal - bits
        following = max(nominal + self._unspent / COMPENSATION_GROUPS, nominal / 4)
        self._step = min(
            max(step + STEPS_PER_HALVING * math.log2(bits / following), FINEST), LAST_STEP
        )
        return None


class MinimumPsnr:
    """The coarsest step for each group that gives a PSNR of at least so many dB."""

    def __init__(self, psnr: float) -> None:
        self._psnr = psnr
        self._step = INITIAL_STEP
        self._begin()

    def _begin(self) -> None:
        self.dry = True
        self._good, self._bad = FINEST - 1, LAST_STEP + 1

    def first_step(self) -> int:
        return self._step

    def judge(self, step: int, coded: CodedGroup, seconds: float) -> int | None:
        if not self.dry:
            self._step = step
            self._begin()
            return None
        error = sum(coded.errors) / len(coded.errors)
        psnr = psnr_of_error(error)
        if psnr >= self._psnr:
            self._good = max(step, self._good)
        else:
            self._bad = min(step, self._bad)
            if step == FINEST:
                raise TargetError(
                    f"{self._psnr:g} dB is out of reach: the finest step gives {psnr:.2f} dB;"
                    " ask for less"
                )
        if self._good == self._bad - 1 or self._psnr <= psnr <= self._psnr + PSNR_TOLERANCE_DB:
            if (
                coded.payloads and step == self._good
            ):  # a coding with payloads, though none were needed
                self._step = step
                self._begin()
                return None
            self.dry = False
            return self._good
        if math.isinf(psnr):
            return min(LAST_STEP, self._bad - 1)
        guess = round(step + STEPS_PER_DECIBEL * (psnr - self._psnr))
        guess = min(max(guess, self._good + 1), self._bad - 1)
        return min(max(guess, FINEST), LAST_STEP)


def make_rate_control(target: Target, grid: TokenGrid) -> RateControl:
    """The rate control for a target. Raises ValueError for one that needs the whole video first."""
    if isinstance(target, Quality):
        return ConstantStep(step_of_quality(target.value))
    if isinstance(target, Psnr):
        return MinimumPsnr(target.db)
    if isinstance(target, BitsPerPixel):
        return AverageRate(per_frame=target.value * grid.height * grid.width)
    if isinstance(target, Bitrate):
        return AverageRate(per_second=target.value)
    raise ValueError("a size can be met only for a video whose length is known")
