"""A video's frames from a file that other machines see too, under the same path.

A worker of a cluster reads the frames of its groups from the file, if it is the same there. That is
told by names, sizes and first bytes, and then by the CRC of each frame, so that another version of
FFmpeg's decoders cannot go unnoticed.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from bsqcodec.errors import BsqError
from bsqcodec.media.video.video_files import VideoFrame, VideoReader
from bsqcodec.video.decoding_loop import Pixels

if TYPE_CHECKING:
    from bsqcodec.video.encode_file import VideoInput

MAX_SKIPPED_FRAMES: Final = 5000
"""So many frames at most are decoded and dropped; from there on the file is opened at a time."""

_HEAD_BYTES: Final = 2**16


class UnreadableError(BsqError):
    """A frame cannot be read from the file here, or is another one."""


@dataclass(frozen=True)
class FrameSum:
    """What tells whether a frame that was read is the right one.

    number: in the video. pts: in units of the time base. crc: of the pixels, CRC-32.
    """

    number: int
    pts: int
    crc: int

    @classmethod
    def of(cls, number: int, frame: VideoFrame) -> FrameSum:
        return cls(number, frame.pts, _crc(frame.pixels))


def _crc(pixels: Pixels) -> int:
    return zlib.crc32(np.ascontiguousarray(pixels).data)


@dataclass(frozen=True)
class SharedFile:
    """A file, or a series of pictures, and the SHA-256 of what is quickly found out about it."""

    video: VideoInput
    digest: str

    @classmethod
    def of(cls, video: VideoInput) -> SharedFile | None:
        """The file of a video; None for a stream. Raises MediaError, OSError."""
        absolute = video.elsewhere()
        return None if absolute is None else cls(absolute, _digest(absolute))

    def is_same_here(self) -> bool:
        """Whether this process sees the file, or the pictures."""
        with suppress(BsqError, OSError):
            return bool(self.video.files()) and _digest(self.video) == self.digest
        return False


def _digest(video: VideoInput) -> str:
    """The SHA-256 of names and sizes of a video's files, and of the first bytes of the first."""
    files = video.files()
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.name}\n{path.stat().st_size}\n".encode())
    with files[0].open("rb") as file:
        digest.update(file.read(_HEAD_BYTES))
    return digest.hexdigest()


class FileFrames:
    """Reads frames of a shared file in about the order of their numbers.

    Frames that were asked for are kept until `forget`. The file is closed when nothing refers to
    this object any more.
    """

    def __init__(self, file: SharedFile) -> None:
        self._file = file
        self._kept: dict[int, Pixels] = {}
        self._reader: VideoReader | None = None
        self._frames: Iterator[VideoFrame] = iter(())
        self._next = 0

    def __del__(self) -> None:
        self._close()

    def forget(self, until: int) -> None:
        """Drop the frames in front of this number."""
        for number in [number for number in self._kept if number < until]:
            del self._kept[number]

    def get(self, wanted: FrameSum) -> Pixels:
        """The pixels [H, W, 3] of a frame. Raises UnreadableError."""
        pixels = self._kept.get(wanted.number)
        if pixels is None:
            try:
                pixels = self._read(wanted)
            except (BsqError, OSError) as error:
                raise UnreadableError(f"frame {wanted.number} cannot be read: {error}") from error
            self._kept[wanted.number] = pixels
        if _crc(pixels) != wanted.crc:
            raise UnreadableError(f"frame {wanted.number} is another one here")
        return pixels

    def _read(self, wanted: FrameSum) -> Pixels:
        """Read on until a frame has come."""
        if self._reader is None or not 0 <= wanted.number - self._next <= MAX_SKIPPED_FRAMES:
            self._open(wanted)
        assert self._reader is not None
        for frame in self._frames:
            self._reader.take_side_bytes()  # which nobody needs, and which would stay in memory
            self._next += 1
            if self._next > wanted.number:
                return frame.pixels
        raise UnreadableError("the file ends before it")

    def _open(self, wanted: FrameSum) -> None:
        """Open the file at its beginning, or at a frame that is far from there."""
        self._close()
        video, self._next = self._file.video, 0
        if wanted.number > MAX_SKIPPED_FRAMES:
            with video.open() as reader:
                first = next(reader.frames())
                seconds = (wanted.pts - first.pts) * reader.format.time_base
            part = video.starting_at(seconds)
            if part is not None:
                video, self._next = part, wanted.number
        self._reader = video.open()
        self._frames = self._reader.frames()

    def _close(self) -> None:
        self._frames = iter(())
        if self._reader is not None:
            self._reader.close()
            self._reader = None
