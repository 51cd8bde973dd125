"""Numbered pictures as a video, read and written; and what counts as a video at all."""

import io
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bsqcodec.errors import MediaError, OutputError, OutputExistsError
from bsqcodec.media.video.video_files import (
    OutputOptions,
    VideoColour,
    VideoFormat,
    create_video,
    is_video,
    open_video,
)

from ..clips import Read, frames_of, make_clip, scene

FORMAT = VideoFormat(20, 10, Fraction(1, 25), Fraction(25), VideoColour("bt601"))


def save(folder: Path, pattern: str, numbers: list[int], size: tuple[int, int] = (20, 10)) -> None:
    """Pictures of the scene, as it is at the moment of each number."""
    for number in numbers:
        Image.fromarray(scene(*size, number)).save(folder / (pattern % number))


def indices(read: Read) -> list[int]:
    """Which moment of the scene each frame shows."""
    moments = [scene(20, 10, index) for index in range(40)]
    return [
        next(i for i, moment in enumerate(moments) if np.array_equal(moment, frame.pixels))
        for frame in read.frames
    ]


@pytest.mark.parametrize("pattern", ["f%03d.png", "f%d.png", "f%04d.bmp"])
def test_a_pattern_counts_on_from_the_lowest_number(pattern: str, tmp_path: Path) -> None:
    save(tmp_path, pattern, [8, 9, 10, 11, 20])
    read = Read(tmp_path / pattern)
    assert indices(read) == [8, 9, 10, 11]
    assert read.pts == [0, 1, 2, 3]
    assert read.format.time_base == Fraction(1, 25)
    assert read.side == b""


def test_a_glob_and_a_folder_are_sorted_by_numbers(tmp_path: Path) -> None:
    save(tmp_path, "f%d.png", [1, 2, 10, 30])
    (tmp_path / "notes.txt").write_text("no picture")
    assert indices(Read(tmp_path / "f*.png")) == [1, 2, 10, 30]
    assert indices(Read(tmp_path)) == [1, 2, 10, 30]
    assert indices(Read(tmp_path / "f1*.png")) == [1, 10]


def test_the_rate_is_the_users(tmp_path: Path) -> None:
    save(tmp_path, "f%d.png", [1, 2])
    read = Read(tmp_path / "f%d.png", frame_rate=Fraction(30000, 1001))
    assert read.seconds == [0, Fraction(1001, 30000)]
    assert read.format.frame_rate == Fraction(30000, 1001)


def test_grey_and_transparent_pictures(tmp_path: Path) -> None:
    Image.fromarray(scene(20, 10)[..., 0]).save(tmp_path / "f1.png")
    Image.new("RGBA", (20, 10), (1, 2, 3, 4)).save(tmp_path / "f2.png")
    read = Read(tmp_path / "f%d.png")
    assert np.array_equal(read.frames[0].pixels, np.repeat(scene(20, 10)[..., :1], 3, axis=2))
    assert (read.frames[1].pixels == [1, 2, 3]).all()
    assert "transparency was dropped" in read.notes


def test_a_change_of_size(tmp_path: Path) -> None:
    save(tmp_path, "f%d.png", [1, 2])
    save(tmp_path, "f%d.png", [3], size=(10, 20))
    with (
        open_video(tmp_path / "f%d.png") as reader,
        pytest.raises(MediaError, match="from 20 x 10 to 10 x 20 after 2 frames"),
    ):
        list(reader.frames())


@pytest.mark.parametrize("name", ["g%d.png", "g*.png", "missing/f%d.png", "."])
def test_no_pictures(name: str, tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="no pictures found"):
        open_video(tmp_path / name)


def test_a_damaged_picture_is_named(tmp_path: Path) -> None:
    save(tmp_path, "f%d.png", [1, 2])
    (tmp_path / "f2.png").write_bytes(b"junk")
    with open_video(tmp_path / "f%d.png") as reader, pytest.raises(MediaError, match=r"f2\.png"):
        list(reader.frames())


@pytest.mark.parametrize(
    ("destination", "names"),
    [("out%03d.png", ["out001.png", "out002.png"]), ("new", ["frame000001.png"])],
)
def test_written_pictures_come_back_exactly(
    destination: str, names: list[str], tmp_path: Path
) -> None:
    options = OutputOptions(container="png")
    with create_video(tmp_path / destination, FORMAT, options) as writer:
        for frame in frames_of(20, 10):
            writer.write(frame)
    folder = tmp_path / "new" if destination == "new" else tmp_path
    assert all((folder / name).exists() for name in names)
    assert len(list(folder.iterdir())) == 10
    assert indices(Read(folder)) == list(range(10))
    assert writer.notes == ["numbered pictures hold neither timestamps nor sound"]


def test_pictures_that_are_there_are_not_replaced(tmp_path: Path) -> None:
    save(tmp_path, "f%d.png", [1, 2])
    with pytest.raises(OutputExistsError, match=r"f1\.png"):
        create_video(tmp_path / "f%d.png", FORMAT)
    (tmp_path / "f1.png").unlink()
    with (
        pytest.raises(OutputExistsError, match=r"f2\.png"),
        create_video(tmp_path / "f%d.png", FORMAT) as writer,
    ):
        for frame in frames_of(20, 10):
            writer.write(frame)
    with create_video(tmp_path / "f%d.png", FORMAT, OutputOptions(overwrite=True)) as writer:
        for frame in frames_of(20, 10):
            writer.write(frame)
    assert indices(Read(tmp_path)) == list(range(10))


@pytest.mark.parametrize("name", ["one.png", "f%d.jpg", "what.ever"])
def test_names_that_are_no_series(name: str, tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        create_video(tmp_path / name, FORMAT, OutputOptions(container="png"))


def test_no_pictures_to_write(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match="no frames were written"),
        create_video(tmp_path / "f%d.png", FORMAT),
    ):
        pass


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("a.mp4", True), ("a.MKV", True), ("a.y4m", True), ("a.yuv", True), ("a.webm", True),
        ("a.png", False), ("a.gif", False), ("a.webp", False), ("a.apng", False), ("a.bsq", False),
        ("f%05d.png", True), ("f*.png", True), ("missing", False), ("a.txt", False), (".", False),
    ],
)  # fmt: skip
def test_videos_by_name(name: str, answer: bool, tmp_path: Path) -> None:
    assert is_video(tmp_path / name) == answer


def test_videos_by_content(tmp_path: Path) -> None:
    picture = io.BytesIO()
    Image.fromarray(scene(20, 10)).save(picture, "PNG")
    animation = io.BytesIO()
    Image.fromarray(scene(20, 10)).save(
        animation, "GIF", save_all=True, append_images=[Image.fromarray(scene(20, 10, 5))]
    )
    cases = {
        make_clip("mp4", "libx264"): True,
        make_clip("matroska", "ffv1"): True,
        picture.getvalue(): False,
        animation.getvalue(): False,
        b"text of no kind\n" * 40: False,
        b"": False,
    }
    for data, answer in cases.items():
        path = tmp_path / "unknown"
        path.write_bytes(data)
        assert is_video(path) == answer


def test_hdr_pictures_make_an_hdr_video(tmp_path: Path) -> None:
    case = Path(__file__).parents[2] / "cases" / "pq_cicp.png"
    for index in range(3):
        (tmp_path / f"{index}.png").write_bytes(case.read_bytes())
    with open_video(tmp_path) as reader:
        assert len(list(reader.frames())) == 3
        assert (reader.format.colour.primaries, reader.format.colour.transfer) == (9, 16)
        assert reader.notes == ["HDR (PQ) is kept at 8 bits, which may show bands"]
    Image.new("RGB", (64, 48)).save(tmp_path / "9.png")
    with open_video(tmp_path) as reader:
        assert len(list(reader.frames())) == 4
        assert "not all named alike" in reader.notes[-1]
