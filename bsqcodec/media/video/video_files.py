"""Videos in and out: `open_video` reads, `create_video` writes, `is_video` tells them apart."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, cast

from bsqcodec.errors import OutputError
from bsqcodec.format.image_container import DEFAULT_MAX_PIXELS
from bsqcodec.media.files import check_output, check_output_folder, names_folder
from bsqcodec.media.formats import (
    VIDEO_CONTAINER_NAMES,
    VideoContainer,
    check_suffix,
    container_called,
    container_of_suffix,
)
from bsqcodec.media.side.audio_choice import COPY, AudioChoice
from bsqcodec.media.video.animation import HEAD_BYTES, AnimationReader, is_animated_webp
from bsqcodec.media.video.animation_writer import ANIMATED, AnimationWriter, check_animation
from bsqcodec.media.video.ffmpeg_reader import FFmpegReader
from bsqcodec.media.video.ffmpeg_writer import FFmpegWriter
from bsqcodec.media.video.frame_sequence import SequenceReader, SequenceWriter, check_pictures_name
from bsqcodec.media.video.part import Part
from bsqcodec.media.video.part_reader import PartReader
from bsqcodec.media.video.video_codecs import check_codec
from bsqcodec.media.video.video_source import (
    VideoSource,
    begins_video,
    is_sequence,
    is_video,
    peek,
    source_name,
)
from bsqcodec.media.video.video_types import (
    OutputOptions,
    RawVideo,
    VideoColour,
    VideoFormat,
    VideoFrame,
    VideoReader,
    VideoWriter,
)

__all__ = [
    "OutputOptions",
    "Part",
    "RawVideo",
    "VideoColour",
    "VideoFormat",
    "VideoFrame",
    "VideoReader",
    "VideoWriter",
    "begins_video",
    "check_video_name",
    "check_video_output",
    "chosen_container",
    "container_of",
    "create_video",
    "is_video",
    "open_video",
]


def open_video(
    source: VideoSource,
    *,
    raw: RawVideo | None = None,
    frame_rate: Fraction | None = None,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    allow_damage: bool = False,
    part: Part | None = None,
    audio: AudioChoice = COPY,
) -> VideoReader:
    """Open a video for reading.

    source: a file; a stream of bytes, which need not seek; a name pattern such as frame%05d.png or
    frame*.png, or a folder of pictures. raw: for bare samples (.yuv), what the file does not say.
    frame_rate: of numbered pictures, 25 by default. max_pixels: limit of one frame's pixels.
    allow_damage: pass over damage and list it in `problems`, instead of raising. part: what is
    wanted of it; it begins at time 0 then, and the side stream is cut with the frames. audio: what
    becomes of sound.
    Raises MediaError where there is no video or no frame in it, DamagedVideoError where not even
    the first frame is sound, LimitError for frames over the limit, OSError as `open` does.
    """
    if isinstance(source, str):
        source = Path(source)
    reader: VideoReader | None = None
    if raw is None and isinstance(source, Path) and (source.is_dir() or is_sequence(source)):
        reader = SequenceReader(source, frame_rate, max_pixels=max_pixels)
    elif raw is None:
        name = source_name(source)
        head, source = peek(source, HEAD_BYTES)
        if is_animated_webp(head):
            reader = AnimationReader(source, name, max_pixels=max_pixels, allow_damage=allow_damage)
    if reader is not None:
        return reader if part is None else PartReader(reader, part)
    return FFmpegReader(
        source, raw, max_pixels=max_pixels, allow_damage=allow_damage, part=part, audio=audio
    )


def create_video(
    destination: str | Path | BinaryIO,
    format: VideoFormat,
    options: OutputOptions | None = None,
    side: BinaryIO | None = None,
    side_damage: list[str] | None = None,
) -> VideoWriter:
    """Begin a video file, stream, or series of numbered pictures, which the writer then fills.

    destination: a file, replaced where there is one; a stream of bytes (MP4 and MOV are written
    in fragments where it cannot seek), which stays open; for pictures a folder or a pattern such
    as frame%05d.png. side: all bytes that `VideoReader.take_side_bytes` gave, to be copied into
    the output; it is read bit by bit as frames are written. side_damage: where it is given, damage
    of the side stream adds a sentence to it, and costs only what lies behind it.
    Timestamps come back exactly from MP4 and MOV (whose time base is 1 / the denominator of
    the format's), in milliseconds from Matroska; y4m and pictures have none.
    Raises OutputError where options, format and container do not go together, OSError as `open`.
    The writer raises FormatError for a damaged side stream, unless there is `side_damage`.
    """
    options = options or OutputOptions()
    target = Path(destination) if isinstance(destination, str) else destination
    entry = _chosen_entry(target, options)
    container = entry.name
    if container == "png":
        if not isinstance(target, Path):
            raise OutputError("numbered pictures need a folder or a name pattern")
        return SequenceWriter(target, format, overwrite=options.overwrite)
    if container in ANIMATED:
        return AnimationWriter(target, entry, format, options, side)
    return FFmpegWriter(target, container, format, options, side, side_damage)


def check_video_output(
    destination: str | Path | object, options: OutputOptions, *, force: bool
) -> str:
    """Return the container of an output, before any work is done, or raise what forbids it.

    destination: a file, a folder or name pattern of numbered pictures, or anything else for a
    stream. force: whether files that are there may be replaced. Raises OutputError where name,
    container and options do not go together, OutputExistsError and OSError as `check_output` and
    `check_output_folder` do.
    """
    container = check_video_name(destination, options)
    entry = container_called(container)
    muxer = None if entry is None else entry.muxer
    is_named = isinstance(destination, (str, Path))
    if muxer is not None:
        if container in ANIMATED:
            check_animation(container, options)
        else:
            check_codec(container, muxer, options)
        if is_named:
            check_output(cast("str | Path", destination), force=force)
    elif is_named:
        check_output_folder(Path(cast("str | Path", destination)), force=force)
    return container


def check_video_name(destination: str | Path | object, options: OutputOptions) -> str:
    """Return the container that the options or the destination name.

    destination: as of `check_video_output`. Raises OutputError where there is none, or where the
    destination's name is one of another format.
    """
    target = Path(destination) if isinstance(destination, str) else destination
    entry = _chosen_entry(target, options)
    if entry.muxer is not None:
        if isinstance(target, Path):
            check_suffix(target, entry.suffixes, entry.name)
        return entry.name
    if not isinstance(target, Path):
        raise OutputError("numbered pictures need a folder or a name pattern")
    if options.codec is not None or options.crf is not None:
        raise OutputError("numbered pictures take neither a codec nor crf")
    if not names_folder(cast("str | Path", destination)):
        check_pictures_name(target)
    return entry.name


def _chosen_entry(destination: object, options: OutputOptions) -> VideoContainer:
    """The container of `chosen_container`. Raises OutputError for one that is not known."""
    name = chosen_container(destination, options)
    entry = container_called(name)
    if entry is None:
        raise OutputError(f"{name} is not among {', '.join(VIDEO_CONTAINER_NAMES)}")
    return entry


def chosen_container(destination: object, options: OutputOptions) -> str:
    """Return the container that the options name, or else a path. Raises OutputError for none."""
    container = options.container
    if container is None and isinstance(destination, Path):
        container = container_of(destination)
    if container is None:
        name = destination if isinstance(destination, Path) else "the output"
        raise OutputError(f"{name}: name the container: {', '.join(VIDEO_CONTAINER_NAMES)}")
    return container


def container_of(destination: str | Path) -> str | None:
    """Return the container that a name stands for, "png" for folders and patterns; else None."""
    path = Path(destination)
    if path.is_dir() or is_sequence(path):
        return "png"
    container = container_of_suffix(path)
    return None if container is None else container.name
