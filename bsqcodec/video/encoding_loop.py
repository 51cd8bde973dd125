"""From frames to integers and motion vectors: the encoder's half of the closed loop of a group."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from bsqcodec.encoder.frame_types import INTER_DEAD_ZONE_OFFSET
from bsqcodec.encoder.masking import TYPICAL_DEAD_ZONE, dead_zones_of
from bsqcodec.encoder.motion_estimation import (
    IntegerPelMotion,
    load_frame,
    luma,
    refine_subpel,
    search_frame_integer_pel,
)
from bsqcodec.machine.precision import autocast
from bsqcodec.video.decoding_loop import DecodingLoop, Pixels


class EncodingLoop(DecodingLoop):
    """Turns frames to integers, beside predictions from the frames that the decoder will have."""

    @cached_property
    def _inside(self) -> Tensor:
        """Which tokens [h, w] are inside the frame."""
        return torch.from_numpy(self.grid.inside).to(self.device)

    def step_tensor(self, step: int) -> Tensor:
        """A step index [1] as the networks take it."""
        return torch.tensor([step], device=self.device, dtype=torch.float32)

    def load(self, pixels: Pixels) -> Tensor:
        """pixels [H, W, 3] -> [3, rows 16, columns 16] float, padded by their edge."""
        return load_frame(pixels, self.grid, self.device)

    @torch.inference_mode()
    def integers(
        self,
        z: Tensor,
        frame: Tensor,
        limit: Tensor,
        dead_zone_offset: float = 0.0,
        masked: bool = True,
    ) -> Tensor:
        """Integers [h, w, C] for z [h, w, C] of a frame [3, H, W], at most `limit` [C].

        dead_zone_offset: added to the dead zones of pictures. masked: whether the dead zones follow
        what tokens hide.
        """
        zone: Tensor | float = TYPICAL_DEAD_ZONE + dead_zone_offset
        if masked:
            zone = dead_zones_of(self.windows(frame), self.grid.patch)[0] + dead_zone_offset
        n = torch.where(z.abs() < zone, torch.zeros_like(z), torch.round(z))
        return torch.minimum(torch.maximum(n, -limit), limit) * self._inside[..., None]

    @torch.inference_mode()
    def intra_latents(self, frame: Tensor, step: int) -> Tensor:
        """z [h, w, C] of an intra frame [3, H, W]."""
        return self.tokenizer.encode(self.windows(frame), self.step_tensor(step))[0]

    def intra_integers(self, frame: Tensor, step: int, limit: Tensor) -> Tensor:
        """Integers [h, w, C] of an intra frame [3, H, W], at most `limit` [C]."""
        return self.integers(self.intra_latents(frame, step), frame, limit)

    def search_integer_pel(
        self,
        before: Pixels,
        pixels: Pixels,
        rate_weight: float,
        motion_before: IntegerPelMotion | None,
    ) -> IntegerPelMotion:
        """See `search_frame_integer_pel`; it changes nothing here,
        so it can run in another thread."""
        return search_frame_integer_pel(
            self.grid, self.device, before, pixels, rate_weight, motion_before
        )

    @torch.inference_mode()
    def refine_subpel(self, frame: Tensor, rate_weight: float, start: IntegerPelMotion) -> Tensor:
        """Vectors [2 rows, 2 columns, 2] from the reference to a frame [3, H, W]."""
        assert self.reference is not None
        return refine_subpel(start, luma(frame), luma(self.reference), rate_weight)

    @torch.inference_mode()
    def inter_latents(self, frame: Tensor, prediction: Tensor, step: int) -> Tensor:
        """z [h, w, C] of an inter frame [3, H, W] beside its prediction."""
        x, p = self.windows(frame), self.windows(prediction)
        with autocast(self.device, self.inter_network.dtype):
            z, latents = self.inter_network.encode(x, p, self.step_tensor(step))
        if not self._networks.are_exact:
            self._prediction = prediction, latents
        return z[0]

    def inter_integers(self, frame: Tensor, prediction: Tensor, step: int, limit: Tensor) -> Tensor:
        """Integers [h, w, C] of an inter frame [3, H, W] beside its prediction."""
        z = self.inter_latents(frame, prediction, step)
        return self.integers(z, frame, limit, INTER_DEAD_ZONE_OFFSET)
