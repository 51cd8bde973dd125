"""What is compared: each measure of quality as curves over bpp, with its name, unit and axis."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks import lpips
from benchmarks.bd_rate import Curve
from benchmarks.metrics import ms_ssim_db
from benchmarks.results import Mean, RdResult
from bsqcodec.options import TUNES, Look

OURS = "bsqcodec"
INTRA = "bsqcodec-intra"
"""bsqcodec with every frame of a video alone."""
SEARCHING = "bsqcodec-effort2"
"""bsqcodec with its slow search."""

TUNED = {f"{SEARCHING}-{tune}": tune for tune in TUNES}
"""bsqcodec with its slow search by one measure, as --tune has it."""

SEARCHES = (SEARCHING, *TUNED)

SHOWN: dict[str, Look] = {"bsqcodec-natural": "natural"}
"""bsqcodec with its files shown by another decoder, as --look has it."""

FIXED = {"bsq-18": 18, "bsq-36": 36}
"""bsqcodec with weights of the family bsq, and the bits of a token that each of them spends."""


@dataclass(frozen=True)
class Measure:
    """key: of a Mean or a published point. digits: in tables. falls: smaller is better."""

    key: str
    title: str
    unit: str
    axis: str
    digits: int
    falls: bool = False

    def quality(self, value: float) -> float:
        """A number that rises with quality and is fit for BD-rates."""
        if self.key == "ms_ssim":
            return ms_ssim_db(value)
        return -value if self.falls else value

    def value(self, quality: float) -> float:
        """The inverse of `quality`."""
        if self.key == "ms_ssim":
            return float(1 - 10 ** (-quality / 10))
        return -quality if self.falls else quality

    def text(self, value: float) -> str:
        return f"{value:.{self.digits}f}"

    def of(self, mean: Mean) -> float | None:
        found: float | None = getattr(mean, self.key)
        return found


PSNR = Measure("psnr", "PSNR", " (dB)", "PSNR (dB, RGB)", 2)
PSNR_YUV = Measure("psnr_yuv", "PSNR YUV", " (dB)", "PSNR (dB, YUV 6:1:1)", 2)
MS_SSIM = Measure("ms_ssim", "MS-SSIM", "", "MS-SSIM (dB)", 4)
LPIPS = Measure("lpips", "LPIPS", "", f"{lpips.LABEL}, smaller is better", 4, falls=True)
SSIMULACRA2 = Measure("ssimulacra2", "SSIMULACRA2", "", "SSIMULACRA2", 1)
VMAF = Measure("vmaf", "VMAF", "", "VMAF (vmaf_v0.6.1)", 1)
MEASURES = (PSNR, PSNR_YUV, MS_SSIM, LPIPS, SSIMULACRA2, VMAF)


def curve(result: RdResult, measure: Measure) -> Curve:
    """(bpp, quality) by rising rate; empty where the measure was not taken at every setting."""
    points = []
    for mean in result.means():
        value = measure.of(mean)
        if value is None:
            return []
        points.append((mean.bpp, measure.quality(value)))
    return points


def is_ours(codec: str) -> bool:
    """Whether a codec of this name is bsqcodec."""
    return codec in FIXED or codec.startswith(OURS)


def with_points(results: Sequence[RdResult], measure: Measure) -> list[RdResult]:
    """The results that have a point or more of a measure, ours first, then by name."""
    chosen = [result for result in results if curve(result, measure)]
    return sorted(chosen, key=lambda result: (not is_ours(result.codec), result.codec))


def with_curves(results: Sequence[RdResult], measure: Measure) -> list[RdResult]:
    """The same of those that have two points or more: a single point makes no curve."""
    return [r for r in with_points(results, measure) if len(curve(r, measure)) > 1]
