"""LPIPS with SqueezeNet 1.1, from weights in a safetensors file: no network, no torchvision.

Zhang et al., "The unreasonable effectiveness of deep features as a perceptual metric", CVPR 2018,
version 0.1 of its linear layers.
"""

import os
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from benchmarks.colour import Pixels

LABEL = "LPIPS-Squeeze (fp16)"
FILE = "lpips_squeeze_v0.1.safetensors"
ENVIRONMENT = "BSQCODEC_LPIPS"
MIN_SIDE = 35  # pixels: two features a side are left after the last pooling

# Means and deviations of R, G, B, for pixels scaled to -1..1.
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
POOLS = (2, 5, 8)  # layers of SqueezeNet 1.1 that pool; 0 is a convolution, the others are fires
TAPS = (1, 4, 7, 9, 10, 11, 12)  # layers after which features are compared


class Lpips:
    """The distance of two pictures, 0 for equal ones. weights: names as in torchvision."""

    label = LABEL

    def __init__(self, weights: dict[str, Tensor]) -> None:
        # Half-precision weights, single-precision arithmetic.
        self._weights = {name: _arranged(value.float()) for name, value in weights.items()}
        for name in ("features.0.weight", *(f"lpips.lin{i}.weight" for i in range(len(TAPS)))):
            if name not in self._weights:
                raise ValueError(f"the LPIPS weights lack {name}")

    @classmethod
    def load(cls, path: Path) -> "Lpips":
        """Read a safetensors file. Raises ValueError if it is something else."""
        try:
            return cls(load_file(path))
        except (OSError, SafetensorError) as error:
            raise ValueError(f"{path}: not a file of LPIPS weights ({error})") from error

    def __call__(self, reference: Pixels, decoded: Pixels) -> float | None:
        """Distance of two uint8 RGB pictures [H, W, 3]; None for sides below MIN_SIDE."""
        if min(reference.shape[:2]) < MIN_SIDE:
            return None
        with torch.inference_mode():
            first, second = self._features(reference), self._features(decoded)
            total = 0.0
            for index, (a, b) in enumerate(zip(first, second, strict=True)):
                difference = (_unit(a) - _unit(b)).square()
                weighted = F.conv2d(difference, self._weights[f"lpips.lin{index}.weight"])
                total += float(weighted.mean())
        return total

    def _features(self, pixels: Pixels) -> list[Tensor]:
        """Features [1, C, h, w] after each of TAPS."""
        shift, scale = (torch.tensor(v)[None, :, None, None] for v in (SHIFT, SCALE))
        x = torch.from_numpy(pixels.astype(np.float32)[None]).permute(0, 3, 1, 2) / 127.5 - 1
        x = F.relu(self._conv((x - shift) / scale, "features.0", stride=2))
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
        weight, bias = self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]
        return F.conv2d(x, weight, bias, stride=stride, padding=padding)


def _arranged(weight: Tensor) -> Tensor:
    """Weights of convolutions in the order in which they are fastest with these pixels."""
    return weight.contiguous(memory_format=torch.channels_last) if weight.dim() == 4 else weight


def _unit(features: Tensor) -> Tensor:
    """Features of unit length at each position."""
    return features / (features.square().sum(1, keepdim=True).sqrt() + 1e-10)


def find(data: Path | None) -> Path | None:
    """The file of weights: what BSQCODEC_LPIPS names, or in a folder lpips in or beside `data`."""
    if os.environ.get(ENVIRONMENT):
        return Path(os.environ[ENVIRONMENT])
    if data is None:
        return None
    places = (data / "lpips" / FILE, data.resolve().parent / "lpips" / FILE)
    return next((path for path in places if path.is_file()), None)
