"""Clips of 8-bit YUV 4:2:0 frames, from raw files or whatever FFmpeg reads, frame by frame."""

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
from av.video.reformatter import Interpolation

from benchmarks.colour import Frame, frame_size
from benchmarks.datasets.base import DatasetError


@dataclass(frozen=True)
class Clip:
    """A number of frames of one size, read when they are needed; memory holds one at a time.

    rate: frames a second. open: starts reading anew; may have more frames than `frames`.
    """

    name: str
    width: int
    height: int
    frames: int
    rate: Fraction
    open: Callable[[], Iterator[Frame]]

    def read(self) -> Iterator[Frame]:
        """The frames [3 H / 2, W]. Raises DatasetError if the source ends too early."""
        found = 0
        for frame in islice(self.open(), self.frames):
            found += 1
            yield frame
        if found < self.frames:
            raise DatasetError(f"{self.name}: {self.frames} frames expected, {found} found")

    def first(self, count: int) -> "Clip":
        """The first `count` frames."""
        return dataclasses.replace(self, frames=min(count, self.frames))

    def sha256(self) -> str:
        """Hash of the size and of every sample of every frame."""
        digest = hashlib.sha256(f"{self.width}x{self.height} {self.frames}\n".encode())
        for frame in self.read():
            digest.update(np.ascontiguousarray(frame).data)
        return digest.hexdigest()


def raw_frames(path: Path, width: int, height: int) -> int:
    """How many frames a headerless I420 file holds.

    Raises DatasetError if its size is not that of whole frames.
    """
    size = frame_size(width, height)
    count, rest = divmod(path.stat().st_size, size)
    if rest:
        raise DatasetError(
            f"{path.name}: {path.stat().st_size} bytes are not whole frames of "
            f"{width}x{height} 4:2:0 ({size} bytes each)"
        )
    return count


def read_raw(path: Path, width: int, height: int) -> Iterator[Frame]:
    """The frames of a headerless I420 file."""
    size = frame_size(width, height)
    with open(path, "rb") as file:
        while len(data := file.read(size)) == size:
            yield np.frombuffer(data, np.uint8).reshape(height * 3 // 2, width)


def open_video_file(path: Path, name: str | None = None) -> Clip:
    """A video file of any format, its frames as 8-bit 4:2:0. Raises DatasetError."""
    try:
        with av.open(path) as container:
            stream = container.streams.video[0]
            width, height = stream.codec_context.width, stream.codec_context.height
            rate = stream.average_rate or stream.guessed_rate or Fraction(25)
            frames = sum(1 for packet in container.demux(stream) if packet.size)
        frame_size(width, height)
    except (av.FFmpegError, OSError, IndexError) as error:
        raise DatasetError(f"{path.name}: not a readable video ({error})") from error
    except ValueError as error:
        raise DatasetError(f"{path.name}: {error}") from error
    return Clip(name or path.stem, width, height, frames, rate, partial(read_video, path))


def read_video(path: Path, format: str | None = None) -> Iterator[Frame]:
    """Decode a video file in one thread, frame by frame. format: FFmpeg's name, if not guessed."""
    with av.open(path, format=format) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        for frame in container.decode(stream):
            yield as_i420(frame)


def as_i420(picture: av.VideoFrame) -> Frame:
    """A frame of any format as 8-bit 4:2:0 [3 H / 2, W]."""
    return picture.to_ndarray(format="yuv420p").astype(np.uint8, copy=False)


def scaled(clip: Clip, width: int, height: int) -> Clip:
    """The clip at another size, by swscale's bicubic filter."""

    def read() -> Iterator[Frame]:
        for frame in clip.open():
            picture = av.VideoFrame.from_ndarray(frame, format="yuv420p")
            yield as_i420(picture.reformat(width, height, interpolation=Interpolation.BICUBIC))

    return dataclasses.replace(clip, width=width, height=height, open=read)


def write_y4m(clip: Clip, path: Path) -> None:
    """Write a clip without loss as a YUV4MPEG file, which most video tools read."""
    write_frames(clip, clip.read(), path, "rawvideo", "yuv4mpegpipe", {})


def write_frames(
    clip: Clip,
    frames: Iterable[Frame],
    path: Path,
    codec: str,
    format: str,
    options: dict[str, str],
    bit_filter: str | None = None,
) -> None:
    """Code frames with one of FFmpeg's encoders, in one thread.

    clip: for size and rate. codec, format, options, bit_filter (a bitstream filter): FFmpeg's
    names. Raises av.FFmpegError.
    """
    with av.open(path, "w", format=format) as container:
        stream = cast(av.VideoStream, container.add_stream(codec, rate=clip.rate))
        stream.width, stream.height, stream.pix_fmt = clip.width, clip.height, "yuv420p"
        stream.codec_context.thread_count = 1
        stream.options = dict(options)
        filters: list[av.BitStreamFilterContext] = []

        def write(packets: "Iterable[av.Packet[Any]]") -> None:
            for packet in packets:
                if bit_filter and not filters:  # the stream is open only now
                    filters.append(av.BitStreamFilterContext(bit_filter, stream))
                container.mux(filters[0].filter(packet) if filters else packet)

        for index, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="yuv420p")
            picture.pts, picture.time_base = index, 1 / clip.rate
            write(stream.encode(picture))
        write(stream.encode(None))
        if filters:
            container.mux(filters[0].filter(None))
