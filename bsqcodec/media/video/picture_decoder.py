"""From a container's packets to decoded frames with their times; damage is found on the way."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from fractions import Fraction
from typing import Any, Final

import av

from bsqcodec.errors import DamagedVideoError
from bsqcodec.machine.memory import is_out_of_memory
from bsqcodec.media.ffmpeg_io import ffmpeg_guard
from bsqcodec.media.side.side_stream import SideStream
from bsqcodec.media.video.ffv1 import SliceChecks
from bsqcodec.media.video.frame_times import FrameTimes, TimedFrame
from bsqcodec.media.video.joined_times import JoinedTimes
from bsqcodec.media.video.stream_end import CUT, StreamEnd
from bsqcodec.media.video.transparency import Transparency
from bsqcodec.media.video.video_source import OpenSource

_DECODE_TIMES_ONLY: Final = ("avi", "asf")
"""FFmpeg's formats that store when packets are decoded, not when frames are shown."""

_MPEG: Final = ("mpegts", "mpeg")
"""FFmpeg's formats with the clock of MPEG streams."""

_JOINT_PACKETS: Final = 3
"""So near to where captures were joined, packets that count as missing are none."""

_MARGIN_S: Final = 1
"""A part is decoded from a key frame at least so long before it, as times may be a little off."""

_LATEST_S: Final = 10
"""Sound that belongs to a part stands at most so long behind its last frame."""

_SKIPPED_BYTES: Final = 2**26
"""How much is kept at most of what may have to be decoded before a part."""


class PictureDecoder:
    """Decodes one stream; packets of the others go to the side stream on the way.

    allow_damage: pass over damage and add it to `problems`, instead of raising. is_raw: the packets
    are bare samples. frame_count: frames that were decoded so far.
    """

    def __init__(
        self,
        source: OpenSource,
        stream: av.VideoStream,
        side: SideStream,
        transparency: Transparency,
        problems: list[str],
        *,
        allow_damage: bool,
        is_raw: bool,
    ) -> None:
        self._source, self._stream, self._side = source, stream, side
        self._transparency = transparency
        self._problems = problems
        self._allow_damage, self._is_raw = allow_damage, is_raw
        self._context = stream.codec_context
        self._slices = SliceChecks() if self._context.name == "ffv1" else None
        kind = source.container.format.name
        self.end = StreamEnd(source.container, stream, source.file)
        self._times = FrameTimes(
            decode_only=kind in _DECODE_TIMES_ONLY,
            may_reorder=lambda: bool(self._context.has_b_frames),
        )
        self.joined = JoinedTimes(
            source.container.streams, stream.index, side.sounds, is_mpeg=kind in _MPEG
        )
        self._packet_count = 0
        self._joints = 0
        self._last_joint: int | None = None
        self._corrupt: list[tuple[int, int]] = []
        self._part: Fraction | None = None
        self._is_skipping = self._is_before_part = False
        self._skipped: list[av.Packet[Any]] = []
        self.frame_count = 0
        self._packets = self._demux()
        self._frames = self._times.timed(self._decode())

    def frames(self) -> Iterator[TimedFrame]:
        """Yield the frames in the order they are shown, once. Raises DamagedVideoError, OSError."""
        return self._frames

    def close(self) -> None:
        """Let go of what is being decoded."""
        self._packets.close()

    def start_part(self, begin: Fraction) -> None:
        """Leave out what is not needed for frames from `begin` on, in units of the time base.

        Frames before it may still come. Damage before it does not count.
        """
        self._part = begin
        self._is_skipping = self._is_before_part = True

    def finish_part(self, end: Fraction) -> None:
        """Read on without decoding until sound has come to `end`, in seconds."""
        waiting = set(self._side.sounds)
        for packet in self._packets:
            if not packet.size or packet.dts is None:
                continue
            past = packet.dts * Fraction(packet.time_base) - end
            if packet.stream_index != self._stream.index:
                self._side.add(packet)
                if past >= 0:
                    waiting.discard(packet.stream_index)
            elif past > _LATEST_S:
                return
            if not waiting:
                return

    def check_end(self, last_pts: int | None, step: Fraction) -> None:
        """Say what was missing, once all frames have come; raises DamagedVideoError.

        last_pts: of the last frame; step: seconds from one frame to the next.
        """
        if self._corrupt and not self._problems:
            count, first = len(self._corrupt), self._corrupt[0][1]
            packets = "a packet was" if count == 1 else f"{count} packets were"
            self._problems.append(f"{packets} damaged or missing, first after {first} frames")
        missing = self.end.missing(last_pts, step)
        if missing is not None:
            self._damage(missing)

    def _decode(self) -> Generator[av.VideoFrame, None, None]:
        """FFmpeg's frames."""
        for packet in self._packets:
            index = packet.stream.index
            if index == self._transparency.alpha_stream:
                self._transparency.alpha(packet)
            elif index != self._stream.index:
                self.end.see_side(packet)
                self._side.add(packet)
            elif not self._is_skipping:
                yield from self._decode_packet(packet)
            else:
                for needed in self._needed(packet):
                    yield from self._decode_packet(needed)

    def _decode_packet(self, packet: av.Packet[Any]) -> Iterator[av.VideoFrame]:
        """The frames that a packet brings out of the decoder."""
        self._packet_count += 1
        if self._is_before_part and packet.pts is not None:
            self._is_before_part = self._part is not None and packet.pts < self._part
        if self.end.is_cut(packet):
            yield from self._held_then_damage(CUT)
        elif packet.is_corrupt:
            self._corrupt.append((self._packet_count, self.frame_count))
        self._forgive_joints()
        if self._slices is not None and packet.size and self._slices.is_damaged(bytes(packet)):
            yield from self._held_then_damage("a frame's checksum is wrong")
        if packet.size:
            self._transparency.block(packet)
            self._times.sent(packet)
        try:
            frames = packet.decode()
        except av.error.EOFError:
            return
        except av.error.FFmpegError as error:
            if is_out_of_memory(error):
                raise
            self._times.lost(packet)
            reason = error.strerror or "it cannot be decoded"
            yield from self._held_then_damage(CUT if self._is_raw else reason)
            return
        for frame in frames:
            if frame.is_corrupt:
                yield from self._held_then_damage("a frame could only be decoded in part")
            self.frame_count += 1
            yield frame

    def _demux(self) -> Generator[av.Packet[Any], None, None]:
        """All packets that are wanted, their times carried on where the clock starts over."""
        for packet in self._read():
            if packet.size:
                yield from self.joined.feed(packet)
            elif packet.stream.index == self._stream.index:  # stream_index of an empty one is 0
                yield from self.joined.release()
                yield packet
            elif packet.stream.index == self._transparency.alpha_stream:
                yield packet

    def _read(self) -> Iterator[av.Packet[Any]]:
        """All packets of the picture, of its alpha, and of the side stream."""
        wanted = [self._stream.index, *self._side.streams]
        if self._transparency.alpha_stream is not None:
            wanted.append(self._transparency.alpha_stream)
        streams = [self._source.container.streams[index] for index in wanted]
        packets = self._source.container.demux(*streams)
        while True:
            try:
                packet = next(packets, None)
            except av.error.FFmpegError as error:
                if is_out_of_memory(error):
                    raise
                yield from self._broken_off(error)
                return
            self._source.file.check()
            if packet is None:
                return
            yield packet

    def _broken_off(self, error: av.error.FFmpegError) -> Iterator[av.Packet[Any]]:
        """The container cannot be read on: an empty packet has the decoder give what it holds."""
        self._source.file.check()
        flush: av.Packet[Any] = av.Packet()
        flush.stream = self._stream
        flush.time_base = self._stream.time_base or Fraction(1)
        yield flush
        self._damage(error.strerror or "the container is damaged")

    def _needed(self, packet: av.Packet[Any]) -> list[av.Packet[Any]]:
        """Packets to decode so far, where a part begins later; those since the last key frame."""
        assert self._part is not None
        time = packet.dts if packet.pts is None else packet.pts
        margin = _MARGIN_S / Fraction(packet.time_base)
        if packet.is_keyframe and time is not None and time <= self._part - margin:
            self._skipped.clear()
            self._packet_count += 1
            self._context.flush_buffers()
            self._times.restart()
        self._skipped.append(packet)
        is_near = time is None or time >= self._part
        if is_near or sum(skipped.size for skipped in self._skipped) > _SKIPPED_BYTES:
            self._is_skipping = False
            needed, self._skipped = self._skipped, []
            return needed
        return []

    def _forgive_joints(self) -> None:
        """Where captures are joined packets seem to be missing: nothing to complain about."""
        if self.joined.joints != self._joints:
            self._joints, self._last_joint = self.joined.joints, self._packet_count
        if self._last_joint is not None and self._corrupt:
            number, _ = self._corrupt[-1]
            if abs(number - self._last_joint) <= _JOINT_PACKETS:
                self._corrupt.pop()

    def _held_then_damage(self, reason: str) -> Iterator[av.VideoFrame]:
        """Pass over damage where that is allowed; else yield what precedes it, and raise."""
        if not self._allow_damage and not self._is_before_part:
            yield from self._held()
        self._damage(reason)

    def _held(self) -> Iterator[av.VideoFrame]:
        """The sound frames that the decoder holds."""
        with ffmpeg_guard(self._source.name, "damaged"):
            try:
                held = self._context.decode(None)
            except av.error.FFmpegError:
                held = []
        for frame in held:
            if not frame.is_corrupt:
                frame.time_base = self._stream.time_base
                self.frame_count += 1
                yield frame

    def _damage(self, reason: str) -> None:
        """Add to the problems, once for each place; raise where damage is not allowed."""
        if self._is_before_part:
            return
        text = f"damage after {self.frame_count} frames ({reason})"
        if not self._allow_damage:
            raise DamagedVideoError(
                f"{self._source.name}: damaged after {self.frame_count} frames ({reason})",
                self.frame_count,
            )
        if text not in self._problems:
            self._problems.append(text)
