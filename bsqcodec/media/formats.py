"""What pictures and videos are written as: the one list of formats, without the code that does it.

The command line reads it before Pillow and FFmpeg are loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bsqcodec.errors import MediaError, OutputError
from bsqcodec.media.image.optional_packages import HEIF, JXL, require
from bsqcodec.media.suffixes import CODED_SUFFIX, PICTURE_SUFFIXES, VIDEO_SUFFIXES


@dataclass(frozen=True)
class OutputFormat:
    """A format that pictures are written in.

    name: Pillow's. suffixes: in lower case, the first is the default one. alpha: modes with alpha
    that it holds. grey: whether grey stays one channel. max_side: the most pixels in a row or
    column. metadata: what it holds, by Pillow's names. has_dpi: whether it names a resolution
    beside EXIF. options: how Pillow is to save it.
    """

    name: str
    suffixes: tuple[str, ...]
    alpha: tuple[str, ...] = ()
    grey: bool = True
    max_side: int = 2**31 - 1
    metadata: tuple[str, ...] = ()
    has_dpi: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)


_ALL_METADATA: Final = ("icc_profile", "exif", "xmp")
OUTPUT_FORMATS: Final = (
    OutputFormat("PNG", (".png",), ("LA", "RGBA"), metadata=_ALL_METADATA, has_dpi=True),
    OutputFormat(
        "JPEG",
        (".jpg", ".jpeg", ".jpe", ".jfif"),
        max_side=65535,
        metadata=_ALL_METADATA,
        has_dpi=True,
        options={"quality": 95, "subsampling": 0, "optimize": True},
    ),
    OutputFormat(
        "WEBP",
        (".webp",),
        ("RGBA",),
        grey=False,
        max_side=16383,
        metadata=_ALL_METADATA,
        options={"lossless": True, "exact": True},
    ),
    OutputFormat(
        "AVIF",
        (".avif",),
        ("RGBA",),
        grey=False,
        max_side=65536,
        metadata=_ALL_METADATA,
        options={"quality": 95, "subsampling": "4:4:4"},
    ),
    OutputFormat(
        HEIF,
        (".heic", ".heif"),
        ("RGBA",),
        max_side=16384,
        metadata=_ALL_METADATA,
        options={"quality": 95, "chroma": 444},
    ),
    OutputFormat(JXL, (".jxl",), ("LA", "RGBA"), metadata=("exif", "xmp")),
    OutputFormat("TIFF", (".tif", ".tiff"), ("LA", "RGBA"), metadata=_ALL_METADATA),
    OutputFormat("JPEG2000", (".jp2", ".j2k", ".jpx"), ("LA", "RGBA")),
    OutputFormat("BMP", (".bmp",), has_dpi=True),
    OutputFormat("TGA", (".tga",), ("LA", "RGBA"), max_side=65535),
    OutputFormat("PPM", (".ppm", ".pgm", ".pnm")),
)


PICTURE_FORMAT_NAMES: Final = tuple(
    dict.fromkeys(
        name
        for entry in OUTPUT_FORMATS
        for name in (*(suffix[1:] for suffix in entry.suffixes), entry.name.lower())
    )
)
"""Names of what pictures are written as, for --format: the suffixes and the formats' own names."""

PICTURE_FORMATS_TEXT: Final = ", ".join(entry.suffixes[0][1:] for entry in OUTPUT_FORMATS)
"""One name of each, for people."""

DEFAULT_PICTURE_FORMAT: Final = PICTURE_FORMAT_NAMES[0]


@dataclass(frozen=True)
class VideoContainer:
    """What a video is written as. name: for --format. muxer: FFmpeg's name, None for pictures.

    suffixes: in lower case. has_sides: whether it holds sound, subtitles and chapters.
    """

    name: str
    suffixes: tuple[str, ...]
    muxer: str | None
    has_sides: bool = True


VIDEO_CONTAINERS: Final = (
    VideoContainer("mkv", (".mkv",), "matroska"),
    VideoContainer("mp4", (".mp4", ".m4v"), "mp4"),
    VideoContainer("mov", (".mov", ".qt"), "mov"),
    VideoContainer("webm", (".webm",), "webm"),
    VideoContainer("y4m", (".y4m",), "yuv4mpegpipe", has_sides=False),
    VideoContainer("gif", (".gif",), "gif", has_sides=False),
    VideoContainer("webp", (".webp",), "webp", has_sides=False),
    VideoContainer("png", (".png",), None, has_sides=False),
)
"""The first is the default one; "png" stands for numbered pictures."""

VIDEO_CONTAINER_NAMES: Final = tuple(entry.name for entry in VIDEO_CONTAINERS)


def output_format(target: str | Path | None, name: str | None = None) -> OutputFormat:
    """Return the format called `name` ("png", "jpeg", any case), or else that of target's suffix.

    PNG where there is neither. Raises MediaError for a format that cannot be written, also for
    want of a package.
    """
    suffix = f".{name}" if name else Path(target).suffix if target is not None else ""
    if not suffix:
        return OUTPUT_FORMATS[0]
    found = format_of_suffix(suffix)
    if found is None:
        raise MediaError(
            f"cannot write pictures as {suffix[1:]!r}; choose one of {PICTURE_FORMATS_TEXT}"
        )
    require(found.name)
    return found


def format_of_suffix(suffix: str) -> OutputFormat | None:
    """Return the picture format that a suffix, or a name behind a dot, stands for, or None."""
    name = suffix[1:].upper()
    return next((e for e in OUTPUT_FORMATS if suffix.lower() in e.suffixes or e.name == name), None)


def container_called(name: str) -> VideoContainer | None:
    """Return the container of this name, or None."""
    return next((entry for entry in VIDEO_CONTAINERS if entry.name == name), None)


def agreed_format(target: str | Path | None, name: str | None) -> OutputFormat:
    """Return what `output_format` does, unless the target's suffix is that of another known format.

    Raises MediaError for a format that cannot be written, OutputError for two that differ.
    """
    chosen = output_format(target, name)
    if target is not None:
        check_suffix(Path(target), chosen.suffixes, chosen.name)
    return chosen


def check_suffix(path: Path, suffixes: tuple[str, ...], name: str) -> None:
    """Raise OutputError for a path whose suffix is that of a known format, but none of `suffixes`.

    name: of the format that was asked for.
    """
    suffix = path.suffix.lower()
    written = {other for entry in OUTPUT_FORMATS for other in entry.suffixes}
    known = written | PICTURE_SUFFIXES | VIDEO_SUFFIXES | {CODED_SUFFIX}
    if suffix in known and suffix not in suffixes:
        raise OutputError(
            f"{path}: the name is not one of {name}, which was asked for; those end in"
            f" {' or '.join(suffixes)}"
        )


def container_of_suffix(path: Path) -> VideoContainer | None:
    """Return the container that a file's suffix stands for, or None."""
    suffix = path.suffix.lower()
    return next((entry for entry in VIDEO_CONTAINERS if suffix in entry.suffixes), None)
