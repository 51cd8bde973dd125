"""Encoding a picture with the family `transform`: latents, dead zones,
rate-distortion optimisation."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from bsqcodec.encoder.effort import is_optimised, notes_on
from bsqcodec.encoder.masking import TYPICAL_DEAD_ZONE, dead_zones, token_variance
from bsqcodec.encoder.picture_encoder import Written
from bsqcodec.encoder.rdo import PictureTask, code, optimise
from bsqcodec.encoder.target_search import quality_of_step, step_of_quality
from bsqcodec.encoder.tune import is_masked, lpips_of, ms_ssim_weight
from bsqcodec.machine.team import team_of
from bsqcodec.models.picture_model import Progress, Symbols
from bsqcodec.models.prior.order import limits
from bsqcodec.models.prior.walk import walk
from bsqcodec.models.prior.walk_coders import RATE_WEIGHT, EncodingCoder
from bsqcodec.models.transform.picture_model import TransformModel
from bsqcodec.models.transform.strips import encode_picture
from bsqcodec.options import EncodeOptions
from bsqcodec.targets import DEFAULT_QUALITY

RDO_PROGRESS = 0.9
"""Part of the time of one coding that its rate-distortion optimisation takes, for progress."""


class TransformEncoder:
    """A picture [H, W, 3] that is coded with weights of the family `transform`;
    a `PictureEncoder`."""

    def __init__(
        self,
        model: TransformModel,
        pixels: npt.NDArray[np.uint8],
        options: EncodeOptions,
    ) -> None:
        self._model, self._weights = model, model.weights
        self._pixels, self._tune = pixels, options.tune
        effort = options.effort
        height, width = pixels.shape[:2]
        self._grid = model.grid(height, width)
        self._inside = self._grid.inside
        self._dead_zone = self._dead_zones(is_masked(options.tune)) if effort else None
        self._latents: dict[int, npt.NDArray[np.float32]] = {}  # by step, of the last one only
        self._optimised: dict[int, npt.NDArray[np.float32]] = {}  # by step, of the last two
        self.strength = 1.0 if effort else 0.0
        self.optimises = is_optimised(effort, height * width)
        self._lpips = lpips_of(options.tune) if self.optimises else None
        self.notes = notes_on(effort, height * width, "the picture")

    @property
    def steps(self) -> None:
        return None

    def step_for(self, quality: float | None) -> int:
        return step_of_quality(DEFAULT_QUALITY if quality is None else quality, self.optimises)

    def quality_of(self, step: int) -> float:
        return quality_of_step(step, self.optimises)

    def write(
        self,
        step: int,
        strength: float,
        *,
        optimised: bool = False,
        progress: Progress | None = None,
    ) -> Written:
        if not optimised:
            return self._write(self._latents_at(step), step, strength, self._dead_zone, progress)
        if step not in self._optimised:
            while len(self._optimised) > 1:  # keep two: a search for a size ends between two steps
                del self._optimised[next(iter(self._optimised))]
            self._optimised[step] = self._optimise(step, _part(progress, 0.0, RDO_PROGRESS))
        tell = _part(progress, RDO_PROGRESS, 1.0)
        return self._write(self._optimised[step], step, strength, None, tell)

    def _latents_at(self, step: int) -> npt.NDArray[np.float32]:
        """Latents [h * w, C] at a step."""
        if step not in self._latents:
            self._latents.clear()
            z = encode_picture(self._weights.tokenizer, self._pixels, step, self._model.device)
            self._latents[step] = z.reshape(-1, z.shape[-1]).cpu().numpy()
        return self._latents[step]

    def _write(
        self,
        z: npt.NDArray[np.float32],
        step: int,
        strength: float,
        dead_zone: npt.NDArray[np.float32] | None,
        progress: Progress | None,
    ) -> Written:
        """Code latents z [h * w, C] at a step; dead_zone [h * w] or None."""
        prior = self._weights.prior
        coder = EncodingCoder(z, limits(prior.planes, step), dead_zone, strength * RATE_WEIGHT)
        with team_of(prior.device):
            values = walk(prior, step, self._inside, coder, progress=progress)
        payloads = coder.payloads()
        # 16 bits are enough, and half as large to keep
        symbols = Symbols(values.astype(np.int16), len(payloads))
        return Written(symbols, payloads, coder.ideal_bits)

    def _optimise(self, step: int, progress: Progress | None) -> npt.NDArray[np.float32]:
        """Integers [h * w, C] of least rate and distortion together."""
        tokenizer, prior = self._weights.tokenizer, self._weights.prior
        z = self._latents_at(step)
        grid = z.reshape(*self._inside.shape, z.shape[1])
        start = code(prior, step, self._inside, grid, self._dead_zone, RATE_WEIGHT)
        task = PictureTask(tokenizer, prior, self._pixels, step, self._inside)
        found = optimise(
            task,
            grid,
            start,
            ms_ssim_weight=ms_ssim_weight(self._tune),
            progress=progress,
            lpips=self._lpips,
        )
        return found.reshape(z.shape).astype(np.float32)

    def _dead_zones(self, masked: bool) -> npt.NDArray[np.float32]:
        """Dead zones of the tokens of the padded grid, flat [h * w]; the padding's are unused.

        masked: by what tokens hide; otherwise the typical one for all.
        """
        grid, pixels = self._grid, self._pixels
        result = np.full(grid.padded_shape, TYPICAL_DEAD_ZONE, np.float32)
        if masked:
            variance = []
            for row in range(grid.rows):
                strip = pixels[row * grid.patch : (row + 1) * grid.patch]
                lack = (grid.patch - len(strip), grid.columns * grid.patch - pixels.shape[1])
                strip = np.pad(strip, ((0, lack[0]), (0, lack[1]), (0, 0)), mode="edge")
                rgb = torch.from_numpy(strip).permute(2, 0, 1)[None]
                variance.append(token_variance(rgb, grid.patch))
            zones = dead_zones(torch.cat(variance, dim=1))[0].numpy()
            result[: grid.rows, : grid.columns] = zones
        return result.ravel()


def _part(progress: Progress | None, first: float, last: float) -> Progress | None:
    """Progress of a part of the work, which takes the whole from `first` to `last`."""
    if progress is None:
        return None
    whole = progress
    return lambda done: whole(first + (last - first) * done)
