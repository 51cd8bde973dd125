"""A picture at a fraction of its size: means of pixels, by the transform alone.

The mean of factor x factor pixels is linear in a token's latents, as the pixels themselves are.
What the networks would add to it is small, since they correct errors that the mean takes out, and
they take most of the time of rendering.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from bsqcodec.models.transform.blocks import shuffle
from bsqcodec.models.transform.tokenizer import Tokenizer

_STRIP_ROWS = 64
"""Rows of tokens that are rendered at once."""

_MARGIN_OF_PLANES = 1.5
"""How many times larger a factor is than the steps of the planes left out make up for."""


def spared_planes(factor: int) -> int:
    """How many of the last digit planes a picture at 1/factor of its size can go without.

    Each plane left out makes the step, and the errors, 3 times larger. The mean of factor x factor
    pixels makes them about factor times smaller.
    """
    count = 0
    while 3 ** (count + 1) * _MARGIN_OF_PLANES <= factor:
        count += 1
    return count


@torch.inference_mode()
def decode_reduced(
    tokenizer: Tokenizer, n: Tensor, step: int, height: int, width: int, factor: int
) -> npt.NDArray[np.uint8]:
    """Integers n [h, w, C] -> pixels uint8 [ceil(height / factor), ceil(width / factor), 3].

    factor: divides the side of a token.
    """
    patch = tokenizer.config.patch
    rows, columns = -(-height // patch), -(-width // patch)
    steps = torch.tensor([step], device=n.device, dtype=torch.float32)
    basis = _mean_basis(tokenizer, factor)
    parts = []
    with torch.autocast(n.device.type, enabled=False):
        for top in range(0, rows, _STRIP_ROWS):
            part = n[None, top : min(top + _STRIP_ROWS, rows), :columns].float()
            latents = tokenizer.dequantize(part, steps)[0]
            x = shuffle((latents @ basis).permute(0, 3, 1, 2), patch // factor) + 127.5
            parts.append(x[0].permute(1, 2, 0).clamp(0, 255).round().to(torch.uint8).cpu())
    return torch.cat(parts).numpy()[: -(-height // factor), : -(-width // factor)]


def _mean_basis(tokenizer: Tokenizer, factor: int) -> Tensor:
    """The inverse transform [C, 3 (patch / factor)^2] of means of pixels."""
    weight = tokenizer.decoder.transform.weight.T
    pixels = weight.view(len(weight), 3, tokenizer.config.patch, tokenizer.config.patch)
    return F.avg_pool2d(pixels, factor).flatten(1)
