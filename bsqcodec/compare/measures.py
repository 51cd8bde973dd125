"""Measures of how far a picture is from another: PSNR, MS-SSIM, LPIPS and SSIMULACRA2."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from bsqcodec.compare import ssimulacra2_score
from bsqcodec.encoder.distortion import TAPS, ms_ssim
from bsqcodec.encoder.lpips import LPIPS_ENVIRONMENT, LPIPS_FILE, MIN_SIDE, Lpips, find_lpips
from bsqcodec.encoder.psnr import psnr, psnr_of_error
from bsqcodec.errors import MediaError, WeightsError
from bsqcodec.media.image.picture import Samples
from bsqcodec.models import weight_store

_LUMA: Final = (0.299, 0.587, 0.114)
"""Weights of R, G and B in Y' of BT.601."""

_PLANE_WEIGHTS: Final = (6, 1, 1)
"""How often the PSNR of Y', Cb and Cr count."""


@dataclass(frozen=True)
class Measured:
    """One picture against another, or means over frames; None where it was not measured.

    psnr_db: of R, G and B; infinite for equal pictures. psnr_yuv_db: (6 Y' + Cb + Cr) / 8 of
    BT.601. ms_ssim: 0..1. lpips: 0 for equal pictures. ssimulacra2: 100 for equal ones.
    """

    psnr_db: float
    psnr_yuv_db: float
    ms_ssim: float | None = None
    lpips: float | None = None
    ssimulacra2: float | None = None

    def facts(self) -> dict[str, Any]:
        """The fields as JSON has them: an infinite PSNR is None."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {k: v if v is None or math.isfinite(v) else None for k, v in values.items()}


def mean_of(measured: Sequence[Measured]) -> Measured:
    """The means of each measure, over those pictures of which it was taken."""
    return Measured(
        **{
            field.name: _mean(getattr(one, field.name) for one in measured)
            for field in fields(Measured)
        }  # type: ignore[arg-type]
    )


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


class Measures:
    """What is measured of pairs of pictures. notes: why something is not, one sentence each.

    lpips: a file of LPIPS weights, or None for that of the environment or of a folder of weights.
    Raises WeightsError where a named file is none.
    """

    def __init__(self, lpips: Path | None = None) -> None:
        self.notes: list[str] = []
        path = find_lpips() if lpips is None else lpips
        self._lpips: Lpips | None = None
        if path is None:
            self.notes.append(
                f"LPIPS is not measured: its weights are not here; --lpips FILE or the environment"
                f" variable {LPIPS_ENVIRONMENT} names them, or put {LPIPS_FILE} into"
                f" {weight_store.folders()[-1]}"
            )
        else:
            try:
                self._lpips = Lpips.load(path)
            except ValueError as error:
                raise WeightsError(str(error)) from error
        self._has_ssimulacra2 = ssimulacra2_score.is_installed()
        if not self._has_ssimulacra2:
            self.notes.append(
                "SSIMULACRA2 is not measured: pip install ssimulacra2 installs what measures it"
            )

    def of(self, reference: Samples, other: Samples, *, perceptual: bool = True) -> Measured:
        """Measure a picture [H, W, 3] against another of the same size.

        perceptual: with LPIPS and SSIMULACRA2, which take longest. Raises MediaError for pictures
        of different sizes.
        """
        if reference.shape != other.shape:
            sizes = [f"{p.shape[1]}x{p.shape[0]}" for p in (reference, other)]
            raise MediaError(f"the sizes differ: {sizes[0]} and {sizes[1]} pixels")
        side = min(reference.shape[:2])
        return Measured(
            psnr_db=psnr(other, reference),
            psnr_yuv_db=psnr_yuv(other, reference),
            ms_ssim=structural_similarity(other, reference) if side >= TAPS else None,
            lpips=self._distance(reference, other) if perceptual and side >= MIN_SIDE else None,
            ssimulacra2=self._score(reference, other) if perceptual else None,
        )

    def _distance(self, reference: Samples, other: Samples) -> float | None:
        if self._lpips is None:
            return None
        with torch.inference_mode():
            return float(self._lpips(_tensor(reference), _tensor(other))[0])

    def _score(self, reference: Samples, other: Samples) -> float | None:
        if not self._has_ssimulacra2:
            return None
        return ssimulacra2_score.ssimulacra2_score(reference, other)


def structural_similarity(first: Samples, second: Samples) -> float:
    """MS-SSIM of pictures [H, W, 3], channel by channel, which takes a third of the memory."""
    with torch.inference_mode():
        channels = [
            float(ms_ssim(_tensor(first[..., c : c + 1]), _tensor(second[..., c : c + 1])))
            for c in range(3)
        ]
    return statistics.fmean(channels)


def psnr_yuv(first: Samples, second: Samples) -> float:
    """PSNR 6:1:1 in dB of pictures [H, W, 3]: BT.601 at full range and full resolution."""
    difference = first.astype(np.float32) - second
    luma = difference @ np.array(_LUMA, np.float32)
    blue = (difference[..., 2] - luma) / np.float32(2 - 2 * _LUMA[2])
    red = (difference[..., 0] - luma) / np.float32(2 - 2 * _LUMA[0])
    errors = [float(np.mean(np.square(plane), dtype=np.float64)) for plane in (luma, blue, red)]
    terms = [w * psnr_of_error(e) for w, e in zip(_PLANE_WEIGHTS, errors, strict=True)]
    return sum(terms) / sum(_PLANE_WEIGHTS)


def _tensor(pixels: Samples) -> torch.Tensor:
    """[1, C, H, W], float32, of samples [H, W, C]."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None].float()
