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

GROUPS_IN_FLIGHT = 4
"""Groups that are under way at a time at most, where each goes by the bits of those before it."""

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


class GroupControl(Protocol):
    """Chooses the steps of one group.

    dry: whether the next coding needs errors only, no payloads.
    """

    dry: bool

    def first_step(self) -> int:
        """The step with which the group is coded first."""

    def judge(self, step: int, coded: CodedGroup, seconds: float) -> int | None:
        """Another step with which to code the group again, or None to accept the coding.

        seconds: how long the frames of the group are shown.
        """


class RateControl(Protocol):
    """Has a control for each group. Groups may be begun before those in front of them are done.

    Which of these a group goes by follows from the groups' numbers, so that a file does not depend
    on how many are in flight.
    """

    def needs(self, index: int, first_frame: int) -> int:
        """How many groups have to be accepted before the group `index` can be begun."""

    def begin(self, index: int, first_frame: int) -> GroupControl:
        """The control of a group, which goes by those groups alone that it needs."""

    def accept(self, step: int, coded: CodedGroup, seconds: float) -> None:
        """Take note of how the next group, in their order, was coded in the end."""


def groups_known(index: int) -> int:
    """How many groups are accepted when a group is begun that has to go by some of them.

    The first one is always waited for, as it tells what the video costs.
    """
    return max(index - GROUPS_IN_FLIGHT, min(index, 1))


class ConstantStep:
    """The same step for all groups; a `RateControl`, and the `GroupControl` of each group."""

    dry = False

    def __init__(self, step: int) -> None:
        self._step = step

    def needs(self, index: int, first_frame: int) -> int:
        return 0

    def begin(self, index: int, first_frame: int) -> GroupControl:
        return self

    def accept(self, step: int, coded: CodedGroup, seconds: float) -> None:
        pass

    def first_step(self) -> int:
        return self._step

    def judge(self, step: int, coded: CodedGroup, seconds: float) -> int | None:
        return None


MISSED_RATE_RATIO = 1.1
"""A video with more than this times the wanted bits gets a note."""


class AverageRate:
    """So many bits a frame, or a second, on average;
    later groups compensate for one that differs."""

    def __init__(self, *, per_frame: float = 0.0, per_second: float = 0.0) -> None:
        self._per_frame, self._per_second = per_frame, per_second
        self._known = [(float(INITIAL_STEP), 0.0)]  # step and bits left, after so many groups

    def missed(self, bits: int, frames: int, seconds: float) -> str | None:
        """A note if frames of so many seconds have far more bits than they should, else None."""
        wanted = self._nominal(frames, seconds)
        if bits <= MISSED_RATE_RATIO * wanted:
            return None
        return f"the frames take {bits / wanted:.2f} times the bits asked for"

    def needs(self, index: int, first_frame: int) -> int:
        return groups_known(index)

    def begin(self, index: int, first_frame: int) -> GroupControl:
        step, unspent = self._known[self.needs(index, first_frame)]
        return _RateOfGroup(self, step, unspent)

    def accept(self, step: int, coded: CodedGroup, seconds: float) -> None:
        frames, bits = len(coded.payloads), 8 * coded.size
        unspent = self._known[-1][1] + self._nominal(frames, seconds) - bits
        following = self.wanted(frames, seconds, unspent)
        better = step + STEPS_PER_HALVING * math.log2(bits / following)
        self._known.append((min(max(better, FINEST), LAST_STEP), unspent))

    def _nominal(self, frames: int, seconds: float) -> float:
        """Bits that so many frames have on average."""
        return self._per_frame * frames + self._per_second * seconds

    def wanted(self, frames: int, seconds: float, unspent: float) -> float:
        """Bits for a group, given how many the groups before it have left."""
        nominal = self._nominal(frames, seconds)
        return max(nominal + unspent / COMPENSATION_GROUPS, nominal / 4)


class _RateOfGroup:
    """The control of one group of an average rate."""

    dry = False

    def __init__(self, rate: AverageRate, step: float, unspent: float) -> None:
        self._rate, self._step, self._unspent = rate, step, unspent
        self._codings = 0

    def first_step(self) -> int:
        return _possible(self._step)

    def judge(self, step: int, coded: CodedGroup, seconds: float) -> int | None:
        bits = 8 * coded.size
        off = math.log2(bits / self._rate.wanted(len(coded.payloads), seconds, self._unspent))
        better = _possible(step + STEPS_PER_HALVING * off)
        self._codings += 1
        is_far = abs(off) > math.log2(MAX_GROUP_RATE_RATIO)
        return better if is_far and better != step and self._codings < 4 else None


def _possible(step: float) -> int:
    """The nearest step that there is."""
    return min(max(round(step), FINEST), LAST_STEP)


class MinimumPsnr:
    """The coarsest step for each group that gives a PSNR of at least so many dB."""

    def __init__(self, psnr: float) -> None:
        self._psnr = psnr
        self._steps = [INITIAL_STEP]  # of the group before, after so many groups

    def needs(self, index: int, first_frame: int) -> int:
        return groups_known(index)

    def begin(self, index: int, first_frame: int) -> GroupControl:
        return _PsnrOfGroup(self._psnr, self._steps[self.needs(index, first_frame)])

    def accept(self, step: int, coded: CodedGroup, seconds: float) -> None:
        self._steps.append(step)


class _PsnrOfGroup:
    """The search for the step of one group. step: the one that is tried first."""

    def __init__(self, psnr: float, step: int) -> None:
        self._psnr, self._step = psnr, step
        self.dry = True
        self._good, self._bad = FINEST - 1, LAST_STEP + 1

    def first_step(self) -> int:
        return self._step

    def judge(self, step: int, coded: CodedGroup, seconds: float) -> int | None:
        if not self.dry:
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
            if coded.payloads and step == self._good:  # though none were needed
                return None
            self.dry = False
            return self._good
        if math.isinf(psnr):
            return min(LAST_STEP, self._bad - 1)
        guess = round(step + STEPS_PER_DECIBEL * (psnr - self._psnr))
        return _possible(min(max(guess, self._good + 1), self._bad - 1))


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
