"""UVG and MCL-JCV by their published names and formats, folders of videos, raw frames."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from benchmarks.colour import Frame, planes
from benchmarks.datasets import (
    Clip,
    DatasetError,
    generated_clip,
    open_mcl_jcv,
    open_mcl_jcv_360p,
    open_uvg,
    open_videos,
    write_y4m,
)
from benchmarks.datasets.clips import read_raw, scaled
from benchmarks.datasets.sequences import MCL_JCV, UVG, Sequence1080, write_stand_in

FRAME_BYTES = 1920 * 1080 * 3 // 2


def make_raw(folder: Path, sequences: tuple[Sequence1080, ...], frames: int = 2) -> None:
    """Files of the right names and geometry; the first byte of a frame is its number."""
    folder.mkdir(parents=True)
    for sequence in sequences:
        with open(folder / sequence.file, "wb") as file:
            for number in range(frames):
                file.seek(number * FRAME_BYTES)
                file.write(bytes([number + 1]))
            file.truncate(frames * FRAME_BYTES)


def test_uvg_is_what_was_published() -> None:
    assert [s.name for s in UVG] == [
        "Beauty",
        "Bosphorus",
        "HoneyBee",
        "Jockey",
        "ReadySteadyGo",
        "ShakeNDry",
        "YachtRide",
    ]
    assert UVG[0].file == "Beauty_1920x1080_120fps_420_8bit_YUV.yuv"
    assert {s.name: s.frames for s in UVG if s.frames != 600} == {"ShakeNDry": 300}
    assert {s.rate for s in UVG} == {120}


def test_mcl_jcv_is_what_was_published() -> None:
    assert len(MCL_JCV) == 30
    assert MCL_JCV[0].file == "videoSRC01_1920x1080_30.yuv"
    assert MCL_JCV[4].file == "videoSRC05_1920x1080_25.yuv"
    assert MCL_JCV[28].file == "videoSRC29_1920x1080_24.yuv"
    frames = [sequence.frames for sequence in MCL_JCV]
    assert {rate: frames.count(5 * rate) for rate in (24, 25, 30)} == {24: 7, 25: 7, 30: 16}


def test_frames_expected_and_found(tmp_path: Path) -> None:
    make_raw(tmp_path / "UVG", UVG)
    with pytest.raises(DatasetError, match=r"Beauty_.*\.yuv: 600 frames expected, 2 found"):
        open_uvg(tmp_path)
    short = open_uvg(tmp_path, allow_short=True)
    assert short.name == "uvg-short"
    clip = short.items[6]
    assert (clip.name, clip.width, clip.height, clip.frames) == ("YachtRide", 1920, 1080, 2)
    assert clip.rate == 120
    frames = list(clip.read())
    assert [frame[0, 0] for frame in frames] == [1, 2]
    assert frames[0].shape == (1620, 1920)


def test_whole_sequences_keep_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sequences = tuple(Sequence1080(s.name, s.file, 2, s.rate) for s in UVG)
    make_raw(tmp_path / "UVG", sequences)
    monkeypatch.setattr("benchmarks.datasets.sequences.UVG", sequences)
    assert open_uvg(tmp_path).name == "uvg"


def test_what_is_missing_is_named_with_its_source(tmp_path: Path) -> None:
    make_raw(tmp_path / "UVG", UVG[1:])
    with pytest.raises(DatasetError, match=r"1 of 7 files of uvg .*Beauty.*ultravideo\.fi"):
        open_uvg(tmp_path)
    with pytest.raises(DatasetError, match=r"30 of 30 .*SRC03_1920x1080_30\.yuv, \.\.\.; .*usc"):
        open_mcl_jcv(tmp_path)
    with pytest.raises(DatasetError, match=r"folder of uvg .*BSQCODEC_DATA; published at https"):
        open_uvg(None)


def test_only_what_is_asked_for_must_be_there(tmp_path: Path) -> None:
    write_stand_in(UVG[0], tmp_path, frames=1)
    found = open_uvg(tmp_path, allow_short=True, only="B*y")
    assert [clip.name for clip in found.items] == ["Beauty"]
    with pytest.raises(DatasetError, match=r"1 of 2 files of uvg are missing: Bosphorus"):
        open_uvg(tmp_path, allow_short=True, only="B*")
    with pytest.raises(DatasetError, match=r"uvg has nothing that matches Z\*"):
        open_uvg(tmp_path, only="Z*")


def test_half_a_frame_is_noticed(tmp_path: Path) -> None:
    make_raw(tmp_path / "UVG", UVG)
    with open(tmp_path / "UVG" / UVG[3].file, "ab") as file:
        file.write(b"x")
    with pytest.raises(DatasetError, match="Jockey.* are not whole frames of 1920x1080"):
        open_uvg(tmp_path, allow_short=True)


def test_mcl_jcv_at_360p_is_scaled(tmp_path: Path) -> None:
    make_raw(tmp_path / "deep" / "MCL-JCV", MCL_JCV, frames=1)
    small = open_mcl_jcv_360p(tmp_path, allow_short=True)
    assert small.name == "mcl-jcv-360p-short"
    assert "bicubic" in small.preparation
    clip = small.items[0]
    assert (clip.width, clip.height) == (640, 360)
    (frame,) = clip.read()
    assert frame.shape == (540, 640)


def test_scaling_keeps_what_is_smooth() -> None:
    def read() -> Iterator[Frame]:
        ramp = np.tile(np.linspace(20, 230, 96), (96, 1))
        yield np.rint(ramp).astype(np.uint8)

    clip = Clip("ramp", 96, 64, 1, Fraction(25), read)
    (frame,) = scaled(clip, 48, 32).read()
    row = planes(frame)[0][16].astype(float)
    expected = np.linspace(20, 230, 96).reshape(48, 2).mean(1)
    assert np.abs(row - expected)[2:-2].max() < 1.5


def test_folder_of_videos_is_lossless_both_ways(tmp_path: Path) -> None:
    clip = generated_clip(64, 48, 5)
    write_y4m(clip, tmp_path / "pan.y4m")
    (tmp_path / "notes.txt").write_text("no video")
    found = open_videos(tmp_path)
    (again,) = found.items
    assert (again.name, again.width, again.height, again.frames) == ("pan", 64, 48, 5)
    assert again.rate == 25
    assert again.sha256() == clip.sha256()
    assert again.first(3).sha256() != clip.sha256()
    assert len(list(again.first(3).read())) == 3


def test_a_file_that_is_no_video_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.mkv").write_text("text")
    with pytest.raises(DatasetError, match=r"bad\.mkv: not a readable video"):
        open_videos(tmp_path)
    (tmp_path / "bad.mkv").unlink()
    with pytest.raises(DatasetError, match="no videos"):
        open_videos(tmp_path)


def test_a_source_that_ends_early_is_noticed(tmp_path: Path) -> None:
    clip = generated_clip(16, 16, 3)
    path = tmp_path / "a.yuv"
    path.write_bytes(b"".join(frame.tobytes() for frame in clip.read()))
    long = Clip("a", 16, 16, 4, clip.rate, lambda: read_raw(path, 16, 16))
    with pytest.raises(DatasetError, match="a: 4 frames expected, 3 found"):
        list(long.read())


def test_generated_clips_move() -> None:
    first, second = generated_clip(32, 32, 2).read()
    assert first.shape == (48, 32)
    assert (first[:32, 2:] == second[:32, :-2]).mean() > 0.9
    assert (first[:32] != second[:32]).mean() > 0.5
