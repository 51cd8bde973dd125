"""Packets of captures that were joined: where the clock starts over, times are carried on."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from fractions import Fraction
from math import floor
from typing import Any, Final

import av

_REORDER_PACKETS: Final = 17
"""No frame is stored farther from its place in time than this many packets."""

_JITTER_S: Final = Fraction(1, 10)
"""By how much times of sound, or of key frames, may go back without being a new beginning."""

_GAP_S: Final = 10
"""A longer step ahead, of a clock that may start over at any time, is a new beginning too."""

_WRAP: Final = 2**33
"""Where clocks of MPEG streams, in 90,000ths of a second, begin anew (ISO/IEC 13818-1, 2.4.2.2)."""

_LATE_S: Final = 10
"""Where such a clock shows more at the beginning, times are counted from there."""

_ALONE_S: Final = 3
"""A track that goes on for so long shows that the clock of another one is wrong, not begun anew."""

_HELD_PACKETS: Final = 512
_HELD_BYTES: Final = 2**23
"""How much is held back at most until all tracks have begun anew."""


class _Clock:
    """The times of one kind, of decoding or of showing, of the present part of a track."""

    def __init__(self) -> None:
        self._recent: deque[int] = deque(maxlen=_REORDER_PACKETS)
        self._last: int | None = None
        self._step = 0
        self.latest: int | None = None
        self.end: int | None = None

    def note(self, time: int, duration: int) -> None:
        """Take in the time of a packet; duration: 0 where it is unknown."""
        if self._last is not None and time > self._last:
            self._step = time - self._last
        self._recent.append(time)
        self._last = time
        end = time + (duration or self._step)
        self.latest = time if self.latest is None else max(time, self.latest)
        self.end = end if self.end is None else max(end, self.end)

    def goes_back(self, time: int, jitter: Fraction, *, has_order: bool) -> bool:
        """Whether a time is farther back than jitter, or a change of order, explains.

        has_order: nothing that comes before this packet in the file is shown after it.
        """
        if self.latest is None:
            return False
        if has_order:
            return time < self.latest - jitter
        return len(self._recent) == _REORDER_PACKETS and time < min(self._recent) - jitter


class _Track:
    """What is known about the times of one track, in units of its time base.

    shift: what its packets' times are moved by. part: number of the part that it is in.
    """

    def __init__(self, base: Fraction, is_picture: bool) -> None:
        self.base, self.is_picture = base, is_picture
        self.shift = self.part = 0
        self.begin()

    def begin(self) -> None:
        """Forget the times of the part that has ended."""
        self.dts, self.pts = _Clock(), _Clock()

    @property
    def is_active(self) -> bool:
        """Whether there have been packets in this part."""
        return self.dts.latest is not None or self.pts.latest is not None

    def note(self, packet: av.Packet[Any]) -> None:
        """Take in a packet of the present part."""
        duration = packet.duration or 0
        if packet.dts is not None:
            self.dts.note(packet.dts, duration)
        if packet.pts is not None:
            self.pts.note(packet.pts, duration)

    def starts_over(self, packet: av.Packet[Any]) -> bool:
        """Whether the clock has gone back before this packet."""
        has_order = not self.is_picture or packet.is_keyframe
        jitter = _JITTER_S / self.base
        if packet.dts is not None and self.dts.latest is not None:
            return self.dts.goes_back(packet.dts, jitter, has_order=has_order)
        if packet.pts is not None:
            return self.pts.goes_back(packet.pts, jitter, has_order=has_order)
        return False

    def leaps(self, packet: av.Packet[Any]) -> bool:
        """Whether a packet is far ahead of the one before it."""
        time, latest = packet.dts, self.dts.latest
        if time is None or latest is None:
            time, latest = packet.pts, self.pts.latest
        return time is not None and latest is not None and (time - latest) * self.base > _GAP_S


class JoinedTimes:
    """Moves the times of packets so that they go on where the source's clock starts over.

    A new beginning is where the clock goes back for all tracks; where one goes on, times stay as
    they are. All tracks of a part are moved by the same amount, so that they stay in step, and so
    that no track begins before its last packet of the part before ends. For that, packets are held
    back at each new beginning until picture and sound have begun anew.

    picture: index of its stream. sounds: of those of sound; other tracks go with these.
    is_mpeg: the clock is that of an MPEG stream. It wraps, it shows any time at the beginning, and
    it may jump ahead: a gap of over 10 s in all tracks is closed. joints: how many new beginnings
    there were; first_joint: at how many seconds of the video the first one was.
    """

    def __init__(
        self, streams: Iterable[Any], picture: int, sounds: Iterable[int], *, is_mpeg: bool
    ) -> None:
        dense = {picture, *sounds}
        self._picture = picture
        self._tracks = {
            stream.index: _Track(Fraction(stream.time_base), stream.index == picture)
            for stream in streams
            if stream.index in dense and stream.time_base
        }
        self._is_mpeg = is_mpeg
        self._clock: int | None = None
        self._offsets = [Fraction(0)]
        self._now: Fraction | None = None
        self._begun: Fraction | None = None
        self._held: list[av.Packet[Any]] = []
        self._held_bytes = 0
        self._held_since = Fraction(0)
        self._anew: dict[int, _Track] = {}
        self._is_leap = False
        self.joints = 0
        self.first_joint = Fraction(0)

    def feed(self, packet: av.Packet[Any]) -> Iterator[av.Packet[Any]]:
        """Yield the packets that can go on, in the order they came in, with their new times."""
        index = packet.stream_index
        track, begun = self._tracks.get(index), self._anew.get(index)
        if self._is_mpeg:
            self._unwrap(packet)
        if track is None or (packet.dts is None and packet.pts is None):
            if self._held:
                self._hold(packet)
            else:
                yield self._moved(packet)
        elif begun is not None:
            if begun.starts_over(packet):  # a part so short that it was held back as a whole
                yield from self.release()
                yield from self.feed(packet)
                return
            begun.note(packet)
            self._hold(packet)
        elif not track.starts_over(packet) and not (self._is_mpeg and track.leaps(packet)):
            yield self._moved(packet)
            if self._held and (self._now or 0) > self._held_since + _ALONE_S:
                yield from self._let_go()
        elif track.part + 1 < len(self._offsets):
            self._enter(track, packet)
            yield self._moved(packet)
        else:
            if not self._held:
                self._is_leap = not track.starts_over(packet)
                self._held_since = self._now or Fraction(0)
            begun = self._anew[index] = _Track(track.base, track.is_picture)
            begun.note(packet)
            self._hold(packet)
        if self._has_enough():
            yield from self.release()

    def release(self) -> Iterator[av.Packet[Any]]:
        """Yield all packets that are held back; call it once more at the end of the source."""
        if self._held and (not self._is_leap or self._anew.keys() == set(self._active())):
            self._join(self._held, self._anew)
        yield from self._let_go()

    def _let_go(self) -> Iterator[av.Packet[Any]]:
        """Yield all packets that are held back, as the tracks are moved at present."""
        held, anew = self._held, self._anew
        self._held, self._anew = [], {}
        self._held_bytes = 0
        for index in anew:
            self._tracks[index].begin()
        for packet in held:
            yield self._moved(packet)

    def _unwrap(self, packet: av.Packet[Any]) -> None:
        """Put a packet's times where they are nearest to those of the packet before, by the
        clock."""
        time = packet.pts if packet.dts is None else packet.dts
        if time is None:
            return
        if self._clock is None:
            self._begin_clock(packet, time)
        turns = round(((self._clock or 0) - time) / _WRAP)
        if turns:
            packet.pts = None if packet.pts is None else packet.pts + turns * _WRAP
            packet.dts = None if packet.dts is None else packet.dts + turns * _WRAP
        self._clock = time + turns * _WRAP

    def _begin_clock(self, packet: av.Packet[Any], time: int) -> None:
        """Count from 1 to 2 s on where the clock shows a late time, or one before 0, at first."""
        self._clock = time
        seconds = time * Fraction(packet.time_base)
        if not -_JITTER_S < seconds < _LATE_S:
            self._offsets[0] = Fraction(1 - floor(seconds))
            for track in self._tracks.values():
                self._move(track, 0)

    def _hold(self, packet: av.Packet[Any]) -> None:
        self._held.append(packet)
        self._held_bytes += packet.size

    def _has_enough(self) -> bool:
        """Whether it is known where all tracks begin anew, or no more may be held back."""
        if len(self._held) >= _HELD_PACKETS or self._held_bytes >= _HELD_BYTES:
            return True
        pictures = sum(packet.stream_index == self._picture for packet in self._held)
        return pictures >= _REORDER_PACKETS and self._anew.keys() >= set(self._active())

    def _active(self) -> list[int]:
        """Indices of the tracks that have had packets in the part that ends."""
        return [index for index, track in self._tracks.items() if track.is_active]

    def _join(self, held: list[av.Packet[Any]], anew: dict[int, _Track]) -> None:
        """Begin a new part: where all of its tracks come after what they had."""
        wanted: list[Fraction] = []
        for index in anew:
            track = self._tracks[index]
            mine = [packet for packet in held if packet.stream_index == index]
            dts = [packet.dts for packet in mine if packet.dts is not None]
            pts = [packet.pts for packet in mine if packet.pts is not None]
            for end, times in ((track.dts.end, dts), (track.pts.end, pts)):
                if end is not None and times:
                    wanted.append((end + track.shift - min(times)) * track.base)
        if not self.joints and self._now is not None and self._begun is not None:
            self.first_joint = self._now - self._begun
        self.joints += 1
        self._offsets.append(max(wanted, default=self._offsets[-1]))
        for index in anew:
            self._move(self._tracks[index], len(self._offsets) - 1)

    def _enter(self, track: _Track, packet: av.Packet[Any]) -> None:
        """Have a track begin the part, of those after its present one, where its time fits best."""
        time = _time_of(packet) * track.base

        def distance(part: int) -> Fraction:
            return abs(time + self._offsets[part] - (self._now or 0))

        self._move(track, min(range(track.part + 1, len(self._offsets)), key=distance))

    def _move(self, track: _Track, part: int) -> None:
        track.part, track.shift = part, round(self._offsets[part] / track.base)
        track.begin()

    def _moved(self, packet: av.Packet[Any]) -> av.Packet[Any]:
        """The packet with its new times."""
        track = self._tracks.get(packet.stream_index)
        if packet.dts is None and packet.pts is None:
            return packet
        if track is None:
            shift = self._shift_of_other(packet)
        else:
            track.note(packet)
            shift = track.shift
            now = (_time_of(packet) + shift) * track.base
            self._begun = now if self._begun is None else min(now, self._begun)
            self._now = now if self._now is None else max(now, self._now)
        if shift:
            packet.pts = None if packet.pts is None else packet.pts + shift
            packet.dts = None if packet.dts is None else packet.dts + shift
        return packet

    def _shift_of_other(self, packet: av.Packet[Any]) -> int:
        """For a subtitle: of all parts so far the one in which it comes nearest to the present."""
        if not packet.time_base:
            return 0
        base, now = Fraction(packet.time_base), self._now or Fraction(0)
        time = _time_of(packet) * base
        offset = min(reversed(self._offsets), key=lambda offset: abs(time + offset - now))
        return round(offset / base)


def _time_of(packet: av.Packet[Any]) -> int:
    """The time by which packets are in order; 0 for one without any."""
    time = packet.pts if packet.dts is None else packet.dts
    return time or 0
