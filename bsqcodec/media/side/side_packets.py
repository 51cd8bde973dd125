"""The side stream back again: its packets, tracks and chapters put into an output container."""

from __future__ import annotations

from collections.abc import Generator
from fractions import Fraction
from typing import Any, Final

import av
from av.stream import Disposition

from bsqcodec.errors import FormatError
from bsqcodec.media.ffmpeg_io import BUFFER_BYTES, GuardedSource, Readable, ffmpeg_guard
from bsqcodec.media.side.opus_track import OpusTrack, can_convert
from bsqcodec.media.side.packet_times import TAG, TimeGrid
from bsqcodec.media.side.side_cut import cut_chapters, cut_packet, move_packet
from bsqcodec.media.side.side_stream import PLACEHOLDER_TAG
from bsqcodec.media.side.subtitle_text import (
    MOV_TEXT_HEADER,
    TEXT_CODECS,
    has_styles,
    mov_text_packet,
    packet_text,
)
from bsqcodec.media.side.track_copy import can_hold, copy_track

_NAME: Final = "the side stream"


class SidePackets:
    """Adds the tracks of a side stream to an output, and its packets as time goes on.

    source: the bytes that a VideoReader's `take_side_bytes` gave, all of them.
    container: FFmpeg's name of the output's format.
    notes: gets a sentence for each track that the output cannot hold.
    begin: time in seconds before which packets and chapters are left out, or cut, if they last;
    end: after which subtitles and chapters are.
    damage: where it is None, damaged bytes raise FormatError; otherwise it gets a sentence about
    them, and what lies behind the damage is left out.
    """

    def __init__(
        self,
        source: Readable,
        output: av.container.OutputContainer,
        container: str,
        notes: list[str],
        *,
        begin: Fraction | None = None,
        end: Fraction | None = None,
        damage: list[str] | None = None,
    ) -> None:
        self._output = output
        self._damage = damage
        self._begin, self._end = begin, end
        self._container = container
        self._notes = notes
        self._source = GuardedSource(source, _NAME)
        self._tracks: dict[int, Any] = {}
        self._as_mov_text: set[int] = set()
        self._grids: dict[int, TimeGrid] = {}
        self._converted: dict[int, OpusTrack] = {}
        self._shift = Fraction(0)
        self._covers: list[av.Packet[Any]] = []
        self._refused = 0
        self._styled = False
        self._next: av.Packet[Any] | None = None
        with ffmpeg_guard(_NAME, "damaged", FormatError, self._source):
            self._input = av.open(
                self._source, "r", format="matroska", buffer_size=BUFFER_BYTES,
                metadata_errors="replace",
            )  # fmt: skip
            self._source.check()
        for stream in self._input.streams:
            if stream.type == "attachment":
                self._add_attachment(stream)
            elif stream.type != "video":
                self._add_track(stream)
        chapters = self._input.chapters()
        if chapters:
            output.set_chapters(chapters if begin is None else cut_chapters(chapters, begin, end))
        self._packets = self._demux()
        self._advance()
        while self._next is not None and self._next.stream.type == "video":
            self._add_cover(self._next)
            self._advance()

    def mux_until(self, seconds: Fraction | None, shift: Fraction) -> None:
        """Write the packets up to a time, or all that are left for None, each moved by `shift`."""
        while self._next is not None:
            packet = self._next
            time = None if packet.dts is None else packet.dts * Fraction(packet.time_base) + shift
            if seconds is not None and time is not None and time > seconds:
                return
            self._mux(packet, shift)
            self._advance()

    def _advance(self) -> None:
        """Read the next packet, of which there is none behind damage that is passed over."""
        try:
            self._next = next(self._packets, None)
        except FormatError as error:
            if self._damage is None:
                raise
            self._damage.append(str(error))
            self._next = None

    def close(self) -> None:
        """Write what converted sound is left, release the input and count what was left out."""
        for track in self._converted.values():
            for packet in track.rest(self._shift):
                self._output.mux(packet)
        self._packets.close()
        self._input.close()
        if self._refused:
            self._notes.append(f"{self._refused} packets of sound or subtitles did not fit")
            self._refused = 0

    def _demux(self) -> Generator[av.Packet[Any], None, None]:
        """Cover pictures, which FFmpeg gives first, then packets with their exact times."""
        covers = [stream.index for stream in self._input.streams.video]
        streams = [self._input.streams[index] for index in (*covers, *self._tracks)]
        if not streams:
            return
        with ffmpeg_guard(_NAME, "damaged", FormatError, self._source):
            for packet in self._input.demux(*streams):
                self._source.check()
                if packet.size:
                    self._restore_times(packet)
                    if packet.stream.type == "video" or self._is_wanted(packet):
                        yield packet
        self._source.check()

    def _is_wanted(self, packet: av.Packet[Any]) -> bool:
        """Whether a packet is in the part that is wanted, if only one is."""
        return self._begin is None or cut_packet(packet, self._begin, self._end)

    def _restore_times(self, packet: av.Packet[Any]) -> None:
        """Undo Matroska's rounding to milliseconds where the track's grid tells how."""
        grid = self._grids.get(packet.stream_index)
        if grid is None or packet.pts is None:
            return
        exact = grid.exact(packet.pts, Fraction(packet.time_base))
        if exact is not None:
            packet.time_base = grid.time_base
            packet.pts = packet.dts = exact
            packet.duration = grid.step

    def _add_track(self, stream: Any) -> None:
        """Make a track of the output for one of the side stream's, or note why there is none."""
        codec = stream.codec_context.name if stream.codec_context else "unknown"
        metadata = dict(stream.metadata)
        if PLACEHOLDER_TAG in metadata:
            return
        grid = TimeGrid.from_tag(metadata.pop(TAG, ""))
        if can_hold(self._container, stream):
            track: Any = copy_track(self._output, stream)
        elif codec in TEXT_CODECS and self._container in ("mp4", "mov"):
            track = self._output.add_stream("mov_text")
            track.codec_context.subtitle_header = MOV_TEXT_HEADER
            track.codec_context.time_base = track.time_base = Fraction(1, 1000)
            self._as_mov_text.add(stream.index)
        elif self._container == "webm" and can_convert(stream):
            self._converted[stream.index] = OpusTrack(self._output, stream)
            track = self._converted[stream.index].track
            grid = None
            self._notes.append(
                f"{stream.type} stream {stream.index} ({codec}) was converted to Opus for webm"
            )
        else:
            self._notes.append(
                f"{stream.type} stream {stream.index} ({codec}) does not fit into"
                f" {self._container} and was dropped"
            )
            return
        for key in ("DURATION", "ENCODER"):
            metadata.pop(key, None)
        track.metadata.update(metadata)
        track.disposition = stream.disposition
        if grid is not None:
            self._grids[stream.index] = grid
            track.time_base = grid.time_base
        self._tracks[stream.index] = track

    def _add_attachment(self, stream: Any) -> None:
        """Copy an attachment into Matroska; nothing else has any."""
        if self._container == "matroska":
            self._output.add_attachment(
                stream.name or "attachment",
                stream.mimetype or "application/octet-stream",
                stream.data,
            )
        else:
            self._notes.append(f"the attachment {stream.name} was dropped")

    def _add_cover(self, packet: av.Packet[Any]) -> None:
        """Copy a cover picture: an attachment in Matroska, a track of one packet in MP4."""
        stream = packet.stream
        if self._container == "matroska":
            name = stream.metadata.get("filename", "cover.jpg")
            kind = stream.metadata.get("mimetype", "image/jpeg")
            self._output.add_attachment(name, kind, bytes(packet))
        elif self._container == "mp4":
            track = self._output.add_stream_from_template(stream, opaque=True)
            track.disposition = Disposition.attached_pic
            packet.stream = track
            self._covers.append(packet)
        else:
            self._notes.append("the cover picture was dropped")

    def mux_covers(self) -> None:
        """Write the cover pictures, first of all packets."""
        for packet in self._covers:
            self._output.mux(packet)

    def _mux(self, packet: av.Packet[Any], shift: Fraction) -> None:
        """Write one packet; one that the output refuses is counted and left out."""
        index = packet.stream_index
        self._shift = shift
        if index in self._converted:
            self._convert(packet, shift)
            return
        if index in self._as_mov_text:
            packet = self._mov_text(packet)
        if shift:
            move_packet(packet, shift)
        packet.stream = self._tracks[index]
        try:
            self._output.mux(packet)
        except (ValueError, av.error.ArgumentError, av.error.InvalidDataError):
            self._refused += 1

    def _convert(self, packet: av.Packet[Any], shift: Fraction) -> None:
        """Write what a packet of sound gives once it is converted; one that is damaged counts."""
        try:
            for each in self._converted[packet.stream_index].packets(packet, shift):
                self._output.mux(each)
        except (ValueError, av.error.InvalidDataError):
            self._refused += 1

    def _mov_text(self, packet: av.Packet[Any]) -> av.Packet[Any]:
        """A text subtitle as MP4 holds it."""
        codec, data = packet.stream.codec_context.name, bytes(packet)
        if has_styles(codec, data) and not self._styled:
            self._styled = True
            self._notes.append(f"the styles of subtitles do not fit into {self._container}")
        converted: av.Packet[Any] = av.Packet(mov_text_packet(packet_text(codec, data)))
        converted.time_base = packet.time_base
        converted.pts = converted.dts = packet.pts
        converted.duration = packet.duration
        converted.is_keyframe = True
        return converted
