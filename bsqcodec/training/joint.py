"""Joint training of encoder network and decoder, with the prior itself as their rate.

The prior stays as it is. It says what the digits of a crop cost, and so what one more or one less
in each value would; a value near the threshold between two integers feels that difference, and
feels what the decoder makes of them. Values far from any threshold feel nothing.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bsqcodec.encoder.distortion import distortion
from bsqcodec.encoder.masking import dead_zones_of
from bsqcodec.format.json_text import parse_json
from bsqcodec.machine.precision import autocast
from bsqcodec.models.transform.tokenizer import Tokenizer, TokenizerConfig, step_size
from bsqcodec.training.checkpoints import tokenizer_of
from bsqcodec.training.distributed import World
from bsqcodec.training.loop import Loop, write_config
from bsqcodec.training.optim import make_optimizers
from bsqcodec.training.rate import Rate, Rounded
from bsqcodec.training.tokenizer import (
    VALIDATION_STEPS,
    Trained,
    draw_steps,
    evaluate,
    start_from,
    validation_pictures,
)
from bsqcodec.training.trainer_options import (
    add_shared_arguments,
    crop_source,
    load_pictures,
    loop_config,
    set_up,
)

DISTORTION_FOR_RATE = 0.9
"""Percent by which the distortion may grow for one percent of bits: about what other steps do."""


def typical_bpp(size: Tensor) -> Tensor:
    """Bits per pixel of photographs at step sizes: a power law through figures of Kodak."""
    return 0.088 * (394 / size) ** 0.845


def typical_distortion(size: Tensor) -> Tensor:
    """The distortion there (four fifths MS-SSIM)."""
    return 168 * (size / 394) ** 0.75


def hold_transform(tokenizer: Tokenizer) -> None:
    """Leave transform and gains as they are.

    They also serve inter frames of videos, whose networks were trained with them.
    """
    for part in (tokenizer.encoder.transform, tokenizer.decoder.transform, tokenizer.log_gain):
        part.requires_grad_(False)


class Objective:
    """Bits and distortion of crops, each relative to typical ones at their step.

    ms_ssim: weight of MS-SSIM in the distortion; without it all tokens have the typical dead zone,
    as with `--tune psnr`. passes: of the prior, drawn for each crop.
    """

    def __init__(
        self, tokenizer: Tokenizer, rate: Rate, ms_ssim: float, passes: int, compiled: bool
    ) -> None:
        self._tokenizer, self._rate = tokenizer, rate
        self._ms_ssim, self._passes = ms_ssim, passes
        self._encoded, self._decoded = self._encode, self._decode
        if compiled:
            self._encoded = torch.compile(self._encode)
            self._decoded = torch.compile(self._decode)

    def _encode(self, pixels: Tensor, step: Tensor) -> Rounded:
        z = self._tokenizer.encode(pixels, step)
        patch = self._tokenizer.config.patch
        zone = dead_zones_of(pixels, patch, masked=self._ms_ssim > 0)
        return Rounded.of(z, zone, torch.rand_like(z))

    def _decode(
        self, pixels: Tensor, step: Tensor, rounded: Rounded, more: Tensor
    ) -> tuple[Tensor, Tensor]:
        d = distortion(self._tokenizer.decode(rounded.integers(), step), pixels, self._ms_ssim)
        size = step_size(step)
        gradient = rounded.rate_gradient(more) / (pixels.shape[2] * pixels.shape[3])
        return gradient / typical_bpp(size) + d / (
            DISTORTION_FOR_RATE * typical_distortion(size)
        ), d

    def __call__(
        self, pixels: Tensor, step: Tensor, generator: np.random.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """(loss, its part of the rate, distortion), each [B].

        pixels [B, 3, H, W]; step [B]: whole step indices; the generator draws passes.
        """
        rounded = self._encoded(pixels, step)
        n, low = (x.detach().repeat(self._passes, 1, 1, 1) for x in (rounded.hard, rounded.low))
        steps = [int(s) for s in step.tolist()] * self._passes
        more, bits = self._rate.differences(n, low, steps, generator)
        more = more.view(self._passes, *rounded.z.shape).mean(0)
        loss, d = self._decoded(pixels, step, rounded, more)
        bpp = bits.view(self._passes, -1).mean(0) / (pixels.shape[2] * pixels.shape[3])
        rate = bpp / typical_bpp(step_size(step))
        return loss + rate, rate, d


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_shared_arguments(parser)
    parser.set_defaults(batch=12, decay=0.5)
    parser.add_argument("--prior", type=Path, required=True, help="run folder or shipped weights")
    parser.add_argument("--passes", type=int, default=2, help="passes drawn for each crop")
    parser.add_argument("--ms-ssim", type=float, default=0.8, help="weight of MS-SSIM in the loss")
    parser.add_argument("--config", type=parse_json, default={}, help="JSON of TokenizerConfig")


def main(args: argparse.Namespace) -> None:
    with set_up(args) as world:
        train(args, world)


def train(args: argparse.Namespace, world: World) -> None:
    device = world.device
    if args.init is None:
        raise ValueError("joint training goes on from a tokenizer: --init")
    pictures = load_pictures(args, world)
    first = tokenizer_of(args.init)
    blocks = TokenizerConfig().encoder_blocks
    config = replace(first.config, **({"encoder_blocks": blocks} | args.config))
    model = Trained(config)
    hold_transform(model.tokenizer)
    start_from(model.tokenizer, first)
    model.to(device)
    shadow = Trained(config).to(device).eval()
    rate = Rate.of(args.prior, device, not args.no_compile)
    optimizers = make_optimizers(model, args.rate)
    loop = Loop(model, optimizers, loop_config(args), args.out, world)
    if loop.writes:
        write_config(args.out, asdict(config), args)
    loop.resume()
    objective = Objective(model.tokenizer, rate, args.ms_ssim, args.passes, not args.no_compile)
    source = crop_source(args, pictures, device)
    held_out: list[Tensor] = []
    if args.validation:
        held_out = validation_pictures(args.validation, args.validation_limit)

    def step(generator: np.random.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        pixels = source.crops(args.batch, args.crop, generator).to(device).float()
        index = draw_steps(args.batch, generator).round().to(device)
        with autocast(device):
            loss, relative, d = objective(pixels, index, generator)
        return loss.mean(), {"rate": relative.mean(), "rmse": d.clamp_min(0).sqrt().mean()}

    def validate(state: dict[str, Tensor]) -> dict[str, Any]:
        shadow.load_state_dict(state)
        return evaluate(
            shadow.tokenizer, held_out, VALIDATION_STEPS, device, rate.bits, masked=args.ms_ssim > 0
        )

    loop.run(step, validate)
