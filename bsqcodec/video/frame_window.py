"""The frames of a video that are read but not done with: one thread reads, others wait for
frames."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import CancelledError

from bsqcodec.media.video.video_files import VideoFrame


class FrameWindow:
    """Frames of an iterator, by their numbers.

    step: how long the last frame is shown, in units of the time base, if nothing else says so.
    """

    def __init__(self, frames: Iterator[VideoFrame], step: int) -> None:
        self._source = frames
        self._step = step
        self._kept: deque[VideoFrame] = deque()
        self._before: int | None = None
        self.first = 0
        self.has_ended = self._is_closed = False
        self._changed = threading.Condition()

    @property
    def count(self) -> int:
        """How many frames have been read."""
        return self.first + len(self._kept)

    def read(self) -> VideoFrame | None:
        """Read another frame; None at the end."""
        frame = next(self._source, None)
        with self._changed:
            if frame is None:
                self.has_ended = True
            else:
                self._kept.append(frame)
            self._changed.notify_all()
        return frame

    def known(self, number: int) -> VideoFrame | None:
        """A frame if it has been read already."""
        with self._changed:
            return self._kept[number - self.first] if self.first <= number < self.count else None

    def wait_for(self, number: int) -> VideoFrame | None:
        """A frame as soon as it has been read; None if there are not as many.

        Raises CancelledError once the window is closed, and for frames that are dropped.
        """
        with self._changed:
            while not self._is_closed and not self.has_ended and number >= self.count:
                self._changed.wait()
            if self._is_closed or number < self.first:
                raise CancelledError
            return self._kept[number - self.first] if number < self.count else None

    def end_of(self, number: int) -> int:
        """Until when a frame is shown, in units of the time base, if the next one has been read."""
        frame, following, before = map(self.known, (number, number + 1, number - 1))
        if following is not None:
            return following.pts
        assert frame is not None
        earlier = self._before if before is None else before.pts
        return frame.pts + (
            frame.duration or (self._step if earlier is None else frame.pts - earlier)
        )

    def drop(self, until: int) -> None:
        """Let go of the frames in front of this one."""
        with self._changed:
            while self.first < until:
                self._before = self._kept.popleft().pts
                self.first += 1

    def close(self) -> None:
        """Have nobody wait any longer."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
