"""Sound copied, converted to Opus at a rate, or left out, when a video is read."""

from __future__ import annotations

import io
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest

from bsqcodec.media.side.audio_choice import COPY, AudioChoice
from bsqcodec.media.video.video_files import open_video

from ..clips import make_clip


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ("copy", COPY),
        ("none", AudioChoice("none")),
        ("opus", AudioChoice("opus")),
        ("opus:64k", AudioChoice("opus", 64_000)),
        ("opus:24000", AudioChoice("opus", 24_000)),
    ],
)
def test_what_can_be_chosen(text: str, choice: AudioChoice) -> None:
    assert AudioChoice.parse(text) == choice


@pytest.mark.parametrize(
    "text", ["", "mp3", "copy:64k", "opus:", "opus:5k", "opus:1M", "opus:loud"]
)
def test_what_cannot(text: str) -> None:
    with pytest.raises(ValueError):
        AudioChoice.parse(text)


def side_of(clip: bytes, choice: AudioChoice) -> bytes:
    with open_video(io.BytesIO(clip), audio=choice) as reader:
        for _ in reader.frames():
            pass
        return reader.take_side_bytes()


def sound(data: bytes) -> tuple[str, int, np.ndarray]:
    """(codec, bytes, samples of the first channel at 48 kHz from time 0 on) of a file."""
    with av.open(io.BytesIO(data), "r") as container:
        size = sum(int(packet.size) for packet in container.demux(audio=0))
    samples = np.zeros(2 * 48000)
    with av.open(io.BytesIO(data), "r") as container:
        name = container.streams.audio[0].codec_context.name
        for frame in container.decode(audio=0):
            assert frame.pts is not None and frame.time_base is not None
            at = round(frame.pts * Fraction(frame.time_base) * 48000)
            part = frame.to_ndarray()[0].astype(float)
            part = part[:: len(frame.layout.channels)] if frame.format.is_packed else part
            part = part[max(0, -at) :]
            samples[max(0, at) : max(0, at) + len(part)] += part
    return name, size, samples


def clip_of_noise() -> bytes:
    """A second of video with noise that begins at .4 s, which tells when it is heard."""
    file = io.BytesIO()
    noise = np.random.default_rng(0).normal(0, 4000, 48000).astype(np.int16)
    noise[:19200] = 0
    with av.open(file, "w", format="matroska") as output:
        picture: Any = output.add_stream("ffv1", rate=25)
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        track: Any = output.add_stream("pcm_s16le", rate=48000)
        track.layout = "mono"
        for number in range(25):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), number, np.uint8))
            frame.pts, frame.time_base = number, Fraction(1, 25)
            output.mux(picture.encode(frame))
        for at in range(0, 48000, 960):
            part = av.AudioFrame.from_ndarray(noise[None, at : at + 960], "s16", "mono")
            part.sample_rate, part.pts, part.time_base = 48000, at, Fraction(1, 48000)
            output.mux(track.encode(part))
        output.mux([*picture.encode(None), *track.encode(None)])
    return file.getvalue()


def test_opus_is_small_and_in_time() -> None:
    clip = clip_of_noise()
    _, _, before = sound(clip)
    sizes = {}
    for text in ("copy", "opus:128k", "opus:24k"):
        name, sizes[text], after = sound(side_of(clip, AudioChoice.parse(text)))
        assert name == ("pcm_s16le" if text == "copy" else "opus")
        if text != "opus:24k":
            assert np.abs(after[:18000]).max() < 0.1 * np.abs(after).max()
            spectrum = np.fft.rfft(after, 2**18) * np.conj(np.fft.rfft(before, 2**18))
            lag = int(np.argmax(np.fft.irfft(spectrum)))
            assert min(lag, 2**18 - lag) <= 48  # a millisecond, which Matroska rounds to
    assert sizes["opus:24k"] < sizes["opus:128k"] < sizes["copy"] / 2


def test_opus_stays_as_it_is_where_no_rate_is_asked_for() -> None:
    clip = make_clip("matroska", "ffv1", audio="libopus", sample_rate=48000)
    size = sound(clip)[1]
    assert sound(side_of(clip, AudioChoice("opus")))[1] == size
    assert sound(side_of(clip, AudioChoice("opus", 8_000)))[1] < size


def test_none_leaves_no_sound() -> None:
    clip = make_clip("mp4", "libx264", audio="aac")
    assert side_of(clip, AudioChoice("none")) == b""
