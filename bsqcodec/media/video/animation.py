"""Animated WebP as a video: FFmpeg does not read it, Pillow does."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from bsqcodec.errors import DamagedVideoError, MediaError
from bsqcodec.media.ffmpeg_io import Readable
from bsqcodec.media.image.pillow_guard import check_size, pillow_guard
from bsqcodec.media.video.transparency import NOTE as TRANSPARENT
from bsqcodec.media.video.video_colour import guessed_matrix
from bsqcodec.media.video.video_types import VideoColour, VideoFormat, VideoFrame, VideoReader

HEAD_BYTES: Final = 30
"""How many first bytes of a file `is_animated_webp` wants."""

_ANIMATED: Final = 0x02
_MILLISECOND: Final = Fraction(1, 1000)
_LEAST_MS: Final = 10
_DEFAULT_MS: Final = 100
"""Browsers show a frame of at most 10 ms for 100 ms, as they do with GIF."""

_SRGB: Final = (1, 13)
"""The code points of sRGB's primaries and transfer characteristic in ITU-T H.273."""


def is_animated_webp(head: bytes) -> bool:
    """Return whether a file that begins like this is an animated WebP.

    https://developers.google.com/speed/webp/docs/riff_container: flags in byte 20.
    """
    is_extended = head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X"
    return is_extended and len(head) >= HEAD_BYTES and bool(head[20] & _ANIMATED)


class AnimationReader(VideoReader):
    """The frames of an animated WebP, each for as long as the file says;
    it is in memory as a whole.

    source: a path, or a stream that is read from where it stands. Raises MediaError where it
    cannot be read, LimitError for frames of more than `max_pixels`.
    """

    def __init__(
        self, source: Path | Readable, name: str, *, max_pixels: int, allow_damage: bool
    ) -> None:
        self.notes = []
        self.problems = []
        self._name = name
        self._max_pixels = max_pixels
        self._allow_damage = allow_damage
        self._cleanup = ExitStack()
        if isinstance(source, Path):
            data = source.read_bytes()
        else:
            data = b"".join(iter(lambda: source.read(2**20) or b"", b""))
        self._image: Any
        with pillow_guard(name, max_pixels):
            self._image = self._cleanup.enter_context(Image.open(io.BytesIO(data)))
            check_size(name, self._image.size, max_pixels)
        self.expected_frames = int(self._image.n_frames)
        width, height = self._image.size
        if self._image.info.get("icc_profile"):
            self.notes.append("colour profiles are not carried: samples are taken as sRGB")
        self.format = VideoFormat(
            width, height, _MILLISECOND, None, VideoColour(guessed_matrix(height), False, *_SRGB),
            notes=tuple(self.notes),
        )  # fmt: skip

    def frames(self) -> Iterator[VideoFrame]:
        pts = 0
        for index in range(int(self._image.n_frames)):
            try:
                with pillow_guard(self._name, self._max_pixels):
                    self._image.seek(index)
                    self._image.load()
                    duration = int(self._image.info.get("duration", 0))
                    pixels = self._pixels()
            except MediaError as error:
                reason = f"damaged after {index} frames ({error})"
                if not self._allow_damage:
                    raise DamagedVideoError(f"{self._name}: {reason}", index) from error
                self.problems.append(reason)
                return
            if duration <= _LEAST_MS:
                duration = _DEFAULT_MS
            yield VideoFrame(pixels, pts, duration)
            del pixels
            pts += duration

    def close(self) -> None:
        self._cleanup.close()

    def _pixels(self) -> Any:
        """The present frame, uint8 [H, W, 3]."""
        if self._image.mode == "RGBA" and TRANSPARENT not in self.notes:
            least, _ = self._image.getchannel("A").getextrema()
            if least < 255:
                self.notes.append(TRANSPARENT)
        return np.array(self._image.convert("RGB"))
