"""Side streams that are damaged: an error of ours, or a sentence,
and what lies before the damage."""

from __future__ import annotations

import io
from pathlib import Path
from random import Random

import av
import pytest

from bsqcodec.errors import BsqError, FormatError
from bsqcodec.format.video_file_reader import SideBytes, VideoFileReader
from bsqcodec.media.ffmpeg_io import GuardedSource
from bsqcodec.media.side.packet_times import TimeGrid
from bsqcodec.media.side.side_tracks import list_tracks, side_damage
from bsqcodec.media.video.video_files import OutputOptions, create_video

from ...injuries import injured
from ..clips import Read, make_clip

CASE = Path(__file__).parents[2] / "cases" / "bad_vid_12_1.bsq"


@pytest.fixture(scope="module")
def bad() -> bytes:
    """The side stream of a file whose Matroska header is damaged,
    under checksums that are right."""
    parts = VideoFileReader(CASE.read_bytes()).chunks()
    return b"".join(part.data for part in parts if isinstance(part, SideBytes))


@pytest.fixture(scope="module")
def clip() -> Read:
    """A clip with sound and subtitles, and its side stream."""
    return Read(make_clip("matroska", "libx264", audio="pcm_s16le", seconds_of_sound=2))


def written(clip: Read, side: bytes, damage: list[str] | None) -> tuple[int, int]:
    """How many packets of picture and sound a file has into which the side stream was copied."""
    sink = io.BytesIO()
    with create_video(
        sink, clip.format, OutputOptions(container="mkv"), io.BytesIO(side), damage
    ) as writer:
        for frame in clip.frames:
            writer.write(frame)
    sink.seek(0)
    with av.open(sink, "r") as file:
        counts = [0, 0]
        for packet in file.demux():
            counts[packet.stream.type == "audio"] += packet.size > 0
    return counts[0], counts[1]


def test_damage_that_ffmpeg_calls_an_input_error(bad: bytes) -> None:
    with pytest.raises(FormatError, match="the side stream: damaged .Input/output error"):
        list_tracks(io.BytesIO(bad))
    file = io.BytesIO(bad)
    assert side_damage(file) == "the side stream: damaged (Input/output error)"
    assert file.tell() == 0


def test_nothing_is_wrong_with_a_sound_one(clip: Read) -> None:
    assert side_damage(io.BytesIO(clip.side)) is None


def test_an_error_of_the_system_stays_one() -> None:
    class Broken(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def seekable(self) -> bool:
            return False

        def read(self, size: int = -1) -> bytes:
            raise OSError(5, "Input/output error", "disk")

    with pytest.raises(OSError, match="disk"):
        list_tracks(Broken())  # type: ignore[arg-type]
    source = GuardedSource(Broken(), "the side stream")
    assert source.read(5) == b""
    with pytest.raises(OSError, match="disk"):
        source.check()


@pytest.mark.parametrize("cut", [0.3, 0.6, 0.9])
def test_a_cut_one_costs_only_what_is_cut_off(clip: Read, cut: float) -> None:
    frames, sound = written(clip, clip.side, None)
    side = clip.side[: int(len(clip.side) * cut)]
    damage: list[str] = []
    found = written(clip, side, damage)
    assert found[0] == frames and 0 < found[1] < sound


def test_one_that_is_no_matroska_at_all(clip: Read) -> None:
    frames = len(clip.frames)
    with pytest.raises(FormatError, match="the side stream: damaged"):
        written(clip, b"nonsense" * 100, None)
    damage: list[str] = []
    assert written(clip, b"nonsense" * 100, damage) == (frames, 0)
    assert len(damage) == 1 and damage[0].startswith("the side stream: damaged (")


@pytest.mark.parametrize("seed", range(6))
def test_injured_ones(clip: Read, seed: int) -> None:
    """Whatever is wrong with it: the picture is written,
    and nothing but an error of ours is raised."""
    rng = Random(seed)
    for _ in range(10):
        side = injured([clip.side], rng, counts=(1, 2, 5))
        if not side:
            continue
        damage: list[str] = []
        assert written(clip, side, damage)[0] == len(clip.frames)
        try:
            written(clip, side, None)
        except BsqError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize(
    "text",
    [
        *("1e999999999 0 1", "1/1e999999999 0 1", "1/1000 1e9 1", "0x10/1 0 1", "1_0/1 0 1"),
        *(f"1/{2**31} 0 1", f"{2**31}/1 0 1", f"1/1000 {10**18} 1", f"1/1000 0 {10**18}"),
        *("1/1000  0 1", "1/1000 0 1 ", "1/1000 0 0", "1/1000 0 -1", "\u0661/1 0 1", "9" * 5000),
    ],
)
def test_grids_that_nobody_writes(text: str) -> None:
    """Numbers with exponents would take for ever to expand, and large ones do not fit FFmpeg."""
    assert TimeGrid.from_tag(text) is None
