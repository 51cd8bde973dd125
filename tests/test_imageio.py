"""The plug-in for imageio: pictures and videos, and that frames stream."""

import io
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest

import bsqcodec.imageio
from bsqcodec import api, api_video

from .golden_files import scene
from .video.scenes import clip

COUNT = 7


@pytest.fixture(autouse=True)
def tiny_codecs(tiny_video_weights: Path) -> Iterator[None]:
    """Have the tiny models in the place of the shipped weights."""
    api._codec.cache_clear()
    api_video._codec.cache_clear()
    yield
    api._codec.cache_clear()
    api_video._codec.cache_clear()


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """A video of 7 frames in groups of 3."""
    path = tmp_path / "clip.bsq"
    iio.imwrite(path, np.stack(clip(COUNT)), fps=10, gop=3)
    return path


@pytest.mark.parametrize("channels", [0, 1, 3, 4])
def test_pictures(tmp_path: Path, channels: int) -> None:
    pixels = np.dstack([scene(40, 50)] * 2)[..., :channels] if channels else scene(40, 50)[..., 0]
    path = tmp_path / "picture.bsq"
    iio.imwrite(path, pixels, quality=80)
    image = iio.imread(path)
    np.testing.assert_array_equal(image, np.asarray(bsqcodec.decode(path)))
    shape = (40, 50) if channels < 2 else (40, 50, channels)
    assert image.shape == shape
    properties = iio.improps(path)
    assert (properties.shape, properties.dtype) == (shape, np.uint8)
    assert not properties.is_batch
    every: Any = ...
    assert iio.imread(path, index=every).shape == (1, *shape)
    assert iio.improps(path, index=every).shape == (1, *shape)
    assert [frame.shape for frame in iio.imiter(path)] == [shape]
    assert iio.imread(path, reduction=8).shape[:2] == (5, 7)
    with pytest.raises(ValueError, match="no image 1"):
        iio.imread(path, index=1)


def test_metadata_of_pictures(golden: Path) -> None:
    found = iio.immeta(golden / "metadata.bsq")
    assert (found["width"], found["colour"], found["xmp"][:10]) == (24, "rgb", b"<x:xmpmeta")
    assert len(found["icc_profile"]) == found["icc_bytes"]


def test_bytes_and_streams() -> None:
    pixels = scene(20, 30)
    data = iio.imwrite("<bytes>", pixels, extension=".bsq")
    assert data == bsqcodec.encode(pixels)
    image = np.asarray(bsqcodec.decode(data))
    np.testing.assert_array_equal(iio.imread(data), image)
    np.testing.assert_array_equal(iio.imread(io.BytesIO(data)), image)


def test_videos(video: Path) -> None:
    frames = iio.imread(video)
    assert frames.shape == (COUNT, 32, 48, 3)
    np.testing.assert_array_equal(frames, list(bsqcodec.video_frames(video)))
    properties = iio.improps(video)
    assert (properties.shape, properties.n_images) == (frames.shape, COUNT)
    assert properties.is_batch
    assert iio.improps(video, index=2).shape == (32, 48, 3)
    found = iio.immeta(video)
    assert (found["fps"], found["duration"], found["gops"]) == (10, COUNT / 10, 3)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The frames that were decoded so far."""
    frames: list[object] = []
    original = api_video.video_frames

    def counted(*arguments: Any, **options: Any) -> Iterator[object]:
        for frame in original(*arguments, **options):
            frames.append(frame)
            yield frame

    monkeypatch.setattr(api_video, "video_frames", counted)
    return frames


def test_a_frame_is_decoded_from_its_group_on(video: Path, decoded: list[object]) -> None:
    for index, expected in enumerate(iio.imread(video)):
        decoded.clear()
        np.testing.assert_array_equal(iio.imread(video, index=index), expected)
        assert len(decoded) == index % 3 + 1
    for index in (-1, COUNT):
        with pytest.raises(ValueError, match=f"no frame {index}"):
            iio.imread(video, index=index)


def test_frames_are_taken_and_given_one_after_the_other(
    tmp_path: Path, decoded: list[object]
) -> None:
    given: list[weakref.ref[Any]] = []
    most = 0

    def frames() -> Iterator[Any]:
        nonlocal most
        for frame in clip(12):
            own = frame.copy()
            given.append(weakref.ref(own))
            yield own
            del own
            most = max(most, sum(frame() is not None for frame in given))

    source: Any = frames()
    iio.imwrite(tmp_path / "long.bsq", source, gop=2)
    assert len(given) == 12
    assert most <= 2
    reading = iio.imiter(tmp_path / "long.bsq")
    for count in (1, 2, 3):
        next(reading)
        assert len(decoded) == count
    assert len(list(reading)) == 9


def test_grey_frames_need_a_word(tmp_path: Path) -> None:
    grey = np.stack(clip(3))[..., 0]
    iio.imwrite(tmp_path / "grey.bsq", grey, is_batch=True)
    assert iio.imread(tmp_path / "grey.bsq").shape == (3, 32, 48, 3)
    iio.imwrite(tmp_path / "grey.bsq", list(grey), verify=True)
    assert iio.improps(tmp_path / "grey.bsq").n_images == 3


def test_nothing_is_written_where_coding_fails(tmp_path: Path) -> None:
    path = tmp_path / "wrong.bsq"
    for frames in ([], [scene(20, 20), scene(20, 21)]):
        with pytest.raises(bsqcodec.MediaError):
            iio.imwrite(path, frames)
    with pytest.raises(TypeError, match="'colour' is not an option"):
        iio.imwrite(path, scene(20, 20), colour=1)
    assert not path.exists()


def test_other_files_are_left_to_others(tmp_path: Path) -> None:
    iio.imwrite(tmp_path / "picture.png", scene(20, 20))
    assert iio.imread(tmp_path / "picture.png").shape == (20, 20, 3)
    (tmp_path / "picture.png").rename(tmp_path / "picture.bsq")
    assert iio.imread(tmp_path / "picture.bsq").shape == (20, 20, 3)
