"""LPIPS of two uint8 pictures, and where its weights are.

Zhang et al., "The unreasonable effectiveness of deep features as a perceptual metric", CVPR 2018,
version 0.1 of its linear layers.
"""

import os
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.colour import Pixels
from bsqcodec.encoder.lpips import MIN_SIDE
from bsqcodec.encoder.lpips import Lpips as Network

LABEL = "LPIPS-Squeeze (fp16)"
FILE = "lpips_squeeze_v0.1.safetensors"
ENVIRONMENT = "BSQCODEC_LPIPS"


class Lpips:
    """The distance of two pictures, 0 for equal ones. weights: names as in torchvision."""

    label = LABEL

    def __init__(self, weights: dict[str, Tensor]) -> None:
        self._network = Network(weights)

    @classmethod
    def load(cls, path: Path) -> "Lpips":
        """Read a safetensors file. Raises ValueError if it is something else."""
        loaded = cls.__new__(cls)
        loaded._network = Network.load(path)
        return loaded

    def __call__(self, reference: Pixels, decoded: Pixels) -> float | None:
        """Distance of two uint8 RGB pictures [H, W, 3]; None for sides below MIN_SIDE."""
        if min(reference.shape[:2]) < MIN_SIDE:
            return None
        with torch.inference_mode():
            first, second = (
                torch.tensor(pixels).permute(2, 0, 1)[None].float()
                for pixels in (reference, decoded)
            )
            return float(self._network(first, second)[0])


def find(data: Path | None) -> Path | None:
    """The file of weights: what BSQCODEC_LPIPS names, or in a folder lpips in or beside `data`."""
    if os.environ.get(ENVIRONMENT):
        return Path(os.environ[ENVIRONMENT])
    if data is None:
        return None
    places = (data / "lpips" / FILE, data.resolve().parent / "lpips" / FILE)
    return next((path for path in places if path.is_file()), None)
