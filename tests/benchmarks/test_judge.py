"""All distortions at once: of pictures, and of clips frame by frame."""

import numpy as np
import pytest

from benchmarks import metrics
from benchmarks.colour import frame_to_rgb
from benchmarks.datasets import generated_clip, generated_picture
from benchmarks.judge import Judge
from benchmarks.results import LPIPS_EVERY


def count_lpips(judge_calls: list[int]) -> Judge:
    def fake(reference: np.ndarray, decoded: np.ndarray) -> float:
        judge_calls.append(1)
        return float(len(judge_calls))

    return Judge(fake)  # type: ignore[arg-type]


def test_picture() -> None:
    image = generated_picture(176, 168)
    decoded = np.asarray(image) // 8 * 8
    quality = Judge().picture(image, decoded)
    assert quality.psnr == metrics.psnr(np.asarray(image), decoded)
    assert quality.psnr_yuv == metrics.psnr_yuv(np.asarray(image), decoded)
    assert quality.ms_ssim == metrics.ms_ssim(np.asarray(image), decoded)
    assert quality.lpips is None


def test_clip_is_the_mean_over_frames() -> None:
    clip = generated_clip(64, 48, 3)
    first = list(clip.read())
    second = [frame // step * step for frame, step in zip(first, (2, 8, 32), strict=True)]
    quality = Judge().clip(iter(first), iter(second))
    rgb = [
        metrics.psnr(frame_to_rgb(a, "bt601"), frame_to_rgb(b, "bt601"))
        for a, b in zip(first, second, strict=True)
    ]
    yuv = [metrics.psnr_yuv_frame(a, b) for a, b in zip(first, second, strict=True)]
    assert quality.psnr == pytest.approx(np.mean(rgb))
    assert quality.psnr_yuv == pytest.approx(np.mean(yuv))
    assert quality.ms_ssim is None  # 48 rows are too few


def test_lpips_of_every_seventh_frame() -> None:
    frames = list(generated_clip(16, 16, LPIPS_EVERY + 1).read())
    calls: list[int] = []
    quality = count_lpips(calls).clip(frames, frames)
    assert len(calls) == 2
    assert quality.lpips == 1.5


def test_a_lost_frame_is_noticed() -> None:
    frames = list(generated_clip(16, 16, 3).read())
    with pytest.raises(ValueError, match="shorter"):
        Judge().clip(frames, frames[:2])
