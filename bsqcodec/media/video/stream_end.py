"""Whether a video ends where it should: counts and sizes in headers, and what they are worth."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import av
import numpy as np

from bsqcodec.media.ffmpeg_io import GuardedSource

CUT: Final = "its last frame is cut"
"""What is wrong with a video whose last frame is not whole."""

_CUT_SIDE: Final = "its last sound is cut"

_PLAIN: Final = "yuv4mpegpipe"
"""FFmpeg's y4m, whose reader passes over a frame that is cut."""

_COUNTED: Final = ("avi", "ivf", "mxf")
"""FFmpeg's formats whose header counts the frames; of MP4 FFmpeg itself misses what is cut off, and
there the count may include frames that an edit list leaves out."""

_SHORT_READ: Final = ("avi", "ivf")
"""FFmpeg's formats in which a packet is marked as damaged only if the file ends within it."""

_SLACK_S: Final = Fraction(1, 4)
_IVF_HEAD_BYTES: Final = 12
_LEAST_FRAME_BYTES: Final = {"avi": 8, "ivf": _IVF_HEAD_BYTES}
_LEAST_PLACEHOLDER: Final = 2**30
"""A count of so many frames is none: writers to a pipe leave 2**30 (FFmpeg) or 2**32 - 1."""

_BEGINNINGS: Final = {"flv": b"FLV\x01", "matroska,webm": b"\x1aE\xdf\xa3"}
"""First bytes of FFmpeg's formats that are sometimes written one behind the other in a file, of
which FFmpeg reads one or two."""

_LOOK_BYTES: Final = 2**16
_MAX_CHUNKS: Final = 4096
"""How many chunks, and lists of 1 GB and more, of an AVI file are looked at."""

_MAX_INDEX_BYTES: Final = 2**26


@dataclass(frozen=True)
class _AviEnd:
    """Where an AVI file says that it ends. frames_end: the byte behind its last frame; chunks: of
    the picture, also empty ones, by the index, None where there is none that can be read."""

    frames_end: int
    chunks: int | None


class StreamEnd:
    """Watches the packets of the picture, and tells at the end whether some are missing.

    A count in a header is no promise where a writer to a pipe left it open. A size or an index is.
    """

    def __init__(
        self, container: av.container.InputContainer, stream: av.VideoStream, file: GuardedSource
    ) -> None:
        self._kind = container.format.name
        self._stream = stream
        self._file = file
        self._base = stream.time_base or Fraction(1, 25)
        self._place = 0
        self._shown_until = Fraction(0)
        self._first_dts = 0
        self._next_dts: int | None = None
        self._first_lead: int | None = None
        self._last_lead = 0
        self._is_side_cut = False
        self._avi = _avi_end(file, stream.index) if self._kind == "avi" else None

    @property
    def counted_frames(self) -> int | None:
        """The number of frames by the header, None where it has none or cannot be right."""
        count = int(self._stream.frames)
        least, size = _LEAST_FRAME_BYTES.get(self._kind, 0), self._file.size
        if not 0 < count < _LEAST_PLACEHOLDER or (size is not None and count * least > size):
            return None
        return count

    def is_cut(self, packet: av.Packet[Any]) -> bool:
        """Take in a packet of the picture; return whether the file ends within it."""
        if packet.size:
            head = _IVF_HEAD_BYTES if self._kind == "ivf" else 0  # where FFmpeg says packets begin
            self._place = (packet.pos or 0) + head + packet.size
            shown_until = ((packet.pts or 0) + (packet.duration or 0)) * packet.time_base
            self._shown_until = max(self._shown_until, shown_until)
            if packet.dts is not None:
                lead = (packet.dts if packet.pts is None else packet.pts) - packet.dts
                if self._first_lead is None:
                    self._first_dts, self._first_lead = packet.dts, lead
                if not packet.is_discard:
                    self._last_lead = lead
                    self._next_dts = packet.dts + (packet.duration or 0)
        return bool(packet.size) and packet.is_corrupt and self._kind in _SHORT_READ

    def see_side(self, packet: av.Packet[Any]) -> None:
        """Take in a packet of another stream."""
        self._is_side_cut |= bool(packet.size) and packet.is_corrupt and self._kind in _SHORT_READ

    def missing(self, last_pts: int | None, step: Fraction) -> str | None:
        """Say how the video ends before it should; None where it does not.

        last_pts: of the last frame. step: seconds from one frame to the next.
        """
        if self._kind == _PLAIN and 0 < self._place < self._file.read_bytes:
            return CUT
        size = self._file.read_bytes if self._file.size is None else self._file.size
        if self._kind == "ivf":
            return CUT if 0 < size - self._place < _IVF_HEAD_BYTES else None
        if self._kind == "avi" and (self._avi is None or size >= self._avi.frames_end):
            return _CUT_SIDE if self._is_side_cut else None
        return self._early(self.promised(), last_pts, step) or (CUT if self._avi else None)

    def note(self, last_pts: int | None, step: Fraction) -> str | None:
        """Say what is odd about the end of a whole file; None where nothing is."""
        beginning = _BEGINNINGS.get(self._kind)
        if beginning is not None and self._file.size is not None:
            rest = self._file.look(self._place, _LOOK_BYTES).find(beginning)
            if rest >= 0:
                return f"another video begins at byte {self._place + rest}: it was not read"
        if self._kind != "ivf" or self.counted_frames is None:
            return None
        if self._early((self._stream.duration or 0) * self._base, last_pts, step) is None:
            return None
        return f"its header counts {self.counted_frames} frames, which is more than it holds"

    def held(self, pts: int, duration: int) -> int:
        """How long the last frame is shown, in units of the time base, 0 where nothing tells.

        Empty chunks of AVI hold it, and in MP4 it stays until the end of the track.
        pts, duration: its own.
        """
        if self._next_dts is None or self._first_lead is None:
            return duration
        if self._avi is not None:
            chunks = self._avi.chunks
            if chunks is None:
                chunks = int(self._stream.duration or 0) if self._file.size is None else 0
            empty = chunks - (self._next_dts - self._first_dts)
            return duration + max(empty, 0)
        if self._kind.startswith("mov,") and self._last_lead < self._first_lead:
            until_end = (
                self._next_dts + self._first_lead - pts
            )  # its own is that of a decoding step
            return until_end if until_end > 0 else duration
        return duration

    def promised(self) -> Fraction | None:
        """The end of the video in seconds, by the header; None where nothing tells."""
        tagged = _tagged_duration(self._stream)
        if tagged is not None or self._kind not in _COUNTED:
            return tagged
        if self._stream.frames and self.counted_frames is None:
            return None
        return ((self._stream.start_time or 0) + (self._stream.duration or 0)) * self._base

    def _early(self, promised: Fraction | None, last_pts: int | None, step: Fraction) -> str | None:
        """Compare the end to what was promised."""
        if promised is None or last_pts is None:
            return None
        end = max(self._shown_until, last_pts * self._base + step)
        if promised - end <= step + _SLACK_S:
            return None
        return f"it ends at {float(end):.2f} s, its header promises {float(promised):.2f} s"


def _tagged_duration(stream: av.VideoStream) -> Fraction | None:
    """The end of a Matroska track in seconds, as its DURATION tag (hh:mm:ss) names it."""
    parts = stream.metadata.get("DURATION", "").split(":")
    try:
        hours, minutes, seconds = (Fraction(part) for part in parts)
    except ValueError:
        return None
    return hours * 3600 + minutes * 60 + seconds


def _avi_end(file: GuardedSource, stream: int) -> _AviEnd | None:
    """Where an AVI file ends by its own words; None where they were left open.

    RIFF: four letters, a size in 32 bits, and a list has four letters more. A large file is several
    RIFF lists, each with frames in a list "movi"; "idx1" behind the first one is an index.
    """
    at, frames_end, chunks = 0, None, None
    for _ in range(_MAX_CHUNKS):
        head = file.look(at, 12)
        if len(head) < 12 or head[:4] != b"RIFF" or head[8:11] != b"AVI":
            break
        end = at + 8 + struct.unpack_from("<I", head, 4)[0]
        for place, name, count in _riff_chunks(file, at + 12, end):
            if name == b"movi":
                if not 4 < count < 2**31 - 16:
                    return None
                frames_end = place + 8 + count
            elif name == b"idx1" and frames_end is not None and not at:
                chunks = _count_chunks(file.look(place + 8, min(count, _MAX_INDEX_BYTES)), stream)
        if at:
            chunks = None
        at = end + (end & 1)
    return None if frames_end is None else _AviEnd(frames_end, chunks)


def _riff_chunks(file: GuardedSource, start: int, end: int) -> Iterator[tuple[int, bytes, int]]:
    """Place, name (of a list the name of its contents) and size of the chunks of a RIFF list."""
    at = start
    for _ in range(_MAX_CHUNKS):
        head = file.look(at, 12)
        if at + 8 > end or len(head) < 8:
            return
        name, count = head[:4], struct.unpack_from("<I", head, 4)[0]
        yield at, head[8:12] if name == b"LIST" else name, count
        at += 8 + count + (count & 1)


def _count_chunks(index: bytes, stream: int) -> int:
    """The chunks of a stream in an AVI index: entries of 16 bytes, the first two are its number."""
    entries = np.frombuffer(index[: len(index) // 16 * 16], "S2").reshape(-1, 8)
    return int((entries[:, 0] == f"{stream:02d}".encode()).sum())
