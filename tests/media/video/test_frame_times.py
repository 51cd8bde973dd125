"""Frames are shown at even times, whatever order their container stores the times in."""

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from ..clips import Pipe, Read, make_clip, scene

CASES = Path(__file__).parents[2] / "cases"
PYRAMID = {"bf": "3", "g": "24", "x264-params": "b-adapt=0:b-pyramid=1"}
MANY = {"bf": "16", "g": "60", "x264-params": "b-adapt=0:b-pyramid=2:bframes=16", "crf": "4"}


def remux(clip: bytes, container: str, times: str) -> bytes:
    """The clip with the picture's times of showing lost:
    dts for all ("decoding"), or 0 ("none")."""
    file = io.BytesIO()
    with av.open(io.BytesIO(clip), "r") as source, av.open(file, "w", format=container) as output:
        stream = source.streams.video[0]
        track = output.add_stream_from_template(stream)
        index = 0
        for packet in source.demux(stream):
            if packet.size:
                packet.pts = packet.dts = index if times == "decoding" else 0
                packet.time_base = Fraction(1, 25)
                packet.duration = 1
                packet.stream = track
                output.mux(packet)
                index += 1
    return file.getvalue()


@pytest.mark.parametrize("name", ["noctts.mp4", "decorder.mkv"])
def test_times_in_decode_order(name: str) -> None:
    read = Read(CASES / name)
    assert read.seconds == [Fraction(index, 25) for index in range(20)]
    assert not any("timestamps" in note for note in read.notes)


@pytest.mark.parametrize("container", ["mp4", "matroska", "mov", "nut", "flv"])
@pytest.mark.parametrize("options", [PYRAMID, MANY])
def test_times_of_decoding_in_any_container(container: str, options: dict[str, str]) -> None:
    clip = make_clip("matroska", "libx264", options=options, pts=range(60))
    read = Read(remux(clip, container, "decoding"))
    wanted = Read(clip)
    assert len(read.frames) == 60
    assert np.allclose(np.diff([float(second) for second in read.seconds]), 0.04, atol=0.0011)
    for ours, theirs in zip(read.frames, wanted.frames, strict=True):
        assert np.array_equal(ours.pixels, theirs.pixels)
    assert not any("timestamps" in note for note in read.notes)


@pytest.mark.parametrize(
    ("container", "codec", "options"),
    [
        ("avi", "libx264", PYRAMID),
        ("avi", "libx264", MANY),
        ("avi", "mpeg4", {"bf": "2", "g": "12"}),
        ("asf", "libx264", PYRAMID),
        ("asf", "mpeg4", {"bf": "2", "g": "12"}),
        ("asf", "wmv2", {"b": "4000000"}),
        ("avi", "mjpeg", {}),
    ],
)
@pytest.mark.parametrize("piped", [False, True])
def test_containers_that_store_times_of_decoding_only(
    container: str, codec: str, options: dict[str, str], piped: bool
) -> None:
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    clip = make_clip(container, codec, options=options, pts=range(40), pix_fmt=pix_fmt)
    read = Read(Pipe(clip) if piped else clip)
    assert len(read.frames) == 40
    assert np.allclose(np.diff([float(second) for second in read.seconds]), 0.04)
    assert not any("timestamps" in note for note in read.notes)
    for index, frame in enumerate(read.frames):
        assert np.abs(frame.pixels.astype(int) - scene(64, 48, index)).mean() < 12


@pytest.mark.parametrize("options", [PYRAMID, MANY, {"bf": "0"}])
def test_times_of_showing_stay_exactly(options: dict[str, str]) -> None:
    times = [
        0,
        7,
        11,
        12,
        40,
        41,
        90,
        95,
        99,
        130,
        131,
        140,
        150,
        170,
        171,
        172,
        300,
        310,
        320,
        400,
    ]
    muxer = {"video_track_timescale": "100"}
    clip = make_clip(
        "mp4", "libx264", options=options, pts=times, time_base=Fraction(1, 100), muxer=muxer
    )
    assert [second * 100 for second in Read(clip).seconds] == times


def test_times_that_are_all_the_same_become_even() -> None:
    clip = make_clip("matroska", "mjpeg", pix_fmt="yuvj420p", pts=range(10))
    read = Read(remux(clip, "matroska", "none"))
    assert np.allclose(np.diff([float(second) for second in read.seconds]), 0.04)
    assert "9 timestamps were missing, repeated or went back: set anew" in read.notes


def test_a_frame_without_its_packet_shifts_no_times() -> None:
    """Frames that open a stream but cannot be decoded leave the times of the others alone."""
    options = {"bf": "2", "g": "12", "x264-params": "open-gop=1:b-adapt=0:keyint=12:min-keyint=12"}
    clip = make_clip("mpegts", "libx264", options={**options, "crf": "4"}, pts=range(60))
    with av.open(io.BytesIO(clip), "r") as container:
        keys = [packet.pos or 0 for packet in container.demux(video=0) if packet.is_keyframe]
    cut = clip[keys[2] // 188 * 188 :]
    whole, late = Read(clip), Read(clip[:376] + cut)
    assert late.seconds[5:] == whole.seconds[-len(late.seconds[5:]) :]
    assert np.allclose(np.diff([float(second) for second in late.seconds[3:]]), 0.04)


def test_frames_are_all_there_where_sound_comes_first() -> None:
    """PyAV's empty packet at the end names stream 0, whichever stream's decoder it is to empty."""
    clip = make_clip("matroska", "libx264", options=PYRAMID, pts=range(30), audio="pcm_s16le")
    file = io.BytesIO()
    with av.open(io.BytesIO(clip), "r") as source, av.open(file, "w", format="matroska") as output:
        order = (source.streams.audio[0], source.streams.video[0])
        tracks: dict[int, Any] = {s.index: output.add_stream_from_template(s) for s in order}
        for packet in source.demux():
            if packet.size:
                packet.stream = tracks[packet.stream_index]
                output.mux(packet)
    read = Read(file.getvalue())
    assert len(read.frames) == 30
    assert np.allclose(np.diff([float(second) for second in read.seconds]), 0.04)


def test_jpeg_frames_with_exif() -> None:
    """PyAV 18.1 lists no side data of such frames; their orientation counts all the same."""
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    picture = io.BytesIO()
    Image.fromarray(scene(64, 48)).save(picture, "JPEG", exif=exif, quality=95, subsampling=0)
    file = io.BytesIO()
    with av.open(file, "w", format="avi") as output:
        stream: Any = output.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj444p"
        output.start_encoding()
        for index in range(3):
            packet: av.Packet[Any] = av.Packet(picture.getvalue())
            packet.pts = packet.dts = index
            packet.time_base, packet.is_keyframe, packet.stream = Fraction(1, 25), True, stream
            output.mux(packet)
    read = Read(file.getvalue())
    assert (read.format.width, read.format.height) == (48, 64)
    shown = np.rot90(scene(64, 48), -1)
    assert np.abs(read.frames[2].pixels.astype(int) - shown).mean() < 3
