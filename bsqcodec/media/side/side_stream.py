"""What a video file holds beside the picture, copied packet by packet into a Matroska stream."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from fractions import Fraction
from typing import Any, Final

import av
from av.bitstream import BitStreamFilterContext
from av.stream import Discard, Disposition

from bsqcodec.media.ffmpeg_io import BUFFER_BYTES, REPRODUCIBLE, Pieces, ffmpeg_guard
from bsqcodec.media.side.audio_choice import COPY, AudioChoice
from bsqcodec.media.side.opus_track import OpusTrack, can_convert
from bsqcodec.media.side.packet_times import TAG, TimeGrid
from bsqcodec.media.side.side_cut import SideCut, cut_chapters
from bsqcodec.media.side.subtitle_text import has_styles, packet_text
from bsqcodec.media.side.track_copy import can_hold, copy_track
from bsqcodec.media.video.track_facts import TIME_CODE

PLACEHOLDER_TAG: Final = "BSQ_EMPTY"
"""Tag of a track of one blank line: FFmpeg reads no Matroska file without any packets."""

_COVER_KINDS: Final = {"mjpeg": ("jpg", "image/jpeg"), "png": ("png", "image/png")}
_HEADER_WAIT_PACKETS: Final = 512
_HEADER_WAIT_BYTES: Final = 2**22
"""How much is held back at most until every track of sound has shown when it begins."""

_OPUS_BITS_A_CHANNEL: Final = 48_000
"""Of converted sound, unless a rate is asked for."""

_OPTIONS: Final = {**REPRODUCIBLE, "avoid_negative_ts": "disabled", "cluster_time_limit": "2000"}
"""Times stay what they are; a cluster is written, and can be taken, every two seconds."""


class SideStream:
    """Packs the packets of all streams but the picture; `take` gives the bytes as they come.

    known: indices of streams that are no tracks of their own, such as that of the picture's alpha.
    audio: what becomes of sound. cut: the part that is wanted;
    packets wait until `begin_part` says when it begins.
    notes: gets a sentence for each stream that Matroska cannot hold.
    problems: gets one for packets that could not be stored.
    """

    def __init__(
        self,
        source: av.container.InputContainer,
        picture: av.VideoStream,
        notes: list[str],
        problems: list[str],
        known: Collection[int] = (),
        cut: SideCut | None = None,
        audio: AudioChoice = COPY,
    ) -> None:
        self._notes = notes
        self._audio = audio
        self._opus: dict[int, OpusTrack] = {}
        self._problems = problems
        self._pieces = Pieces()
        self._output: av.container.OutputContainer | None = None
        self._chapters: list[Any] = list(source.chapters())
        self._attachments: list[tuple[str, str, bytes]] = []
        self._cut = cut
        self._undecided: list[av.Packet[Any]] = []
        self._streams: dict[int, Any] = {}
        self._covers: dict[int, Any] = {}
        self._tracks: dict[int, Any] = {}
        self._filters: dict[int, BitStreamFilterContext] = {}
        self._waiting: list[av.Packet[Any]] = []
        self._waiting_bytes = 0
        self._silent: set[int] = set()
        self._refused = 0
        self._styled = False
        for stream in source.streams:
            if stream.index != picture.index and stream.index not in known:
                self._choose(stream)

    @property
    def streams(self) -> list[int]:
        """Indices of the source's streams whose packets `add` wants."""
        return [*self._streams, *self._covers]

    @property
    def sounds(self) -> list[int]:
        """Indices of those of them that are sound."""
        return [index for index, stream in self._streams.items() if stream.type == "audio"]

    def begin_part(self, begin: Fraction) -> None:
        """Have the part begin at the time of its first frame, in seconds of the source."""
        assert self._cut is not None
        self._cut.begin_at(begin)
        self._chapters = cut_chapters(self._chapters, begin, self._cut.end)
        undecided, self._undecided = self._undecided, []
        for packet in undecided:
            self.add(packet)

    def add(self, packet: av.Packet[Any]) -> None:
        """Store a packet of one of `streams`."""
        if not packet.size:
            return
        index = packet.stream_index
        if index in self._covers:
            if self._output is None:
                suffix, kind = _COVER_KINDS[self._covers[index].name]
                self._attachments.append((f"cover{index}.{suffix}", kind, bytes(packet)))
            return
        if self._cut is not None:
            if self._cut.begin is None:
                if not self._cut.is_early(packet):
                    self._undecided.append(packet)
                return
            if not self._cut.take(packet):
                return
        if self._output is not None:
            self._mux(packet)
            return
        self._waiting.append(packet)
        self._waiting_bytes += packet.size
        self._silent.discard(index)
        if (
            not self._silent
            or len(self._waiting) > _HEADER_WAIT_PACKETS
            or self._waiting_bytes > _HEADER_WAIT_BYTES
        ):
            self._begin()

    def finish(self) -> None:
        """Store what is left; `take` gives the last bytes then."""
        if self._output is None:
            if not (self._waiting or self._attachments or self._chapters):
                return
            self._begin()
        assert self._output is not None
        with ffmpeg_guard("the side stream", "cannot be finished"):
            for opus in self._opus.values():
                self._output.mux(opus.rest(Fraction(0)))
            self._output.close()
        if self._refused:
            self._problems.append(f"{self._refused} packets of sound or subtitles were unusable")

    def take(self) -> bytes:
        """Return the bytes that are new since the last call."""
        return self._pieces.take()

    def _choose(self, stream: Any) -> None:
        """Plan for one of the source's streams, or note why it is left out."""
        if stream.type == "attachment":
            kind = stream.mimetype or "application/octet-stream"
            self._attachments.append((stream.name or "attachment", kind, stream.data))
        elif stream.type == "audio" and self._audio.kind == "none":
            return
        elif stream.type in ("audio", "subtitle") and stream.codec_context is not None:
            self._streams[stream.index] = stream
            if stream.type == "audio":
                self._silent.add(stream.index)
        elif stream.type != "video":
            if not self._is_kept_elsewhere(stream):
                self._drop(stream)
        elif stream.disposition & Disposition.attached_pic and stream.name in _COVER_KINDS:
            self._covers[stream.index] = stream
        else:
            self._notes.append(
                f"video stream {stream.index} is not the main picture and was dropped"
            )

    def _is_kept_elsewhere(self, stream: Any) -> bool:
        """Whether a track of data is one that FFmpeg makes chapters of,
        or only names a time code."""
        is_chapters = stream.discard == Discard.all and bool(self._chapters)
        return is_chapters or TIME_CODE in stream.metadata

    def _drop(self, stream: Any) -> None:
        name = getattr(stream, "name", None) or "unknown"
        self._notes.append(
            f"{stream.type} stream {stream.index} ({name}) cannot be kept in Matroska and was"
            " dropped"
        )

    def _begin(self) -> None:
        """Write the header with all tracks, then what waited for it."""
        output = av.open(
            self._pieces, "w", format="matroska", options=_OPTIONS, buffer_size=BUFFER_BYTES
        )
        self._output = output
        waiting: list[av.Packet[Any]] = []
        for packet in self._waiting:
            waiting += self._filtered(packet)
        self._waiting = []
        for index, stream in self._streams.items():
            first = next((packet for packet in waiting if packet.stream_index == index), None)
            self._add_track(stream, first)
        for name, kind, data in self._attachments:
            output.add_attachment(name, kind, data)
        placeholder = None if self._tracks else output.add_mux_stream("subrip")
        if placeholder is not None:
            placeholder.metadata[PLACEHOLDER_TAG] = "1"
        if self._chapters:
            output.set_chapters(self._chapters)
        with ffmpeg_guard("the side stream", "cannot be begun"):
            output.start_encoding()
            if placeholder is not None:
                output.mux(_line(b" ", placeholder, Fraction(1, 1000), 0, 1))
        for packet in waiting:
            self._store(packet)

    def _add_track(self, stream: Any, first: av.Packet[Any] | None) -> None:
        """Make a track for one of the source's streams; `first` is its first packet, if known."""
        assert self._output is not None
        extradata = None
        if first is not None and first.has_sidedata("new_extradata"):
            extradata = bytes(first.get_sidedata("new_extradata"))
        if stream.codec_context.name == "mov_text":
            track: Any = self._output.add_mux_stream("subrip")
        elif self._is_converted(stream):
            self._opus[stream.index] = OpusTrack(
                self._output, stream, self._audio.bitrate or _opus_bits(stream)
            )
            track = self._opus[stream.index].track
        elif can_hold("matroska", stream, extradata):
            track = copy_track(self._output, stream, extradata)
        else:
            self._drop(stream)
            return
        track.metadata.update(stream.metadata)
        track.disposition = stream.disposition
        if stream.type == "audio" and first is not None and stream.index not in self._opus:
            grid = TimeGrid.of_packet(first.time_base, first.pts, first.duration)
            if grid is not None:
                track.metadata[TAG] = grid.to_tag()
        self._tracks[stream.index] = track

    def _filtered(self, packet: av.Packet[Any]) -> Iterable[av.Packet[Any]]:
        """The packet as Matroska has it: AAC without the ADTS headers of MPEG streams."""
        stream = self._streams[packet.stream_index]
        if self._is_converted(stream):
            return [packet]
        if stream.codec_context.name != "aac" or stream.codec_context.extradata:
            return [packet]
        if stream.index not in self._filters:
            self._filters[stream.index] = BitStreamFilterContext("aac_adtstoasc", stream)
        time_base = packet.time_base
        try:
            filtered = self._filters[stream.index].filter(packet)
        except av.error.FFmpegError:
            self._refused += 1
            return []
        for result in filtered:
            result.stream, result.time_base = stream, time_base
        return filtered

    def _mux(self, packet: av.Packet[Any]) -> None:
        for filtered in self._filtered(packet):
            self._store(filtered)

    def _store(self, packet: av.Packet[Any]) -> None:
        """Write a packet into its track; one without a usable time is counted and left out."""
        assert self._output is not None
        track = self._tracks.get(packet.stream_index)
        if track is None:
            return
        opus = self._opus.get(packet.stream_index)
        if opus is not None:
            try:
                self._output.mux(opus.packets(packet, Fraction(0)))
            except (ValueError, av.error.FFmpegError):
                self._refused += 1
            return
        if packet.stream.codec_context.name == "mov_text":
            converted = self._as_subrip(packet, track)
            if converted is None:
                return
            packet = converted
        else:
            packet.stream = track
        try:
            self._output.mux(packet)
        except (ValueError, av.error.FFmpegError):
            self._refused += 1

    def _is_converted(self, stream: Any) -> bool:
        """Whether a track becomes Opus."""
        return can_convert(stream) and self._audio.converts(stream.codec_context.name)

    def _as_subrip(self, packet: av.Packet[Any], track: Any) -> av.Packet[Any] | None:
        """A subtitle of MP4 as Matroska holds it; None for the gaps between them."""
        data = bytes(packet)
        if has_styles("mov_text", data) and not self._styled:
            self._styled = True
            self._notes.append("the styles of MP4 subtitles were dropped")
        text = packet_text("mov_text", data)
        if not text or packet.pts is None:
            return None
        duration = packet.duration or 0
        return _line(text.encode(), track, Fraction(packet.time_base), packet.pts, duration)


def _line(text: bytes, track: Any, time_base: Fraction, pts: int, duration: int) -> av.Packet[Any]:
    """A packet of a text subtitle."""
    packet: av.Packet[Any] = av.Packet(text)
    packet.time_base = time_base
    packet.pts = packet.dts = pts
    packet.duration = duration
    packet.is_keyframe = True
    packet.stream = track
    return packet


def _opus_bits(stream: Any) -> int:
    """Bits a second of an Opus track where none are asked for: few, for small files."""
    return _OPUS_BITS_A_CHANNEL * max(1, stream.codec_context.layout.nb_channels)
