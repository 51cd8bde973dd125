"""Files of bare samples: what shows that one is of another kind,
or that its frames have another size."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import av

from bsqcodec.errors import DamagedVideoError, MediaError
from bsqcodec.media.ffmpeg_io import Readable, ffmpeg_guard
from bsqcodec.media.recognise import HEAD_BYTES, kind_of, picture_kind, video_kind
from bsqcodec.media.suffixes import PICTURE_SUFFIXES, VIDEO_SUFFIXES
from bsqcodec.media.video.video_types import RawVideo

_BARE_SUFFIXES: Final = frozenset((".yuv", ".rgb"))
"""Of pictures or videos by the lists of suffixes, and of bare samples, too."""


def raw_options(raw: RawVideo) -> dict[str, str]:
    """Return the options of FFmpeg's "rawvideo" by which it reads such samples."""
    return {
        "video_size": f"{raw.width}x{raw.height}",
        "framerate": str(raw.frame_rate),
        "pixel_format": raw.pix_fmt,
    }


def refuse_other_files(head: bytes, name: str) -> None:
    """Raise MediaError where a file of bare samples is none, by its first bytes or its suffix.

    head: HEAD_BYTES of it, or all of a shorter file. name: a path,
    or what it is called in messages.
    """
    head = head[:HEAD_BYTES]
    kind = picture_kind(head) or video_kind(head)
    if kind is not None:
        raise MediaError(
            f"{name}: {kind}, no bare samples: the size of its frames is not to be given"
        )
    kind = kind_of(head)
    if kind is not None:
        raise MediaError(f"{name}: {kind}, no bare samples")
    suffix = Path(name).suffix.lower()
    if suffix in (PICTURE_SUFFIXES | VIDEO_SUFFIXES) - _BARE_SUFFIXES:
        raise MediaError(f"{name}: by its name a {suffix[1:]} file, no bare samples")


def check_bare_samples(path: Path, raw: RawVideo) -> None:
    """Raise MediaError where a file is none of bare samples,
    or does not end with the end of a frame."""
    with open(path, "rb") as file:
        refuse_other_files(file.read(HEAD_BYTES), str(path))
    size, each = path.stat().st_size, frame_bytes(raw, str(path))
    if size == 0:
        raise MediaError(f"{path}: the file is empty")
    if size % each:
        raise DamagedVideoError(
            f"{path}: {size} bytes are {size / each:.2f} frames of {raw.width} x {raw.height}"
            f" {raw.pix_fmt}, {each} bytes each: another size or format, or a cut file",
            0,
        )


def frame_bytes(raw: RawVideo, name: str = "bare samples") -> int:
    """Return how many bytes a frame of bare samples takes.

    Raises MediaError, which begins with `name`, where there is no such format.
    """
    doing = f"not {raw.pix_fmt} of {raw.width}x{raw.height} pixels"
    with (
        ffmpeg_guard(name, doing),
        av.open(_Zeros(), "r", format="rawvideo", container_options=raw_options(raw)) as container,
    ):
        return int(next(container.demux(video=0)).size)


class _Zeros(Readable):
    """A file of zeros without an end."""

    def read(self, size: int = 1, /) -> bytes:
        return bytes(size)

    def seekable(self) -> bool:
        return False

    def seek(self, offset: int, whence: int = 0, /) -> int:
        raise OSError("cannot seek")

    def tell(self) -> int:
        return 0
