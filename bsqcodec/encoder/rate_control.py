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


@dataclass(frozen=True)
class StepScale:
    """The steps that a rate control can choose, and about what they do to bits and errors.

    finest, coarsest: the first and the last. initial: that of the first group, where no target
    gives another. per_halving: how many steps halve the bits. per_decibel: how many lose a dB.
    """

    finest: int = FINEST
    coarsest: int = LAST_STEP
    initial: int = 176
    per_halving: float = 28.0
    per_decibel: float = 6.5

    def nearest(self, step: float) -> int:
        """The nearest step that there is."""
        return min(max(round(step), self.finest), self.coarsest)


QUANTIZER_STEPS = StepScale()
"""Step indices of the quantizer of the family `transform`."""

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

    scale: of the steps that it chooses, which is that of the family. Which groups a group goes by
    follows from their numbers, so that a file does not depend on how many are in flight.
    """

    @property
    def scale(self) -> StepScale: ...

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

    def __init__(self, step: int, scale: StepScale = QUANTIZER_STEPS) -> None:
        self._step, self.scale = step, scale

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
    later groups compensate for one that differs.

    strict: whether a rate is an error that all groups miss with the coarsest step.
    """

    def __init__(
        self,
        *,
        per_frame: float = 0.0,
        per_second: float = 0.0,
        scale: StepScale = QUANTIZER_STEPS,
        strict: bool = False,
    ) -> None:
        self._per_frame, self._per_second = per_frame, per_second
        self.scale, self._strict = scale, strict
        self._known = [(float(scale.initial), 0.0)]  # step and bits left, after so many groups
        self._coarsest = True  # whether all groups have the coarsest step

    def missed(self, bits: int, frames: int, seconds: float) -> str | None:
        """A note if frames of so many seconds have far more bits than they should, else None.

        Raises TargetError in its place where that is an error.
        """
        wanted = self._nominal(frames, seconds)
        if bits <= MISSED_RATE_RATIO * wanted:
            return None
        times = f"{bits / wanted:.2f} times"
        if self._strict and self._coarsest:
            raise TargetError(
                f"the fewest bits that these frames take are {times} those asked for;"
                " ask for more, or make the frames smaller"
            )
        return f"the frames take {times} the bits asked for"

    def needs(self, index: int, first_frame: int) -> int:
        return groups_known(index)

    def begin(self, index: int, first_frame: int) -> GroupControl:
        step, unspent = self._known[self.needs(index, first_frame)]
        return _RateOfGroup(self, step, unspent)

    def accept(self, step: int, coded: CodedGroup, seconds: float) -> None:
        self._coarsest &= step == self.scale.coarsest
        frames, bits = len(coded.payloads), 8 * coded.size
        unspent = self._known[-1][1] + self._nominal(frames, seconds) - bits
        following = self.wanted(frames, seconds, unspent)
        better = step + self.scale.per_halving * math.log2(bits / following)
        self._known.append((min(max(better, self.scale.finest), self.scale.coarsest), unspent))

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
        return self._rate.scale.nearest(self._step)

    def judge(self, step: int, coded: CodedGroup, seconds: float) -> int | None:
        bits = 8 * coded.size
        off = math.log2(bits / self._rate.wanted(len(coded.payloads), seconds, self._unspent))
        scale = self._rate.scale
        better = scale.nearest(step + scale.per_halving * off)
        self._codings += 1
        is_far = abs(off) > math.log2(MAX_GROUP_RATE_RATIO)
        return better if is_far and better != step and self._codings < 4 else None


class MinimumPsnr:
    """The coarsest step for each group that gives a PSNR of at least so many dB."""

    def __init__(self, psnr: float, scale: StepScale = QUANTIZER_STEPS) -> None:
        self._psnr, self.scale = psnr, scale
        self._steps = [scale.initial]  # of the group before, after so many groups

    def needs(self, index: int, first_frame: int) -> int:
        return groups_known(index)

    def begin(self, index: int, first_frame: int) -> GroupControl:
        return _PsnrOfGroup(self._psnr, self._steps[self.needs(index, first_frame)], self.scale)

    def accept(self, step: int, coded: CodedGroup, seconds: float) -> None:
        self._steps.append(step)


class _PsnrOfGroup:
    """The search for the step of one group. step: the one that is tried first."""

    def __init__(self, psnr: float, step: int, scale: StepScale) -> None:
        self._psnr, self._step, self._scale = psnr, step, scale
        self.dry = True
        self._good, self._bad = scale.finest - 1, scale.coarsest + 1

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
            if step == self._scale.finest:
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
            return min(self._scale.coarsest, self._bad - 1)
        guess = round(step + self._scale.per_decibel * (psnr - self._psnr))
        return self._scale.nearest(min(max(guess, self._good + 1), self._bad - 1))


def make_rate_control(target: Target, grid: TokenGrid) -> RateControl:
    """The rate control of the family `transform` for a target. Raises as `rate_control_on`."""
    if isinstance(target, Quality):
        return ConstantStep(step_of_quality(target.value))
    return rate_control_on(QUANTIZER_STEPS, target, grid)


def rate_control_on(
    scale: StepScale, target: Target, grid: TokenGrid, *, strict: bool = False
) -> RateControl:
    """The rate control for a PSNR or a rate, with steps of a scale. strict: see `AverageRate`.

    Raises ValueError for a target that needs the whole video first.
    """
    if isinstance(target, Psnr):
        return MinimumPsnr(target.db, scale)
    if isinstance(target, BitsPerPixel):
        per_frame = target.value * grid.height * grid.width
        return AverageRate(per_frame=per_frame, scale=scale, strict=strict)
    if isinstance(target, Bitrate):
        return AverageRate(per_second=target.value, scale=scale, strict=strict)
    raise ValueError("a size can be met only for a video whose length is known")
