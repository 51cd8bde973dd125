"""Where the groups of a video begin, and the coding of several of them at a time.

A group begins where the one before it ends, and that only its coding tells: it ends where a frame
is no use to predict the next from. So that groups can be coded side by side, the frames tell where
that may be; where they were wrong, the groups behind are begun anew. Hence a file is the same
however many groups are coded at a time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import CancelledError, Future, wait
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial

from bsqcodec.encoder.frame_types import is_unlike
from bsqcodec.encoder.rate_control import CodedGroup, GroupControl, RateControl
from bsqcodec.media.video.video_files import VideoFrame
from bsqcodec.video.frame_window import FrameWindow
from bsqcodec.video.group_coding import CodeGroup, GroupCoders, GroupCoding, GroupFrame


@dataclass(frozen=True)
class FinishedGroup:
    """A group as it is written. end: until when it is shown, in units of the time base."""

    first_frame: int
    pts: tuple[int, ...]
    coded: CodedGroup
    end: int


@dataclass(eq=False)
class _Group:
    """A group that is under way. frames: of which it is known that they belong to it.

    begin: makes its control. has_ended: whether no other frame belongs to it.
    """

    first: int
    begin: Callable[[], GroupControl]
    frames: int = 0
    has_ended: bool = False
    is_cancelled: bool = False
    future: Future[tuple[int, CodedGroup, float]] = field(init=False)


class GroupsInFlight:
    """Codes the groups of one video.

    frames: of each group at most. slack: how many more the last group may take in. tell: takes the
    number of frames that are coded.
    """

    def __init__(
        self,
        coders: GroupCoders,
        rate_control: RateControl,
        window: FrameWindow,
        frames: int,
        slack: int,
        time_base: Fraction,
        tell: Callable[[int], None],
    ) -> None:
        self._coders, self._rate_control = coders, rate_control
        self._window, self._most, self._slack = window, frames, slack
        self._time_base, self._tell = time_base, tell
        self._groups: list[_Group] = []
        self._accepted = self._written = self._told = 0
        self._cuts: set[int] = set()
        self._lock = threading.Lock()

    def finished(
        self, read: Callable[[], VideoFrame | None]
    ) -> Generator[FinishedGroup, None, None]:
        """The groups in order. read: reads the window's next frame.

        Raises what reading and coding do.
        """
        try:
            while True:
                if self._groups and self._can_be_written(self._groups[0]):
                    yield self._finish()
                elif self._begin_group():
                    continue
                elif self._may_read():
                    self._look_at(read())
                    self._coders.expect_at_least(self._window.count)
                elif self._groups:
                    wait([self._groups[0].future])
                else:
                    return
        finally:
            self._cancel()
            self._window.close()

    def _can_be_written(self, group: _Group) -> bool:
        """Whether a group is coded, or has failed, and the frames that are looked at are read."""
        if not group.future.done() or self._window.has_ended:
            return group.future.done()
        looked_at = group.first + group.frames + max(self._slack, 1)
        return self._window.count > looked_at or group.future.exception() is not None

    def _finish(self) -> FinishedGroup:
        """Take note of the group in front, which is coded."""
        group = self._groups[0]
        step, coded, seconds = group.future.result()
        self._rate_control.accept(step, coded, seconds)
        self._accepted += 1
        end = group.first + group.frames
        shown = [self._window.known(number) for number in range(group.first, end)]
        pts = tuple(frame.pts for frame in shown if frame is not None)
        finished = FinishedGroup(group.first, pts, coded, self._window.end_of(end - 1))
        with self._lock:
            self._groups.pop(0)
            self._written = end
        self._cuts = {cut for cut in self._cuts if cut > end}
        if self._groups and self._groups[0].first != end:
            self._cancel()
        self._window.drop(end)
        return finished

    def _cancel(self) -> None:
        """Let go of all groups that are under way."""
        with self._lock:
            for group in self._groups:
                group.is_cancelled = True
                group.future.cancel()
            self._groups.clear()

    # Where groups begin ---------------------------------------------------------------------------

    def _begin_group(self) -> bool:
        """Begin the next group if that can be done now; return whether it was."""
        if len(self._groups) > self._coders.most or (self._coders.most == 1 and self._groups):
            return False
        first = self._expected_end(self._groups[-1]) if self._groups else self._written
        if first is None or first >= self._window.count:
            return False
        index = self._accepted + len(self._groups)
        if self._rate_control.needs(index, first) > self._accepted:
            return False
        group = _Group(first, partial(self._rate_control.begin, index, first))
        with self._lock:
            self._groups.append(group)
        group.future = self._coders.submit(partial(self._code, group))
        return True

    def _look_at(self, frame: VideoFrame | None) -> None:
        """Take note of whether a frame that was just read looks like a new scene."""
        number = self._window.count - 1
        before = self._window.known(number - 1)
        if frame is None or before is None or self._coders.most == 1:
            return
        if is_unlike(frame.pixels, before.pixels):
            self._cuts.add(number)

    def _expected_end(self, group: _Group) -> int | None:
        """Where a group is likely to end; None if that is not known yet."""
        first, count = group.first, self._window.count
        if group.has_ended:
            return first + group.frames
        limit = first + self._most
        is_last = self._window.has_ended and count - limit <= self._slack
        cuts = [cut for cut in self._cuts if first < cut < (count if is_last else limit)]
        if cuts:
            return min(cuts)
        if is_last:
            return count
        return limit if self._window.has_ended or count > limit + self._slack else None

    def _may_read(self) -> bool:
        """Whether to read another frame, which a group needs, or the choice of the next one."""
        if self._window.has_ended:
            return False
        frame = self._window.known(self._window.first)
        if frame is None or not self._groups:
            return True
        reach, count = self._most + self._slack + 2, self._window.count
        if count < self._groups[0].first + reach:
            return True
        kept = (count - self._window.first) * frame.pixels.nbytes
        return count < self._groups[-1].first + reach and kept < self._coders.max_bytes_ahead

    # In the threads of the coders -----------------------------------------------------------------

    def _code(self, group: _Group, code: CodeGroup) -> tuple[int, CodedGroup, float]:
        """Code a group, again with other steps until its control accepts it.

        Returns the step, the group, and how many seconds it is shown.
        """
        control = group.begin()
        step = control.first_step()
        group.has_ended = False  # where this is done again, since a coder was lost
        coded = code(self._first_coding(group, step, control.dry))
        group.has_ended = True
        while True:
            seconds = self._seconds(group)
            following = control.judge(step, coded, seconds)
            if following is None:
                return step, coded, seconds
            step = following
            coded = code(self._further_coding(group, step, control.dry))

    def _first_coding(self, group: _Group, step: int, dry: bool) -> GroupCoding:
        """The coding of the frames of a group that tells how many there are."""
        group.frames = 0

        def tell(done: int) -> None:
            with self._lock:
                group.frames = done
                self._report()

        frames = self._possible_frames(group)
        return GroupCoding(frames, step, dry, True, tell, lambda: group.is_cancelled)

    def _further_coding(self, group: _Group, step: int, dry: bool) -> GroupCoding:
        """Another coding of the same frames."""
        numbers = range(group.first, group.first + group.frames)
        frames = (self._frame(group, number) for number in numbers)
        return GroupCoding(frames, step, dry, False, lambda done: None, lambda: group.is_cancelled)

    def _possible_frames(self, group: _Group) -> Iterator[GroupFrame]:
        """The frames that belong to a group unless a new scene begins before."""
        number = group.first
        while self._may_take(group, number):
            yield self._frame(group, number)
            number += 1

    def _may_take(self, group: _Group, number: int) -> bool:
        """Whether a group may take in a frame, if there is one: its length permits, or the video
        ends."""
        if self._window.wait_for(number) is None:
            return False
        if number < group.first + self._most:
            return True
        return self._window.wait_for(number + self._slack) is None

    def _frame(self, group: _Group, number: int) -> GroupFrame:
        """A frame of a group. Raises CancelledError."""
        frame, following = self._window.wait_for(number), self._window.known(number + 1)
        if group.is_cancelled or frame is None:
            raise CancelledError
        return GroupFrame(number, frame, None if following is None else following.pixels)

    def _report(self) -> None:
        """Tell how many frames are coded, if these are more than before."""
        done = self._written + sum(group.frames for group in self._groups)
        if done > self._told:
            self._told = done
            self._tell(done)

    def _seconds(self, group: _Group) -> float:
        """How long the frames of a group are shown."""
        last = group.first + group.frames - 1
        self._window.wait_for(last + 1)
        first = self._window.known(group.first)
        assert first is not None
        return float((self._window.end_of(last) - first.pts) * self._time_base)
