"""A part of a video: its frames, sound, subtitles and chapters, and nothing before or after."""

import io
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from bsqcodec.errors import DamagedVideoError, MediaError
from bsqcodec.media.video.part import Part
from bsqcodec.media.video.video_files import RawVideo, open_video

from ..clips import Pipe, Read, make_clip, packets

B_FRAMES = {"bf": "3", "g": "10", "x264-params": "b-adapt=0:b-pyramid=1:keyint=10", "crf": "4"}
CHAPTERS = [
    {"id": n, "start": 1000 * n, "end": 1000 * n + 1000, "time_base": Fraction(1, 1000),
     "metadata": {"title": f"chapter {n}"}}
    for n in range(4)
]  # fmt: skip
PARTS = [
    Part(Fraction(2)),
    Part(Fraction(2), Fraction(1)),
    Part(Fraction(0), Fraction(1)),
    Part(Fraction("3.3"), Fraction(".5")),
    Part(Fraction(1, 2), Fraction(100)),
    Part(Fraction("0.04"), Fraction("0.04")),
    Part(Fraction("3.96")),
]


def wanted(part: Part, count: int) -> tuple[int, int]:
    """Numbers of the first frame of a part, and of the one behind it, at 25 frames a second."""
    first = ceil(part.start * 25)
    if part.duration is None:
        return first, count
    return first, min(ceil((part.start + part.duration) * 25), count)


@pytest.mark.parametrize(
    ("container", "codec", "options", "sound"),
    [
        ("matroska", "libx264", B_FRAMES, "aac"),
        ("mp4", "libx264", B_FRAMES, "aac"),
        ("mpegts", "libx264", B_FRAMES, "aac"),
        ("mpegts", "mpeg2video", {"bf": "2", "g": "12"}, "mp2"),
        ("avi", "mpeg4", {"bf": "2", "g": "10"}, "mp2"),
        ("avi", "mjpeg", {}, "mp2"),
        ("matroska", "ffv1", {}, "aac"),
        ("yuv4mpegpipe", "rawvideo", {}, None),
        ("flv", "libx264", B_FRAMES, "aac"),
    ],
)
@pytest.mark.parametrize("piped", [False, True])
def test_frames_and_sound(
    container: str, codec: str, options: dict[str, str], sound: str | None, piped: bool
) -> None:
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    clip = make_clip(
        container, codec, options=options, pts=range(100), pix_fmt=pix_fmt, audio=sound,
        seconds_of_sound=4,
    )  # fmt: skip
    whole = Read(clip)
    for part in PARTS:
        first, last = wanted(part, 100)
        read = Read(Pipe(clip) if piped else clip, part=part)
        assert len(read.frames) == last - first
        for index, frame in enumerate(read.frames):
            assert np.array_equal(frame.pixels, whole.frames[first + index].pixels)
            assert abs(frame.pts * read.format.time_base - Fraction(index, 25)) <= Fraction(1, 1000)
        assert read.problems == []
        if sound is None:
            continue
        begin = whole.seconds[first]
        end = begin + 1000
        if part.duration is not None:
            end = begin + part.duration
        heard = [time for time, _ in packets(whole.side, "audio") if begin <= time < end]
        cut = [time for time, _ in packets(read.side, "audio")] if read.side else []
        assert abs(len(cut) - len(heard)) <= 1
        assert all(-0.002 < float(time) < float(end - begin) for time in cut)


def test_how_long_a_part_is() -> None:
    """It is as long as it should be, from its first frame on, if the frames last so long."""
    times = [0, 1000, 3000, 10_000]
    clip = make_clip("matroska", "libx264", pts=times, time_base=Fraction(1, 1000))
    for part, pts, end in (
        (Part(Fraction(0), Fraction(5)), [0, 1000, 3000], 5000),
        (Part(Fraction("0.5"), Fraction(4)), [0, 2000], 4000),
        (Part(Fraction(3)), [0, 7000], 7040),
    ):
        read = Read(clip, part=part)
        assert read.pts == pts
        assert read.frames[-1].pts + read.frames[-1].duration == end


def seconds(count: int | None, packet: Any) -> Fraction:
    """A time of a packet, which has one, in seconds."""
    assert count is not None and packet.time_base is not None
    return count * packet.time_base


@pytest.mark.parametrize("container", ["matroska", "mp4"])
def test_subtitles_and_chapters(container: str) -> None:
    """Line 0 is shown from .04 to .14 s, line 1 from .2 to .3 s."""
    subtitle = "subrip" if container == "matroska" else "mov_text"
    clip = make_clip(
        container, "libx264", options=B_FRAMES, pts=range(100), audio="aac", subtitle=subtitle,
        seconds_of_sound=4, chapters=CHAPTERS,
    )  # fmt: skip
    read = Read(clip, part=Part(Fraction("0.08"), Fraction("0.16")))
    with av.open(io.BytesIO(read.side), "r") as side:
        lines = [
            (seconds(packet.pts, packet), seconds(packet.duration, packet), bytes(packet))
            for packet in side.demux(side.streams.subtitles[0])
            if packet.size
        ]
        chapters: list[Any] = side.chapters()
    assert [line for _, _, line in lines] == [b"line 0", b"line 1"]
    assert [float(start) for start, _, _ in lines] == pytest.approx([0, 0.12])
    assert [float(length) for _, length, _ in lines] == pytest.approx([0.06, 0.04])
    assert [chapter["metadata"]["title"] for chapter in chapters] == ["chapter 0"]
    read = Read(clip, part=Part(Fraction("1.52"), Fraction(1)))
    with av.open(io.BytesIO(read.side), "r") as side:
        chapters = list(side.chapters())
        found = [(c["metadata"]["title"], c["start"] * c["time_base"]) for c in chapters]
        assert max(c["end"] * c["time_base"] for c in chapters) == 1
    assert found == [("chapter 1", 0), ("chapter 2", Fraction("0.48"))]


def test_what_is_before_a_part_is_read_but_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    clip = make_clip("matroska", "libx264", options=B_FRAMES, pts=range(1000))
    counts = []
    for part in (None, Part(Fraction(38), Fraction("0.4"))):
        with open_video(io.BytesIO(clip), part=part) as reader:
            frames = list(reader.frames())
            counts.append(reader._decoder.frame_count)  # type: ignore[attr-defined]
    assert counts[0] == 1000
    assert len(frames) == 10 and counts[1] < 60


def test_damage_outside_of_a_part_does_not_count() -> None:
    options = {"g": "5", "crf": "2", "bf": "0"}
    clip = bytearray(make_clip("mp4", "libx264", pts=range(100), options=options))
    at = len(clip) // 4
    clip[at : at + 3000] = np.random.default_rng(0).bytes(3000)
    with pytest.raises(DamagedVideoError):
        Read(bytes(clip))
    assert len(Read(bytes(clip), part=Part(Fraction(3), Fraction("0.4"))).frames) == 10
    assert len(Read(bytes(clip), part=Part(Fraction(0), Fraction("0.2"))).frames) == 5


def test_a_cut_file_without_its_end() -> None:
    clip = make_clip("matroska", "libx264", pts=range(100), options={"g": "5", "bf": "0"})
    cut = clip[: len(clip) * 6 // 10]
    with pytest.raises(DamagedVideoError):
        Read(cut)
    assert len(Read(cut, part=Part(Fraction(0), Fraction(1))).frames) == 25
    with pytest.raises(DamagedVideoError):
        Read(cut, part=Part(Fraction(1)))


def test_parts_of_joined_captures() -> None:
    clip = (Path(__file__).parents[2] / "cases" / "a.ts").read_bytes() * 2
    whole, read = Read(clip), Read(clip, part=Part(Fraction("1.6"), Fraction("0.8")))
    assert len(read.frames) == 20
    for index, frame in enumerate(read.frames):
        assert np.array_equal(frame.pixels, whole.frames[40 + index].pixels)
    sounds = [float(time) for time, _ in packets(read.side, "audio")]
    assert len(sounds) in (32, 33, 34) and max(np.diff(sounds)) < 0.05


@pytest.mark.parametrize("part", [Part(Fraction(50)), Part(Fraction(1), Fraction(0))])
def test_a_part_without_frames(part: Part, tmp_path: Path) -> None:
    for clip in (make_clip(pts=range(50)), make_clip("yuv4mpegpipe", "rawvideo", pts=range(50))):
        with pytest.raises(MediaError, match="no frames in the part that is wanted"):
            Read(clip, part=part)
    for index in range(3):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{index}.png")
    with pytest.raises(MediaError, match="no frames in the part that is wanted"):
        Read(tmp_path, part=part)


def test_numbered_pictures_animations_and_bare_samples(tmp_path: Path) -> None:
    pictures = [Image.new("RGB", (8, 8), (20 * index, 0, 0)) for index in range(10)]
    for index, picture in enumerate(pictures):
        picture.save(tmp_path / f"{index}.png")
    part = Part(Fraction("0.5"), Fraction("0.3"))
    read = Read(tmp_path, part=part, frame_rate=Fraction(10))
    assert [int(frame.pixels[0, 0, 0]) for frame in read.frames] == [100, 120, 140]
    assert read.pts == [0, 1, 2]
    webp = tmp_path / "a.webp"
    pictures[0].save(webp, save_all=True, append_images=pictures[1:], duration=100, lossless=True)
    read = Read(webp, part=Part(Fraction("0.45"), Fraction("0.4")))
    assert [int(frame.pixels[0, 0, 0]) for frame in read.frames] == [100, 120, 140, 160]
    assert read.frames[-1].pts + read.frames[-1].duration == 400
    samples = b"".join(bytes([value]) * 96 for value in range(50, 60))
    read = Read(samples, raw=RawVideo(8, 8), part=Part(Fraction("0.2"), Fraction("0.08")))
    assert len(read.frames) == 2


def test_a_time_code_is_not_that_of_a_later_beginning() -> None:
    clip = make_clip("mov", "libx264", metadata={"timecode": "01:02:03:04"}, pts=range(50))
    assert "timecode" in Read(clip, part=Part(Fraction(0), Fraction(1))).format.metadata
    read = Read(clip, part=Part(Fraction(1)))
    assert "timecode" not in read.format.metadata
    assert "the time code is of the whole video and was dropped" in read.notes


def test_what_is_no_part() -> None:
    assert Part.of(None, None) is None and Part.of(0, None) is None
    assert Part.of(0.1, None) == Part(Fraction(1, 10))
    assert Part.of(None, 2.5) == Part(Fraction(0), Fraction(5, 2))
    for start, duration in ((-1.0, None), (None, -1.0), (float("nan"), None), (None, float("inf"))):
        with pytest.raises(ValueError, match="is not a time"):
            Part.of(start, duration)
