"""VMAF of clips with known answers."""

import numpy as np
import pytest

from benchmarks import vmaf
from benchmarks.datasets import generated_clip
from benchmarks.judge import Judge

pytestmark = pytest.mark.skipif(not vmaf.is_installed(), reason="needs imageio-ffmpeg")


def test_equal_clips_are_near_100_and_coarser_ones_less() -> None:
    frames = list(generated_clip(320, 240, 3).read())
    scores = []
    for step in (1, 16, 64):
        decoded = [frame // step * step for frame in frames]
        quality = Judge(perceptual=True).clip(frames, decoded)
        assert quality.vmaf is not None
        scores.append(quality.vmaf)
    assert scores[0] > 95
    assert scores == sorted(scores, reverse=True) and scores[2] < scores[0] - 10


def test_the_original_is_the_reference() -> None:
    """Sharpening counts as better, blurring as worse, so the two clips cannot be swapped."""
    frames = list(generated_clip(320, 240, 3).read())
    blurred = [_blurred(frame) for frame in frames]
    collectors = vmaf.Vmaf(), vmaf.Vmaf()
    for sharp, soft in zip(frames, blurred, strict=True):
        collectors[0].add(sharp, soft)
        collectors[1].add(soft, sharp)
    worse, better = (collector.score() for collector in collectors)
    assert worse < better - 2


def _blurred(frame: np.ndarray) -> np.ndarray:
    wide = frame.astype(np.uint16)
    mean = (np.roll(wide, 1, 1) + wide + np.roll(wide, -1, 1) + np.roll(wide, 1, 0)) // 4
    return mean.astype(np.uint8)
