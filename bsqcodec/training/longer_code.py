"""A BSQ tokenizer with longer codes than the trained one that it starts from.

The first bits of a code, and all that is made of them, stay as they are. Each new bit is the sign
of a part of what the shorter code leaves over: the directions of the most remaining error, as far
as the encoder's last tokens and the patch foretell them by least squares, rotated for bits.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bsqcodec.models.bsq.klt import around, least_squares, rotation_for_bits
from bsqcodec.models.bsq.network import PIXEL_MIDDLE, PIXEL_UNIT, BsqTokenizer
from bsqcodec.models.bsq.spherical_quantizer import signs
from bsqcodec.models.transform.blocks import unshuffle

CROPS_AT_ONCE = 50
"""Crops that pass the networks at once."""


def _patches(pixels: Tensor, patch: int) -> Tensor:
    """Values [B, h, w, patch_values] of pixels [B, 3, H, W], which are in the networks' unit."""
    return unshuffle(pixels, patch).permute(0, 2, 3, 1)


@torch.no_grad()
def start_longer_code(
    model: BsqTokenizer, shorter: BsqTokenizer, crops: Tensor, generator: torch.Generator
) -> tuple[float, float]:
    """Give a tokenizer the weights of one with fewer bits, and its new bits a start.

    crops [N, 3, H, W], 0..255, of whole windows. Returns the squared error, in pixel units, on the
    inner tokens of the crops: with the shorter code, and with the longer one. Raises ValueError if
    more than the number of bits differs.
    """
    old, new = shorter.config.bits, model.config.bits
    if old >= new:
        raise ValueError(f"codes of {new} bits are no longer than those of {old}")
    _copy(model, shorter)
    patch = model.config.patch
    features, left_over = [], []
    for part in crops.split(CROPS_AT_ONCE):
        pixels = part.float()
        linear, tokens = shorter.encoder.local(pixels)
        tokens = shorter.encoder.blocks(tokens)
        bits = signs(linear + shorter.encoder.project(shorter.encoder.norm(tokens)))
        error = (pixels - shorter.decoder(bits)) / PIXEL_UNIT
        x = _patches((pixels - PIXEL_MIDDLE) / PIXEL_UNIT, patch)
        features.append(torch.cat([x, shorter.encoder.norm(tokens)], -1).double())
        left_over.append(_patches(error, patch).double())
    grid = torch.cat(features)
    errors = torch.cat(left_over)
    shape = grid.shape[:-1]
    flat = errors.flatten(0, 2)
    values, vectors = torch.linalg.eigh(flat.T @ flat / len(flat))
    basis = vectors[:, old - new :]
    scaled = basis / values[old - new :].clamp_min(1e-9).sqrt() ** 0.5
    foretold, weights = least_squares(grid.flatten(0, 2), flat @ scaled)
    rotation = rotation_for_bits(foretold, generator)
    unit = foretold.std()
    weights = weights @ rotation / unit
    values_of_patch = model.config.patch_values
    model.encoder.linear.weight[old:] = weights[:values_of_patch].T.float()
    model.encoder.project.weight[old:] = weights[values_of_patch:-1].T.float()
    model.encoder.project.bias[old:] = weights[-1].float()

    fresh = signs(foretold @ rotation).view(*shape, new - old)
    targets = errors[:, 1:-1, 1:-1].flatten(0, 2)
    explained, taps = least_squares(around(fresh), targets)
    kernel = model.decoder.linear.weight
    kernel[:, old:] = taps[:-1].T.reshape(len(kernel), new - old, *kernel.shape[2:]).float()
    before = targets.square().mean()
    after = (targets - explained).square().mean()
    return float(before) * PIXEL_UNIT**2, float(after) * PIXEL_UNIT**2


def _copy(model: BsqTokenizer, shorter: BsqTokenizer) -> None:
    """Copy all weights; what belongs to new bits is 0."""
    state = shorter.state_dict()
    for name, value in model.state_dict().items():
        source = state.get(name)
        if source is None or source.ndim != value.ndim:
            raise ValueError(f"tokenizers that differ in {name} do not fit each other")
        value.zero_()
        inside = tuple(slice(size) for size in source.shape)
        grown = [a != b for a, b in zip(source.shape, value.shape, strict=True)]
        by = {a - b for a, b in zip(value.shape, source.shape, strict=True) if a != b}
        if sum(grown) > 1 or by - {model.config.bits - shorter.config.bits}:
            raise ValueError(f"tokenizers that differ in {name} do not fit each other")
        value[inside] = source
