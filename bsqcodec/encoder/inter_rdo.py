"""Rate-distortion optimisation (see `bsqcodec.encoder.rdo`) of the inter frames of videos."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from bsqcodec.encoder.rdo import Coding, RdoSchedule, code
from bsqcodec.machine.precision import autocast
from bsqcodec.models.prior.integer import IntegerPrior
from bsqcodec.models.prior.order import limits, planes_needed
from bsqcodec.models.transform.compensation import TOKEN
from bsqcodec.models.transform.inter_network import InterNetwork
from bsqcodec.models.windows import WINDOW

INTER_SCHEDULE = RdoSchedule(recodings=1, steps_per_recoding=8, rate_weight=0.25)
"""Shorter than for pictures, since inter frames are many, and with a smaller rate weight, since the
frames after it are predicted from it. Measured; see docs/experiments/inter_rdo.md."""


class InterTask:
    """Integers of a frame [H, W, 3] beside its prediction [1, 3, ...], padded to whole windows.

    inside [h, w]: which tokens are coded; context [1, h, w, K]: the prior's context of them.
    """

    def __init__(
        self,
        inter_network: InterNetwork,
        prior: IntegerPrior,
        pixels: npt.NDArray[np.uint8],
        step: int,
        inside: npt.NDArray[np.bool_],
        prediction: Tensor,
        context: Tensor,
    ) -> None:
        self.pixels = pixels
        self.patch = TOKEN
        self.limit = torch.from_numpy(limits(prior.planes, step)).to(prior.device)
        self._inter_network, self._prior, self._index = inter_network, prior, step
        self._inside, self._context = inside, context
        self._prediction = (
            prediction.clone()
        )  # a tensor made in inference mode allows no gradients beside it
        self._latents = inter_network.latents(self._prediction - 127.5)
        self._step = torch.tensor([step], device=prior.device, dtype=torch.float32)

    def code(self, values: npt.NDArray[np.float32]) -> Coding:
        most = planes_needed(int(np.abs(values).max(initial=0)))
        return code(
            self._prior,
            self._index,
            self._inside,
            values,
            context=self._context,
            most_planes=most,
        )

    def decode(self, n: Tensor, rows: slice, columns: slice) -> Tensor:
        lack = (-n.shape[0] % WINDOW, -n.shape[1] % WINDOW)
        n = F.pad(n, (0, 0, 0, lack[1], 0, lack[0]))[None]
        down = slice(rows.start, rows.stop + lack[0])
        right = slice(columns.start, columns.stop + lack[1])
        prediction = self._prediction[
            :, :, TOKEN * down.start : TOKEN * down.stop, TOKEN * right.start : TOKEN * right.stop
        ]
        latents = self._latents[:, down, right]
        with autocast(n.device, self._inter_network.dtype):
            decoded = self._inter_network.reconstruct(prediction, latents, n, self._step)
        return decoded.float()
