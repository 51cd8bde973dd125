"""How frames are made of integers: in exact arithmetic, or by the networks as they are.

Exact arithmetic is as fast as float32 or faster, and gives the same samples on every machine.
Networks in bfloat16 are faster where the processor has instructions for it.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Protocol
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from bsqcodec.machine.precision import autocast
from bsqcodec.models.transform.exact_decoder import ExactDecoder, StepConstants
from bsqcodec.models.transform.exact_inter_decoder import ExactInterDecoder
from bsqcodec.models.transform.inter_network import InterNetwork
from bsqcodec.models.transform.tokenizer import Tokenizer


class FrameNetworks(Protocol):
    """Frames [1, 3, H, W], not clipped, in float32, of whole windows.

    are_exact: whether they are the same on every machine; else `latents` are those of
    `InterNetwork`.
    """

    @property
    def are_exact(self) -> bool: ...

    def latents(self, prediction: Tensor) -> Tensor:
        """What is needed of a prediction [1, 3, H, W] beside its samples, [1, h, w, C]."""

    def intra(self, n: Tensor, step: int) -> Tensor:
        """The frame of integers n [1, h, w, C]."""

    def inter(self, prediction: Tensor, latents: Tensor, n: Tensor, step: int) -> Tensor:
        """The frame of integers n [1, h, w, C] on top of a prediction, of which `latents` are."""


class FloatFrames:
    """The networks in the precision of their layers; `FrameNetworks`."""

    are_exact = False

    def __init__(self, tokenizer: Tokenizer, inter_network: InterNetwork) -> None:
        self._tokenizer, self._inter_network = tokenizer, inter_network
        self._device = inter_network.basis.device

    def latents(self, prediction: Tensor) -> Tensor:
        return self._inter_network.latents(prediction - 127.5)

    def intra(self, n: Tensor, step: int) -> Tensor:
        with autocast(self._device, self._inter_network.dtype):
            return self._tokenizer.decode(n, self._at(step)).float()

    def inter(self, prediction: Tensor, latents: Tensor, n: Tensor, step: int) -> Tensor:
        with autocast(self._device, self._inter_network.dtype):
            frame = self._inter_network.reconstruct(prediction, latents, n, self._at(step))
            return frame.float()

    def _at(self, step: int) -> Tensor:
        return torch.tensor([step], device=self._device, dtype=torch.float32)


class ExactFrames:
    """The same in exact arithmetic, on a CPU; `FrameNetworks`.

    Raises WeightsError for weights that cannot be made exact.
    """

    are_exact = True

    def __init__(self, tokenizer: Tokenizer, inter_network: InterNetwork) -> None:
        self._intra, self._inter = ExactDecoder(tokenizer), ExactInterDecoder(inter_network)
        self._of_intra: dict[int, StepConstants] = {}
        self._of_inter: dict[int, StepConstants] = {}

    def latents(self, prediction: Tensor) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            return self._inter.latents(prediction)

    def intra(self, n: Tensor, step: int) -> Tensor:
        if step not in self._of_intra:
            self._of_intra[step] = self._intra.constants(step, Decimal(step))
        constants = self._of_intra[step]
        with torch.autocast("cpu", enabled=False):
            latents, unit = self._intra.dequantize(n, constants)
            stream = self._intra.attend(latents, constants)
            return self._intra.local(latents, stream, unit, constants)

    def inter(self, prediction: Tensor, latents: Tensor, n: Tensor, step: int) -> Tensor:
        if step not in self._of_inter:
            self._of_inter[step] = self._inter.constants(step, Decimal(step))
        with torch.autocast("cpu", enabled=False):
            return self._inter.reconstruct(prediction, latents, n, self._of_inter[step])


_exact: WeakKeyDictionary[InterNetwork, ExactFrames] = WeakKeyDictionary()


def frame_networks(tokenizer: Tokenizer, inter_network: InterNetwork) -> FrameNetworks:
    """What makes frames with a tokenizer and a network that stay as they are: exact arithmetic on a
    CPU that runs networks in float32, else the networks themselves.

    Raises WeightsError for weights that cannot be made exact.
    """
    if inter_network.basis.device.type != "cpu" or inter_network.dtype != torch.float32:
        return FloatFrames(tokenizer, inter_network)
    if inter_network not in _exact:
        _exact[inter_network] = ExactFrames(tokenizer, inter_network)
    return _exact[inter_network]
