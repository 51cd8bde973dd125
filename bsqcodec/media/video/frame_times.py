"""When each decoded frame is shown, also where a container stores the times in decode order."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import av

from bsqcodec.errors import MediaError

_REORDER_FRAMES: Final = 17
"""How many frames are held back until it is known whether times are in order: H.264 and HEVC keep
16 pictures at most, and encoders put at most 16 B frames in a row."""

_MAX_PENDING: Final = 64
"""Beyond this number the earliest time of a packet that gave no frame is forgotten."""


@dataclass(frozen=True, eq=False)
class TimedFrame:
    """A decoded frame. pts: when it is shown, None where nothing tells; duration: how long it is
    shown, 0 where nothing tells; both in units of the stream's time base."""

    frame: av.VideoFrame
    pts: int | None
    duration: int


class FrameTimes:
    """Gives frames, as they come out of the decoder, the times at which they are shown.

    The time of a packet belongs to the frame in it, unless the container's times are in decode
    order: then the times of a video with B frames go back from frame to frame. In that case the
    times of all packets are given to the frames in rising order.

    decode_only: the container stores times of decoding only (AVI, ASF). Each frame then gets the
    time of the packet that made the decoder give it, which is even. The last frames, which no
    packet brings out, follow in steps.
    may_reorder: tells whether the decoder changes the order of frames.
    """

    def __init__(self, *, decode_only: bool, may_reorder: Callable[[], bool]) -> None:
        self._decode_only = decode_only
        self._may_reorder = may_reorder
        self._has_times = False
        self._pending: list[tuple[int, int]] = []
        self._held: deque[av.VideoFrame] = deque()
        self._latest: int | None = None
        self._is_sorting = False
        self._is_trusted = False
        self._last_decoded: int | None = None
        self._last_step = 0

    def sent(self, packet: av.Packet[Any]) -> None:
        """Note the time of a packet that is about to be decoded.

        A packet without a time of showing gets its time of decoding, if no packet has had the
        former.
        """
        self._has_times |= packet.pts is not None
        if packet.pts is None and not self._has_times:
            packet.pts = packet.dts
        if packet.pts is None or packet.is_discard:
            return
        heapq.heappush(self._pending, (packet.pts, packet.duration or 0))
        if len(self._pending) > _MAX_PENDING:
            heapq.heappop(self._pending)

    def lost(self, packet: av.Packet[Any]) -> None:
        """Forget the time of a packet that could not be decoded."""
        entry = packet.pts, packet.duration or 0
        if entry in self._pending:
            self._pending.remove(entry)
            heapq.heapify(self._pending)

    def restart(self) -> None:
        """Forget all packets: the decoder was emptied, and others follow."""
        self._pending.clear()
        self._held.clear()
        self._latest = self._last_decoded = None

    def timed(self, frames: Iterator[av.VideoFrame]) -> Iterator[TimedFrame]:
        """Yield the decoder's frames with their times.

        Where `frames` raises MediaError, the frames that are held back are yielded before.
        """
        try:
            for frame in frames:
                if self._decode_only:
                    yield self._by_decoding(frame)
                    continue
                self._hold(frame)
                del frame
                while self._held and not self._must_wait():
                    yield self._next()
        except MediaError:
            while self._held:
                yield self._next()
            raise
        while self._held:
            yield self._next()

    def _by_decoding(self, frame: av.VideoFrame) -> TimedFrame:
        """The frame at the time of decoding that came with it, or a step after the last one."""
        time, last = frame.dts, self._last_decoded
        if time is None:
            time = frame.pts if last is None else last + max(self._last_step, 1)
        elif last is not None and time > last:
            self._last_step = time - last
        self._last_decoded = time
        return TimedFrame(frame, time, frame.duration)

    def _hold(self, frame: av.VideoFrame) -> None:
        """Keep a frame until its time is sure; a time that goes back means decode order."""
        self._held.append(frame)
        if frame.pts is None:
            return
        if self._latest is not None and frame.pts < self._latest:
            self._is_sorting = True
        self._latest = frame.pts if self._latest is None else max(self._latest, frame.pts)

    def _must_wait(self) -> bool:
        """Whether the first frame's time may turn out to be another's."""
        pts = self._held[0].pts
        if pts is None or self._is_sorting or self._is_trusted or not self._may_reorder():
            return False
        if not self._pending or self._pending[0][0] >= pts:
            return False
        if len(self._held) <= _REORDER_FRAMES:
            return True
        self._is_trusted = True  # the packets of earlier times hold no frames
        return False

    def _next(self) -> TimedFrame:
        """The first of the frames that are held."""
        frame = self._held.popleft()
        if frame.pts is None:
            return TimedFrame(frame, None, frame.duration)
        if self._is_sorting and self._pending:
            return TimedFrame(frame, *heapq.heappop(self._pending))
        while self._pending and self._pending[0][0] <= frame.pts:
            heapq.heappop(self._pending)
        return TimedFrame(frame, frame.pts, frame.duration)
