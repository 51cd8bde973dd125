"""A .bsq video into a video file of any kind, with its sound, or into numbered pictures."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import IO, BinaryIO, cast

from bsqcodec.errors import FormatError, SeekError
from bsqcodec.format.byte_source import SupportsRead
from bsqcodec.format.memory_limit import memory_limit
from bsqcodec.format.rewind import is_seekable
from bsqcodec.format.video_file_reader import SideBytes, VideoFileReader
from bsqcodec.format.video_walk import DamagedGop
from bsqcodec.media.files import atomic_folder, atomic_output, temporary_file
from bsqcodec.media.formats import container_called
from bsqcodec.media.side.side_tracks import side_damage
from bsqcodec.media.video.ffmpeg_writer import NO_SIDES
from bsqcodec.media.video.video_files import (
    OutputOptions,
    VideoFormat,
    check_video_name,
    create_video,
)
from bsqcodec.options import DecodeOptions
from bsqcodec.video.codec import VideoCodec
from bsqcodec.video.decode_frames import DecodedVideo

_PIECE_BYTES = 2**20


@dataclass(frozen=True)
class StoredVideo:
    """What is known about a decoded video.

    frames: those that were written. missing: what is damaged. notes: what was changed or dropped
    for the output's sake. seconds: the time it took.
    """

    frames: int
    format: VideoFormat
    missing: tuple[DamagedGop, ...]
    notes: tuple[str, ...]
    seconds: float


def decode_video_file(
    codec: VideoCodec,
    source: SupportsRead,
    destination: Path | BinaryIO,
    output: OutputOptions,
    options: DecodeOptions | None = None,
    *,
    progress: Callable[[int], None] | None = None,
) -> StoredVideo:
    """Decode a .bsq video to a file, stream or folder, as `output` says.

    destination: a file, or for numbered pictures a folder or name pattern, appears whole or not at
    all. source: goes through a temporary file where it cannot seek, if the output has sound.
    The output of a part begins at time 0; sound is cut with the pictures. progress: takes the
    number of frames done.
    Raises FormatError and its children, LimitError, WeightsError, SeekError for a part without
    frames, OutputError, OutputExistsError, OSError.
    """
    options = options or DecodeOptions()
    container = check_video_name(destination, output)
    length = None if options.duration is None else Fraction(str(options.duration))
    output = replace(output, container=container, trim=not options.takes_all, duration=length)

    def store(place: Path | BinaryIO) -> StoredVideo:
        return _store(codec, source, place, output, options, progress)

    if not isinstance(destination, Path):
        return store(destination)
    if container == "png":
        with atomic_folder(destination, force=output.overwrite) as folder:
            return store(folder)
    with atomic_output(destination, force=output.overwrite) as file:
        return store(file)


def _store(
    codec: VideoCodec,
    source: SupportsRead,
    place: Path | BinaryIO,
    output: OutputOptions,
    options: DecodeOptions,
    progress: Callable[[int], None] | None,
) -> StoredVideo:
    """Decode to an open file, or a folder that is there."""
    started = time.perf_counter()
    with ExitStack() as cleanup:
        side: IO[bytes] | None = None
        damage: list[str] = []
        container = container_called(str(output.container))
        if container is not None and container.has_sides:
            if not is_seekable(source):
                source = _spooled(source, cleanup)
            side = _side_stream(cast(BinaryIO, source), options, cleanup)
            found = None if side is None else side_damage(cast(BinaryIO, side))
            if found is not None:
                damage.append(found)
        decoded = codec.decode_with(source, options)
        dropped: set[str] = set()
        if container is not None and container.muxer is not None and not container.has_sides:
            lost_sides = NO_SIDES.format(container.name)
            decoded.on_side_bytes(lambda data: dropped.add(lost_sides))
        frames = cleanup.enter_context(closing(decoded.frames()))
        first = next(frames, None)
        if first is None:
            raise _no_frames(decoded, options)
        count = 0
        if decoded.format.frame_rate is None:
            output = replace(output, frame_rate=decoded.average_rate)
        with create_video(
            place,
            decoded.format,
            output,
            cast("BinaryIO | None", side),
            damage,
        ) as writer:
            for frame in chain((first,), frames):
                writer.write(frame)
                del frame
                count += 1
                if progress is not None:
                    progress(count)
    return StoredVideo(
        frames=count,
        format=decoded.format,
        missing=tuple(decoded.missing),
        notes=(*decoded.notes, *writer.notes, *dropped, *_of_side(damage)),
        seconds=time.perf_counter() - started,
    )


def _spooled(source: SupportsRead, cleanup: ExitStack) -> IO[bytes]:
    """A temporary file of all that is left in a source."""
    file = cleanup.enter_context(temporary_file())
    while piece := source.read(_PIECE_BYTES):
        file.write(piece)
    file.seek(0)
    return file


def _side_stream(source: BinaryIO, options: DecodeOptions, cleanup: ExitStack) -> IO[bytes] | None:
    """A temporary file of the side stream, None for none; the source stands where it stood."""
    place = source.tell()
    file = cleanup.enter_context(temporary_file())
    reader = VideoFileReader(
        source,
        max_pixels=options.max_pixels,
        max_memory=memory_limit(options.max_memory),
        allow_partial=options.partial,
    )
    for part in reader.chunks():
        if isinstance(part, SideBytes):
            file.write(part.data)
    source.seek(place)
    if not file.tell():
        return None
    file.seek(0)
    return file


def _of_side(damage: list[str]) -> tuple[str, ...]:
    """The note on a damaged side stream, if it is one."""
    return (f"{damage[0]}; sound and subtitles may be missing",) if damage else ()


def _no_frames(decoded: DecodedVideo, options: DecodeOptions) -> FormatError | SeekError:
    """What to raise for a video, or a part of it, without any frames."""
    if decoded.missing:
        return FormatError(f"none of the frames can be decoded: {decoded.missing[0].reason}")
    if options.takes_all:
        return FormatError("the video has no frames")
    return SeekError("the video has no frames in the part that is wanted")
