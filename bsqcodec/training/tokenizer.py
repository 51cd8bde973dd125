"""Training of a tokenizer's decoder for the encoder as it is, over all quantizer steps at once.

A decoder learns much faster for a fixed code;
`training.joint` trains the encoder's network with it.
"""

from __future__ import annotations

import argparse
import logging
import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bsqcodec.encoder.distortion import distortion, ms_ssim
from bsqcodec.encoder.lpips import Lpips
from bsqcodec.encoder.masking import dead_zones_of
from bsqcodec.encoder.psnr import psnr_of_error
from bsqcodec.format.json_text import parse_json
from bsqcodec.machine.precision import autocast
from bsqcodec.models.transform.quantizer import quantize_beyond
from bsqcodec.models.transform.tokenizer import Tokenizer, TokenizerConfig, step_size
from bsqcodec.training.checkpoints import tokenizer_of
from bsqcodec.training.data import read_pictures, transform_basis
from bsqcodec.training.distributed import World
from bsqcodec.training.loop import Loop, write_config
from bsqcodec.training.optim import make_optimizers
from bsqcodec.training.searched import Searched
from bsqcodec.training.trainer_options import (
    add_shared_arguments,
    crop_source,
    load_pictures,
    loop_config,
    set_up,
)

log = logging.getLogger(__name__)

FLOOR = 24.0
"""Squared error that is typical at a step is about the step size plus this (what no
step can code)."""

LPIPS_FLOOR = 0.01
"""Added to LPIPS before its logarithm is taken; LPIPS of photographs is .03 to .4."""

VALIDATION_STEPS = (160, 192, 224)
"""Step indices at which held-out pictures are coded."""


class Trained(nn.Module):
    """A tokenizer in training, whose tensors checkpoints call `tokenizer.*`."""

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        self.tokenizer = Tokenizer(config)


class Objective(nn.Module):
    """What a decoder learns: distortion relative to what is typical at a step, and LPIPS.

    ms_ssim: weight of MS-SSIM in the distortion, 0..1. perceptual: weight of LPIPS, which counts by
    its logarithm, since it falls with the step as much as the distortion does.
    """

    def __init__(self, ms_ssim: float, lpips: Lpips | None = None, perceptual: float = 0.0) -> None:
        super().__init__()
        self.ms_ssim = ms_ssim
        self.lpips = lpips
        self.perceptual = perceptual

    def of_pixels(
        self, tokenizer: Tokenizer, pixels: Tensor, step: Tensor, wider: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What `forward` returns, of integers that the encoder as it is makes of pixels.

        wider [B] is added to the dead zones.
        """
        with torch.no_grad():
            z = tokenizer.encode(pixels, step)
            zone = dead_zones_of(pixels, tokenizer.config.patch) + wider[:, None, None, None]
            n = quantize_beyond(z, zone)
        return self(tokenizer, pixels, n, step)

    def forward(
        self, tokenizer: Tokenizer, pixels: Tensor, n: Tensor, step: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """(loss, distortion, LPIPS), each [B], of integers n [B, h, w, C] at steps [B].

        LPIPS is 0 where it has no weight.
        """
        decoded = tokenizer.decode(n, step)
        d = distortion(decoded, pixels, self.ms_ssim)
        loss = d / (step_size(step.float()) + FLOOR)
        if self.lpips is None:
            return loss, d, torch.zeros_like(d)
        distance = self.lpips(decoded, pixels)
        return loss + self.perceptual * torch.log(distance + LPIPS_FLOOR), d, distance


def draw_steps(count: int, generator: np.random.Generator) -> Tensor:
    """Step indices [count]: three quarters between .05 and .8 bits per pixel, the rest finer."""
    typical = generator.uniform(135, 240, count)
    fine = generator.uniform(10, 135, count)
    return torch.from_numpy(np.where(generator.random(count) < 0.75, typical, fine)).float()


def validation_pictures(folder: Path, limit: int) -> list[Tensor]:
    """Pictures [1, 3, H, W] cut to whole windows of 128 pixels."""
    result = []
    for picture in read_pictures(folder):
        h, w = (n // 128 * 128 for n in picture.shape[:2])
        result.append(torch.from_numpy(picture[:h, :w].transpose(2, 0, 1).copy())[None])
        if len(result) == limit:
            break
    return result


def quality_of(y: Tensor, x: Tensor) -> tuple[float, float]:
    """(PSNR in dB, MS-SSIM) of a decoded picture y and its original x, both [1, 3, H, W]."""
    error = float((y - x).square().mean())
    return psnr_of_error(error), float(ms_ssim(y, x)[0])


@torch.no_grad()
def evaluate(
    tokenizer: Tokenizer,
    pictures: list[Tensor],
    steps: tuple[int, ...],
    device: torch.device,
    bits: Callable[[Tensor, int], float] | None = None,
    lpips: Lpips | None = None,
    *,
    masked: bool = True,
) -> dict[str, str]:
    """Mean PSNR, MS-SSIM and LPIPS at each step index, and bpp if `bits` says what that costs.

    masked: whether dead zones go by what tokens hide.
    """
    figures = {}
    for index in steps if pictures else ():
        rows = []
        for picture in pictures:
            x = picture.to(device).float()
            step = torch.tensor([float(index)], device=device)
            with autocast(device):
                z = tokenizer.encode(x, step)
                zone = dead_zones_of(x, tokenizer.config.patch, masked=masked)
                n = quantize_beyond(z, zone)
                y = tokenizer.decode(n, step).clamp(0, 255).round()
                bpp = bits(n, index) / (x.shape[2] * x.shape[3]) if bits else math.nan
            distance = float(lpips(y.float(), x)[0]) if lpips else math.nan
            rows.append([bpp, *quality_of(y, x), distance])
        bpp, psnr, similarity, distance = np.mean(rows, axis=0)
        quality = f"{psnr:.3f}dB/{similarity:.4f}" + (f"/{distance:.4f}" if lpips else "")
        figures[f"s{index}"] = f"{bpp:.4f}bpp/{quality}" if bits else quality
    return figures


@torch.no_grad()
def evaluate_searched(tokenizer: Tokenizer, crops: Searched, device: torch.device) -> str:
    """Mean PSNR and MS-SSIM of what the searched integers of crops decode to."""
    rows = []
    for pixels, integers, step in zip(crops.pixels, crops.integers, crops.steps, strict=True):
        x = torch.from_numpy(pixels).to(device).permute(2, 0, 1)[None].float()
        n = torch.from_numpy(integers).to(device)[None].float()
        with autocast(device):
            y = tokenizer.decode(n, torch.tensor([float(step)], device=device))
        rows.append(quality_of(y.clamp(0, 255).round(), x))
    psnr, similarity = np.mean(rows, axis=0)
    return f"{psnr:.3f}dB/{similarity:.5f}"


def start_from(tokenizer: Tokenizer, source: Tokenizer) -> None:
    """Take the weights of another tokenizer.

    Networks that a linear one lacks stay new, and so do further blocks and convolutions, which
    begin as if they were not there. Raises ValueError if the two differ in anything else.
    """
    state = source.state_dict()
    linear = source.encoder.linear

    def begins(name: str) -> bool:
        part, kind = name.split(".")[:2]
        return (linear and part == "encoder") or kind in ("blocks", "convs")

    new = {k: v for k, v in tokenizer.state_dict().items() if k not in state and begins(k)}
    try:
        tokenizer.load_state_dict(new | state)
    except RuntimeError as error:
        raise ValueError(f"the weights to start from do not fit: {error}") from error


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_shared_arguments(parser)
    parser.add_argument("--ms-ssim", type=float, default=0.0, help="weight of MS-SSIM in the loss")
    parser.add_argument("--lpips", type=Path, help="file of LPIPS weights")
    parser.add_argument(
        "--perceptual", type=float, default=0.5, help="weight of LPIPS, if --lpips is given"
    )
    parser.add_argument("--gains", type=float, help="exponent of the channels' gains at the start")
    parser.add_argument(
        "--searched", type=Path, help="folder of training.searched to learn from too"
    )
    parser.add_argument(
        "--searched-share", type=float, default=0.5, help="fraction of the steps that do so"
    )
    parser.add_argument("--config", type=parse_json, default={}, help="JSON of TokenizerConfig")


def main(args: argparse.Namespace) -> None:
    with set_up(args) as world:
        train(args, world)


def train(args: argparse.Namespace, world: World) -> None:
    device = world.device
    config = TokenizerConfig(**args.config)
    pictures = load_pictures(args, world)
    log.info("%d pictures", len(pictures))
    model = Trained(config)
    if args.init:
        start_from(model.tokenizer, tokenizer_of(args.init))
    elif not (args.out / "checkpoint.pt").exists():
        generator = np.random.default_rng(args.seed)
        model.tokenizer.set_transform(
            *transform_basis(pictures, config.patch, config.channels, generator)
        )
    if args.gains is not None:
        model.tokenizer.set_gains(args.gains)
    model.to(device).requires_grad_(False)
    model.tokenizer.decoder.requires_grad_(True)
    shadow = Trained(config).to(device).eval()
    optimizers = make_optimizers(model.tokenizer.decoder, args.rate, slow=("transform",))
    loop = Loop(model, optimizers, loop_config(args), args.out, world)
    if loop.writes:
        write_config(args.out, asdict(config), args)
    loop.resume()
    searched, searched_held_out = None, None
    if args.searched:
        searched, searched_held_out = Searched.load(args.searched).split()
    lpips = Lpips.load(args.lpips).to(device) if args.lpips else None
    objective = Objective(args.ms_ssim, lpips, args.perceptual)
    loss_of, loss_of_searched = objective.of_pixels, objective.forward
    if not args.no_compile:
        loss_of, loss_of_searched = torch.compile(loss_of), torch.compile(loss_of_searched)

    def figures_of(d: Tensor, distance: Tensor, name: str = "rmse") -> dict[str, Tensor]:
        figures = {name: d.clamp_min(0).sqrt().mean()}
        return figures | {"lpips": distance.mean()} if lpips else figures

    source = crop_source(args, pictures, device)
    held_out: list[Tensor] = []
    if args.validation:
        held_out = validation_pictures(args.validation, args.validation_limit)

    def step(generator: np.random.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        if searched is not None and generator.random() < args.searched_share:
            drawn = searched.draw(args.batch, args.crop, generator)
            pixels, n, index = (x.to(device).float() for x in drawn)
            with autocast(device):
                loss, d, distance = loss_of_searched(model.tokenizer, pixels, n, index)
            return loss.mean(), figures_of(d, distance, "rmse_searched")
        pixels = source.crops(args.batch, args.crop, generator).to(device).float()
        index = draw_steps(args.batch, generator).to(device)
        wider = 0.1 * torch.rand(args.batch, device=device) - 0.03
        with autocast(device):
            loss, d, distance = loss_of(model.tokenizer, pixels, index, wider)
        return loss.mean(), figures_of(d, distance)

    def validate(state: dict[str, Tensor]) -> dict[str, Any]:
        shadow.load_state_dict(state)
        figures = evaluate(shadow.tokenizer, held_out, VALIDATION_STEPS, device, lpips=lpips)
        if searched_held_out:
            figures["searched"] = evaluate_searched(shadow.tokenizer, searched_held_out, device)
        return figures

    loop.run(step, validate)
