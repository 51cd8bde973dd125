"""Videos of a given size: the frames are counted first, then the bytes are divided among groups."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import IO, Protocol, TypeVar

from bsqcodec.encoder.rate_control import INITIAL_STEP, STEPS_PER_HALVING, CodedGroup
from bsqcodec.encoder.target_search import FINEST, LAST_STEP
from bsqcodec.errors import TargetError
from bsqcodec.media.files import temporary_file

SIZE_TOLERANCE = 0.03
"""A file meets a size if it is at most this fraction smaller."""

MAX_VIDEO_CODINGS = 5
"""Largest number of codings of the whole video."""

EARLY_GROUP_RATIO = 1.3
"""A group of at most a quarter of the frames left may differ by this factor from
its part of the bytes."""

GROUP_TOLERANCE = 0.05
"""Any group may differ from its part by this fraction of all bytes that are left."""

MAX_GROUP_CODINGS = 10
"""Largest number of codings of one group."""

_HEAD_BYTES, _GROUP_BYTES, _FRAME_BYTES = 256, 48, 4
"""Bytes of the container, about: of the file, of each group and of each frame."""


class SizeBudget:
    """A rate control that spends `size` bytes on `frames` frames, with steps as even as possible.

    The step follows from the bytes of all groups so far;
    the last group gets the bytes that are left.
    slack: bytes that may remain. coarsest, finest: whether all groups have that step.
    """

    dry = False

    def __init__(self, size: int, frames: int, slack: float) -> None:
        self._left, self._frames, self._slack = size, frames, slack
        self._cost = 0.0  # of groups done, in bytes at step 0
        self._done = 0
        self._begin()
        self.coarsest = self.finest = True

    def _begin(self) -> None:
        self._codings = 0
        self._large, self._small = FINEST - 1, LAST_STEP + 1  # steps known to be too fine, coarse

    def first_step(self) -> int:
        if not self._done:
            return INITIAL_STEP
        if self._left <= 0:
            return LAST_STEP
        cost = self._cost / self._done * self._frames
        return min(
            max(math.ceil(STEPS_PER_HALVING * math.log2(cost / self._left)), FINEST), LAST_STEP
        )

    def judge(self, step: int, coded: CodedGroup, seconds: float) -> int | None:
        frames = len(coded.payloads)
        wanted = max(self._left * frames / max(self._frames, 1), 1.0)
        early = 4 * frames <= self._frames
        last = frames == self._frames
        better = self._better(step, coded.size, wanted, early=early, last=last)
        self._codings += 1
        if better is not None and self._codings < MAX_GROUP_CODINGS:
            return better
        self._left -= coded.size
        self._frames -= frames
        self._cost += coded.size * 2 ** (step / STEPS_PER_HALVING)
        self._done += frames
        self.coarsest &= step == LAST_STEP
        self.finest &= step == FINEST
        self._begin()
        return None

    def _better(
        self, step: int, size: int, wanted: float, *, early: bool, last: bool
    ) -> int | None:
        """Another step to try, or None if this one is good enough or there is no other."""
        if size > wanted:
            self._large = max(step, self._large)
        else:
            self._small = min(step, self._small)
        if last:
            good = wanted - self._slack <= size <= wanted
        else:
            near = early and max(size, wanted) <= EARLY_GROUP_RATIO * min(size, wanted)
            good = near or abs(size - wanted) <= GROUP_TOLERANCE * self._left
        if good:
            return None
        if self._small - self._large <= 1:
            return None if step == self._small or self._small > LAST_STEP else self._small
        guess = step + round(STEPS_PER_HALVING * math.log2(size / wanted))
        guess = min(max(guess, self._large + 1), self._small - 1)
        return min(max(guess, FINEST), LAST_STEP)


class CodedSize(Protocol):
    """A coding of a video. size: bytes of the file; picture_bytes: bytes of its frames."""

    @property
    def size(self) -> int: ...
    @property
    def picture_bytes(self) -> int: ...


T = TypeVar("T", bound=CodedSize)


def code_to_size(
    code: Callable[[SizeBudget, IO[bytes]], T], frames: int, rest: int, limit: int
) -> tuple[T, IO[bytes]]:
    """Code a video as a file of at most `limit` bytes, at most SIZE_TOLERANCE below it if possible.

    code: codes the whole video by a budget into a file. frames: how many there are. rest: about
    how many bytes of the file will not be of frames. Mostly one coding suffices, sometimes two.
    Returns what `code` returned, and a temporary file that stands at its start. Raises TargetError.
    """
    scale = 1.0
    with ExitStack() as cleanup:
        best: T | None = None
        kept: IO[bytes] | None = None
        for _ in range(MAX_VIDEO_CODINGS):
            if rest >= limit:
                raise TargetError(
                    f"without any frames the file takes {rest} bytes of the {limit} asked for"
                )
            room = math.ceil((limit - rest) * scale)
            budget = SizeBudget(room, frames, limit * SIZE_TOLERANCE / 2)
            file = cleanup.enter_context(temporary_file())
            coded = code(budget, file)
            estimate, rest = rest, coded.size - coded.picture_bytes
            if coded.size > limit and budget.coarsest:
                raise TargetError(
                    f"the smallest file this video gives is {coded.size} bytes,"
                    f" more than the {limit} asked for; ask for more, or make the frames smaller"
                )
            ratio = room / max(coded.picture_bytes, 1)
            if coded.size > limit:
                file.close()
                if ratio < 1:
                    scale *= min(0.99, ratio)
                continue
            if best is None or coded.size > best.size:
                if kept is not None:
                    kept.close()
                best, kept = coded, file
            if coded.size >= limit * (1 - SIZE_TOLERANCE) or budget.finest:
                break
            if (
                estimate - rest < limit * SIZE_TOLERANCE / 4
            ):  # the estimate was right, so the groups missed
                scale *= ratio
        if best is None or kept is None:
            raise TargetError(f"no way was found to code the video in {limit} bytes")
        kept.seek(0)
        cleanup.pop_all()
        return best, kept


def shortfall(size: int, limit: int) -> tuple[str, ...]:
    """A note for a file that is smaller than the tolerance allows."""
    if size >= limit * (1 - SIZE_TOLERANCE):
        return ()
    return (f"the file is {100 * (1 - size / limit):.1f} % smaller than asked for",)


def container_bytes(metadata: Mapping[str, str], groups: int, frames: int) -> int:
    """Bytes of a file besides its frames' payloads and the side stream, about."""
    texts = sum(len(text.encode()) + 2 for pair in metadata.items() for text in pair)
    return _HEAD_BYTES + texts + groups * _GROUP_BYTES + frames * _FRAME_BYTES
