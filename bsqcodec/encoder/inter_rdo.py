"""The encoder's slow search (see `bsqcodec.encoder.rdo`) for predicted frames of videos."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from bsqcodec.encoder.rdo import Coding, Pace, code
from bsqcodec.machine.precision import autocast
from bsqcodec.models.prior.integer import IntegerPrior
from bsqcodec.models.prior.order import limits, planes_needed
from bsqcodec.models.transform.compensation import TOKEN
from bsqcodec.models.transform.inter_network import Predicted
from bsqcodec.models.windows import WINDOW

PACE = Pace(rounds=1, looks=8, elasticity=0.25)
"""How a predicted frame is searched: shorter, since there are many of them, and with less readiness
to lose quality for bits, since the frames after it are predicted from it. Measured; see
docs/experiments/inter_rdo.md."""


class PredictedTask:
    """Integers of a frame [H, W, 3] beside its prediction [1, 3, ...], padded to whole windows.

    inside [h, w]: which tokens are coded; context [1, h, w, K]: what the prior is told of them.
    """

    def __init__(
        self,
        predicted: Predicted,
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
        self._predicted, self._prior, self._index = predicted, prior, step
        self._inside, self._context = inside, context
        self._prediction = prediction.clone()  # one made in inference mode has no gradients beside
        self._latents = predicted.latents(self._prediction - 127.5)
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
        with autocast(n.device, self._predicted.dtype):
            decoded = self._predicted.reconstruct(prediction, latents, n, self._step)
        return decoded.float()
