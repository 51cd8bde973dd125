"""Inter frames in exact arithmetic: the same samples on every machine, so that nothing drifts.

`InterNetwork.reconstruct` by the means of `exact_decoder`. Predictions have samples in whole 64ths
(`compensation`); their latents are integers, and so are those of the change that is coded.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bsqcodec.models.transform.blocks import run_blocks, shuffle, unshuffle
from bsqcodec.models.transform.compensation import SAMPLE_UNITS
from bsqcodec.models.transform.exact_decoder import (
    BASIS_BITS,
    EMBED_UNIT,
    LATENT_BITS,
    PIXEL,
    TOKEN,
    ExactConv,
    ExactLinear,
    ExactNetworks,
    StepConstants,
    exact_basis,
    inverse_transform,
    map_base,
    map_operand,
    scaled_latents,
)
from bsqcodec.models.transform.inter_network import InterNetwork
from bsqcodec.models.transform.tokenizer import COMPANDED_FROM

_PREDICTION_SCALE = 2.0 ** (LATENT_BITS - BASIS_BITS) / SAMPLE_UNITS
"""Integer latents for a unit of a sum of samples, in 64ths, times the basis in fixed point."""


class ExactInterDecoder(ExactNetworks):
    """The decoder of inter frames of a network, on a CPU.

    Raises WeightsError for weights that cannot be made exact.
    """

    @torch.no_grad()
    def __init__(self, network: InterNetwork) -> None:
        decoder = network.decoder
        super().__init__(decoder, network.tokenizer[0])
        self._embed_change = ExactLinear(decoder.embed_change.weight, None, TOKEN, EMBED_UNIT)
        self._stem_change = ExactConv(decoder.stem_change)
        self._basis = exact_basis(network.basis)
        self._patch = self.config.patch

    def latents(self, prediction: Tensor) -> Tensor:
        """Latents [B, h, w, C], int32, of a prediction [B, 3, H, W] in whole 64ths."""
        whole = torch.round((prediction - 127.5) * SAMPLE_UNITS)
        samples = unshuffle(whole, self._patch).permute(0, 2, 3, 1).double()
        return (samples @ self._basis.t()).mul_(_PREDICTION_SCALE).round_().int()

    def reconstruct(
        self, prediction: Tensor, predicted: Tensor, n: Tensor, constants: StepConstants
    ) -> Tensor:
        """Frames [B, 3, H, W] (not clipped) of integers n [B, h, w, C].

        predicted: the latents of the prediction.
        """
        companded = predicted[..., COMPANDED_FROM:].double() * 2.0**-LATENT_BITS
        step_scale = self._step_scale(companded, companded=False)
        change = scaled_latents(n.double() * constants.units, step_scale)
        unit = self._unit_of_maps(step_scale, constants).permute(0, 2, 3, 1)

        x = self._embed(self._operand(predicted + change))
        x += self._embed_change(self._operand(change))
        stream = run_blocks(self.blocks, x.add_(constants.embedded))

        by_token = inverse_transform(change, self._basis).permute(0, 3, 1, 2)
        added = unshuffle(shuffle(by_token, self._patch), 4).permute(0, 2, 3, 1)
        linear = unshuffle(prediction, 4).permute(0, 2, 3, 1) + added
        base = map_base(constants)
        scale = 1 / (PIXEL * base)
        maps = self._stem(map_operand(linear - 127.5, unit, base), scale)
        maps += self._stem_change(map_operand(added, unit, base), scale)
        correction = self._correction(maps, stream, unit, base)
        return shuffle((linear + correction).permute(0, 3, 1, 2), 4)
