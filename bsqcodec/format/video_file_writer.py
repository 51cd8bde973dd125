"""Writes a .bsq video to any stream as its parts come, without going back."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import final

from bsqcodec.errors import FormatError, LimitError
from bsqcodec.format.byte_source import CRC, PIECE_BYTES, SupportsWrite
from bsqcodec.format.video_chunks import (
    MAX_INDEX_BYTES,
    MAX_SMALL_BYTES,
    ChunkHead,
    VideoChunkKind,
    check_head,
    pack_head,
)
from bsqcodec.format.video_gop import Gop, pack_gop
from bsqcodec.format.video_header import VideoHeader, pack_header
from bsqcodec.format.video_index import IndexCoder
from bsqcodec.format.video_metadata import pack_metadata
from bsqcodec.format.video_tail import MAX_DURATION, pack_end, pack_trailer


@final
class VideoFileWriter:
    """Writes header and metadata at once, then each GOP and piece of the side stream as it comes.

    frames, bytes_written: counts so far. Without `close` the file has no end, as a cut one.
    Raises ValueError for metadata with an empty key, LimitError when it takes over 2**20 bytes.
    """

    def __init__(
        self, sink: SupportsWrite, header: VideoHeader, metadata: Mapping[str, str] | None = None
    ) -> None:
        self.header = header
        self.frames = 0
        self.bytes_written = 0
        self._sink = sink
        self._chunks = 0
        self._closed = False
        self._digest = 0
        self._index = bytearray()
        self._index_coder = IndexCoder()
        self._first_pts: int | None = None
        self._end_pts = 0
        self._last_step = self._nominal_step()
        start, self._header_crc = pack_header(header)
        pairs = pack_metadata(metadata or {})
        if len(pairs) > MAX_SMALL_BYTES:
            raise LimitError(
                f"the metadata takes {len(pairs)} bytes, over the limit of {MAX_SMALL_BYTES}"
            )
        self._write(start)
        if pairs:
            self._chunk(VideoChunkKind.METADATA, pairs)

    def gop(self, gop: Gop) -> None:
        """Write a GOP, whose first frame must be the next of the video.

        Raises FormatError when it is another, LimitError when the GOP or the index is too large;
        then nothing is written.
        """
        self._check_open()
        if gop.first_frame != self.frames:
            raise FormatError(f"a GOP begins with frame {gop.first_frame}, not {self.frames}")
        payload = pack_gop(gop)
        head = self._head(VideoChunkKind.GOP, payload, len(gop.frames), gop.pts[0])
        check_head(head, self.header)
        if len(self._index) > MAX_INDEX_BYTES - 64:
            raise LimitError(f"the video has too many GOPs for an index of {MAX_INDEX_BYTES} bytes")
        self._index += self._index_coder.entry(self.bytes_written, head)
        self._chunk(VideoChunkKind.GOP, payload, len(gop.frames), gop.pts[0])
        self.frames += len(gop.frames)
        self._note_times(gop)

    def side(self, data: bytes) -> None:
        """Write the next bytes of the side stream, as chunks of at most 2**20 bytes."""
        self._check_open()
        for start in range(0, len(data), MAX_SMALL_BYTES):
            self._chunk(VideoChunkKind.SIDE, data[start : start + MAX_SMALL_BYTES])

    def close(self, duration: int | None = None) -> None:
        """Write the index and the end; the sink stays open. Must be called once.

        duration: from the first pts to the end of the last frame, in units of the time base,
        0..2**63-1. By default the last frame lasts as long as the one before it or, if it is
        the only one, as the header's frame rate says.
        """
        self._check_open()
        if duration is None:
            shown = 0 if self._first_pts is None else self._end_pts - self._first_pts
            duration = min(shown + self._last_step * (self.frames > 0), MAX_DURATION)
        pack_end(duration, 0)  # refuses a duration out of range before anything is written
        offset = self.bytes_written
        self._chunk(VideoChunkKind.INDEX, bytes(self._index))
        self._chunk(VideoChunkKind.END, pack_end(duration, self._digest))
        self._write(pack_trailer(offset, self._header_crc))
        self._closed = True

    def _head(self, kind: bytes, payload: bytes, frames: int, first_pts: int) -> ChunkHead:
        return ChunkHead(kind, self._chunks, self.frames, len(payload), frames, first_pts)

    def _chunk(self, kind: bytes, payload: bytes, frames: int = 0, first_pts: int = 0) -> None:
        """Write a chunk with its checksums."""
        head, crc = pack_head(self._head(kind, payload, frames, first_pts), self._header_crc)
        checksum = CRC.pack(zlib.crc32(payload, crc))
        for part in (head, payload, checksum):
            self._write(part)
        self._digest = zlib.crc32(checksum, self._digest)
        self._chunks += 1

    def _write(self, data: bytes) -> None:
        """Write all of the data, also to a stream that takes less at a time."""
        for start in range(0, len(data), PIECE_BYTES):
            piece = data[start : start + PIECE_BYTES]
            while piece:
                count = self._sink.write(piece)
                if count is None:
                    raise BlockingIOError("the output stream is non-blocking and takes no data now")
                piece = piece[count:]
        self.bytes_written += len(data)

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError("the video is closed")

    def _nominal_step(self) -> int:
        """How long a frame lasts by the header, in units of the time base; 0 when not known."""
        rate = self.header.frame_rate
        return 0 if rate is None else round(1 / (rate * self.header.time_base))

    def _note_times(self, gop: Gop) -> None:
        """Keep what is needed for the duration."""
        for pts in gop.pts:
            if self._first_pts is None:
                self._first_pts = self._end_pts = pts
            elif pts > self._end_pts:
                self._last_step = pts - self._end_pts
                self._end_pts = pts
            self._first_pts = min(self._first_pts, pts)
