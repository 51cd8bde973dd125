"""Frames of two videos: means a second, and which of many are kept."""

from __future__ import annotations

import numpy as np

from bsqcodec.compare.measures import Measures
from bsqcodec.compare.videos import KeptFrames, measure_frames


def frame(value: int) -> np.ndarray:
    return np.full((16, 16, 3), value, np.uint8)


def test_means_are_taken_by_second() -> None:
    pairs = [(time, frame(100), frame(100 + error)) for time, error in
             ((0.0, 1), (0.5, 1), (1.0, 10), (2.5, 5), (2.9, 5), (2.95, 5))]  # fmt: skip
    whole, seconds = measure_frames(Measures(), pairs)
    assert [(s.time_s, s.frames) for s in seconds] == [(0, 2), (1, 1), (2, 3)]
    values = [s.measured.psnr_db for s in seconds]
    np.testing.assert_allclose(values, [20 * np.log10(255 / e) for e in (1, 10, 5)])
    np.testing.assert_allclose(whole.psnr_db, np.average(values, weights=[2, 1, 3]))


def test_kept_frames_are_evenly_spread() -> None:
    for count in (1, 4, 5, 9, 100):
        keep = KeptFrames(lambda a, b: (str(a[0, 0, 0]), str(b[0, 0, 0])), most=4)
        for i in range(count):
            keep.add(i / 10, frame(i), frame(i + 1))
        times = [round(10 * time) for time, _, _ in keep.kept]
        assert 1 <= len(times) <= 4 and (len(times) >= 2 or count == 1)
        assert times == list(range(0, count, times[1] if len(times) > 1 else 1))[: len(times)]
        assert count - times[-1] <= (times[1] if len(times) > 1 else 1)
        assert keep.kept[-1][1:] == (str(times[-1]), str(times[-1] + 1))
