"""What an encoder is tuned for: a mix of measures by default, or one measure alone."""

from __future__ import annotations

from bsqcodec.options import Tune

USUAL_SHARE = 0.7
"""Weight of 1 - MS-SSIM in the distortion of a search, where nothing else is asked for; squared
error has the rest. Both relative to the plain coding's."""


def ms_ssim_share(tune: Tune | None, *, is_reference: bool = False) -> float:
    """Weight of 1 - MS-SSIM in the distortion of a search.

    is_reference: other frames are predicted from this one. Then squared error keeps its share,
    since they profit by it: their MS-SSIM is best with the mix.
    """
    if tune == "psnr":
        return 0.0
    return 1.0 if tune == "ms-ssim" and not is_reference else USUAL_SHARE


def is_masked(tune: Tune | None) -> bool:
    """Whether busy tokens lose more values than flat ones, which squared error does not reward."""
    return tune != "psnr"
