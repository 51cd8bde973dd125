"""Sound that WebM does not hold is converted to Opus, and keeps its time."""

import io
from fractions import Fraction

import av
import numpy as np
import pytest

from bsqcodec.media.video.video_files import OutputOptions, create_video, open_video

from ..clips import make_clip

RATE = 48000


def through_webm(
    clip: bytes, *, begin: int = 0, trim: bool = False, pipe: bool = False
) -> tuple[bytes, list[str]]:
    """The clip as WebM, and the writer's notes. begin: the first frame that is written."""
    with open_video(io.BytesIO(clip)) as reader:
        frames = list(reader.frames())
        side = io.BytesIO(reader.take_side_bytes())
        output = io.BytesIO()
        options = OutputOptions(container="webm", trim=trim)
        with create_video(output, reader.format, options, side) as writer:
            for frame in frames[begin:]:
                writer.write(frame)
    return output.getvalue(), writer.notes


def sound_of(data: bytes) -> tuple[str, Fraction, np.ndarray]:
    """The codec, when the sound begins, and its samples [channels, N]."""
    with av.open(io.BytesIO(data), "r") as container:
        stream = container.streams.audio[0]
        name = stream.codec_context.name
        frames = list(container.decode(stream))
        start = Fraction((frames[0].pts or 0) * (frames[0].time_base or 0))
        return name, start, np.concatenate([frame.to_ndarray() for frame in frames], axis=1)


@pytest.mark.parametrize("codec", ["aac", "flac", "pcm_s16le", "mp3"])
def test_sound_becomes_opus(codec: str) -> None:
    if codec not in av.codecs_available:
        codec = "ac3"
    clip = make_clip(audio=codec, sample_rate=44100)
    data, notes = through_webm(clip)
    assert [note for note in notes if "was converted to Opus for webm" in note]
    name, start, samples = sound_of(data)
    assert name in ("opus", "libopus") and samples.shape[0] == 2
    assert abs(start) < Fraction(1, 20)
    assert abs(samples.shape[1] / RATE - 0.43) < 0.08
    middle = samples[0, RATE // 10 : RATE // 5]
    assert 0.5 < np.abs(middle).max() < 1.2
    spectrum = np.abs(np.fft.rfft(middle))
    peak = np.argmax(spectrum) * RATE / len(middle)
    assert abs(peak - 2765 / (2 * np.pi)) < 20


def test_sound_that_webm_holds_is_copied() -> None:
    data, notes = through_webm(make_clip(audio="libopus"))
    assert not [note for note in notes if "Opus" in note]
    assert sound_of(data)[0] in ("opus", "libopus")


def test_a_part_has_its_sound_cut() -> None:
    clip = make_clip(audio="aac")
    whole = sound_of(through_webm(clip)[0])[2].shape[1]
    data, _ = through_webm(clip, begin=5, trim=True)
    _, start, samples = sound_of(data)
    assert abs(start) < Fraction(1, 20)
    assert 0.15 < (whole - samples.shape[1]) / RATE < 0.3
