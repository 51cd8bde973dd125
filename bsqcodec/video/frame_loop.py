"""Frames between pixels and integers: the closed loop that encoder and decoder share.

Nothing here touches the entropy coder. Networks run in the precision that suits the machine (see
`bsqcodec.machine.precision`), everything else in float32; two machines may differ a little in a sample,
never in an integer.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from bsqcodec.encoder.masking import USUAL_DEAD_ZONE, dead_zones_of
from bsqcodec.machine.precision import autocast
from bsqcodec.models.token_grid import TokenGrid
from bsqcodec.models.transform.inter_network import Predicted
from bsqcodec.models.transform.motion import (
    TOKEN,
    Rough,
    compensate,
    estimate_roughly,
    luma,
    refine,
)
from bsqcodec.models.transform.tokenizer import Tokenizer
from bsqcodec.models.windows import continued

Pixels = npt.NDArray[np.uint8]

WIDER = 0.04
"""What dead zones of predicted frames have more than those of pictures."""

FIRST_FINER = 44
"""Step indices by which a group's first frame is finer, since the others are predicted from it."""

PRICE = 14.0
"""Sums of absolute differences that a bit of motion is worth at step 176; in proportion to steps."""

CUT, CUT_FLOOR = 0.4, 50.0
"""A frame is a new scene if its prediction's squared error, in frames of 1/4 size, is more than this
share of the variance within tokens and this more. Between scenes it is mostly .8 to 3.5 times that
variance, within one below .3; noise hardly shows at that size, and leaves the floor."""


def price_of_bit(step: int) -> float:
    """The price of a bit of motion at a step index, for the search of vectors."""
    return float(PRICE * 2 ** ((step - 176) / 32))


def load_frame(pixels: Pixels, grid: TokenGrid, device: torch.device) -> Tensor:
    """pixels [H, W, 3] -> [3, rows 16, columns 16] float, padded by their edge."""
    x = torch.from_numpy(pixels).to(device).permute(2, 0, 1).float()
    height, width = grid.pixels
    return continued(x, 0, height - x.shape[1], 0, width - x.shape[2])


@torch.inference_mode()
def search_roughly(
    grid: TokenGrid,
    device: torch.device,
    before: Pixels,
    pixels: Pixels,
    price: float,
    known: Rough | None,
) -> Rough:
    """Vectors of whole pixels from one frame to the next, both as they were.

    known: what was found for `before`.
    """
    current, reference = (luma(load_frame(x, grid, device)) for x in (pixels, before))
    return estimate_roughly(current, reference, price, known)


class FrameLoop:
    """Turns frames to integers, and integers to frames, each from the frame decoded before it.

    The reference is the last decoded frame, [3, H, W] padded by its edge to whole tokens.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        predicted: Predicted,
        grid: TokenGrid,
        device: torch.device,
    ) -> None:
        self.tokenizer, self.predicted = tokenizer, predicted
        self.grid, self.device = grid, device
        self.reference: Tensor | None = None
        self._predicted: tuple[Tensor, Tensor] | None = None  # a prediction and its latents
        self._shown: Pixels | None = None
        self._inside = torch.from_numpy(grid.inside).to(device)

    def load(self, pixels: Pixels) -> Tensor:
        """pixels [H, W, 3] -> [3, rows 16, columns 16] float, padded by their edge."""
        return load_frame(pixels, self.grid, self.device)

    def windows(self, x: Tensor) -> Tensor:
        """[3, H, W] -> [1, 3, ...] padded by its edge to whole windows."""
        height, width = self.grid.padded_pixels
        return continued(x[None], 0, height - x.shape[1], 0, width - x.shape[2])

    def _step(self, step: int) -> Tensor:
        return torch.tensor([step], device=self.device, dtype=torch.float32)

    def _autocast(self) -> torch.autocast:
        """In which the networks run, in the precision of their layers."""
        return autocast(self.device, self.predicted.dtype)

    def _keep(self, decoded: Tensor) -> Pixels:
        """Make a decoded frame [1, 3, ...] the reference; its pixels."""
        height, width = self.grid.height, self.grid.width
        picture = decoded[0, :, :height, :width].clamp(0, 255)
        bottom, right = self.grid.pixels
        padded = continued(picture, 0, bottom - height, 0, right - width)
        self.reference = padded.contiguous()
        self._shown = picture.round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
        return self._shown

    def repeat(self) -> Pixels:
        """The last decoded frame again; the reference stays."""
        assert self._shown is not None
        return self._shown

    @torch.inference_mode()
    def integers(
        self, z: Tensor, frame: Tensor, limit: Tensor, wider: float = 0.0, masked: bool = True
    ) -> Tensor:
        """Integers [h, w, C] for z [h, w, C] of a frame [3, H, W], at most `limit` [C].

        wider: what dead zones have more than those of pictures. masked: whether they follow what
        tokens hide.
        """
        zone: Tensor | float = USUAL_DEAD_ZONE + wider
        if masked:
            zone = dead_zones_of(self.windows(frame), TOKEN)[0] + wider
        n = torch.where(z.abs() < zone, torch.zeros_like(z), torch.round(z))
        return torch.minimum(torch.maximum(n, -limit), limit) * self._inside[..., None]

    @torch.inference_mode()
    def first_latents(self, frame: Tensor, step: int) -> Tensor:
        """z [h, w, C] of a group's first frame [3, H, W]."""
        return self.tokenizer.encode(self.windows(frame), self._step(step))[0]

    def first_integers(self, frame: Tensor, step: int, limit: Tensor) -> Tensor:
        """Integers [h, w, C] of a group's first frame [3, H, W], at most `limit` [C]."""
        return self.integers(self.first_latents(frame, step), frame, limit)

    @torch.inference_mode()
    def first_frame(self, n: Tensor, step: int) -> Pixels:
        """Decode a first frame, which becomes the reference."""
        rows, columns = self.grid.shape
        h, w = self.grid.padded_shape
        inside = n[:rows, :columns].permute(2, 0, 1)[None].float()
        padded = continued(inside, 0, h - rows, 0, w - columns)
        with self._autocast():
            decoded = self.tokenizer.decode(padded.permute(0, 2, 3, 1), self._step(step))
        return self._keep(decoded.float())

    def search_roughly(
        self, before: Pixels, pixels: Pixels, price: float, known: Rough | None
    ) -> Rough:
        """See the function; it changes nothing, so that it can run beside the rest."""
        return search_roughly(self.grid, self.device, before, pixels, price, known)

    @torch.inference_mode()
    def search(self, frame: Tensor, price: float, rough: Rough) -> Tensor:
        """Vectors [2 rows, 2 columns, 2] from the reference to a frame [3, H, W]."""
        assert self.reference is not None
        return refine(rough, luma(frame), luma(self.reference), price)

    @torch.inference_mode()
    def predict(self, vectors: Tensor) -> Tensor:
        """Prediction [3, H, W] by vectors."""
        assert self.reference is not None
        return compensate(self.reference, vectors)

    @torch.inference_mode()
    def next_latents(self, frame: Tensor, prediction: Tensor, step: int) -> Tensor:
        """z [h, w, C] of a frame [3, H, W] beside its prediction."""
        x, p = self.windows(frame), self.windows(prediction)
        with self._autocast():
            z, latents = self.predicted.encode(x, p, self._step(step))
        self._predicted = prediction, latents
        return z[0]

    def next_integers(self, frame: Tensor, prediction: Tensor, step: int, limit: Tensor) -> Tensor:
        """Integers [h, w, C] of a frame [3, H, W] beside its prediction."""
        return self.integers(self.next_latents(frame, prediction, step), frame, limit, WIDER)

    @torch.inference_mode()
    def next_frame(self, prediction: Tensor, n: Tensor, step: int) -> Pixels:
        """Decode a predicted frame, which becomes the reference."""
        p = self.windows(prediction)
        if self._predicted is None or self._predicted[0] is not prediction:
            self._predicted = prediction, self.predicted.latents(p - 127.5)
        latents = self._predicted[1]
        with self._autocast():
            decoded = self.predicted.reconstruct(p, latents, n[None].float(), self._step(step))
        return self._keep(decoded.float())

    @torch.inference_mode()
    def is_cut(self, frame: Tensor, prediction: Tensor) -> bool:
        """Whether a frame has so little of its prediction that it begins a new scene."""
        current = _small(luma(frame))
        error = (current - _small(luma(prediction))).square().mean()
        tokens = current.unfold(0, 4, 4).unfold(1, 4, 4)
        within = tokens.var((2, 3), correction=0).mean()
        return bool(error > CUT * within + CUT_FLOOR)


def _small(x: Tensor) -> Tensor:
    """A map [1, H, W] at 1/4 of its size, [H/4, W/4]."""
    return F.avg_pool2d(x, 4)[0]
