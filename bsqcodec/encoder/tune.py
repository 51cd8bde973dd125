"""What an encoder is tuned for: a mix of measures by default, or one measure alone."""

from __future__ import annotations

from bsqcodec.options import Tune

DEFAULT_MS_SSIM_WEIGHT = 0.7
"""Weight of 1 - MS-SSIM in the distortion, unless a measure is named; squared error has the rest.
Both are relative to those of the plain coding."""


def ms_ssim_weight(tune: Tune | None, *, is_reference: bool = False) -> float:
    """Weight of 1 - MS-SSIM in the distortion of an optimisation.

    is_reference: other frames are predicted from this one. Then squared error keeps its weight: the
    MS-SSIM of those frames is best with the mix.
    """
    if tune == "psnr":
        return 0.0
    return 1.0 if tune == "ms-ssim" and not is_reference else DEFAULT_MS_SSIM_WEIGHT


def is_masked(tune: Tune | None) -> bool:
    """Whether busy tokens lose more values than flat ones, which squared error does not reward."""
    return tune != "psnr"
