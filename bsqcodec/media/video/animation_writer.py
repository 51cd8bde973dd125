"""Writing a video as an animated GIF or WebP."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, Final

import av

from bsqcodec.errors import OutputError
from bsqcodec.format.video_times import DEFAULT_FRAME_RATE
from bsqcodec.media.ffmpeg_io import BUFFER_BYTES, REPRODUCIBLE, ffmpeg_guard
from bsqcodec.media.formats import VideoContainer
from bsqcodec.media.video.muxed_writer import MuxedWriter
from bsqcodec.media.video.video_types import OutputOptions, VideoFormat, VideoFrame

_PIX_FMT: Final = "bgra"
_FOR_EVER: Final = {"loop": "0"}
_LAST_TICK: Final = 2**31 - 1
"""libwebp counts milliseconds in 32 bits; GIF has no limit, and FFmpeg one that is not told."""
_HDR_TRANSFERS: Final = {16: "PQ", 18: "HLG"}
_PALETTE_NODES: Final = ("split", "palettegen", "paletteuse")


@dataclass(frozen=True)
class _Animation:
    """What the writer must know of a format.

    codec: FFmpeg's. options: of it, with a loss; lossless: without one, None where there is no
    such thing. time_base: the unit of times. least_step: of two frames, in that unit.
    most_step: that a frame lasts. max_side: pixels in a row or column.
    """

    codec: str
    options: dict[str, str]
    lossless: dict[str, str] | None
    time_base: Fraction
    least_step: int
    most_step: int
    max_side: int


_ANIMATIONS: Final = {
    # browsers show a frame of less than two hundredths of a second for ten
    "gif": _Animation("gif", {}, None, Fraction(1, 100), 2, 2**16 - 1, 65535),
    "webp": _Animation(
        "libwebp_anim",
        {"quality": "95"},
        {"lossless": "1"},
        Fraction(1, 1000),
        1,
        2**24 - 1,
        16383,
    ),
}
ANIMATED: Final = tuple(_ANIMATIONS)


class AnimationWriter(MuxedWriter):
    """An animation that plays for ever; made by `create_video`, which tells what arguments mean.

    Frames that come faster than the format shows them are left out, with a note. Colours are
    stored as sRGB; GIF has a palette of 256 for each frame. The compressed frames of a WebP stay
    in memory until it is finished.
    """

    def __init__(
        self,
        destination: Path | BinaryIO,
        container: VideoContainer,
        format: VideoFormat,
        options: OutputOptions,
        side: BinaryIO | None,
    ) -> None:
        self.notes = []
        self._container = container
        self._kind = _ANIMATIONS[container.name]
        self._codec_options = _codec_options(container.name, self._kind, format, options)
        self._rate = format.frame_rate or DEFAULT_FRAME_RATE
        self._first_time: Fraction | None = None
        self._last: VideoFrame | None = None
        self._tick = -self._kind.least_step
        self._left_out = 0
        self._is_long = False
        self._packet: av.Packet[Any] | None = None
        self._palette: _Palette | None = None
        if side is not None and side.read(1):
            self.notes.append(f"{container.name} holds no sound, subtitles or chapters")
        if format.colour.transfer in _HDR_TRANSFERS:
            hdr = _HDR_TRANSFERS[format.colour.transfer]
            self.notes.append(f"{container.name} cannot name HDR ({hdr}): colours will look dull")
        super().__init__(destination, format)

    def write(self, frame: VideoFrame) -> None:
        self._check_frame(frame, None if self._last is None else self._last.pts)
        self._last = frame
        time = frame.pts * self._format.time_base
        if self._first_time is None:
            self._first_time = time
        exact = (time - self._first_time) / self._kind.time_base
        tick = max(round(exact), self._tick + self._kind.least_step)
        if tick - exact >= 1:
            self._left_out += 1
            return
        if tick > _LAST_TICK:
            raise OutputError(
                f"{self._name}: {self._container.name} does not hold a frame that is shown after"
                f" {float(time - self._first_time):.3g} s"
            )
        self._is_long |= tick - self._tick > self._kind.most_step
        self._tick = tick
        with ffmpeg_guard(self._name, f"{self._kind.codec} failed", OutputError):
            if self._output is None:
                self._start()
            picture: Any = av.VideoFrame.from_ndarray(frame.pixels, format="rgb24")
            picture = picture.reformat(format=_PIX_FMT)
            picture.pts, picture.time_base = tick, self._kind.time_base
            for each in self._palette(picture) if self._palette is not None else (picture,):
                self._mux(self._stream.encode(each))
        self._sink.check()

    def _finish(self) -> None:
        for each in self._palette.rest() if self._palette is not None else ():
            self._mux(self._stream.encode(each))
        self._mux(self._stream.encode())
        self._write_last()

    def _note_changes(self) -> None:
        if self._left_out:
            most = 1 / (self._kind.least_step * self._kind.time_base)
            self.notes.append(
                f"{self._container.name} shows {float(most):g} frames a second at most:"
                f" {self._left_out} frames were left out"
            )
        if self._is_long:
            longest = self._kind.most_step * self._kind.time_base
            self.notes.append(
                f"{self._container.name} shows a frame for {float(longest):g} s at most:"
                " times were shortened"
            )

    def _start(self) -> None:
        """Open the container and the encoder."""
        self._output = av.open(
            self._sink, "w", format=self._container.muxer, options={**REPRODUCIBLE, **_FOR_EVER},
            buffer_size=BUFFER_BYTES,
        )  # fmt: skip
        size = self._format.width, self._format.height
        stream: Any = self._output.add_stream(
            self._kind.codec, rate=self._rate, options=self._codec_options,
            width=size[0], height=size[1], time_base=self._kind.time_base,
        )  # fmt: skip
        self._stream = stream
        stream.time_base = self._kind.time_base
        stream.codec_context.pix_fmt = _PIX_FMT
        if self._kind.codec == "gif":
            stream.codec_context.pix_fmt = "pal8"
            self._palette = _Palette(*size, self._kind.time_base)

    def _mux(self, packets: list[av.Packet[Any]]) -> None:
        """Write all packets but the last one so far."""
        assert self._output is not None
        for packet in packets:
            if self._packet is not None:
                self._output.mux(self._packet)
            self._packet = packet

    def _write_last(self) -> None:
        """Write the last packet, whose frame lasts until the video ends."""
        assert self._output is not None and self._last is not None and self._first_time is not None
        duration = self._last.duration * self._format.time_base or 1 / self._rate
        end = self._last.pts * self._format.time_base + duration - self._first_time
        step = max(round(end / self._kind.time_base) - self._tick, self._kind.least_step)
        self._is_long |= step > self._kind.most_step
        step = min(step, self._kind.most_step)
        packet = self._packet
        if packet is None:
            return
        if self._container.name == "webp":
            times = packet.pts, packet.dts, packet.time_base, packet.stream
            packet = av.Packet(with_last_duration(bytes(packet), step))
            packet.pts, packet.dts, packet.time_base, packet.stream = times
        packet.duration = step
        self._output.mux(packet)


class _Palette:
    """FFmpeg's filters that find 256 colours for each frame, and dither it to them."""

    def __init__(self, width: int, height: int, time_base: Fraction) -> None:
        graph = av.filter.Graph()
        source = graph.add(
            "buffer",
            f"video_size={width}x{height}:pix_fmt={_PIX_FMT}:time_base={time_base}:pixel_aspect=1/1",
        )
        split, find, use = (graph.add(name, _PALETTE_OPTIONS[name]) for name in _PALETTE_NODES)
        sink = graph.add("buffersink")
        source.link_to(split)
        split.link_to(find, 0, 0)
        split.link_to(use, 1, 0)
        find.link_to(use, 0, 1)
        use.link_to(sink)
        graph.configure()
        self._graph, self._source, self._sink = graph, source, sink

    def __call__(self, frame: av.VideoFrame) -> Iterator[av.VideoFrame]:
        """Yield the frames that are ready."""
        self._source.push(frame)
        yield from self._ready()

    def rest(self) -> Iterator[av.VideoFrame]:
        """Yield what is left."""
        self._source.push(None)
        yield from self._ready()

    def _ready(self) -> Iterator[av.VideoFrame]:
        while True:
            try:
                frame: Any = self._sink.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            yield frame


_PALETTE_OPTIONS: Final = {
    "split": None,
    "palettegen": "stats_mode=single:reserve_transparent=0",
    "paletteuse": "new=1:dither=sierra2_4a",
}


def with_last_duration(webp: bytes, milliseconds: int) -> bytes:
    """Return an animated WebP whose last frame is shown for so long.

    The encoder takes the mean of the others, as it is told only when frames begin. In the
    container (RIFF; https://developers.google.com/speed/webp/docs/riff_container) a frame is an
    ANMF chunk, whose duration is the fifth number of three bytes.
    """
    data = bytearray(webp)
    at, last = 12, None
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        if data[at : at + 4] == b"ANMF":
            last = at + 8
        at += 8 + size + size % 2
    if last is not None:
        data[last + 12 : last + 15] = milliseconds.to_bytes(3, "little")
    return bytes(data)


def check_animation(name: str, options: OutputOptions) -> None:
    """Raise OutputError for options that do not go together with an animation, "gif" or "webp"."""
    kind = _ANIMATIONS[name]
    if options.codec not in (None, kind.codec) or options.pix_fmt is not None:
        raise OutputError(f"{name} takes neither a codec nor a pixel format")
    if options.crf is not None:
        raise OutputError(f"{name} has no crf")
    if options.lossless and kind.lossless is None:
        raise OutputError(f"{name} is not lossless: it has 256 colours a frame")


def _codec_options(
    name: str, kind: _Animation, format: VideoFormat, options: OutputOptions
) -> dict[str, str]:
    """The encoder's options. Raises OutputError for what does not go together."""
    check_animation(name, options)
    if max(format.width, format.height) > kind.max_side:
        raise OutputError(
            f"{name} cannot hold {format.width} x {format.height} pixels:"
            f" its limit is {kind.max_side} a side"
        )
    defaults = kind.lossless if options.lossless and kind.lossless is not None else kind.options
    return {**defaults, **options.codec_options}
