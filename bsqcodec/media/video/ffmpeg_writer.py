"""Writing a video: frames encoded by a codec of FFmpeg's, the side stream's packets beside them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, Final

import av

from bsqcodec.errors import FormatError, OutputError
from bsqcodec.format.video_times import DEFAULT_FRAME_RATE
from bsqcodec.media.ffmpeg_io import (
    BUFFER_BYTES,
    REPRODUCIBLE,
    ffmpeg_guard,
)
from bsqcodec.media.files import Prefixed
from bsqcodec.media.formats import container_called
from bsqcodec.media.side.side_packets import SidePackets
from bsqcodec.media.video.constant_rate import EvenTimes
from bsqcodec.media.video.muxed_writer import MuxedWriter
from bsqcodec.media.video.track_facts import drop_unusable_time_code, split_metadata
from bsqcodec.media.video.video_codecs import choose_encoder
from bsqcodec.media.video.video_colour import (
    CHROMA_SITING,
    DEFAULT_SITING,
    FromRgb,
    guessed_matrix,
    tag_stream,
)
from bsqcodec.media.video.video_types import OutputOptions, VideoFormat, VideoFrame

NO_SIDES: Final = "{} holds no sound, subtitles or chapters"
"""A note, of a container."""

_MATROSKA_TIME_BASE: Final = Fraction(1, 1000)
_MAX_LAST_FRAME_S: Final = 86400
"""A last frame that is to be shown for longer than a day is shown as long as any other."""

_LARGEST_TIMESCALE: Final = 2**31 - 1
_LEAST_MOVIE_TIMESCALE: Final = 1000
_LATEST_S: Final = 2**31
"""68 years: beyond that FFmpeg's own arithmetic of times overflows in some containers."""


_MATROSKA: Final = ("mkv", "webm")


class FFmpegWriter(MuxedWriter):
    """A video that FFmpeg writes; made by `create_video`, which tells what the arguments mean."""

    def __init__(
        self,
        destination: Path | BinaryIO,
        container: str,
        format: VideoFormat,
        options: OutputOptions,
        side: BinaryIO | None,
        side_damage: list[str] | None = None,
    ) -> None:
        self.notes = []
        self._kind = container
        self._trim, self._duration = options.trim, options.duration
        entry = container_called(container)
        self._muxer = (entry.muxer if entry is not None else None) or container
        self._has_sides = entry is not None and entry.has_sides
        self._side_source = side
        self._side_damage = side_damage
        self._side: SidePackets | None = None
        self._shift = Fraction(0)
        self._count = self._slot = 0
        self._last_pts: int | None = None
        self._first_time = Fraction(0)
        self._is_rounded = False
        self._rate = format.frame_rate or options.frame_rate or DEFAULT_FRAME_RATE
        self._even = EvenTimes(self._rate) if container == "y4m" else None
        self._waiting: av.VideoFrame | None = None
        self._last_duration: Fraction | None = None
        self._lead = 0
        self._packet: av.Packet[Any] | None = None
        self._final: tuple[int, int] | None = None
        self._siting = "center" if container == "y4m" else DEFAULT_SITING
        self._choice = choose_encoder(container, format, options, self.notes)
        self._from_rgb = FromRgb(
            self._choice.pix_fmt, format.colour, (format.width, format.height), self._siting
        )
        super().__init__(destination, format)

    def write(self, frame: VideoFrame) -> None:
        self._check_frame(frame, self._last_pts)
        with ffmpeg_guard(self._name, f"{self._choice.codec} failed", OutputError):
            if self._output is None:
                self._start(frame.pts)
            self._write(frame)
        self._sink.check()
        self._last_pts = frame.pts
        self._count += 1
        duration = frame.duration * self._format.time_base
        self._last_duration = duration if 0 < duration <= _MAX_LAST_FRAME_S else None

    def _finish(self) -> None:
        self._write_last()
        if self._side is not None:
            self._side.mux_until(self._end() if self._trim else None, self._shift)
            self._side.close()

    def _start(self, first_pts: int) -> None:
        """Open the container and the encoder, and write the header with all tracks."""
        format, choice = self._format, self._choice
        output = av.open(
            self._sink, "w", format=self._muxer, options=self._muxer_options(),
            buffer_size=BUFFER_BYTES,
        )  # fmt: skip
        self._output = output
        self._first_time = first_pts * format.time_base
        if self._trim:
            self._shift = -self._first_time
        elif self._first_time < 0:
            self._shift = -self._first_time
            self.notes.append(
                f"timestamps begin before 0: all were moved by {float(self._shift):.3f} s"
            )
        time_base = 1 / self._rate if self._kind == "y4m" else format.time_base
        try:
            stream: Any = output.add_stream(
                choice.codec, rate=self._rate,
                options={CHROMA_SITING: self._siting, **choice.options},
                width=format.width, height=format.height, time_base=time_base,
            )  # fmt: skip
        except ValueError as error:
            raise OutputError(f"{self._name}: {self._kind} cannot hold {choice.codec}") from error
        self._stream = stream
        self._encoder_time_base = time_base
        stream.time_base = self._stream_time_base()
        context = stream.codec_context
        context.pix_fmt = choice.pix_fmt
        context.sample_aspect_ratio = format.sample_aspect_ratio
        tag_stream(context, choice.pix_fmt, format.colour)
        start = self._side_source.read(1) if self._side_source is not None else b""
        if not self._has_sides:
            if start:
                self.notes.append(NO_SIDES.format(self._kind))
        else:
            texts, of_track = split_metadata(format.metadata)
            if self._kind not in _MATROSKA:
                drop_unusable_time_code(texts, self._rate, self.notes)
            output.metadata.update(texts)
            stream.metadata.update(of_track)
            if self._side_source is not None and start:
                source = Prefixed(start, self._side_source)
                begin = self._first_time if self._trim else None
                end = None
                if begin is not None and self._duration is not None:
                    end = begin + self._duration
                self._side = self._side_packets(source, output, begin, end)
        output.start_encoding()
        if self._side is not None:
            self._side.mux_covers()

    def _side_packets(
        self,
        source: Prefixed,
        output: av.container.OutputContainer,
        begin: Fraction | None,
        end: Fraction | None,
    ) -> SidePackets | None:
        """The side stream for the output; None where it cannot be opened and that is allowed."""
        damage = self._side_damage
        try:
            return SidePackets(
                source, output, self._muxer, self.notes,
                begin=begin, end=end, damage=damage,
            )  # fmt: skip
        except FormatError as error:
            if damage is None:
                raise
            damage.append(str(error))
            return None

    def _muxer_options(self) -> dict[str, str]:
        """FFmpeg's options of the container, by which timestamps stay what they are."""
        if self._kind == "y4m":
            return {}
        if self._kind in _MATROSKA:
            return {**REPRODUCIBLE, "avoid_negative_ts": "disabled"}
        options = dict(REPRODUCIBLE)
        scale = self._format.time_base.denominator
        if scale <= _LARGEST_TIMESCALE:
            movie = scale * max(1, -(-_LEAST_MOVIE_TIMESCALE // scale))
            options |= {"video_track_timescale": str(scale), "movie_timescale": str(movie)}
        if not self._sink.seekable():
            options["movflags"] = "frag_keyframe+delay_moov+default_base_moof"
        return options

    def _stream_time_base(self) -> Fraction:
        """What to ask of the muxer; Matroska takes milliseconds whatever it is asked for."""
        if self._kind == "y4m":
            return 1 / self._rate
        if self._kind in _MATROSKA:
            return _MATROSKA_TIME_BASE
        return Fraction(1, self._format.time_base.denominator)

    def _write(self, frame: VideoFrame) -> None:
        """Encode one frame, after the packets of the side stream that come before it."""
        assert self._output is not None
        base = self._format.time_base
        time = frame.pts * base + self._shift
        if self._side is not None:
            self._side.mux_until(time, self._shift)
        encoded = self._from_rgb(frame.pixels)
        encoded.time_base = self._encoder_time_base
        if self._even is not None:
            if self._waiting is None:
                self._even.begin(time)
            else:
                self._repeat(self._even.times_until(time))
            self._waiting = encoded
            return
        self._check_time(time)
        encoded.pts = round(time / base)
        encoded.duration = max(1, round(1 / (self._rate * base)))
        if self._kind in _MATROSKA:
            self._is_rounded |= (time / _MATROSKA_TIME_BASE).denominator != 1
        self._mux(self._stream.encode(encoded))

    def _repeat(self, count: int) -> None:
        """Write the frame that waits so many times, at an even rate."""
        assert self._waiting is not None
        for _ in range(count):
            self._waiting.pts = self._slot
            self._slot += 1
            self._mux(self._stream.encode(self._waiting))

    def _mux(self, packets: list[av.Packet[Any]]) -> None:
        """Write all packets but the last one so far, whose duration is not sure yet."""
        for packet in packets:
            if self._packet is None:
                self._lead = (packet.pts or 0) - (packet.dts or 0)
            else:
                self._mux_one(self._packet)
            self._packet = packet

    def _mux_one(self, packet: av.Packet[Any]) -> None:
        """Write a packet; that of the last frame lasts until the video ends."""
        assert self._output is not None
        if self._final is not None and packet.pts is not None and packet.pts >= self._final[0]:
            packet.duration = self._final[1]
        self._output.mux(packet)

    def _write_last(self) -> None:
        """Write what the encoder holds."""
        if self._even is not None:
            self._repeat(self._even.times_until(self._end(), is_last=True))
        elif self._last_duration is not None and self._last_pts is not None:
            base = self._encoder_time_base
            pts = round(self._last_pts * self._format.time_base / base + self._shift / base)
            self._final = pts, max(round(self._last_duration / base), 1)
        self._mux(self._stream.encode())
        last = self._packet
        if last is None:
            return
        if self._final is not None and self._kind not in _MATROSKA and last.dts is not None:
            # MP4 adds up the durations of packets in the order of decoding
            last.duration = max(sum(self._final) - last.dts - self._lead, 1)
            assert self._output is not None
            self._output.mux(last)
        else:
            self._mux_one(last)

    def _check_time(self, time: Fraction) -> None:
        """Refuse a frame's time, in seconds, that the container has no room for: OutputError."""
        if abs(time) > _LATEST_S:
            raise OutputError(f"{self._name}: no container holds a frame at {float(time):.3g} s")
        if self._last_pts is not None and self._kind in ("mp4", "mov"):
            shown = time - self._last_pts * self._format.time_base - self._shift
            if shown * self._format.time_base.denominator > _LARGEST_TIMESCALE:
                raise OutputError(
                    f"{self._name}: {self._kind} does not hold a frame that is shown for"
                    f" {float(shown):.3g} s, in units of 1/{self._format.time_base.denominator} s"
                )

    def _end(self) -> Fraction:
        """When the last frame ends in the output, in seconds."""
        assert self._last_pts is not None
        duration = self._last_duration or 1 / self._rate
        return self._last_pts * self._format.time_base + self._shift + duration

    def _note_changes(self) -> None:
        if self._is_rounded:
            self.notes.append("Matroska holds milliseconds: timestamps were rounded to them")
        if self._even is not None and (self._even.repeated or self._even.left_out):
            self.notes.append(
                f"y4m holds no timestamps: at an even {float(self._rate):g} fps,"
                f" {self._even.repeated} frames are repeated and {self._even.left_out} left out"
            )
        if self._even is not None and self._even.shortened:
            self.notes.append("frames that are shown for over 10 minutes are shown for less")
        if self._kind == "y4m" and self._format.colour.matrix != guessed_matrix(
            self._format.height
        ):
            self.notes.append(f"y4m cannot name the colour matrix {self._format.colour.matrix}")
