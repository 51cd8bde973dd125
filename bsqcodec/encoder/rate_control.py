"""Which quantizer step each group of pictures gets, for a quality, a rate or a PSNR."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from bsqcodec.encoder.psnr import psnr_of_error
from bsqcodec.encoder.target_search import FINEST, LAST_STEP, step_of_quality
from bsqcodec.errors import TargetError
from bsqcodec.models.token_grid import TokenGrid
from bsqcodec.targets import Bitrate, BitsPerPixel, Psnr, Quality, Target

USUAL_STEP = 176
"""Where searches begin."""

OCTAVE = 28.0
"""Steps that about halve the bits."""

DECIBEL = 6.5
"""Steps that about lose a dB."""

HORIZON = 4
"""Groups over which what was spent too much or too little is made up for."""

FAR = 1.3
"""A group's bits beyond this times the wanted ones, or below their share, are not accepted."""

CLOSE = 0.1
"""A PSNR at most this above the wanted one is near enough, in dB."""


@dataclass(frozen=True)
class CodedGroup:
    """Payloads of the frames of a group, and the decoded frames' mean squared errors."""

    payloads: tuple[bytes, ...]
    errors: tuple[float, ...]

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(map(len, self.payloads))


class Control(Protocol):
    """Chooses steps. dry: whether the next coding needs no payloads, only errors."""

    dry: bool

    def first_step(self) -> int:
        """The step with which the next group is tried."""

    def judge(self, step: int, coded: CodedGroup, seconds: float) -> int | None:
        """Another step to code the group with, or None if it is good as it is.

        seconds: how long the frames of the group are shown.
        """


class Constant:
    """The same step for all groups."""

    dry = False

    def __init__(self, step: int) -> None:
        self._step = step

    def first_step(self) -> int:
        return self._step

    def judge(self, step: int, coded: CodedGroup, seconds: float) -> int | None:
        return None


MISSED = 1.1
"""Bits, in units of those asked for, beyond which the user is told."""


class Rate:
    """So many bits a frame, or a second, on average; a group may differ, later ones make up for it."""

    dry = False

    def __init__(self, *, per_frame: float = 0.0, per_second: float = 0.0) -> None:
        self._per_frame, self._per_second = per_frame, per_second
        self._step = float(USUAL_STEP)
        self._saved = 0.0
        self._tries = 0

    def first_step(self) -> int:
        return self._clamped(self._step)

    def missed(self, bits: int, frames: int, seconds: float) -> str | None:
        """A sentence if so many bits are far more than frames of so many seconds should have."""
        wanted = self._per_frame * frames + self._per_second * seconds
        if bits <= MISSED * wanted:
            return None
        return f"the frames take {bits / wanted:.2f} times the bits asked for"

    @staticmethod
    def _clamped(step: float) -> int:
        return min(max(round(step), FINEST), LAST_STEP)

    def judge(self, step: int, coded: CodedGroup, seconds: float) -> int | None:
        frames, bits = len(coded.payloads), 8 * coded.size
        usual = self._per_frame * frames + self._per_second * seconds
        wanted = max(usual + self._saved / HORIZON, usual / 4)
        off = math.log2(bits / wanted)
        better = self._clamped(step + OCTAVE * off)
        self._tries += 1
        if abs(off) > math.log2(FAR) and better != step and self._tries < 4:
            return better
        self._tries = 0
        self._saved += usual - bits
        following = max(usual + self._saved / HORIZON, usual / 4)
        self._step = min(max(step + OCTAVE * math.log2(bits / following), FINEST), LAST_STEP)
        return None


class Fidelity:
    """Every group with the coarsest step that has a PSNR of at least so many dB."""

    def __init__(self, psnr: float) -> None:
        self._psnr = psnr
        self._step = USUAL_STEP
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
                    f"{self._psnr:g} dB is out of reach: the finest step gives {psnr:.2f} dB"
                )
        if self._good == self._bad - 1 or self._psnr <= psnr <= self._psnr + CLOSE:
            if coded.payloads and step == self._good:  # a dry coding that was not
                self._step = step
                self._begin()
                return None
            self.dry = False
            return self._good
        if math.isinf(psnr):
            return min(LAST_STEP, self._bad - 1)
        guess = round(step + DECIBEL * (psnr - self._psnr))
        guess = min(max(guess, self._good + 1), self._bad - 1)
        return min(max(guess, FINEST), LAST_STEP)


def make_control(target: Target, grid: TokenGrid) -> Control:
    """The control for a target. Raises ValueError for one that needs the whole video first."""
    if isinstance(target, Quality):
        return Constant(step_of_quality(target.value))
    if isinstance(target, Psnr):
        return Fidelity(target.db)
    if isinstance(target, BitsPerPixel):
        return Rate(per_frame=target.value * grid.height * grid.width)
    if isinstance(target, Bitrate):
        return Rate(per_second=target.value)
    raise ValueError("a size can be met only for a video whose length is known")
