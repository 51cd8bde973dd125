"""Frames that a worker reads from a file which it sees, too."""

from __future__ import annotations

import io
import os
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bsqcodec.media.video.video_files import VideoFrame
from bsqcodec.options import EncodeOptions
from bsqcodec.video import shared_file
from bsqcodec.video.encode_file import VideoInput
from bsqcodec.video.shared_file import FileFrames, FrameSum, SharedFile, UnreadableError

from ..media.clips import make_clip

COUNT = 12


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A clip with sound, and with a key frame now and then."""
    found = tmp_path / "clip.mp4"
    pts = [2 * number + number // 5 for number in range(COUNT)]
    clip = make_clip("mp4", "libx264", width=48, height=32, pts=pts, audio="aac")
    found.write_bytes(clip)
    return found


def frames_of(video: VideoInput) -> list[VideoFrame]:
    with video.open() as reader:
        return list(reader.frames())


def shared(video: VideoInput) -> SharedFile:
    """As another process gets it."""
    found = SharedFile.of(video)
    assert found is not None
    sent: SharedFile = pickle.loads(pickle.dumps(found))
    return sent


@pytest.mark.parametrize("most", [2, 5000], ids=["far", "near"])
@pytest.mark.parametrize("order", [range(COUNT), [7, 8, 9, 2, 3, 11]], ids=["all", "some"])
def test_frames_are_those_of_the_reader(
    path: Path, monkeypatch: pytest.MonkeyPatch, most: int, order: list[int]
) -> None:
    """Also those behind frames of others' groups, and those of a group that another has lost."""
    monkeypatch.setattr(shared_file, "MAX_SKIPPED_FRAMES", most)
    expected = frames_of(VideoInput(path))
    frames = FileFrames(shared(VideoInput(path)))
    for number in order:
        found = frames.get(FrameSum.of(number, expected[number]))
        np.testing.assert_array_equal(found, expected[number].pixels)
        assert frames.get(FrameSum.of(number, expected[number])) is found
    frames.forget(order[-1] + 1)
    assert frames._kept == {}


def test_a_part_and_a_change_of_folder(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bsqcodec.media.video.part import Part

    monkeypatch.chdir(path.parent)
    video = VideoInput(path.name, part=Part.of(0.05, None))
    expected = frames_of(video)
    assert 0 < len(expected) < COUNT
    file = shared(video)
    monkeypatch.chdir("/")
    assert file.is_same_here()
    monkeypatch.setattr(shared_file, "MAX_SKIPPED_FRAMES", 1)
    found = FileFrames(file).get(FrameSum.of(3, expected[3]))
    np.testing.assert_array_equal(found, expected[3].pixels)


def test_pictures(tmp_path: Path) -> None:
    for number in range(3):
        Image.new("RGB", (20, 10), (9 * number, 0, 0)).save(tmp_path / f"{number}.png")
    file = shared(VideoInput(tmp_path / "%d.png"))
    assert file.is_same_here()
    assert FileFrames(file).get(FrameSum(2, 2, shared_file._crc(red(18))))[0, 0, 0] == 18
    (tmp_path / "1.png").unlink()
    assert not file.is_same_here()


def red(level: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Samples [10, 20, 3] of one colour."""
    return np.tile(np.array([level, 0, 0], np.uint8), (10, 20, 1))


def test_another_file_of_the_same_name(path: Path) -> None:
    file = shared(VideoInput(path))
    assert file.is_same_here()
    data = path.read_bytes()
    path.write_bytes(b"?" + data[1:])
    assert not file.is_same_here()
    path.write_bytes(data + b"?")
    assert not file.is_same_here()
    path.unlink()
    assert not file.is_same_here()


def test_another_frame_is_found_out(path: Path) -> None:
    expected = frames_of(VideoInput(path))
    frames = FileFrames(shared(VideoInput(path)))
    wrong = replace(FrameSum.of(1, expected[1]), crc=5)
    with pytest.raises(UnreadableError, match="frame 1 is another one here"):
        frames.get(wrong)
    with pytest.raises(UnreadableError, match="frame 12 cannot be read: the file ends before it"):
        frames.get(FrameSum.of(COUNT, expected[1]))
    path.unlink()
    with pytest.raises(UnreadableError, match="frame 0 cannot be read"):
        frames.get(FrameSum.of(0, expected[0]))


def test_the_file_is_closed_again(path: Path) -> None:
    frames = FileFrames(shared(VideoInput(path)))
    frames.get(FrameSum.of(0, frames_of(VideoInput(path))[0]))
    assert path.samefile(next(name for name in open_files() if name.name == path.name))
    del frames
    assert path.name not in [name.name for name in open_files()]


def open_files() -> list[Path]:
    """What this process has open."""
    folder = Path("/proc/self/fd")
    return [Path(os.readlink(link)) for link in folder.iterdir() if link.is_symlink()]


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert SharedFile.of(VideoInput(tmp_path / "pipe")) is None
    assert SharedFile.of(VideoInput(io.BytesIO(b""), EncodeOptions())) is None
