"""What a video is to the codec: frames of RGB with timestamps, and how they were stored."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from types import TracebackType
from typing import Final, Self

import numpy as np

from bsqcodec.format.video_times import DEFAULT_FRAME_RATE
from bsqcodec.media.image.picture import Samples

UNSPECIFIED: Final = 2
"""The code point of ITU-T H.273 for primaries and transfer characteristics that are not named."""

MATRICES: Final = ("bt709", "bt601", "bt2020nc")


@dataclass(frozen=True)
class VideoColour:
    """How a video stores colour; carried so that the output is stored and tagged the same way.

    matrix: one of MATRICES, by which Y'CbCr becomes R'G'B'. full_range: black and white are 0 and
    255 instead of 16 and 235. primaries, transfer: code points of ITU-T H.273, 2 for unspecified.
    """

    matrix: str
    full_range: bool = False
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED

    def __post_init__(self) -> None:
        if self.matrix not in MATRICES:
            raise ValueError(f"the matrix is {self.matrix!r}, not one of {', '.join(MATRICES)}")


@dataclass(frozen=True)
class VideoFormat:
    """What holds for all frames of a video.

    width, height: in pixels, as displayed: a rotation that the file asks for is applied already.
    time_base: the unit of timestamps in seconds. frame_rate: nominal frames per second, None
    where unknown. sample_aspect_ratio: width : height of one pixel as displayed.
    metadata: the file's own texts, such as a title. notes: what was converted, assumed or dropped
    on the way in, one short sentence each.
    """

    width: int
    height: int
    time_base: Fraction
    frame_rate: Fraction | None
    colour: VideoColour
    sample_aspect_ratio: Fraction = Fraction(1)
    metadata: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class VideoFrame:
    """One frame. pixels: uint8 [H, W, 3] RGB, 0..255. pts: when it is shown, in time_base.

    duration: how long it is shown, in time_base, of the last frame; 0 where nothing tells. Others
    are shown until the next one.
    """

    pixels: Samples
    pts: int
    duration: int = 0

    def __post_init__(self) -> None:
        shape = self.pixels.shape
        if self.pixels.dtype != np.uint8 or len(shape) != 3 or shape[2] != 3 or 0 in shape:
            raise ValueError(f"pixels are {self.pixels.dtype} {shape}, not uint8 [H, W, 3]")


@dataclass(frozen=True)
class RawVideo:
    """What a file of bare samples does not say about itself.

    pix_fmt: FFmpeg's name, such as yuv420p, yuv422p or yuv420p10le. frame_rate: frames a second.
    colour: None for the default of this size (see `guessed_matrix`), limited range.
    """

    width: int
    height: int
    frame_rate: Fraction = DEFAULT_FRAME_RATE
    pix_fmt: str = "yuv420p"
    colour: VideoColour | None = None


@dataclass(frozen=True)
class OutputOptions:
    """How a decoded video is stored.

    container: "mkv", "mp4", "mov", "webm", "y4m", "gif", "webp" or "png" (numbered pictures); None
    to tell by the destination's name. codec: FFmpeg's name of an encoder, None for the container's
    default: libx264 or, in webm, libvpx-vp9, and with `lossless` FFV1 in mkv or libx264rgb in mp4
    and mov. crf: the encoder's
    quality, smaller is better; None for 6, which is near to transparent. lossless: the frames'
    RGB values come back exactly. pix_fmt: None for yuv420p, or yuv444p where a side is odd and the
    codec wants even ones. codec_options: passed to the encoder as they are. overwrite: numbered
    pictures may replace files that are there (other outputs always do). trim: the first frame is
    moved to time 0, and what sounds or is shown before it, or after the last one, is left out.
    duration: seconds of it, where that is known before; subtitles and chapters end there.
    frame_rate: of containers without timestamps, if the video has none of its own.
    """

    container: str | None = None
    codec: str | None = None
    crf: int | None = None
    lossless: bool = False
    pix_fmt: str | None = None
    codec_options: Mapping[str, str] = field(default_factory=dict)
    overwrite: bool = False
    trim: bool = False
    duration: Fraction | None = None
    frame_rate: Fraction | None = None


class _Closing(ABC):
    """A context manager that closes, or aborts on an exception."""

    @abstractmethod
    def close(self) -> None:
        """Let go of what is open, once all is done."""

    def abort(self) -> None:
        """Let go of what is open, as it is."""
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()


class VideoReader(_Closing):
    """A video that is being read, a context manager.

    format: what holds for all frames. notes: those of `format`, and more as they turn up.
    problems: damage that was passed over, one sentence each. expected_frames: how many frames there
    probably are, None where nothing tells.
    """

    format: VideoFormat
    notes: list[str]
    problems: list[str]
    expected_frames: int | None = None

    @abstractmethod
    def frames(self) -> Iterator[VideoFrame]:
        """Yield the frames once, in the order they are shown, with rising timestamps.

        Only the frames that decoding needs are in memory. Raises DamagedVideoError where the
        video is damaged (unless that is allowed), MediaError where the picture size changes, and
        OSError where the source cannot be read.
        """

    def take_side_bytes(self) -> bytes:
        """Return what there is new of the side stream; all of it once `frames` has ended.

        The side stream is a Matroska file of everything but the picture: sound, subtitles,
        attachments, chapters. It is empty where the video has none of them. What is not taken
        stays in memory.
        """
        return b""


class VideoWriter(_Closing):
    """A video that is being written, a context manager that closes, or aborts on an exception.

    notes: what the output cannot hold or was changed for it, complete after `close`.
    """

    notes: list[str]

    @abstractmethod
    def write(self, frame: VideoFrame) -> None:
        """Write the next frame; timestamps must rise.

        Raises ValueError for a frame of another size or an earlier time than the last one,
        OutputError where the encoder fails, OSError where the disk is full.
        """

    @abstractmethod
    def close(self) -> None:
        """Write what is left and finish the output; raises as `write` does, once."""

    @abstractmethod
    def abort(self) -> None:
        """Let go of the output as it is; a destination that was given by name is left
        unfinished."""
