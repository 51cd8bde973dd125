"""Videos of a given size: the frames are counted first, then the bytes are divided among groups."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import IO, Protocol, TypeVar

from bsqcodec.encoder.rate_control import (
    GROUPS_IN_FLIGHT,
    QUANTIZER_STEPS,
    CodedGroup,
    GroupControl,
    StepScale,
    groups_known,
)
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


@dataclass(frozen=True)
class _Spent:
    """What is left after some groups: bytes and frames.

    cost: of these groups, in bytes at step 0. done: their frames.
    """

    left: int
    frames: int
    cost: float = 0.0
    done: int = 0


class SizeBudget:
    """A rate control that spends `size` bytes on `frames` frames, with steps as even as possible.

    The step follows from the bytes of the groups that are known; the last group gets the bytes that
    are left. slack: bytes that may remain. group: frames of a group at most; groups that are so
    near to the end that they can hardly make up for others go by all before them. coarsest,
    finest: whether all groups have that step.
    """

    def __init__(
        self,
        size: int,
        frames: int,
        slack: float,
        group: int = 1,
        scale: StepScale = QUANTIZER_STEPS,
    ) -> None:
        self._total, self._slack, self._group, self.scale = frames, slack, group, scale
        self._known = [_Spent(size, frames)]  # after so many groups
        self.coarsest = self.finest = True

    def needs(self, index: int, first_frame: int) -> int:
        near_end = self._total - first_frame <= (GROUPS_IN_FLIGHT + 1) * self._group
        return index if near_end else groups_known(index)

    def begin(self, index: int, first_frame: int) -> GroupControl:
        is_open = self._total - first_frame
        spent = self._known[self.needs(index, first_frame)]
        return _BudgetOfGroup(spent, self._slack, is_open, self.scale)

    def accept(self, step: int, coded: CodedGroup, seconds: float) -> None:
        before, frames = self._known[-1], len(coded.payloads)
        cost = coded.size * 2 ** (step / self.scale.per_halving)
        self._known.append(
            _Spent(
                before.left - coded.size,
                before.frames - frames,
                before.cost + cost,
                before.done + frames,
            )
        )
        self.coarsest &= step == self.scale.coarsest
        self.finest &= step == self.scale.finest


class _BudgetOfGroup:
    """The control of one group of a sized video. frames: from its first one to the video's end."""

    dry = False

    def __init__(self, spent: _Spent, slack: float, frames: int, scale: StepScale) -> None:
        self._spent, self._slack, self._frames, self._scale = spent, slack, frames, scale
        self._codings = 0
        self._large, self._small = scale.finest - 1, scale.coarsest + 1  # too fine, too coarse

    def first_step(self) -> int:
        spent = self._spent
        if not spent.done:
            return self._scale.initial
        if spent.left <= 0:
            return self._scale.coarsest
        cost = spent.cost / spent.done * spent.frames
        step = math.ceil(self._scale.per_halving * math.log2(cost / spent.left))
        return self._scale.nearest(step)

    def judge(self, step: int, coded: CodedGroup, seconds: float) -> int | None:
        spent, frames = self._spent, len(coded.payloads)
        wanted = max(spent.left * frames / max(spent.frames, 1), 1.0)
        early = 4 * frames <= spent.frames
        last = frames == self._frames
        better = self._better(step, coded.size, wanted, early=early, last=last)
        self._codings += 1
        return better if self._codings < MAX_GROUP_CODINGS else None

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
            good = near or abs(size - wanted) <= GROUP_TOLERANCE * self._spent.left
        if good:
            return None
        if self._small - self._large <= 1:
            found = step == self._small or self._small > self._scale.coarsest
            return None if found else self._small
        guess = step + round(self._scale.per_halving * math.log2(size / wanted))
        return self._scale.nearest(min(max(guess, self._large + 1), self._small - 1))


class CodedSize(Protocol):
    """A coding of a video. size: bytes of the file; picture_bytes: bytes of its frames."""

    @property
    def size(self) -> int: ...
    @property
    def picture_bytes(self) -> int: ...


T = TypeVar("T", bound=CodedSize)


def code_to_size(
    code: Callable[[SizeBudget, IO[bytes]], T],
    frames: int,
    rest: int,
    limit: int,
    group: int = 1,
    scale: StepScale = QUANTIZER_STEPS,
) -> tuple[T, IO[bytes]]:
    """Code a video as a file of at most `limit` bytes, at most SIZE_TOLERANCE below it if possible.

    code: codes the whole video by a budget into a file. frames: how many there are. rest: about
    how many bytes of the file will not be of frames. group, scale: see `SizeBudget`. Mostly
    one coding suffices, sometimes two.
    Returns what `code` returned, and a temporary file that stands at its start. Raises TargetError.
    """
    factor = 1.0
    with ExitStack() as cleanup:
        best: T | None = None
        kept: IO[bytes] | None = None
        for _ in range(MAX_VIDEO_CODINGS):
            if rest >= limit:
                raise TargetError(
                    f"without any frames the file takes {rest} bytes of the {limit} asked for"
                )
            room = math.ceil((limit - rest) * factor)
            budget = SizeBudget(room, frames, limit * SIZE_TOLERANCE / 2, group, scale)
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
                    factor *= min(0.99, ratio)
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
                factor *= ratio
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
