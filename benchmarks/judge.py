"""All distortions of a decoded picture or clip against its original, in one go."""

import statistics
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from benchmarks import metrics, vmaf
from benchmarks.colour import Frame, Pixels, frame_to_rgb, matrix_of
from benchmarks.lpips import Lpips
from benchmarks.results import LPIPS_EVERY
from bsqcodec.compare import ssimulacra2_score

PERCEPTUAL = {"ssimulacra2": ssimulacra2_score.is_installed, "vmaf": vmaf.is_installed}
"""Whether what needs the extra `rivals` can be measured here."""


@dataclass(frozen=True)
class Quality:
    """Means over frames. None: not defined for this size, or not measured."""

    psnr: float  # dB, RGB
    psnr_yuv: float  # dB, 6:1:1
    ms_ssim: float | None
    lpips: float | None
    ssimulacra2: float | None = None  # of pictures
    vmaf: float | None = None  # of clips


@dataclass(frozen=True)
class Judge:
    """lpips: the network, if its weights are there. perceptual: also SSIMULACRA2 and VMAF."""

    lpips: Lpips | None = None
    perceptual: bool = False

    @property
    def picture_measures(self) -> frozenset[str]:
        """The names of what is measured of pictures and may be missing elsewhere."""
        return self._names("ssimulacra2")

    @property
    def clip_measures(self) -> frozenset[str]:
        """The same of clips."""
        return self._names("vmaf")

    def _names(self, perceptual: str) -> frozenset[str]:
        found = {perceptual} if self.perceptual and PERCEPTUAL[perceptual]() else set()
        return frozenset(found | ({"lpips"} if self.lpips else set()))

    def picture(self, reference: Image.Image, decoded: Pixels) -> Quality:
        """Compare an RGB picture with its decoded pixels [H, W, 3]."""
        pixels = np.asarray(reference)
        return Quality(
            psnr=metrics.psnr(pixels, decoded),
            psnr_yuv=metrics.psnr_yuv(pixels, decoded),
            ms_ssim=metrics.ms_ssim(pixels, decoded),
            lpips=self.lpips(pixels, decoded) if self.lpips else None,
            ssimulacra2=(
                ssimulacra2_score.ssimulacra2_score(pixels, decoded)
                if "ssimulacra2" in self.picture_measures
                else None
            ),
        )

    def clip(self, reference: Iterable[Frame], decoded: Iterable[Frame]) -> Quality:
        """Compare frames [3 H / 2, W], as many on both sides. Raises ValueError if not."""
        frames = []
        collector = vmaf.Vmaf() if "vmaf" in self.clip_measures else None
        for index, (first, second) in enumerate(zip(reference, decoded, strict=True)):
            matrix = matrix_of(first.shape[0] * 2 // 3)
            pair = frame_to_rgb(first, matrix), frame_to_rgb(second, matrix)
            if collector:
                collector.add(first, second)
            look = self.lpips is not None and index % LPIPS_EVERY == 0
            frames.append(
                Quality(
                    psnr=metrics.psnr(*pair),
                    psnr_yuv=metrics.psnr_yuv_frame(first, second),
                    ms_ssim=metrics.ms_ssim(*pair),
                    lpips=self.lpips(*pair) if look and self.lpips else None,
                )
            )
        return Quality(
            psnr=statistics.fmean(frame.psnr for frame in frames),
            psnr_yuv=statistics.fmean(frame.psnr_yuv for frame in frames),
            ms_ssim=_mean(frame.ms_ssim for frame in frames),
            lpips=_mean(frame.lpips for frame in frames),
            vmaf=collector.score() if collector else None,
        )


def _mean(values: Iterable[float | None]) -> float | None:
    """The mean of what is there, None if nothing is."""
    present = [value for value in values if value is not None]
    return statistics.fmean(present) if present else None
