"""Training of the tokenizer for rate and distortion, over all quantizer steps at once."""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bsqcodec.distortion import distortion, ms_ssim
from bsqcodec.masking import dead_zones_of
from bsqcodec.tokenizer.model import Tokenizer, TokenizerConfig, step_size
from bsqcodec.tokenizer.quantizer import quantize_beyond
from bsqcodec.training.checkpoints import rate_model_of, tokenizer_of
from bsqcodec.training.data import read_pictures, transform_basis
from bsqcodec.training.distributed import World
from bsqcodec.training.loop import Loop, write_config
from bsqcodec.training.losses import CausalRate, multiplier
from bsqcodec.training.optim import make_optimizers
from bsqcodec.training.options import (
    add_shared_arguments,
    crop_source,
    load_pictures,
    loop_config,
    set_up,
)

log = logging.getLogger(__name__)

FLOOR = 24.0
"""Squared error usual at a step is about the step size plus this (what no step can code)."""


class TokenizerWithRate(nn.Module):
    """The tokenizer and its stand-in rate model, trained together on rate + weight * distortion.

    `decoder_loss` trains the decoder alone, on integers that the fixed encoder and dead zones a
    little off the usual ones give; it is where training starts, since a decoder learns much faster
    for a fixed code.
    """

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        self.tokenizer = Tokenizer(config)
        self.rate = CausalRate(config.channels)

    def dead_zone(self, pixels: Tensor) -> Tensor:
        """Dead zones [B, h, w, 1] as the encoder chooses them."""
        return dead_zones_of(pixels, self.tokenizer.config.patch)

    def forward(
        self, pixels: Tensor, step: Tensor, noise: Tensor, ms_ssim_share: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """(loss, bits per pixel, distortion), each [B]; noise as z, uniform in -.5 .. .5."""
        z = self.tokenizer.encode(pixels, step)
        n = quantize_beyond(z, self.dead_zone(pixels))
        bits = self.rate(n.detach(), z + noise, step).sum((1, 2, 3))
        reconstruction = self.tokenizer.decode(n, step)
        d = distortion(reconstruction, pixels, ms_ssim_share)
        area = pixels.shape[2] * pixels.shape[3]
        bpp = bits / area
        # bits and squared errors per sample; dividing by their usual size weighs all rates alike
        weight = 3 * multiplier(step_size(step.float()))
        usual = 0.02 + 30.0 / step_size(step.float())
        return (bpp + weight * d) / usual, bpp, d

    def decoder_loss(
        self, pixels: Tensor, step: Tensor, wider: Tensor, ms_ssim_share: float
    ) -> tuple[Tensor, Tensor]:
        """(loss, distortion), each [B]; wider [B] is added to the dead zones."""
        with torch.no_grad():
            z = self.tokenizer.encode(pixels, step)
            n = quantize_beyond(z, self.dead_zone(pixels) + wider[:, None, None, None])
        d = distortion(self.tokenizer.decode(n, step), pixels, ms_ssim_share)
        return d / (step_size(step.float()) + FLOOR), d


def draw_steps(count: int, generator: np.random.Generator) -> Tensor:
    """Step indices [count]: three quarters between .05 and .8 bits per pixel, the rest finer."""
    usual = generator.uniform(135, 240, count)
    fine = generator.uniform(10, 135, count)
    return torch.from_numpy(np.where(generator.random(count) < 0.75, usual, fine)).float()


def validation_pictures(folder: Path, limit: int) -> list[Tensor]:
    """Pictures [1, 3, H, W] cut to whole windows of 128 pixels."""
    result = []
    for picture in read_pictures(folder):
        h, w = (n // 128 * 128 for n in picture.shape[:2])
        result.append(torch.from_numpy(picture[:h, :w].transpose(2, 0, 1).copy())[None])
        if len(result) == limit:
            break
    return result


@torch.no_grad()
def evaluate(
    model: TokenizerWithRate, pictures: list[Tensor], steps: tuple[int, ...], device: torch.device
) -> dict[str, Any]:
    """Mean bpp (of the stand-in rate model), PSNR and MS-SSIM at each step index."""
    figures: dict[str, Any] = {}
    for index in steps if pictures else ():
        rows = []
        for picture in pictures:
            x = picture.to(device).float()
            step = torch.tensor([float(index)], device=device)
            n = quantize_beyond(model.tokenizer.encode(x, step), model.dead_zone(x))
            y = model.tokenizer.decode(n, step).clamp(0, 255).round()
            bpp = model.rate(n, n, step).sum() / (x.shape[2] * x.shape[3])
            psnr = 10 * torch.log10(255**2 / (y - x).square().mean())
            rows.append([float(bpp), float(psnr), float(ms_ssim(y, x)[0])])
        bpp, psnr, similarity = np.mean(rows, axis=0)
        figures[f"s{index}"] = f"{bpp:.4f}bpp/{psnr:.3f}dB/{similarity:.4f}"
    return figures


def start_from(tokenizer: Tokenizer, source: Tokenizer) -> None:
    """Take the weights of another tokenizer; networks that a linear one lacks stay new.

    Raises ValueError if the two differ in anything else.
    """
    state = source.state_dict()
    new = tokenizer.state_dict()
    new = {k: v for k, v in new.items() if source.encoder.linear and k.startswith("encoder.")}
    try:
        tokenizer.load_state_dict(new | state)
    except RuntimeError as error:
        raise ValueError(f"the weights to start from do not fit: {error}") from error


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_shared_arguments(parser)
    parser.add_argument("--ms-ssim", type=float, default=0.0, help="share of MS-SSIM in the loss")
    parser.add_argument("--decoder-only", action="store_true", help="keep the encoder as it is")
    parser.add_argument(
        "--encoder-from",
        type=float,
        default=0.0,
        help="progress 0..1 before which the encoder stays as it is (its rate model is learning)",
    )
    parser.add_argument("--gains", type=float, help="exponent of the channels' gains at the start")
    parser.add_argument("--config", type=json.loads, default={}, help="JSON of TokenizerConfig")


def main(args: argparse.Namespace) -> None:
    with set_up(args) as world:
        train(args, world)


def train(args: argparse.Namespace, world: World) -> None:
    device = world.device
    config = TokenizerConfig(**args.config)
    pictures = load_pictures(args, world)
    log.info("%d pictures", len(pictures))
    model = TokenizerWithRate(config)
    if args.init:
        start_from(model.tokenizer, tokenizer_of(args.init))
        if rate := rate_model_of(args.init):
            model.rate.load_state_dict(rate)
    elif not (args.out / "checkpoint.pt").exists():
        generator = np.random.default_rng(args.seed)
        model.tokenizer.set_transform(
            *transform_basis(pictures, config.patch, config.channels, generator)
        )
    if args.gains is not None:
        model.tokenizer.set_gains(args.gains)
    model.to(device)
    shadow = TokenizerWithRate(config).to(device).eval()
    trained = model.tokenizer.decoder if args.decoder_only else model
    optimizers = make_optimizers(trained, args.rate, slow=("transform",))
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    for parameter in trained.parameters():
        parameter.requires_grad_(True)
    loop = Loop(model, optimizers, loop_config(args), args.out, world)
    if loop.writes:
        write_config(args.out, asdict(config), args)
    loop.resume()

    def hold(parameter: Tensor) -> None:
        if loop.progress < args.encoder_from:
            parameter.grad = None

    for part in (model.tokenizer.encoder, model.tokenizer.log_gain):
        for parameter in part.parameters():
            if parameter.requires_grad:
                parameter.register_post_accumulate_grad_hook(hold)
    joint_loss, decoder_loss = model.__call__, model.decoder_loss
    if not args.no_compile:
        joint_loss, decoder_loss = torch.compile(joint_loss), torch.compile(decoder_loss)
    tokens = args.crop // config.patch
    source = crop_source(args, pictures, device)
    held_out: list[Tensor] = []
    if args.validation:
        held_out = validation_pictures(args.validation, args.validation_limit)

    def step(generator: np.random.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        pixels = source.crops(args.batch, args.crop, generator).to(device).float()
        index = draw_steps(args.batch, generator).to(device)
        if args.decoder_only:
            wider = 0.1 * torch.rand(args.batch, device=device) - 0.03
            with torch.autocast(device.type, torch.bfloat16):
                loss, d = decoder_loss(pixels, index, wider, args.ms_ssim)
            return loss.mean(), {"rmse": d.clamp_min(0).sqrt().mean()}
        noise = torch.rand(args.batch, tokens, tokens, config.channels, device=device) - 0.5
        with torch.autocast(device.type, torch.bfloat16):
            loss, bpp, d = joint_loss(pixels, index, noise, args.ms_ssim)
        return loss.mean(), {"bpp": bpp.mean(), "rmse": d.clamp_min(0).sqrt().mean()}

    def validate(state: dict[str, Tensor]) -> dict[str, Any]:
        shadow.load_state_dict(state)
        with torch.autocast(device.type, torch.bfloat16):
            return evaluate(shadow, held_out, (160, 192, 224), device)

    loop.run(step, validate)
