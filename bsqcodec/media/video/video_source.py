"""Opening what a video may come from: files, pipes and bare samples; and telling videos apart."""

from __future__ import annotations

import re
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, TypeAlias, cast

import av
from av.stream import Disposition

from bsqcodec.errors import MediaError
from bsqcodec.media.ffmpeg_io import BUFFER_BYTES, GuardedSource, Readable, ffmpeg_guard
from bsqcodec.media.files import Prefixed, temporary_file
from bsqcodec.media.foreign import FOREIGN_SUFFIXES, HEAD_BYTES, foreign_kind
from bsqcodec.media.suffixes import PICTURE_SUFFIXES, VIDEO_SUFFIXES
from bsqcodec.media.video.bare_samples import raw_options, refuse_other_files
from bsqcodec.media.video.video_types import RawVideo

VideoSource: TypeAlias = "str | Path | BinaryIO"

_PICTURE_FORMATS: Final = re.compile(r"image2|_pipe|gif|apng|webp|ico|tty|lrc|srt")
"""FFmpeg's formats that hold pictures, or whose "video" is drawn from text."""

_VIDEO_BEGINNINGS: Final = re.compile(
    rb"YUV4MPEG2 "
    rb"|\x1aE\xdf\xa3"  # Matroska and WebM
    rb"|.{4}ftyp(?!avi[fs]|mif1|msf1|hei[cmsx]|hev[cmsx]|crx )|.{4}(moov|mdat|wide|free|skip)"
    rb"|RIFF.{4}AVI |\x30\x26\xb2\x75\x8e\x66\xcf\x11|FLV\x01|OggS|DKIF|nut/multimedia"
    rb"|\0\0\x01[\xb3\xba]|\0?\0\0\x01[\x67\x27\x09\x46\x40]"  # MPEG; bare H.264 and HEVC
    rb"|G.{187}G",  # MPEG-TS
    re.DOTALL,
)
"""First bytes of common videos, and of no picture."""

_PICTURE_BRANDS: Final = re.compile(rb".{4}ftyp(avi[fs]|mif1|msf1|hei[cmsx]|hev[cmsx])", re.DOTALL)
"""First bytes of AVIF and HEIF, which FFmpeg opens as videos."""

_BRANDS_OF_PICTURES: Final = ("avif", "avis", "mif1", "msf1")
"""Brands of files of pictures: AVIF (its specification, 8), HEIF (ISO/IEC 23008-12, 10)."""

_NO_OTHER_FILES: Final = {"protocol_whitelist": "none"}
"""A playlist could otherwise have FFmpeg open any file or address it names."""

_PATTERN: Final = re.compile(r"%0?\d*d")
_PNG: Final = b"\x89PNG\r\n\x1a\n"
"""FFmpeg goes back in animated PNG files."""

_PEEK_BYTES: Final = 2**16
_MEMORY_BYTES: Final = 2**24


VIDEO_HEAD_BYTES: Final = 189
"""First bytes that are enough for `begins_video`."""


def begins_video(head: bytes) -> bool:
    """Return whether a stream that begins with these bytes is surely a video."""
    return _VIDEO_BEGINNINGS.match(head) is not None


def is_video(path: str | Path) -> bool:
    """Return whether a file is a video rather than a picture (or neither).

    Known suffixes decide without a look into the file; others are probed. Animated GIF, WebP and
    APNG count as pictures, folders as neither; the name pattern of numbered pictures, such as
    frame%05d.png or frame*.png, is a video. A file that is missing or unreadable is none.
    """
    path = Path(path)
    if is_sequence(path):
        return True
    suffix = path.suffix.lower()
    if suffix in VIDEO_SUFFIXES:
        return True
    if suffix in PICTURE_SUFFIXES | FOREIGN_SUFFIXES or suffix == ".bsq" or not path.is_file():
        return False
    try:
        with open(path, "rb") as file:
            head = file.read(HEAD_BYTES)
            if _PICTURE_BRANDS.match(head) or foreign_kind(head, suffix, file) is not None:
                return False
            file.seek(0)
            with _open_container(GuardedSource(file, str(path)), str(path), None) as container:
                return (
                    _PICTURE_FORMATS.search(container.format.name) is None
                    and main_picture(container) is not None
                )
    except (MediaError, OSError):
        return False


def is_sequence(path: Path) -> bool:
    """Return whether a path is a name pattern of numbered pictures and no file of that name."""
    name = path.name
    return bool(_PATTERN.search(name) or "*" in name or "?" in name) and not path.exists()


def main_picture(container: av.container.InputContainer) -> av.VideoStream | None:
    """Return the stream to code: the default one, or else the first, that is no cover picture.

    Of an animated AVIF it is the sequence, not the picture that stands for it.
    """
    streams = [
        stream
        for stream in container.streams.video
        if not stream.disposition & Disposition.attached_pic
    ]
    animation = _animation(container, streams)
    default = [stream for stream in streams if stream.disposition & Disposition.default]
    return next(iter(animation or default or streams), None)


def picture_aids(
    container: av.container.InputContainer, picture: av.VideoStream
) -> tuple[av.VideoStream | None, list[int]]:
    """Return the alpha of an AVIF or HEIF file, and the indices of its streams that are no videos.

    picture: as `main_picture` returned it. Of other files there are none.
    """
    if not is_picture_file(container):
        return None, []
    others = [stream for stream in container.streams.video if stream is not picture]
    size = picture.width, picture.height
    alphas = [
        stream
        for stream in others
        if _is_grey(stream)
        and (stream.width, stream.height) == size
        and (stream.frames > 1) == (picture.frames > 1)
    ]
    return next(iter(alphas), None), [stream.index for stream in others]


def is_picture_file(container: av.container.InputContainer) -> bool:
    """Return whether a file of the MP4 family is of pictures: AVIF or HEIF, still or animated."""
    metadata = container.metadata
    brands = metadata.get("major_brand", "") + metadata.get("compatible_brands", "")
    return any(brand in brands for brand in _BRANDS_OF_PICTURES)


def _animation(
    container: av.container.InputContainer, streams: list[av.VideoStream]
) -> list[av.VideoStream]:
    """The sequences of a file of pictures, those with colour first; empty for other files.

    Single pictures of such a file are streams of one frame.
    """
    if not is_picture_file(container):
        return []
    return sorted((stream for stream in streams if stream.frames > 1), key=_is_grey)


def _is_grey(stream: av.VideoStream) -> bool:
    """Whether a stream has no colour, as alpha has none."""
    return (stream.codec_context.pix_fmt or "").startswith("gray")


@dataclass
class OpenSource:
    """An FFmpeg container, the file below it, and what must be closed after it."""

    container: av.container.InputContainer
    file: GuardedSource
    name: str
    cleanup: ExitStack

    def close(self) -> None:
        """Close everything that was opened for this source."""
        self.container.close()
        self.cleanup.close()


def open_source(source: VideoSource, raw: RawVideo | None) -> OpenSource:
    """Open a file or stream; raises MediaError where FFmpeg does not know it, OSError as `open`.

    A stream that cannot seek is read as it comes, unless it is an MP4 or MOV file whose index
    stands at the end, or an animated PNG: that goes through a temporary file.
    """
    name = source_name(source)
    with ExitStack() as cleanup:
        if isinstance(source, (str, Path)):
            if Path(source).is_dir():
                raise MediaError(f"{name}: a folder, not a video")
            if raw is None and Path(source).suffix.lower() == ".yuv":
                raise MediaError(f"{name}: bare samples; the size of their frames must be given")
            file: Readable = cleanup.enter_context(Path(source).open("rb"))
        else:
            file = source
        if not file.seekable():
            file = _piped(file, cleanup, name, raw)
        else:
            place = file.tell()
            _refuse_others(file.read(HEAD_BYTES) or b"", name, raw)
            file.seek(place)
        guarded = GuardedSource(file, name)
        container = _open_container(guarded, name, raw)
        return OpenSource(container, guarded, name, cleanup.pop_all())


def source_name(source: VideoSource) -> str:
    """Return what to call the source in messages."""
    if isinstance(source, (str, Path)):
        return str(source)
    name = getattr(source, "name", None)
    if name == "<stdin>":
        return "standard input"
    return name if isinstance(name, str) else "the video"


def peek(source: Path | BinaryIO, count: int) -> tuple[bytes, Path | BinaryIO]:
    """Return the first bytes of a file or stream, fewer at its end, and what to read it from then.

    Of a file that cannot be opened there are none.
    """
    if isinstance(source, Path):
        if source.is_file():  # a pipe with a name could not be opened again
            with suppress(OSError), source.open("rb") as file:
                return file.read(count), source
        return b"", source
    if source.seekable():
        place = source.tell()
        head = source.read(count)
        source.seek(place)
        return head, source
    head = b""
    while len(head) < count and (piece := source.read(count - len(head))):
        head += piece
    return head, cast("BinaryIO", Prefixed(head, source, source_name(source)))


def _open_container(
    file: GuardedSource, name: str, raw: RawVideo | None
) -> av.container.InputContainer:
    """FFmpeg's container of a file."""
    format_name, doing = None, "not a video of any known kind, or damaged"
    options = dict(_NO_OTHER_FILES)
    if raw is not None:
        format_name, doing = "rawvideo", f"not {raw.pix_fmt} of {raw.width}x{raw.height} pixels"
        options |= raw_options(raw)
    with ffmpeg_guard(name, doing):
        try:
            return av.open(
                file,
                "r",
                format=format_name,
                container_options=options,
                metadata_errors="replace",
                buffer_size=BUFFER_BYTES,
            )
        except av.error.FFmpegError as error:
            file.check()
            if raw is None and not file.read_bytes:
                raise MediaError(f"{name}: the file is empty") from error
            raise


def _refuse_others(head: bytes, name: str, raw: RawVideo | None) -> None:
    """Raise MediaError for a PDF and its like, of which FFmpeg would make a video of one frame.

    Where bare samples are expected (`raw`), for all that is none.
    """
    if raw is not None:
        refuse_other_files(head, name)
        return
    kind = foreign_kind(head, Path(name).suffix)
    if kind is not None:
        raise MediaError(f"{name}: {kind.sentence}")


def _piped(file: Readable, cleanup: ExitStack, name: str, raw: RawVideo | None) -> Readable:
    """A stream that cannot seek, in a form that FFmpeg can read. Raises MediaError."""
    start = b""
    while len(start) < _PEEK_BYTES and (piece := file.read(_PEEK_BYTES - len(start))):
        start += piece
    _refuse_others(start, name, raw)
    if not (_index_at_end(start) or start.startswith(_PNG)):
        return Prefixed(start, file)
    spool = cleanup.enter_context(temporary_file(in_memory=_MEMORY_BYTES))
    spool.write(start)
    while piece := file.read(2**20):
        spool.write(piece)
    spool.seek(0)
    return spool


def _index_at_end(start: bytes) -> bool:
    """Whether a file that begins like this is of the MP4 family with its data before its index.

    ISO/IEC 14496-12: boxes of a 32-bit size (1: a 64-bit one follows the type) and a type.
    """
    at = 0
    while at + 16 <= len(start):
        size, kind = int.from_bytes(start[at : at + 4], "big"), start[at + 4 : at + 8]
        if kind == b"mdat":
            return True
        if kind == b"moov" or (at == 0 and kind not in (b"ftyp", b"wide", b"free", b"skip")):
            return False
        if size == 1:
            size = int.from_bytes(start[at + 8 : at + 16], "big")
        if size < 8:
            return False
        at += size
    return at > 0 and start[4:8] == b"ftyp"
