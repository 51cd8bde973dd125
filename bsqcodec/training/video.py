"""Training of the decoder of inter frames, in the loop: each frame from the decoded one before."""

from __future__ import annotations

import argparse
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bsqcodec.encoder.distortion import distortion, ms_ssim
from bsqcodec.encoder.frame_types import INTER_DEAD_ZONE_OFFSET, INTRA_STEP_OFFSET
from bsqcodec.encoder.lpips import Lpips
from bsqcodec.encoder.masking import dead_zones_of
from bsqcodec.machine.precision import autocast
from bsqcodec.models.transform.compensation import TOKEN, compensate
from bsqcodec.models.transform.inter_network import InterNetwork, blocks_in
from bsqcodec.models.transform.quantizer import quantize_beyond
from bsqcodec.models.transform.temporal_context import TemporalContext, context_of
from bsqcodec.models.transform.tokenizer import Tokenizer, step_size
from bsqcodec.training.checkpoints import averaged, shipped, tokenizer_of
from bsqcodec.training.clips import add_clip_arguments, load_clips
from bsqcodec.training.distributed import World
from bsqcodec.training.loop import Loop, write_config
from bsqcodec.training.optim import make_optimizers
from bsqcodec.training.rate import Rate, Rounded
from bsqcodec.training.tokenizer import LPIPS_FLOOR, draw_steps
from bsqcodec.training.trainer_options import (
    add_shared_arguments,
    load_pictures,
    loop_config,
    set_up,
)

MAX_DEAD_ZONE_OFFSET = 0.12
"""What dead zones have more than those of pictures, in training at most."""

MAX_INTRA_STEP_OFFSET = 56.0
"""Step indices by which intra frames are finer in training, at most."""


def typical_distortion(size: Tensor) -> Tensor:
    """The distortion of inter frames at step sizes, four fifths of it MS-SSIM."""
    return 131 * (size / 394) ** 0.75


def intra_frames(tokenizer: Tokenizer, pixels: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
    """(decoded intra frames [B, 3, H, W], their integers) of pixels, as pictures."""
    with torch.no_grad():
        z = tokenizer.encode(pixels, step)
        n = quantize_beyond(z, dead_zones_of(pixels, tokenizer.config.patch))
        return tokenizer.decode(n, step).clamp(0, 255), n


def widened(pixels: Tensor, wider: Tensor) -> Tensor:
    """Dead zones [B, h, w, 1] of pixels, wider by `wider` [B]."""
    return dead_zones_of(pixels, TOKEN) + wider[:, None, None, None]


def typical_bpp(step: int) -> float:
    """About the bits per pixel of inter frames at a step, by which losses are divided."""
    return float(0.02 + 5.0 * 2.0 ** (-step / 32))


def predictions(decoded: Tensor, vectors: Tensor) -> Tensor:
    """Motion-compensated frames [B, 3, H, W] by vectors [B, H / 8, W / 8, 2]."""
    return torch.stack([compensate(d, v) for d, v in zip(decoded, vectors, strict=True)])


def inter_network_of(source: Path, tokenizer: Tokenizer, encoder_blocks: int = 0) -> InterNetwork:
    """The model of a run's folder (averaged), or of a shipped file.

    With a network in its encoder if the source has one, or of so many new blocks.
    """
    if source.is_dir():
        state = averaged(source)[1]
    else:
        state = {
            f"{part}.{k}": v.float()
            for part in ("encoder", "decoder")
            for k, v in shipped(source, part)[1].items()
        }
    known = blocks_in(state, "encoder")
    model = InterNetwork(tokenizer, known or encoder_blocks, blocks_in(state, "decoder"))
    model.load_state_dict(state, strict=bool(known) or not encoder_blocks)
    return model.eval().requires_grad_(False)


class CropContexts:
    """The inter prior's context of crops, frame by frame. n [B, h, w, C]: of intra frames."""

    def __init__(self, n: Tensor) -> None:
        self._temporal = [TemporalContext.of_intra(each) for each in n]

    def next(self, n: Tensor, vectors: Tensor) -> Tensor:
        """Context [B, h, w, K] of frames with vectors [B, 2 h, 2 w, 2], and remember them."""
        contexts = []
        for i, (each, field) in enumerate(zip(n, vectors, strict=True)):
            temporal = self._temporal[i].moved(field)
            contexts.append(context_of(field, temporal))
            self._temporal[i] = temporal.after(each)
        return torch.stack(contexts)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_shared_arguments(parser)
    parser.set_defaults(batch=5, decay=0.5)
    parser.add_argument("--tokenizer", type=Path, required=True, help="of pictures")
    add_clip_arguments(parser)
    parser.add_argument("--frames", type=int, default=4, help="of a clip, the first included")
    parser.add_argument("--prior", type=Path, help="inter prior: train an encoder's network by it")
    parser.add_argument("--encoder-blocks", type=int, default=2, help="of that network")
    parser.add_argument(
        "--distortion-for-rate",
        type=float,
        default=0.9,
        help="by how many percent the distortion may grow for one percent of bits",
    )
    parser.add_argument(
        "--horizon",
        type=float,
        default=0.0,
        help="frames after the last whose distortion counts as the last one's does",
    )
    parser.add_argument("--ms-ssim", type=float, default=0.8, help="weight of MS-SSIM in the loss")
    parser.add_argument(
        "--shown",
        action="store_true",
        help="train a decoder for showing frames; they are predicted from those of --init's",
    )
    parser.add_argument("--lpips", type=Path, help="file of LPIPS weights, for --shown")
    parser.add_argument("--perceptual", type=float, default=0.6, help="weight of LPIPS")


def main(args: argparse.Namespace) -> None:
    with set_up(args) as world:
        train(args, world)


def model_of(args: argparse.Namespace, tokenizer: Tokenizer) -> InterNetwork:
    """The network that a run begins with, on the CPU; what is not to learn takes no gradients."""
    blocks = args.encoder_blocks if args.prior else 0
    model = InterNetwork(tokenizer, blocks)
    if args.init:
        model = inter_network_of(args.init, tokenizer, blocks).requires_grad_(True).train()
    if model.encoder is not None and not args.prior:
        model.encoder.requires_grad_(False)  # it would learn to spend bits
    return model


def encode(
    net: InterNetwork, pixels: Tensor, prediction: Tensor, step: Tensor, wider: Tensor
) -> tuple[Rounded, Tensor]:
    """(what becomes of frames, the prediction's latents)."""
    z, predicted = net.encode(pixels, prediction, step)
    return Rounded.of(z, widened(pixels, wider), torch.rand_like(z)), predicted


class ShownObjective:
    """What a step minimises of a decoder that shows frames, which are predicted from others.

    model: with the decoder that learns. loop: the network whose frames others are predicted from.
    """

    def __init__(
        self,
        args: argparse.Namespace,
        model: InterNetwork,
        loop: InterNetwork,
        tokenizer: Tokenizer,
        lpips: Lpips | None,
        device: torch.device,
    ) -> None:
        self._args, self._model, self._loop = args, model, loop
        self._tokenizer, self._lpips, self._device = tokenizer, lpips, device
        self._coded, self._shown = self._code, self._show
        if not args.no_compile:
            self._coded, self._shown = torch.compile(self._code), torch.compile(self._show)

    @torch.no_grad()
    def _code(
        self, pixels: Tensor, prediction: Tensor, step: Tensor, wider: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """(integers, the prediction's latents, what the next frame is predicted from)."""
        z, predicted = self._loop.encode(pixels, prediction, step)
        n = quantize_beyond(z, widened(pixels, wider))
        decoded = self._loop.reconstruct(prediction, predicted, n, step)
        return n, predicted, decoded.clamp(0, 255)

    def _show(
        self, prediction: Tensor, predicted: Tensor, n: Tensor, step: Tensor, pixels: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """(loss, distortion, LPIPS) of frames as they are shown."""
        shown = self._model.reconstruct(prediction, predicted, n, step)
        d = distortion(shown, pixels, self._args.ms_ssim)
        loss = d / typical_distortion(step_size(step.float()))
        if self._lpips is None:
            return loss, d, torch.zeros_like(d)
        distance = self._lpips(shown, pixels)
        return loss + self._args.perceptual * torch.log(distance + LPIPS_FLOOR), d, distance

    def __call__(
        self, frames: Tensor, vectors: Tensor, generator: np.random.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """(loss, figures to log) of clips: frames [F, B, 3, H, W], vectors of each."""
        args, device = self._args, self._device
        index = draw_steps(args.batch, generator).round().to(device)
        wider = torch.full((args.batch,), INTER_DEAD_ZONE_OFFSET, device=device)
        total = torch.zeros((), device=device)
        figures = {}
        with autocast(device):
            finer = (index - INTRA_STEP_OFFSET).clamp_min(0)
            decoded, _ = intra_frames(self._tokenizer, frames[0], finer)
            for i in range(1, args.frames):
                prediction = predictions(decoded, vectors[i])
                n, predicted, decoded = self._coded(frames[i], prediction, index, wider)
                loss, d, distance = self._shown(prediction, predicted, n, index, frames[i])
                total = total + loss.mean() / (args.frames - 1)
                figures[f"rmse{i}"] = d.detach().clamp_min(0).sqrt().mean()
                figures[f"lpips{i}"] = distance.detach().mean()
        return total, figures


class Objective:
    """What a step minimises: distortion of inter frames, and their bits where a prior is given."""

    def __init__(
        self,
        args: argparse.Namespace,
        model: InterNetwork,
        tokenizer: Tokenizer,
        rate: Rate | None,
        device: torch.device,
    ) -> None:
        self._args, self._model, self._tokenizer = args, model, tokenizer
        self._rate, self._device = rate, device
        self._encoded, self._decoded = encode, self._decode
        if not args.no_compile:
            self._encoded, self._decoded = torch.compile(encode), torch.compile(self._decode)

    def _decode(
        self, prediction: Tensor, predicted: Tensor, n: Tensor, step: Tensor, pixels: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """(loss, distortion, what the next frame is predicted from) of frames."""
        decoded = self._model.reconstruct(prediction, predicted, n, step)
        d = distortion(decoded, pixels, self._args.ms_ssim)
        typical = self._args.distortion_for_rate * typical_distortion(step_size(step.float()))
        following = decoded if self._rate is not None else decoded.detach()
        return d / typical, d, following.clamp(0, 255)

    def __call__(
        self, frames: Tensor, vectors: Tensor, generator: np.random.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """(loss, figures to log) of clips: frames [F, B, 3, H, W], vectors of each."""
        args, device = self._args, self._device
        index = draw_steps(args.batch, generator).round().to(device)
        finer = (
            torch.from_numpy(generator.uniform(0, MAX_INTRA_STEP_OFFSET, args.batch))
            .float()
            .to(device)
        )
        wider = (
            torch.from_numpy(generator.uniform(-0.02, MAX_DEAD_ZONE_OFFSET, args.batch))
            .float()
            .to(device)
        )
        total = torch.zeros((), device=device)
        figures = {}
        kept: list[tuple[Rounded, Tensor]] = []
        with autocast(device):
            decoded, first = intra_frames(self._tokenizer, frames[0], (index - finer).clamp_min(0))
            contexts = CropContexts(first)
            for i in range(1, args.frames):
                prediction = predictions(decoded, vectors[i])
                rounded, predicted = self._encoded(self._model, frames[i], prediction, index, wider)
                n = rounded.integers()
                loss, d, decoded = self._decoded(prediction, predicted, n, index, frames[i])
                if i == args.frames - 1:
                    loss = (1 + args.horizon) * loss
                total = total + loss.mean() / (args.frames - 1)
                figures[f"rmse{i}"] = d.clamp_min(0).sqrt().mean()
                if self._rate is not None:
                    kept.append((rounded, contexts.next(rounded.hard, vectors[i])))
            if self._rate is not None:
                figures["rate"], gradient = self._bits(self._rate, kept, index, generator)
                total = total + gradient + figures["rate"]
        return total, figures

    def _bits(
        self,
        rate: Rate,
        kept: list[tuple[Rounded, Tensor]],
        index: Tensor,
        generator: np.random.Generator,
    ) -> tuple[Tensor, Tensor]:
        """(bits of inter frames relative to typical ones, zero with their gradient)."""
        rounded = Rounded.cat([x for x, _ in kept])
        context = torch.cat([x for _, x in kept])
        steps = [int(s) for s in index.tolist()] * len(kept)
        more, bits = rate.differences(rounded.hard, rounded.low, steps, generator, context)
        typical = torch.tensor([typical_bpp(s) for s in steps], device=self._device)
        typical = typical * self._args.crop**2
        return (bits / typical).mean(), (rounded.rate_gradient(more) / typical).mean()


@torch.no_grad()
def evaluate(
    net: InterNetwork,
    tokenizer: Tokenizer,
    held_out: list[tuple[Tensor, Tensor]],
    rate: Rate | None,
    device: torch.device,
    loop: InterNetwork | None = None,
    lpips: Lpips | None = None,
) -> dict[str, Any]:
    """On 8 training clips, three inter frames: bpp by the prior if there is one, MS-SSIM, squared
    error, the fraction of integers that are not 0, and LPIPS if it is given.

    loop: the network whose frames others are predicted from, `net` by default.
    """
    loop = loop or net
    figures = {}
    for at in (168, 184):
        rows = []
        for x, v in held_out:
            frames, vectors = x[:, None].to(device).float(), v[:, None].to(device)
            index = torch.tensor([float(at)], device=device)
            wider = torch.tensor([INTER_DEAD_ZONE_OFFSET], device=device)
            with autocast(device):
                decoded, n = intra_frames(tokenizer, frames[0], index - INTRA_STEP_OFFSET)
                contexts = CropContexts(n)
                for i in range(1, 4):
                    prediction = predictions(decoded, vectors[i])
                    z, predicted = loop.encode(frames[i], prediction, index)
                    n = quantize_beyond(z, widened(frames[i], wider))
                    shown = net.reconstruct(prediction, predicted, n, index).clamp(0, 255)
                    decoded = shown
                    if loop is not net:
                        decoded = loop.reconstruct(prediction, predicted, n, index).clamp(0, 255)
                    context = contexts.next(n, vectors[i])
                    bits = rate.bits(n, at, context) if rate is not None else math.nan
                    error = float((shown - frames[i]).square().mean())
                    similarity = float(ms_ssim(shown, frames[i])[0])
                    nonzero = float((n != 0).float().mean())
                    distance = float(lpips(shown.float(), frames[i])[0]) if lpips else math.nan
                    rows.append([bits / 256**2, similarity, error, nonzero, distance])
        bpp, similarity, error, nonzero, distance = np.mean(rows, axis=0)
        quality = f"{similarity:.5f}/{error:.2f}/{nonzero:.5f}"
        quality += f"/{distance:.4f}" if lpips else ""
        figures[f"s{at}"] = quality if rate is None else f"{bpp:.4f}bpp/{quality}"
    return figures


def train(args: argparse.Namespace, world: World) -> None:
    device = world.device
    clips = load_clips(args, load_pictures(args, world), vectors=True)
    tokenizer = tokenizer_of(args.tokenizer).to(device)
    model = model_of(args, tokenizer).to(device)
    inner = inter_network_of(args.init, tokenizer).to(device) if args.shown else None
    if model.encoder is not None and args.shown:
        model.encoder.requires_grad_(False)
    rate = Rate.of(args.prior, device, not args.no_compile) if args.prior else None
    loop = Loop(model, make_optimizers(model, args.rate), loop_config(args), args.out, world)
    if loop.writes:
        write_config(args.out, asdict(tokenizer.config), args)
    loop.resume()
    lpips = Lpips.load(args.lpips).to(device) if args.lpips else None
    objective: Objective | ShownObjective
    if inner is None:
        objective = Objective(args, model, tokenizer, rate, device)
    else:
        objective = ShownObjective(args, model, inner, tokenizer, lpips, device)

    def step(generator: np.random.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        drawn = [clips.draw(args.frames, args.crop, generator) for _ in range(args.batch)]
        frames = torch.stack([x for x, _ in drawn], dim=1).to(device).float()
        vectors = torch.stack([v for _, v in drawn], dim=1).to(device)
        return objective(frames, vectors, generator)

    held_out = clips.to_validate()
    encoder_blocks = 0 if model.encoder is None else len(model.encoder.blocks)
    shadow = InterNetwork(tokenizer, encoder_blocks, len(model.decoder.blocks)).to(device).eval()

    def validate(state: dict[str, Tensor]) -> dict[str, Any]:
        shadow.load_state_dict(state)
        return evaluate(shadow, tokenizer, held_out, rate, device, inner, lpips)

    loop.run(step, validate)
