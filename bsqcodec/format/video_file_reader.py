"""Reads a .bsq video: from start to end in bounded memory, or from any GOP where it can seek."""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from bsqcodec.errors import (
    ChecksumError,
    FormatError,
    LimitError,
    SeekError,
    UnsupportedVersionError,
)
from bsqcodec.format.byte_source import CRC, ByteSource, as_stream
from bsqcodec.format.image_container import DEFAULT_MAX_PIXELS
from bsqcodec.format.rewind import RewindReader, is_seekable, seekable
from bsqcodec.format.video_chunks import VideoChunkKind, check_head, read_head, read_payload
from bsqcodec.format.video_gop import Gop, unpack_gop
from bsqcodec.format.video_header import read_header
from bsqcodec.format.video_index import GopEntry, IndexCoder, VideoIndex
from bsqcodec.format.video_metadata import unpack_metadata
from bsqcodec.format.video_tail import (
    VideoTotals,
    load_index,
    read_trailer,
    scan_index,
    unpack_end,
)
from bsqcodec.format.video_walk import ChunkWalk, DamagedGop, VideoChunk


@dataclass(frozen=True)
class SideBytes:
    """The next bytes of the side stream, which goes with the video and is not looked at here."""

    data: bytes


VideoPart = Gop | SideBytes | DamagedGop


class VideoFileReader:
    """A .bsq video, read from where `source` stands; only one GOP at a time is in memory.

    With `allow_partial` the header must still be whole, but each damaged or lost chunk costs
    only itself: a DamagedGop stands for it. Otherwise the first fault is raised. max_memory: bytes
    that decoding the frames may take, None where they are not decoded.

    header: known at once. totals: None until the end, or the index, was read.
    Raises, here and when reading goes on, TruncatedError, ChecksumError or FormatError when the
    data is cut, damaged or no .bsq video; UnsupportedVersionError when it needs a newer decoder;
    LimitError when a frame has more than `max_pixels` pixels or a chunk is too large;
    MemoryLimitError when decoding may take more than `max_memory`.
    """

    def __init__(
        self,
        source: ByteSource,
        *,
        max_pixels: int = DEFAULT_MAX_PIXELS,
        max_memory: int | None = None,
        allow_partial: bool = False,
    ) -> None:
        self._stream = as_stream(source)
        self._base = seekable(self._stream).tell() if is_seekable(self._stream) else 0
        self._reader = RewindReader(self._stream)
        self.header, self._header_crc = read_header(self._reader, max_pixels, max_memory)
        self.totals: VideoTotals | None = None
        self._first_chunk = self._reader.consumed
        self._allow_partial = allow_partial
        self._metadata: dict[str, str] | None = None
        self._moved = False
        self._index: VideoIndex | None = None
        self._index_offset: int | None = None
        self._index_coder = IndexCoder()
        self._index_crc = 0
        self._digest = 0
        self._sought: GopEntry | None = None
        self._ready: deque[VideoPart] = deque()
        self._ended = False
        self._error: Exception | None = None
        self._walk = self._walk_from(number=0, frame=0)

    @property
    def metadata(self) -> dict[str, str]:
        """The key and value pairs of the file; reads its first chunk if that has not been done."""
        if self._metadata is None and self._moved:
            self._metadata = self._read_metadata()
        elif self._metadata is None:
            self._advance()
        return dict(self._metadata or {})

    def chunks(self) -> Iterator[VideoPart]:
        """The parts of the video from the present place to its end, in the order of the file."""
        while True:
            while self._ready:
                yield self._ready.popleft()
            if self._ended:
                return
            self._advance()

    @property
    def index(self) -> VideoIndex | None:
        """All GOPs of the file; None when the source cannot seek. Does not move the present place.

        With `allow_partial` and a damaged end the index is made anew from the heads of chunks.
        """
        if self._index is None and is_seekable(self._stream):
            file = seekable(self._stream)
            place = file.tell()
            try:
                self._index = self._find_index()
            finally:
                file.seek(place)
        return self._index

    def seek_gop(self, number: int) -> None:
        """Have `chunks` go on from a GOP of the index.

        Raises SeekError when there is no such GOP, or when the source cannot seek.
        """
        file = seekable(self._stream)
        index = self.index
        if index is None or not 0 <= number < len(index):
            raise SeekError(f"GOP {number} is not in the file, which has {len(index or ())}")
        entry = index[number]
        file.seek(self._base + entry.offset)
        self._reader = RewindReader(self._stream, entry.offset)
        self._ready.clear()
        self._ended, self._error, self._sought = False, None, entry
        self._index_offset = None
        self._moved = True
        self._walk = self._walk_from(number=None, frame=entry.first_frame)

    def _walk_from(self, number: int | None, frame: int) -> ChunkWalk:
        return ChunkWalk(
            self._reader,
            self.header,
            self._header_crc,
            allow_partial=self._allow_partial,
            number=number,
            frame=frame,
            total=self.totals.frames if self.totals else None,
        )

    def _read_metadata(self) -> dict[str, str]:
        """Go back to the first chunk and take the metadata from there; keeps the present place."""
        file = seekable(self._stream)
        place = file.tell()
        file.seek(self._base + self._first_chunk)
        try:
            reader = RewindReader(file, self._first_chunk)
            head, crc = read_head(reader, self._header_crc)
            if head.kind != VideoChunkKind.METADATA:
                return {}
            check_head(head, self.header)
            return unpack_metadata(read_payload(reader, head, crc)[0])
        except (FormatError, LimitError):
            if not self._allow_partial:
                raise
            return {}
        finally:
            file.seek(place)

    def _find_index(self) -> VideoIndex:
        """Read the index or, if that is allowed, make one."""
        file = seekable(self._stream)
        try:
            index, self.totals = load_index(file, self._base, self.header, self._header_crc)
        except UnsupportedVersionError:
            raise
        except (FormatError, LimitError):
            if not self._allow_partial:
                raise
            index = scan_index(file, self._base, self._first_chunk, self.header, self._header_crc)
        return index

    def _advance(self) -> None:
        """Read one chunk, or get over damage; what it gives is put into `_ready`."""
        if self._error is not None:
            raise self._error
        if self._metadata is None and not self._moved:
            self._metadata = {}
        try:
            part = self._walk.step()
            if isinstance(part, VideoChunk):
                self._take(part)
            else:
                self._ready.append(part)
                self._sought = None
                self._ended = self._walk.ended
        except (FormatError, LimitError) as error:
            self._error = error
            raise

    def _take(self, chunk: VideoChunk) -> None:
        """Make use of a sound chunk."""
        try:
            self._check_place(chunk)
            if chunk.head.kind == VideoChunkKind.GOP:
                self._ready.append(unpack_gop(chunk.head, chunk.payload))
            elif chunk.head.kind == VideoChunkKind.SIDE:
                self._ready.append(SideBytes(chunk.payload))
            elif chunk.head.kind == VideoChunkKind.METADATA:
                self._metadata = unpack_metadata(chunk.payload)
            elif chunk.head.kind == VideoChunkKind.END:
                self._take_end(chunk)
        except UnsupportedVersionError:
            raise
        except FormatError as error:
            self._walk.spoiled(chunk.head, error)
        if chunk.head.kind == VideoChunkKind.END:
            self._ended = True
            if self._walk.faulty:
                self._ready.append(self._walk.cut())

    def _check_place(self, chunk: VideoChunk) -> None:
        """Check a chunk against those before it; raises FormatError or ChecksumError."""
        head = chunk.head
        sought, self._sought = self._sought, None
        if sought is not None and (head.first_frame, head.frames, head.first_pts) != (
            sought.first_frame,
            sought.frames,
            sought.first_pts,
        ):
            raise FormatError(f"the index names another GOP than {head.name}")
        if head.kind == VideoChunkKind.METADATA and head.number:
            raise FormatError("the metadata is not the first chunk")
        if self._index_offset is not None and head.kind != VideoChunkKind.END:
            raise FormatError(f"{head.name} comes after the index")
        if head.kind == VideoChunkKind.GOP and self._walk.sound:
            entry = self._index_coder.entry(chunk.offset, head)
            self._index_crc = zlib.crc32(entry, self._index_crc)
        if head.kind == VideoChunkKind.INDEX:
            if self._walk.sound and zlib.crc32(chunk.payload) != self._index_crc:
                raise FormatError("the index is not that of the GOPs before it")
            self._index_offset = chunk.offset
        if head.kind != VideoChunkKind.END:
            self._digest = zlib.crc32(CRC.pack(chunk.crc), self._digest)

    def _take_end(self, chunk: VideoChunk) -> None:
        """Check the end chunk and what is behind it; raises FormatError or a child of it."""
        duration, digest = unpack_end(chunk.payload)
        self.totals = VideoTotals(chunk.head.first_frame, duration)
        if self._walk.sound and digest != self._digest:
            raise ChecksumError("the chunks are sound but not all of them are of this file")
        if self._walk.sound and self._index_offset is None:
            raise FormatError("the end chunk comes without an index before it")
        offset = read_trailer(self._reader, self._header_crc)
        if self._walk.sound and offset != self._index_offset:
            raise FormatError(f"the trailer names byte {offset} for the index, which is wrong")
        if self._reader.up_to(1):
            raise FormatError("more data follows the end of the video")
