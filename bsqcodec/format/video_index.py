"""The index of a .bsq video: where each GOP stands, which frames it has and when it begins."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import overload

from bsqcodec.errors import FormatError, SeekError
from bsqcodec.format.varint import (
    MAX_VARINT,
    MAX_VARINT64,
    decode_signed,
    decode_varint,
    encode_signed,
    encode_varint,
)
from bsqcodec.format.video_chunks import MAX_GOP_FRAMES, MAX_PTS, ChunkHead


@dataclass(frozen=True)
class GopEntry:
    """One GOP: the byte of the file at which its chunk begins, its frames, the pts of the first."""

    offset: int
    first_frame: int
    frames: int
    first_pts: int


class VideoIndex(Sequence[GopEntry]):
    """The GOPs of a video in their order; 32 bytes of memory for each."""

    def __init__(self) -> None:
        self._offsets = array("q")
        self._first_frames = array("q")
        self._frames = array("q")
        self._first_pts = array("q")

    def __len__(self) -> int:
        return len(self._offsets)

    @overload
    def __getitem__(self, item: int) -> GopEntry: ...
    @overload
    def __getitem__(self, item: slice) -> tuple[GopEntry, ...]: ...
    def __getitem__(self, item: int | slice) -> GopEntry | tuple[GopEntry, ...]:
        if isinstance(item, slice):
            return tuple(self[i] for i in range(*item.indices(len(self))))
        return GopEntry(
            self._offsets[item],
            self._first_frames[item],
            self._frames[item],
            self._first_pts[item],
        )

    @property
    def frame_count(self) -> int:
        """Frames of all GOPs."""
        return self._first_frames[-1] + self._frames[-1] if self._offsets else 0

    @property
    def grows(self) -> bool:
        """Whether each GOP begins later than the one before it, so that it can be found by time."""
        return all(a < b for a, b in pairwise(self._first_pts))

    def append(self, entry: GopEntry) -> None:
        """Add the next GOP."""
        self._offsets.append(entry.offset)
        self._first_frames.append(entry.first_frame)
        self._frames.append(entry.frames)
        self._first_pts.append(entry.first_pts)

    def gop_of_pts(self, pts: int) -> int:
        """Which GOP is shown at a time, in units of the time base; the first for an earlier time.

        That is the last GOP whose first frame is not later; raises SeekError without any GOP.
        """
        if not len(self):
            raise SeekError("there are no frames in the file")
        return next((i for i in reversed(range(len(self))) if self._first_pts[i] <= pts), 0)


class IndexCoder:
    """Gives the bytes of the index, GOP by GOP; each entry is told from the one before it."""

    def __init__(self) -> None:
        self._offset = 0
        self._pts = 0

    def entry(self, offset: int, head: ChunkHead) -> bytes:
        """The bytes for the GOP of this head, whose chunk begins at this byte of the file."""
        data = encode_varint(offset - self._offset, MAX_VARINT64) + encode_varint(head.frames)
        data += encode_signed(head.first_pts - self._pts)
        self._offset, self._pts = offset, head.first_pts
        return data


def unpack_index(payload: bytes, head: ChunkHead, index_offset: int) -> VideoIndex:
    """Take apart the payload of the index chunk, which begins at byte `index_offset`.

    Raises FormatError when it breaks the format's rules.
    """
    index = VideoIndex()
    place = offset = frame = pts = 0
    while place < len(payload):
        step, place = decode_varint(payload, place, MAX_VARINT64)
        frames, place = decode_varint(payload, place)
        later, place = decode_signed(payload, place)
        offset += step
        pts += later
        if not (step and offset < index_offset):
            raise FormatError(f"the index has a GOP at byte {offset}, which cannot be")
        if not 1 <= frames <= MAX_GOP_FRAMES or abs(pts) > MAX_PTS:
            raise FormatError(f"the index has a GOP of {frames} frames from pts {pts}")
        index.append(GopEntry(offset, frame, frames, pts))
        frame += frames
    if frame != head.first_frame or frame > MAX_VARINT:
        raise FormatError(f"the index has {frame} frames, and {head.first_frame} come before it")
    return index
