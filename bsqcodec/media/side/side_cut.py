"""Sound, subtitles and chapters cut to a part of a video, as its frames are."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor
from typing import Any, Final

import av

_FINE: Final = Fraction(1, 1000)
_FINER: Final = 1000
"""By how much a unit of time that is over a millisecond is made finer."""


def cut_packet(packet: av.Packet[Any], begin: Fraction | None, end: Fraction | None) -> bool:
    """Return whether a packet is in the part from `begin` to `end`, in seconds; None: no limit.

    A subtitle that lasts longer is cut to the part. Sound is kept in whole packets.
    """
    if packet.pts is None:
        return True
    base = Fraction(packet.time_base)
    is_text = packet.stream.type == "subtitle"
    if end is not None and is_text:
        left = floor(end / base) - packet.pts
        if left <= 0:
            return False
        packet.duration = min(packet.duration or 0, left)
    late = Fraction(0) if begin is None else begin / base - packet.pts
    if late <= 0:
        return True
    if not is_text or not packet.duration or late >= packet.duration:
        return False
    packet.pts = packet.dts = packet.pts + ceil(late)
    packet.duration = max(packet.duration - ceil(late), 1)
    return True


def cut_chapters(chapters: list[Any], begin: Fraction, end: Fraction | None = None) -> list[Any]:
    """Return the chapters that are not wholly outside of these times in seconds;
    `begin` becomes 0."""
    result = []
    for chapter in chapters:
        shift = round(begin / chapter["time_base"])
        last = chapter["end"]
        if end is not None:
            last = min(last, floor(end / chapter["time_base"]))
        if last > max(shift, chapter["start"]):
            start = max(chapter["start"] - shift, 0)
            result.append({**chapter, "start": start, "end": last - shift})
    return result


def move_packet(packet: av.Packet[Any], seconds: Fraction) -> None:
    """Move a packet's times; where their unit is coarse, as in AVI, they get a finer one."""
    base = Fraction(packet.time_base)
    if base > _FINE and (seconds / base).denominator != 1:
        base /= _FINER
        packet.time_base = base
        packet.pts = None if packet.pts is None else packet.pts * _FINER
        packet.dts = None if packet.dts is None else packet.dts * _FINER
        packet.duration = (packet.duration or 0) * _FINER
    moved = round(seconds / base)
    packet.pts = None if packet.pts is None else packet.pts + moved
    packet.dts = None if packet.dts is None else packet.dts + moved


class SideCut:
    """The part of a video that its side stream is cut to, in seconds of the source.

    All is unknown at first. earliest: before it nothing is wanted. begin: of the first frame that
    is kept, `earliest` or a little later; it becomes time 0. end: None for all that is left.
    """

    def __init__(self) -> None:
        self.earliest: Fraction | None = None
        self.begin: Fraction | None = None
        self.end: Fraction | None = None

    def begin_at(self, begin: Fraction) -> None:
        """Have the part begin at the time of its first frame; it is as long as it was to be."""
        if self.end is not None and self.earliest is not None:
            self.end += begin - self.earliest
        self.begin = self.earliest = begin

    def is_early(self, packet: av.Packet[Any]) -> bool:
        """Return whether a packet is surely before the part."""
        if packet.pts is None or self.earliest is None:
            return False
        until = packet.pts + (packet.duration or 0 if packet.stream.type == "subtitle" else 0)
        return until * Fraction(packet.time_base) < self.earliest

    def take(self, packet: av.Packet[Any]) -> bool:
        """Cut and move a packet; return whether anything of it is in the part."""
        begin = self.begin
        assert begin is not None
        if not cut_packet(packet, begin, self.end):
            return False
        base = Fraction(packet.time_base)
        if self.end is not None and packet.pts is not None and packet.pts * base >= self.end:
            return False
        move_packet(packet, -begin)
        return True
