"""Other codecs of pictures and videos, each at the finest setting whose result is small enough."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

import av
import numpy as np
from PIL import Image, features

from bsqcodec.media.image.optional_packages import JXL, is_available
from bsqcodec.media.image.picture import Samples
from bsqcodec.media.video.video_files import (
    OutputOptions,
    VideoFormat,
    VideoFrame,
    create_video,
    open_video,
)

Made = TypeVar("Made")


@dataclass(frozen=True)
class StillRival:
    """A codec of pictures through Pillow, whose quality is a whole number from 0 to 100."""

    name: str
    label: str
    format: str
    options: Mapping[str, Any]

    setting: str = "quality"
    range: tuple[int, int] = (0, 95)

    @property
    def is_here(self) -> bool:
        """Whether this machine has it."""
        if self.format == JXL:
            return is_available(JXL)
        return self.format == "JPEG" or bool(features.check(self.format.lower()))

    def encode(self, pixels: Samples, quality: int) -> bytes:
        """Code a picture [H, W, 3] as a whole file."""
        if self.format == JXL:
            import pillow_jxl  # noqa: F401 -- Pillow writes JPEG XL then
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, self.format, quality=quality, **self.options)
        return file.getvalue()

    @staticmethod
    def decode(data: bytes) -> Samples:
        """The samples [H, W, 3] of a whole file."""
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image.convert("RGB"))


STILL_RIVALS: Final = (
    StillRival("jpeg", "JPEG", "JPEG", {"optimize": True, "progressive": True}),
    StillRival("webp", "WebP", "WEBP", {"method": 6}),
    StillRival("avif", "AVIF", "AVIF", {"speed": 6, "subsampling": "4:4:4"}),
    StillRival("jxl", "JPEG XL", JXL, {"effort": 7}),
)


@dataclass(frozen=True)
class CodedClip:
    """A video file in memory. bytes: of its frames' packets alone. crf: how it was coded."""

    data: bytes
    bytes: int


@dataclass(frozen=True)
class VideoRival:
    """A codec of videos through FFmpeg, by constant rate factor; a smaller one is finer."""

    name: str
    label: str
    encoder: str
    options: Mapping[str, str]

    setting: str = "crf"
    range: tuple[int, int] = (51, 12)

    @property
    def is_here(self) -> bool:
        """Whether FFmpeg has it."""
        return self.encoder in av.codecs_available

    def encode(self, form: VideoFormat, frames: Iterable[VideoFrame], crf: int) -> CodedClip:
        """Code frames as a Matroska file."""
        os.environ.setdefault("SVT_LOG", "1")  # SVT-AV1 knows no other way to be quiet
        output = OutputOptions("mkv", self.encoder, crf, codec_options=self.options)
        file = io.BytesIO()
        with create_video(file, form, output) as writer:
            for frame in frames:
                writer.write(frame)
        with av.open(io.BytesIO(file.getvalue()), "r") as container:
            count = sum(int(packet.size) for packet in container.demux(video=0))
        return CodedClip(file.getvalue(), count)

    @staticmethod
    def decode(coded: CodedClip) -> Iterator[Samples]:
        """The frames [H, W, 3] of a file."""
        with open_video(io.BytesIO(coded.data)) as reader:
            for frame in reader.frames():
                yield frame.pixels


VIDEO_RIVALS: Final = (
    VideoRival("x264", "H.264 (x264 medium)", "libx264", {"preset": "medium"}),
    VideoRival(
        "x265", "HEVC (x265 medium)", "libx265", {"preset": "medium", "x265-params": "log-level=0"}
    ),
    VideoRival("svtav1", "AV1 (SVT-AV1 preset 6)", "libsvtav1", {"preset": "6"}),
)


@dataclass
class Fitting(Generic[Made]):
    """Finds the finest of whole settings, coarsest to finest, whose result is small enough.

    make: codes at a setting. size: bytes of what it made. Results are kept for further limits.
    """

    make: Callable[[int], Made]
    size: Callable[[Made], int]
    range: tuple[int, int]
    _made: dict[int, Made] = field(default_factory=dict)

    def below(self, limit: int) -> tuple[int, Made]:
        """(setting, result) of at most `limit` bytes, or the coarsest where that is larger too."""
        coarsest, finest = self.range
        step = 1 if finest > coarsest else -1
        low, high = 0, abs(finest - coarsest)
        while low < high:
            middle = (low + high + 1) // 2
            if self.size(self._at(coarsest + step * middle)) <= limit:
                low = middle
            else:
                high = middle - 1
        setting = coarsest + step * low
        return setting, self._at(setting)

    def _at(self, setting: int) -> Made:
        if setting not in self._made:
            self._made[setting] = self.make(setting)
        return self._made[setting]
