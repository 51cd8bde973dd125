"""The tokenizer on whole pictures of any size, in memory that grows with the tokens only.

Attention and MLPs run window by window and convolutions on strips of rows with the neighbouring
rows they look at, so the results do not depend on where a picture is cut.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from bsqcodec.models.transform.tokenizer import MARGIN, STEPS, Tokenizer

STRIP_TOKENS = 4096
"""About how many tokens a strip has."""

STEPS_PER_PLANE = 32 * math.log2(3)
"""Step indices that make the step 3 times larger."""


def grid_size(height: int, width: int, window_pixels: int, patch: int) -> tuple[int, int]:
    """Rows and columns of tokens of a picture, padded to whole windows."""
    unit = window_pixels // patch
    return tuple(-(-n // window_pixels) * unit for n in (height, width))  # type: ignore[return-value]


def _strips(rows: int, columns: int) -> list[tuple[int, int]]:
    height = max(8, STRIP_TOKENS // columns)
    return [(top, min(top + height, rows)) for top in range(0, rows, height)]


@torch.inference_mode()
def encode_picture(
    tokenizer: Tokenizer, pixels: npt.NDArray[np.uint8], step: int, device: torch.device
) -> Tensor:
    """pixels [H, W, 3] -> z [h, w, C] (float32), the picture padded by its edge."""
    with torch.autocast(device.type, enabled=False):
        config = tokenizer.config
        height, width = pixels.shape[:2]
        rows, columns = grid_size(height, width, tokenizer.window_pixels, config.patch)
        steps = torch.tensor([step], device=device, dtype=torch.float32)
        linear, tokens = [], []
        for top, bottom in _strips(rows, columns):
            first, last = max(0, top - MARGIN), min(rows, bottom + MARGIN)
            part = pixels[min(first * config.patch, height - 1) : last * config.patch]
            lack = (last - first) * config.patch - len(part)
            part = np.pad(
                part, ((0, lack), (0, columns * config.patch - width), (0, 0)), mode="edge"
            )
            x = torch.from_numpy(part).to(device).permute(2, 0, 1)[None].float()
            a, b = tokenizer.encoder.local(x)
            keep = slice(top - first, bottom - first)
            linear.append(a[0, keep])
            if b is not None:
                tokens.append(b[0, keep])
        whole = torch.cat(tokens)[None] if tokens else None
        z = tokenizer.compand(torch.cat(linear)[None], steps)
        return tokenizer.encoder.attend(z, whole, steps)[0]


@torch.inference_mode()
def decode_picture(
    tokenizer: Tokenizer, n: Tensor, step: int, height: int, width: int, missing_planes: int = 0
) -> npt.NDArray[np.uint8]:
    """Integers n [h, w, C] -> pixels uint8 [height, width, 3].

    Tokens wholly outside the picture are taken from the nearest token inside. If the last
    `missing_planes` digits of n are not known (0), the picture is as good as one with a step that
    is 3 times larger for each of them, and the networks are told so.
    """
    with torch.autocast(n.device.type, enabled=False):
        config = tokenizer.config
        rows, columns = n.shape[:2]
        inside = (-(-height // config.patch), -(-width // config.patch))
        n = n[: inside[0], : inside[1]].permute(2, 0, 1)[None].float()
        n = F.pad(n, (0, columns - inside[1], 0, rows - inside[0]), mode="replicate")
        steps = torch.tensor([step], device=n.device, dtype=torch.float32)
        apparent = (steps + missing_planes * STEPS_PER_PLANE).clamp(max=STEPS - 1)
        latents, unit = tokenizer.dequantize(n.permute(0, 2, 3, 1), steps, apparent)
        quarter = config.patch // 4
        tokens = tokenizer.decoder.attend(latents, apparent, tokenizer.scale)
        result = np.empty((height, width, 3), np.uint8)
        for top, bottom in _strips(rows, columns):
            if top * config.patch >= height:
                break
            first, last = max(0, top - MARGIN), min(rows, bottom + MARGIN)
            part = unit if unit.numel() == 1 else unit[:, :, first * quarter : last * quarter]
            x = tokenizer.decoder.local(latents[:, first:last], tokens[:, first:last], part)
            x = x[0, :, (top - first) * config.patch : (bottom - first) * config.patch, :width]
            x = x.clamp(0, 255).round().to(torch.uint8).permute(1, 2, 0)
            end = min(bottom * config.patch, height)
            result[top * config.patch : end] = x[: end - top * config.patch].cpu().numpy()
        return result
