"""What an encoder is tuned for: a mix of measures by default, or one measure alone."""

from __future__ import annotations

from bsqcodec.encoder.lpips import LPIPS_ENVIRONMENT, LPIPS_FILE, Lpips, find_lpips
from bsqcodec.errors import WeightsError
from bsqcodec.models import weight_store
from bsqcodec.options import Tune

DEFAULT_MS_SSIM_WEIGHT = 0.7
"""Weight of 1 - MS-SSIM in the distortion, unless a measure is named; squared error has the rest.
Both are relative to those of the plain coding."""


LPIPS_WEIGHT = 0.12
"""Weight of LPIPS in the distortion that `--tune lpips` optimises."""

LPIPS_TUNE_MS_SSIM_WEIGHT = 0.5
"""Weight of 1 - MS-SSIM beside it; squared error has the rest."""


def lpips_of(tune: Tune | None) -> Lpips | None:
    """LPIPS, if it is tuned for. Raises WeightsError where its weights are missing."""
    if tune != "lpips":
        return None
    path = find_lpips()
    if path is None:
        raise WeightsError(
            f"--tune lpips with effort 2 needs the weights of LPIPS: put {LPIPS_FILE} into"
            f" {weight_store.folders()[-1]}, or name the file in {LPIPS_ENVIRONMENT}"
        )
    try:
        return Lpips.load(path)
    except ValueError as error:
        raise WeightsError(str(error)) from error


def ms_ssim_weight(tune: Tune | None, *, is_reference: bool = False) -> float:
    """Weight of 1 - MS-SSIM in the distortion of an optimisation.

    is_reference: other frames are predicted from this one. Then squared error keeps its weight: the
    MS-SSIM of those frames is best with the mix.
    """
    if tune == "psnr":
        return 0.0
    if tune == "lpips":
        return LPIPS_TUNE_MS_SSIM_WEIGHT
    return 1.0 if tune == "ms-ssim" and not is_reference else DEFAULT_MS_SSIM_WEIGHT


def is_masked(tune: Tune | None) -> bool:
    """Whether busy tokens lose more values than flat ones, which squared error does not reward."""
    return tune != "psnr"
