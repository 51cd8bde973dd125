"""Planes of frames, and colours with known answers."""

import numpy as np
import pytest

from benchmarks.colour import (
    frame_size,
    frame_to_rgb,
    matrix_of,
    planes,
    rgb_to_frame,
    rgb_to_ycbcr,
)


def flat_frame(y: int, u: int, v: int, width: int = 6, height: int = 4) -> np.ndarray:
    frame = np.empty((height * 3 // 2, width), np.uint8)
    for plane, value in zip(planes(frame), (y, u, v), strict=True):
        plane[...] = value
    return frame


def test_planes_lie_one_after_the_other() -> None:
    frame = np.arange(6 * 9, dtype=np.uint8).reshape(9, 6)  # 6x6
    y, u, v = planes(frame)
    assert (y.shape, u.shape, v.shape) == ((6, 6), (3, 3), (3, 3))
    assert [p.ravel().tolist() for p in (y, u, v)] == [
        list(range(36)),
        list(range(36, 45)),
        list(range(45, 54)),
    ]


@pytest.mark.parametrize("size", [(5, 4), (4, 5), (0, 4)])
def test_odd_sides_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="even sides"):
        frame_size(*size)
    assert frame_size(1920, 1080) == 3110400


@pytest.mark.parametrize(
    ("matrix", "yuv", "rgb"),
    [
        # Black, white and the primaries of ITU-R BT.601 and BT.709 at limited range.
        ("bt601", (16, 128, 128), (0, 0, 0)),
        ("bt601", (235, 128, 128), (255, 255, 255)),
        ("bt601", (81, 90, 240), (255, 0, 0)),
        ("bt601", (145, 54, 34), (0, 255, 0)),
        ("bt601", (41, 240, 110), (0, 0, 255)),
        ("bt709", (63, 102, 240), (255, 0, 0)),
        ("bt709", (173, 42, 26), (0, 255, 0)),
        ("bt709", (32, 240, 118), (0, 0, 255)),
    ],
)
def test_primaries(matrix: str, yuv: tuple[int, int, int], rgb: tuple[int, int, int]) -> None:
    found = frame_to_rgb(flat_frame(*yuv), matrix)
    assert found.shape == (4, 6, 3)
    assert found.dtype == np.uint8
    assert np.abs(found.astype(int) - rgb).max() <= 2  # 8-bit YUV is that coarse


def test_chroma_is_interpolated_between_its_samples() -> None:
    frame = flat_frame(128, 128, 128, width=4, height=4)
    planes(frame)[2][:, 1] = 170
    red = frame_to_rgb(frame, "bt601")[0, :, 0].astype(int)
    assert red[0] < red[1] < red[2] < red[3]
    # A quarter and three quarters of the way, and flat beyond the last sample.
    assert (red[1] - red[0]) / (red[3] - red[0]) == pytest.approx(0.25, abs=0.02)


def test_matrix_of_untagged_video() -> None:
    assert [matrix_of(rows) for rows in (360, 718, 720, 1080)] == ["bt601"] * 2 + ["bt709"] * 2


def test_ycbcr_of_jfif() -> None:
    pixels = np.array([[[255, 255, 255], [255, 0, 0], [0, 0, 255]]], np.uint8)
    expected = [[255, 128, 128], [76.245, 84.972, 255.5], [29.07, 255.5, 107.265]]
    assert rgb_to_ycbcr(pixels)[0] == pytest.approx(np.array(expected), abs=1e-3)


@pytest.mark.parametrize("matrix", ["bt601", "bt709"])
def test_frames_come_back_from_rgb(matrix: str) -> None:
    for y, u, v in ((16, 128, 128), (110, 120, 150), (180, 110, 140)):
        frame = flat_frame(y, u, v)
        again = rgb_to_frame(frame_to_rgb(frame, matrix), matrix)
        assert np.abs(again.astype(int) - frame).max() <= 1


def test_chroma_is_the_mean_of_four_pixels() -> None:
    pixels = np.zeros((2, 2, 3), np.uint8)
    pixels[0] = 255, 0, 0
    frame = rgb_to_frame(pixels, "bt601")
    assert frame.ravel().tolist() == [81, 81, 16, 16, 109, 184]
