"""A part of a video with its sound, subtitles and chapters: everything moved and cut alike."""

from __future__ import annotations

import io
from fractions import Fraction

import av
import pytest

from bsqcodec.media.side.side_tracks import list_tracks

from ..clips import Read, make_clip, packets, write_video

CHAPTERS = [
    {
        "id": number,
        "start": 100 * number,
        "end": 100 * number + 100,
        "time_base": Fraction(1, 1000),
        "metadata": {"title": f"chapter {number}"},
    }
    for number in range(4)
]


@pytest.mark.parametrize("container", ["mkv", "mp4"])
def test_sound_and_subtitles_are_cut_with_the_frames(container: str) -> None:
    source = make_clip(audio="aac", subtitle="subrip", chapters=CHAPTERS)
    read = Read(source)
    part = [frame for frame in read.frames if 3 <= frame.pts * read.format.time_base * 25 < 8]
    made = write_video(read.format, part, container, side=read.side, trim=True)
    shown = Read(made)
    assert [round(float(time), 3) for time in shown.seconds] == [0, 0.04, 0.08, 0.12, 0.16]
    begin, end = 0.12, 0.32
    wanted = {data: float(time) for time, data in packets(source, "audio")}
    sound = packets(made, "audio")
    inside = [time for time in wanted.values() if begin <= time <= end]
    assert abs(len(sound) - len(inside)) <= 1
    for time, data in sound:
        assert float(time) + begin == pytest.approx(wanted[data], abs=0.0015)
    lines = packets(made, "subtitles")
    assert b"line 0" in lines[0][1] and lines[0][0] == 0  # shown from .04 to .14: cut
    assert b"line 1" in lines[-1][1] and float(lines[-1][0]) == pytest.approx(0.08, abs=0.001)
    with av.open(io.BytesIO(made), "r") as opened:
        chapters = opened.chapters()
    found = [(c["metadata"]["title"], seconds(c["start"], c["time_base"])) for c in chapters]
    assert found[0] == ("chapter 1", 0.0)
    assert found[1] == ("chapter 2", pytest.approx(0.08))


def seconds(count: int, unit: Fraction | None) -> float:
    """A time of an opened file, which names its unit."""
    assert unit is not None
    return float(count * unit)


@pytest.mark.parametrize("container", ["mkv", "mp4"])
def test_a_known_length_cuts_what_lasts_longer(container: str) -> None:
    read = Read(make_clip(subtitle="subrip", chapters=CHAPTERS))
    part = [frame for frame in read.frames if 3 <= frame.pts * read.format.time_base * 25 < 6]
    made = write_video(
        read.format, part, container, side=read.side, trim=True, duration=Fraction(3, 25)
    )
    with av.open(io.BytesIO(made), "r") as opened:
        chapters = opened.chapters()
        stream = opened.streams.subtitles[0]
        ends = [
            seconds((packet.pts or 0) + (packet.duration or 0), packet.time_base)
            for packet in opened.demux(stream)
            if packet.size > 2  # an empty one in MP4 only ends the one before it
        ]
    assert ends and max(ends) <= 0.121
    assert chapters and max(seconds(c["end"], c["time_base"]) for c in chapters) <= 0.121


def test_without_trim_times_stay() -> None:
    read = Read(make_clip(audio="aac"))
    made = write_video(read.format, read.frames[3:8], "mkv", side=read.side)
    assert [round(float(time), 3) for time in Read(made).seconds] == [0.12, 0.16, 0.2, 0.24, 0.28]
    assert len(packets(made, "audio")) == len(packets(make_clip(audio="aac"), "audio"))


def test_tracks_of_a_side_stream() -> None:
    read = Read(make_clip(audio="flac", subtitle="subrip", attachment=b"a font", cover=True))
    tracks = list_tracks(io.BytesIO(read.side))
    kinds = {track["kind"]: track for track in tracks}
    assert set(kinds) == {"audio", "subtitle", "attachment", "cover"}
    assert kinds["audio"]["codec"] == "flac" and kinds["audio"]["sample_rate"] == 48000
    assert (kinds["subtitle"]["language"], kinds["subtitle"]["packets"]) == ("eng", 2)
    assert kinds["attachment"]["bytes"] == len(b"a font")
    for track in tracks:
        assert 0 < track["bytes"] < len(read.side)


def test_only_chapters_make_no_tracks() -> None:
    read = Read(make_clip(chapters=CHAPTERS))
    assert list_tracks(io.BytesIO(read.side)) == []
