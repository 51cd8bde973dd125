"""LPIPS with SqueezeNet 1.1 as a loss, from weights in a safetensors file.

Source: Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric",
CVPR 2018, version 0.1 of its linear layers.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from bsqcodec.models import weight_store

LPIPS_FILE: Final = "lpips_squeeze_v0.1.safetensors"
LPIPS_ENVIRONMENT: Final = "BSQCODEC_LPIPS"

MIN_SIDE = 35
"""Shortest side of a picture in pixels: two features a side are left after the last pooling."""

SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""Means and deviations of R, G, B, for pixels scaled to -1..1."""

POOLS = (2, 5, 8)
"""Layers of SqueezeNet 1.1 that pool; 0 is a convolution, the others are fire modules."""

TAPS = (1, 4, 7, 9, 10, 11, 12)
"""Layers after which features are compared."""


class Lpips(nn.Module):
    """The distance [B] of pictures a, b [B, 3, H, W] in 0..255; differentiable, without parameters.

    weights: names as in torchvision ("features.0.weight") and of the linear layers
    ("lpips.lin0.weight" to lin6). Raises ValueError if some are missing.
    """

    def __init__(self, weights: dict[str, Tensor]) -> None:
        super().__init__()
        for name in ("features.0.weight", *(f"lpips.lin{i}.weight" for i in range(len(TAPS)))):
            if name not in weights:
                raise ValueError(f"the LPIPS weights lack {name}")
        self._names = dict.fromkeys(weights)
        for name, value in weights.items():
            value = value.float()
            if value.dim() == 4:  # the order in which convolutions on CPUs are fastest
                value = value.contiguous(memory_format=torch.channels_last)
            self.register_buffer(self._buffer(name), value, persistent=False)
        self.register_buffer("shift", torch.tensor(SHIFT)[:, None, None], persistent=False)
        self.register_buffer("scale", torch.tensor(SCALE)[:, None, None], persistent=False)

    @classmethod
    def load(cls, path: Path) -> Lpips:
        """Read a safetensors file. Raises ValueError if it is something else."""
        try:
            return cls(load_file(path))
        except (OSError, SafetensorError) as error:
            raise ValueError(f"{path}: not a file of LPIPS weights ({error})") from error

    @staticmethod
    def _buffer(name: str) -> str:
        return name.replace(".", "_")

    shift: Tensor
    scale: Tensor

    def _weight(self, name: str) -> Tensor:
        return getattr(self, self._buffer(name))

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Raises ValueError for sides below MIN_SIDE."""
        if min(a.shape[2:]) < MIN_SIDE:
            raise ValueError(f"LPIPS needs sides of {MIN_SIDE} pixels")
        features = self.features(torch.cat([a, b]))
        total = torch.zeros(len(a), device=a.device)
        for index, both in enumerate(features):
            first, second = _unit(both.float()).chunk(2)
            weight = self._weight(f"lpips.lin{index}.weight").flatten()
            difference = (first - second).square().mean((2, 3))
            total = total + (difference * weight).sum(1)
        return total

    def features(self, pixels: Tensor) -> list[Tensor]:
        """Features [B, C, h, w] after each of TAPS."""
        x = (pixels / 127.5 - 1 - self.shift) / self.scale
        x = x.contiguous(memory_format=torch.channels_last)
        x = F.relu(self._conv(x, "features.0", stride=2))
        found = [x]
        for layer in range(2, TAPS[-1] + 1):
            x = F.max_pool2d(x, 3, 2, ceil_mode=True) if layer in POOLS else self._fire(x, layer)
            if layer in TAPS:
                found.append(x)
        return found

    def _fire(self, x: Tensor, layer: int) -> Tensor:
        x = F.relu(self._conv(x, f"features.{layer}.squeeze"))
        narrow = self._conv(x, f"features.{layer}.expand1x1")
        wide = self._conv(x, f"features.{layer}.expand3x3", padding=1)
        return F.relu(torch.cat([narrow, wide], dim=1))

    def _conv(self, x: Tensor, name: str, stride: int = 1, padding: int = 0) -> Tensor:
        weight, bias = self._weight(f"{name}.weight"), self._weight(f"{name}.bias")
        return F.conv2d(x, weight, bias, stride=stride, padding=padding)


def _unit(features: Tensor) -> Tensor:
    """Features of unit length at each position, with a finite gradient where all are zero."""
    return features / (features.square().sum(1, keepdim=True) + 1e-12).sqrt()


def find_lpips() -> Path | None:
    """The file of LPIPS weights that the environment names, or that is in a folder of weights."""
    if named := os.environ.get(LPIPS_ENVIRONMENT):
        return Path(named)
    return next((p for f in weight_store.folders() if (p := f / LPIPS_FILE).is_file()), None)
