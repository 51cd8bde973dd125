"""Small video files made on the spot, and what is needed to look into them."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np
from numpy.typing import NDArray

from bsqcodec.media.video.video_files import VideoFormat, VideoFrame, create_video, open_video
from bsqcodec.media.video.video_types import OutputOptions

FRAMES = 10
RATE = 25


class Pipe(io.RawIOBase):
    """A stream that can be read, or written, but not sought in."""

    def __init__(self, data: bytes = b"") -> None:
        self._source = io.BytesIO(data)
        self.written = bytearray()

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._source.read(size)

    def write(self, data: Any) -> int:
        piece = bytes(data)[:50_000]  # like a pipe, it does not always take all
        self.written += piece
        return len(piece)


def scene(width: int, height: int, index: int = 0) -> NDArray[np.uint8]:
    """A smooth picture, uint8 [H, W, 3], that moves with its index."""
    y, x = np.mgrid[0:height, 0:width] / 12.0
    waves = np.stack([np.sin(x + index / 3), np.cos(y - index / 4), np.sin(x + y)], axis=-1)
    return np.asarray(128 + 90 * waves, np.uint8)


def frames_of(width: int, height: int, pts: Sequence[int] = range(FRAMES)) -> list[VideoFrame]:
    """Frames of the moving scene at the given times."""
    return [VideoFrame(scene(width, height, i), time) for i, time in enumerate(pts)]


def make_clip(
    container: str = "matroska",
    codec: str = "ffv1",
    *,
    width: int = 64,
    height: int = 48,
    pix_fmt: str = "yuv420p",
    pts: Sequence[int] = range(FRAMES),
    time_base: Fraction = Fraction(1, RATE),
    options: Mapping[str, str] | None = None,
    muxer: Mapping[str, str] | None = None,
    tags: Mapping[str, Any] | None = None,
    metadata: Mapping[str, str] | None = None,
    audio: str | None = None,
    sample_rate: int = 48000,
    seconds_of_sound: float = 0.43,
    subtitle: str | None = None,
    rotation: tuple[float, bool, bool] | None = None,
    pixels: NDArray[np.uint8] | None = None,
    chapters: Any = (),
    cover: bool = False,
    attachment: bytes = b"",
    data_stream: bool = False,
) -> bytes:
    """A file of the moving scene, or of `pixels` that stand still, with whatever is asked for."""
    file = io.BytesIO()
    with av.open(file, "w", format=container, options=dict(muxer or {})) as output:
        output.metadata.update(metadata or {})
        video: Any = output.add_stream(
            codec, rate=RATE, options=dict(options or {}), time_base=time_base
        )
        video.time_base = time_base
        video.codec_context.width, video.codec_context.height = width, height
        video.codec_context.pix_fmt = pix_fmt
        for name, value in (tags or {}).items():
            setattr(video.codec_context, name, value)
        if rotation is not None:
            video.set_display_rotation(*rotation)
        sound: Any = output.add_stream(audio, rate=sample_rate) if audio else None
        if sound is not None:
            sound.codec_context.layout = "stereo"
        text: Any = output.add_mux_stream(subtitle) if subtitle else None
        if text is not None:
            text.metadata["language"] = "eng"
        if attachment:
            output.add_attachment("font.ttf", "font/ttf", attachment)
        if cover:
            output.add_attachment("cover.png", "image/png", png())
        if data_stream:
            output.add_data_stream("bin_data")
        if chapters:
            output.set_chapters(list(chapters))
        if text is not None:
            for index in range(2):
                line = f"line {index}".encode()
                if subtitle == "mov_text":
                    line = len(line).to_bytes(2, "big") + line
                packet: Any = av.Packet(line)
                packet.time_base = Fraction(1, 1000)
                packet.pts = packet.dts = 40 + 160 * index
                packet.duration = 100
                packet.is_keyframe = True
                packet.stream = text
                output.mux(packet)
        for index, time in enumerate(pts):
            picture = scene(width, height, index) if pixels is None else pixels
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pix_fmt)
            frame.pts, frame.time_base = time, time_base
            output.mux(video.encode(frame))
        output.mux(video.encode())
        if sound is not None:
            _add_tone(output, sound, sample_rate, seconds_of_sound)
    return file.getvalue()


def _add_tone(output: Any, stream: Any, sample_rate: int, seconds: float) -> None:
    """A tone in stereo."""
    times = np.arange(int(seconds * sample_rate)) / sample_rate
    wave = np.stack([np.sin(times * 2765), np.cos(times * 1382)])
    step = stream.codec_context.frame_size or 1024
    for start in range(0, wave.shape[1] - step + 1, step):
        samples = np.ascontiguousarray(wave[:, start : start + step], np.float32)
        frame: Any = av.AudioFrame.from_ndarray(samples, format="fltp", layout="stereo")
        frame.sample_rate, frame.pts = sample_rate, start
        frame.time_base = Fraction(1, sample_rate)
        output.mux(stream.encode(frame))
    output.mux(stream.encode())


def png() -> bytes:
    """A tiny PNG file."""
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (4, 4), (200, 10, 10)).save(file, "PNG")
    return file.getvalue()


class Read:
    """A video read to its end: format, frames, side stream, notes and problems."""

    def __init__(self, source: str | Path | BinaryIO | Pipe | bytes, **options: Any) -> None:
        opened: Any = io.BytesIO(source) if isinstance(source, bytes) else source
        with open_video(opened, **options) as reader:
            self.format = reader.format
            self.frames: list[VideoFrame] = []
            self.side = b""
            for frame in reader.frames():
                self.frames.append(frame)
                self.side += reader.take_side_bytes()
            self.side += reader.take_side_bytes()
        self.notes, self.problems = reader.notes, reader.problems

    @property
    def pts(self) -> list[int]:
        """The frames' times in the format's time base."""
        return [frame.pts for frame in self.frames]

    @property
    def seconds(self) -> list[Fraction]:
        """The frames' times in seconds."""
        return [frame.pts * self.format.time_base for frame in self.frames]


def write_video(
    format: VideoFormat,
    frames: Sequence[VideoFrame],
    container: str = "mkv",
    *,
    side: bytes | None = None,
    pipe: bool = False,
    notes: list[str] | None = None,
    **options: Any,
) -> bytes:
    """The bytes of a video file made by `create_video`; its notes are added to `notes`."""
    sink: Any = Pipe() if pipe else io.BytesIO()
    with create_video(
        sink,
        format,
        OutputOptions(container=container, **options),
        side=None if side is None else io.BytesIO(side),
    ) as writer:
        for frame in frames:
            writer.write(frame)
    if notes is not None:
        notes += writer.notes
    return bytes(sink.written) if pipe else sink.getvalue()


def packets(data: bytes, kind: str, index: int = 0) -> list[tuple[Fraction, bytes]]:
    """Times in seconds and bytes of the packets of a stream of "audio", "subtitles" or "video"."""
    with av.open(io.BytesIO(data), "r") as container:
        stream = getattr(container.streams, kind)[index]
        return [
            (packet.pts * packet.time_base, bytes(packet))
            for packet in container.demux(stream)
            if packet.size and packet.pts is not None
        ]
