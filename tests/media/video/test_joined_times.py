"""Captures that were joined: times go on where the clock starts over, for picture and sound."""

import io
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from bsqcodec.media.video.joined_times import JoinedTimes

from ..clips import Pipe, Read, make_clip, packets

CASES = Path(__file__).parents[2] / "cases"
B_FRAMES = {"bf": "3", "g": "12", "x264-params": "b-adapt=0:b-pyramid=1"}
MPEG2 = {"bf": "2", "g": "12"}


def steps_of(read: Read) -> list[float]:
    """Seconds between frames, one after the other."""
    return [float(step) for step in np.diff([float(second) for second in read.seconds])]


@pytest.mark.parametrize("copies", [2, 4])
@pytest.mark.parametrize("piped", [False, True])
def test_copies_of_a_transport_stream(copies: int, piped: bool) -> None:
    data = (CASES / "a.ts").read_bytes() * copies
    read = Read(Pipe(data) if piped else data)
    assert len(read.frames) == 50 * copies
    assert float(read.seconds[-1] - read.seconds[0]) == pytest.approx(2.0 * copies, abs=0.1)
    assert min(steps_of(read)) > 0.0399 and max(steps_of(read)) < 0.1
    sounds = [float(time) for time, _ in packets(read.side, "audio")]
    assert len(sounds) == 84 * copies
    assert min(np.diff(sounds)) > 0.02 and max(np.diff(sounds)) < 0.1
    assert read.problems == []
    (note,) = (note for note in read.notes if "clock" in note)
    times = "" if copies == 2 else f" and {copies - 2} times more"
    assert note == f"the clock starts over after 2.02 s{times}: times are carried on"


@pytest.mark.parametrize(
    ("container", "codec", "options", "sound"),
    [
        ("mpegts", "libx264", B_FRAMES, "aac"),
        ("vob", "mpeg2video", MPEG2, "mp2"),
        ("mpeg", "mpeg2video", MPEG2, "mp2"),
        ("matroska", "libx264", B_FRAMES, "aac"),
    ],
)
@pytest.mark.parametrize("frames", [12, 40])
def test_b_frames_and_sound_stay_in_step(
    container: str, codec: str, options: dict[str, str], sound: str, frames: int
) -> None:
    """Also of parts that are shorter than what is held back at a joint."""
    clip = make_clip(
        container,
        codec,
        options=options,
        pts=range(frames),
        audio=sound,
        seconds_of_sound=frames / 25,
    )
    copies = 2 if container == "matroska" else 3  # FFmpeg reads no more than two of Matroska
    alone, joined = Read(clip), Read(clip * copies)
    assert len(joined.frames) == copies * frames
    for index, frame in enumerate(joined.frames):
        assert np.array_equal(frame.pixels, alone.frames[index % frames].pixels)
    assert min(steps_of(joined)) >= 0.039 and max(steps_of(joined)) < 0.15
    one, three = packets(alone.side, "audio"), packets(joined.side, "audio")
    assert [data for _, data in three] == [data for _, data in one] * copies
    starts = joined.seconds[::frames]
    for index, (time, _) in enumerate(three):
        part, position = divmod(index, len(one))
        in_step = one[position][0] + starts[part] - starts[0]
        assert abs(float(time - in_step)) < 0.002


def test_a_second_capture_with_other_times() -> None:
    """The second one begins where the first one was in the middle, or long after it."""
    options = {"g": "10", "bf": "0"}
    first = make_clip("mpegts", "libx264", options=options, pts=range(100))
    for begin in (30, 5000):
        later = range(begin, begin + 100)
        second = make_clip("mpegts", "libx264", options=options, pts=later)
        read = Read(first + second)
        assert len(read.frames) == 200
        assert max(steps_of(read)) < 0.09 and min(steps_of(read)) > 0.03
        assert any("clock starts over" in note for note in read.notes)


def test_a_gap_in_the_picture_alone_stays() -> None:
    """Sound goes on while a picture is shown for 15 seconds."""
    clip = make_clip(
        "mpegts",
        "libx264",
        options={"bf": "0"},
        pts=[*range(25), *range(400, 425)],
        audio="aac",
        seconds_of_sound=17,
    )
    read = Read(clip)
    assert len(read.frames) == 50
    assert max(steps_of(read)) == pytest.approx(15.04)
    assert not any("clock" in note for note in read.notes)
    assert len(packets(read.side, "audio")) > 780


@pytest.mark.parametrize("container", ["matroska", "mp4"])
def test_long_still_pictures_are_no_joints(container: str) -> None:
    times = [0, 30_000, 90_000]
    clip = make_clip(container, "libx264", pts=times, time_base=Fraction(1, 1000))
    assert [float(second) for second in Read(clip).seconds] == [0, 30, 90]


def test_a_clock_of_33_bits_that_wraps() -> None:
    """Half a second before the end of the clock of MPEG streams, and on from 0."""
    start = 2**33 - 45_000
    clip = make_clip(
        "mpegts",
        "libx264",
        options={**B_FRAMES},
        pts=range(start, start + 50 * 3600, 3600),
        time_base=Fraction(1, 90_000),
        muxer={"mpegts_copyts": "1"},
    )
    with av.open(io.BytesIO(clip), "r") as container:
        raw = [packet.pts for packet in container.demux(video=0) if packet.pts is not None]
    assert max(raw) - min(raw) == 49 * 3600  # FFmpeg knows of a first turn
    for data, count in ((clip, 50), (clip * 2, 100)):
        read = Read(data)
        assert len(read.frames) == count
        assert min(steps_of(read)) >= 0.039 and max(steps_of(read)) < 0.15
        assert 0 < read.seconds[0] < 3


def test_a_track_that_begins_just_before_the_clock_does() -> None:
    """FFmpeg writes times before 0 as such near the end of the clock, and reads them so."""
    clip = make_clip(
        "mpegts", "libx264", options={"bf": "0"}, pts=range(425), audio="aac", seconds_of_sound=17
    )
    with av.open(io.BytesIO(clip), "r") as container:
        first = next(packet.pts for packet in container.demux() if packet.stream.type == "audio")
    read = Read(clip)
    sounds = [float(time) for time, _ in packets(read.side, "audio")]
    assert first is not None and first > 2**32
    assert sounds[0] == pytest.approx(-0.021, abs=0.001)
    assert max(np.diff(sounds)) < 0.03 and len(sounds) > 790
    assert read.seconds == [Fraction(index, 25) for index in range(425)]
    assert not any("clock" in note for note in read.notes)


def test_times_that_begin_late_are_counted_from_the_beginning() -> None:
    """A capture of a broadcast begins when the sender's clock shows anything."""
    clip = make_clip(
        "mpegts",
        "libx264",
        options={"bf": "0"},
        pts=range(1_250_000, 1_250_050),
        audio=None,
        muxer={"mpegts_copyts": "1"},
    )
    read = Read(clip)
    assert [float(second) for second in read.seconds] == pytest.approx(
        [1 + index / 25 for index in range(50)]
    )


class FakePacket:
    """What JoinedTimes wants of a packet."""

    def __init__(self, index: int, pts: int | None, dts: int | None, **facts: Any) -> None:
        self.stream_index, self.pts, self.dts = index, pts, dts
        self.duration = facts.get("duration", 40)
        self.is_keyframe = facts.get("is_keyframe", True)
        self.size = facts.get("size", 100)
        self.time_base = Fraction(1, 1000)


class FakeStream:
    def __init__(self, index: int) -> None:
        self.index, self.time_base = index, Fraction(1, 1000)


def run(packets_in: list[FakePacket], *, is_mpeg: bool = False) -> list[FakePacket]:
    joined = JoinedTimes([FakeStream(0), FakeStream(1)], 0, [1], is_mpeg=is_mpeg)

    def moved() -> Iterator[Any]:
        for packet in packets_in:
            yield from joined.feed(packet)  # type: ignore[arg-type]
        yield from joined.release()

    return list(moved())


def test_nothing_is_lost_and_the_order_stays() -> None:
    def part() -> list[FakePacket]:
        return [FakePacket(index % 2, 40 * index, 40 * index) for index in range(2000)]

    data = part()
    assert run(data) == data
    data = [*part(), *part(), *part()]
    joined = run(data)
    assert set(joined) == set(data) and len(joined) == 6000
    for index in (0, 1):
        times = [packet.dts or 0 for packet in joined if packet.stream_index == index]
        assert times == sorted(times) and len(set(times)) == len(times)


def test_subtitles_go_with_the_part_they_are_in() -> None:
    def part() -> list[FakePacket]:
        frames = [FakePacket(0, 40 * index, 40 * index) for index in range(100)]
        frames.insert(50, FakePacket(7, 2000, 2000))
        return frames

    lines = [packet.pts for packet in run([*part(), *part(), *part()]) if packet.stream_index == 7]
    assert lines == [2000, 6000, 10_000]


def test_late_sound_of_the_part_before_stays_there() -> None:
    """In a file the last sound of a part may stand behind the first frames of the next."""
    pictures = [FakePacket(0, 40 * index, 40 * index) for index in range(50)]
    sounds = [FakePacket(1, 40 * index, 40 * index) for index in range(50)]
    again = [FakePacket(index, 40 * i, 40 * i) for i in range(50) for index in (0, 1)]
    joined = run([*pictures, *sounds[:45], *again[:8:2], *sounds[45:], *again[1:8:2], *again[8:]])
    times = [packet.dts for packet in joined if packet.stream_index == 1]
    assert times == list(range(0, 4000, 40))


def test_a_part_without_sound_is_not_waited_for_for_ever() -> None:
    pictures = [FakePacket(index, 40 * i, 40 * i) for i in range(50) for index in (0, 1)]
    silent = [FakePacket(0, 40 * i, 40 * i, size=2**20) for i in range(50)]
    joined = run([*pictures, *silent])
    assert [p.dts for p in joined if p.stream_index == 0] == list(range(0, 4000, 40))


def test_a_clock_of_sound_that_stumbles_is_no_new_beginning() -> None:
    """The times of sound go back by half a second while those of the picture go on."""
    data = []
    for index in range(1000):
        late = 500 if index >= 400 else 0
        data += [FakePacket(0, 40 * index, 40 * index)]
        data += [FakePacket(1, 40 * index - late, 40 * index - late)]
    joined = run(data)
    assert sorted(map(id, joined)) == sorted(map(id, data))
    assert [p.dts for p in joined if p.stream_index == 0] == list(range(0, 40_000, 40))
    sounds = [p.dts for p in joined if p.stream_index == 1]
    assert sounds[:400] == list(range(0, 16_000, 40)) and sounds[400] == 15_500


def test_times_that_are_not_there() -> None:
    data = [FakePacket(0, None, None) for _ in range(30)]
    assert run(data) == data
    without_dts = [FakePacket(0, t, None, is_keyframe=t == 0) for t in (0, 2000, 1000, 4000, 3000)]
    assert [p.pts for p in run(without_dts)] == [0, 2000, 1000, 4000, 3000]
