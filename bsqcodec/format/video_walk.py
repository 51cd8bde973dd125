"""From chunk to chunk of a .bsq video: their order is checked, and damage is got over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bsqcodec.errors import FormatError, LimitError, UnsupportedVersionError
from bsqcodec.format.rewind import RewindReader
from bsqcodec.format.video_chunks import (
    ChunkHead,
    VideoChunkKind,
    check_head,
    find_head,
    read_head,
    read_payload,
)
from bsqcodec.format.video_header import VideoHeader

_REREAD: Final = 4
"""How often a file may be read again in search of heads, so that no file takes for ever."""
_REREAD_BYTES: Final = 16 * 2**20


@dataclass(frozen=True)
class DamagedGop:
    """Frames that are missing, as their data is damaged, lost or cut off.

    first_frame: the first of them. frames: how many; 0 when only other chunks are lost, None
    when it cannot be known because the end of the file is missing. Checksums guard it, but not
    against malice: it may be up to 2**31-1. reason: the fault, in words.
    side_lost: whether side bytes or metadata are missing here, or may be.
    """

    first_frame: int
    frames: int | None
    reason: str
    side_lost: bool = False


@dataclass(frozen=True)
class VideoChunk:
    """A chunk whose checksums are right.

    offset: its first byte in the file. crc: of its payload.
    """

    head: ChunkHead
    payload: bytes
    crc: int
    offset: int


class ChunkWalk:
    """Goes through the chunks from where `reader` stands.

    number: of the first chunk, None if not known. frame: number of the next frame.
    total: frames of the whole video, if known before its end.
    sound: True as long as all chunks since the first of the file have been seen, and no fault.
    ended: True when nothing more can be read.
    """

    def __init__(
        self,
        reader: RewindReader,
        header: VideoHeader,
        header_crc: int,
        *,
        allow_partial: bool,
        number: int | None = 0,
        frame: int = 0,
        total: int | None = None,
    ) -> None:
        self.sound = number == 0
        self.ended = False
        self._reader = reader
        self._header = header
        self._header_crc = header_crc
        self._allow_partial = allow_partial
        self._number = number
        self._frame = frame
        self._total = total
        self._reason: str | None = None
        self._lost_frames = 0
        self._side_lost = False
        self._reread_bytes = 0

    def step(self) -> VideoChunk | DamagedGop:
        """The next sound chunk, or what is missing before it or at the end of the file.

        Without `allow_partial` the first fault is raised: TruncatedError, ChecksumError,
        FormatError or LimitError. UnsupportedVersionError is always raised.
        """
        while True:
            offset = self._reader.consumed
            if self._allow_partial:
                self._reader.mark()
            head_and_crc = self._read_head(offset)
            if head_and_crc is None:
                if find_head(self._reader, self._header_crc, self._may_come) is None:
                    return self.cut()
                continue
            head, crc = head_and_crc
            if self._reason is not None:
                self._reader.rewind(offset)
                return self._gap(head)
            chunk = self._read_body(head, crc, offset)
            if chunk is not None:
                return chunk

    def fault(self, error: FormatError | LimitError) -> None:
        """Raise the error, or remember it until it is known which frames are missing."""
        if not self._allow_partial:
            raise error
        self.sound = False
        self._reason = self._reason or str(error)

    def spoiled(self, head: ChunkHead, error: FormatError | LimitError) -> None:
        """The chunk given last, or one that cannot be, is of no use; raises as `fault` does."""
        self.fault(error)
        self._frame = head.first_frame
        self._lost_frames += head.frames
        self._side_lost |= head.kind not in (
            VideoChunkKind.GOP,
            VideoChunkKind.INDEX,
            VideoChunkKind.END,
        )

    @property
    def faulty(self) -> bool:
        """Whether there was a fault, and `step` has not yet told what is missing."""
        return self._reason is not None

    def cut(self) -> DamagedGop:
        """What is missing when nothing more can be read."""
        self.ended = True
        frames = None if self._total is None else max(0, self._total - self._frame)
        reason, self._reason = self._reason, None
        return DamagedGop(
            self._frame,
            frames,
            reason or "the file ends before its end chunk",
            side_lost=self._total is None or self._side_lost,
        )

    def _read_head(self, offset: int) -> tuple[ChunkHead, int] | None:
        """The head that stands here; None, and the reader just behind its place,
        for no good one."""
        try:
            head, crc = read_head(self._reader, self._header_crc)
            if not self._is_next(head):
                self.fault(
                    FormatError(
                        f"chunk {head.number} stands at byte {offset} before frame"
                        f" {head.first_frame}: there are chunks missing, doubled or moved"
                    )
                )
            if self._may_come(head):
                check_head(head, self._header)
                return head, crc
        except UnsupportedVersionError:
            raise
        except (FormatError, LimitError) as error:
            self.fault(error)
        self._reader.rewind(min(offset + 1, self._reader.consumed))
        return None

    def _is_next(self, head: ChunkHead) -> bool:
        """Whether this is the chunk that should come now."""
        return head.first_frame == self._frame and self._number in (None, head.number)

    def _may_come(self, head: ChunkHead) -> bool:
        """Whether this chunk may come now if others are lost."""
        return head.first_frame >= self._frame and head.number >= (self._number or 0)

    def _gap(self, head: ChunkHead) -> DamagedGop:
        """What is missing before this head, after a fault."""
        frames = head.first_frame - self._frame
        unseen = head.number - (self._number or 0)
        side_lost = self._side_lost or unseen > (1 if frames > self._lost_frames else 0)
        damaged = DamagedGop(self._frame, frames, self._reason or "", side_lost)
        self._number, self._frame = head.number, head.first_frame
        self._reason, self._lost_frames, self._side_lost = None, 0, False
        return damaged

    def _read_body(self, head: ChunkHead, crc: int, offset: int) -> VideoChunk | None:
        """The chunk of this head; None, and the reader where to go on, when it is damaged."""
        if head.kind in (VideoChunkKind.INDEX, VideoChunkKind.END):
            self._total = head.first_frame
        self._number = head.number + 1
        body = self._reader.consumed
        try:
            payload, crc = read_payload(self._reader, head, crc)
        except FormatError as error:
            self.spoiled(head, error)
            self._resume(body)
            return None
        self._reader.forget()
        self._frame = head.first_frame + head.frames
        return VideoChunk(head, payload, crc, offset)

    def _resume(self, body: int) -> None:
        """After a damaged payload go on behind it, if the next chunk begins there; or search it."""
        end = self._reader.consumed
        try:
            head, _ = read_head(self._reader, self._header_crc)
            if self._may_come(head) and head.number == self._number:
                self._reader.rewind(end)
                return
        except FormatError:
            pass
        self._reread_bytes += end - body
        again = self._reread_bytes <= _REREAD * end + _REREAD_BYTES
        self._reader.rewind(body if again else end)
