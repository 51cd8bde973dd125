"""Training of the decoder of predicted frames, in the loop: each frame from the decoded one before."""

from __future__ import annotations

import argparse
import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bsqcodec.distortion import distortion, ms_ssim
from bsqcodec.masking import dead_zones_of
from bsqcodec.tokenizer.model import Tokenizer, step_size
from bsqcodec.tokenizer.quantizer import quantize_beyond
from bsqcodec.training.checkpoints import averaged, shipped, tokenizer_of
from bsqcodec.training.clips import Clips
from bsqcodec.training.distributed import World
from bsqcodec.training.loop import Loop, write_config
from bsqcodec.training.optim import make_optimizers
from bsqcodec.training.options import (
    add_shared_arguments,
    load_pictures,
    loop_config,
    set_up,
)
from bsqcodec.training.tokenizer import FLOOR, draw_steps
from bsqcodec.video.model import Predicted
from bsqcodec.video.motion import compensate

log = logging.getLogger(__name__)


def first_frames(tokenizer: Tokenizer, pixels: Tensor, step: Tensor) -> Tensor:
    """Decoded first frames [B, 3, H, W] of pixels, as pictures."""
    with torch.no_grad():
        z = tokenizer.encode(pixels, step)
        n = quantize_beyond(z, dead_zones_of(pixels, tokenizer.config.patch))
        return tokenizer.decode(n, step).clamp(0, 255)


def quantize(
    model: Predicted, pixels: Tensor, prediction: Tensor, step: Tensor, wider: Tensor
) -> tuple[Tensor, Tensor]:
    """(latents of the prediction, integers) of frames; wider [B] is added to the dead zones."""
    with torch.no_grad():
        predicted = model.latents(prediction - 127.5)
        units, _ = model.units(predicted, step)
        z = model.latents(pixels - prediction) / units
        zone = dead_zones_of(pixels, model.tokenizer[0].config.patch)
        return predicted, quantize_beyond(z, zone + wider[:, None, None, None])


def predictions(decoded: Tensor, vectors: Tensor) -> Tensor:
    """Motion-compensated frames [B, 3, H, W] by vectors [B, H / 8, W / 8, 2]."""
    with torch.no_grad():
        return torch.stack([compensate(d, v) for d, v in zip(decoded, vectors, strict=True)])


def predicted_of(source: Path, tokenizer: Tokenizer) -> Predicted:
    """The model of a run's folder (averaged), or of a shipped file."""
    model = Predicted(tokenizer)
    if source.is_dir():
        model.load_state_dict(averaged(source)[1])
    else:
        state = shipped(source, "decoder")[1]
        model.decoder.load_state_dict({k: v.float() for k, v in state.items()})
    return model.eval().requires_grad_(False)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_shared_arguments(parser)
    parser.set_defaults(batch=5, decay=0.5)
    parser.add_argument("--tokenizer", type=Path, required=True, help="of pictures")
    parser.add_argument("--clips", type=Path, nargs="*", default=[], help="shards of clips")
    parser.add_argument("--clip-cache", type=Path, default=Path("runs/clips"))
    parser.add_argument("--moving", type=int, default=700, help="synthetic clips")
    parser.add_argument("--frames", type=int, default=4, help="of a clip, the first included")
    parser.add_argument("--ms-ssim", type=float, default=0.8, help="share of MS-SSIM in the loss")


def main(args: argparse.Namespace) -> None:
    with set_up(args) as world:
        train(args, world)


def train(args: argparse.Namespace, world: World) -> None:
    device = world.device
    clips = Clips.load(args.clips, load_pictures(args, world), args.clip_cache, args.moving)
    tokenizer = tokenizer_of(args.tokenizer).to(device)
    model = Predicted(tokenizer)
    if args.init:
        model.load_state_dict(predicted_of(args.init, tokenizer).state_dict())
    model.to(device)
    optimizers = make_optimizers(model, args.rate)
    loop = Loop(model, optimizers, loop_config(args), args.out, world)
    if loop.writes:
        write_config(args.out, asdict(tokenizer.config), args)
    loop.resume()

    def loss_of(
        prediction: Tensor, predicted: Tensor, n: Tensor, step: Tensor, pixels: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        decoded = model.reconstruct(prediction, predicted, n, step)
        d = distortion(decoded, pixels, args.ms_ssim)
        return d / (step_size(step.float()) + FLOOR), d, decoded.detach().clamp(0, 255)

    compiled = loss_of if args.no_compile else torch.compile(loss_of)

    def step(generator: np.random.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        drawn = [clips.draw(args.frames, args.crop, generator) for _ in range(args.batch)]
        frames = torch.stack([x for x, _ in drawn], dim=1).to(device).float()
        vectors = torch.stack([v for _, v in drawn], dim=1).to(device)
        index = draw_steps(args.batch, generator).to(device)
        finer = torch.from_numpy(generator.uniform(0, 24, args.batch)).float().to(device)
        wider = torch.from_numpy(generator.uniform(-0.02, 0.2, args.batch)).float().to(device)
        total = torch.zeros((), device=device)
        figures = {}
        with torch.autocast(device.type, torch.bfloat16):
            decoded = first_frames(tokenizer, frames[0], (index - finer).clamp_min(0))
            for i in range(1, args.frames):
                prediction = predictions(decoded, vectors[i])
                predicted, n = quantize(model, frames[i], prediction, index, wider)
                loss, d, decoded = compiled(prediction, predicted, n, index, frames[i])
                total = total + loss.mean() / (args.frames - 1)
                figures[f"rmse{i}"] = d.clamp_min(0).sqrt().mean()
        return total, figures

    held_out = [clips.draw(4, 256, np.random.default_rng(seed)) for seed in range(8)]
    shadow = Predicted(tokenizer).to(device).eval()

    @torch.no_grad()
    def validate(state: dict[str, Tensor]) -> dict[str, Any]:
        """On 8 training clips: how much better the last frame is than without the network."""
        shadow.load_state_dict(state)
        rows = []
        for x, v in held_out:
            frames, vectors = x[:, None].to(device).float(), v[:, None].to(device)
            index = torch.tensor([176.0], device=device)
            with torch.autocast(device.type, torch.bfloat16):
                decoded = first_frames(tokenizer, frames[0], index - 12)
                for i in range(1, 4):
                    prediction = predictions(decoded, vectors[i])
                    wider = torch.tensor([0.06], device=device)
                    predicted, n = quantize(shadow, frames[i], prediction, index, wider)
                    decoded = shadow.reconstruct(prediction, predicted, n, index).clamp(0, 255)
            nonzero = (n != 0).float().mean()
            rows.append([float(ms_ssim(decoded, frames[3])[0]), float(nonzero)])
        similarity, nonzero = np.mean(rows, axis=0)
        return {"ms_ssim": round(float(similarity), 5), "nonzero": round(float(nonzero), 5)}

    loop.run(step, validate)
