"""Training of the network by which earlier frames add to a frame's picture in the family `bsq`.

All else of the tokenizer stays as it is, so that codes, first frames and pictures do not change.
The losses are those of pictures (`bsq`), of the frames that have earlier ones, and the change of
their errors from frame to frame.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bsqcodec.encoder.lpips import Lpips
from bsqcodec.machine.precision import autocast
from bsqcodec.models.bsq.alignment import aligned
from bsqcodec.models.bsq.earlier_frames import EarlierFrames
from bsqcodec.models.bsq.network import BsqConfig, BsqTokenizer
from bsqcodec.training.bsq import Depth, Trained, depth, depths_of, nested_signs, new_parts
from bsqcodec.training.checkpoints import bsq_state
from bsqcodec.training.clips import add_clip_arguments, load_clips
from bsqcodec.training.distributed import World
from bsqcodec.training.loop import Loop, write_config
from bsqcodec.training.optim import make_optimizers
from bsqcodec.training.picture_loss import PictureLoss, add_loss_arguments
from bsqcodec.training.tokenizer import quality_of
from bsqcodec.training.trainer_options import (
    add_shared_arguments,
    load_pictures,
    loop_config,
    set_up,
)

EARLIER = "tokenizer.earlier."
"""What the names of the tensors begin with that are trained."""


@torch.no_grad()
def pictures_of(model: BsqTokenizer, clips: Tensor, kept: Tensor) -> Tensor:
    """Decoded clips [B, T, 3, H, W], each frame by its own codes, of which kept[b] bits are left.

    clips: the originals. The samples are rounded, as the codec's.
    """
    count = clips.shape[1]
    signs = nested_signs(model.encoder(clips.flatten(0, 1)), kept.repeat_interleave(count))
    return model.decoder(signs).clamp(0, 255).round().unflatten(0, (-1, count))


@torch.no_grad()
def aligned_clips(pictures: Tensor, frames: int) -> list[list[Tensor]]:
    """Of each frame of clips [B, T, 3, H, W]: the aligned pictures [B, 3, H, W] of those before.

    The latest come first, `frames` at most.
    """
    result = []
    for number in range(pictures.shape[1]):
        earlier = range(number - 1, max(number - frames, 0) - 1, -1)
        result.append(
            [
                torch.stack([aligned(clip[number], clip[before]) for clip in pictures])
                for before in earlier
            ]
        )
    return result


def shown(network: EarlierFrames, pictures: Tensor, earlier: Sequence[Sequence[Tensor]]) -> Tensor:
    """Clips [B, T, 3, H, W] as a network shows them, with the first frames as they are.

    earlier: what `aligned_clips` makes of them.
    """
    frames = pictures.unbind(1)
    later = zip(frames[1:], earlier[1:], strict=True)
    return torch.stack([frames[0], *(network(own, known) for own, known in later)], 1)


def flicker(decoded: Tensor, clips: Tensor) -> Tensor:
    """Mean squares [B, T - 1] of how the error of a frame differs from that of the one before.

    decoded, clips: [B, T, 3, H, W].
    """
    return (decoded - clips).diff(dim=1).square().mean((2, 3, 4))


class ClipObjective(nn.Module):
    """What a step minimises."""

    def __init__(self, args: argparse.Namespace, lpips: Lpips | None) -> None:
        super().__init__()
        self.pictures = PictureLoss(args, lpips)
        self.flicker: float = args.flicker

    def forward(
        self,
        network: EarlierFrames,
        clips: Tensor,
        pictures: Tensor,
        earlier: Sequence[Sequence[Tensor]],
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """(loss, figures to log) of clips, and of `pictures_of` and `aligned_clips` of them."""
        decoded = shown(network, pictures, earlier)
        loss, figures = self.pictures(decoded[:, 1:].flatten(0, 1), clips[:, 1:].flatten(0, 1))
        changes = flicker(decoded, clips)
        figures["flicker"] = changes.sqrt().mean()
        return loss + self.flicker * torch.log1p(changes).mean(), figures


@torch.no_grad()
def evaluate(
    model: BsqTokenizer,
    clips: list[Tensor],
    bits: int,
    device: torch.device,
    lpips: Lpips | None = None,
    *,
    alone: bool = False,
) -> str:
    """Means over the clips' frames but the first: PSNR, MS-SSIM, LPIPS, and RMS of the flicker.

    bits: of a code. alone: show each frame as a picture.
    """
    rows = []
    for clip in clips:
        x = clip.to(device).float()[None]
        y = pictures_of(model, x, torch.tensor([float(bits)], device=device))
        if not alone and model.earlier is not None:
            y = shown(model.earlier, y, aligned_clips(y, model.config.earlier_frames))
            y = y.clamp(0, 255).round()
        changes = flicker(y, x)[0].sqrt().tolist()
        for decoded, frame, change in zip(y[0, 1:], x[0, 1:], changes, strict=True):
            pair = decoded[None], frame[None]
            distance = float(lpips(*pair)[0]) if lpips else math.nan
            rows.append((*quality_of(*pair), distance, change))
    psnr, similarity, distance, change = np.mean(rows, axis=0)
    return f"{psnr:.3f}dB/{similarity:.4f}/{distance:.4f}/{change:.3f}"


def validation_clips(folder: Path, frames: int, window: int) -> list[Tensor]:
    """The first frames uint8 [T, 3, H, W] of each video in a folder, cut to whole windows."""
    # here, not at the top: it needs PyAV, which a training machine may lack
    from bsqcodec.media.video.video_files import open_video

    result = []
    for path in sorted(folder.iterdir()):
        with open_video(path) as reader:
            pixels = [frame.pixels for frame in islice(reader.frames(), frames)]
        h, w = (n // window * window for n in pixels[0].shape[:2])
        x = torch.from_numpy(np.stack(pixels)[:, :h, :w])
        result.append(x.permute(0, 3, 1, 2).contiguous())
    return result


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_shared_arguments(parser)
    parser.set_defaults(rate=2e-3, batch=8, crop=128)
    add_clip_arguments(parser)
    add_loss_arguments(parser)
    add = parser.add_argument
    add(
        "--depths",
        type=depth,
        nargs="+",
        default=[],
        metavar="BITS[:FRACTION]",
        help="numbers of first bits to which codes are cut, at random in each clip",
    )
    add("--earlier-frames", type=int, default=2, help="that a frame is given")
    add("--earlier-convs", type=int, default=3, help="residual convolutions over them")
    add("--flicker", type=float, default=0.0, help="weight of the change of errors in time")


def start(config: BsqConfig, state: dict[str, Tensor]) -> Trained:
    """A model to train, with what a state has; all is frozen but what reads earlier frames."""
    model = Trained(config)
    own = model.state_dict()
    lacking = list(new_parts(state, model))
    if unknown := [name for name in lacking if not name.startswith(EARLIER)]:
        raise ValueError(f"{unknown[0]} is missing, or has another shape")
    model.load_state_dict({k: own[k] if k in lacking else state[k] for k in own})
    model.requires_grad_(False)
    network_of(model).requires_grad_(True)
    return model


def network_of(model: Trained) -> EarlierFrames:
    """The network that is trained."""
    assert model.tokenizer.earlier is not None
    return model.tokenizer.earlier


def main(args: argparse.Namespace) -> None:
    with set_up(args) as world:
        train(args, world)


def train(args: argparse.Namespace, world: World) -> None:
    if args.init is None or args.earlier_frames < 1:
        raise SystemExit("bsq-video needs --init, a tokenizer, and an earlier frame at least")
    device = world.device
    shape, state = bsq_state(args.init)
    of_video = {"earlier_frames": args.earlier_frames, "earlier_convs": args.earlier_convs}
    config = BsqConfig(**shape | of_video)
    chosen = depths_of(config.bits, args.depths or [Depth(bits) for bits in config.depths])
    clips = load_clips(args, load_pictures(args, world), vectors=False)
    model = start(config, state).to(device)
    lpips = Lpips.load(args.lpips).to(device) if args.lpips else None
    loop = Loop(model, make_optimizers(model, args.rate), loop_config(args), args.out, world)
    if loop.writes:
        write_config(args.out, asdict(config), args)
    loop.resume()
    objective = ClipObjective(args, lpips)
    compiled = objective if args.no_compile else torch.compile(objective.forward)
    fractions = np.array([each.fraction for each in chosen])
    fractions /= fractions.sum()

    def step(generator: np.random.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        count = args.earlier_frames + 1
        drawn = [clips.draw(count, args.crop, generator)[0] for _ in range(args.batch)]
        bits = generator.choice([each.bits for each in chosen], args.batch, p=fractions)
        kept = torch.from_numpy(bits).float().to(device)
        x = torch.stack(drawn).to(device).float()
        with autocast(device):
            pictures = pictures_of(model.tokenizer, x, kept)
            earlier = aligned_clips(pictures, args.earlier_frames)
            return compiled(network_of(model), x, pictures, earlier)

    held_out: list[Tensor] = []
    if args.validation:
        window = config.window
        held_out = validation_clips(args.validation, args.validation_limit, window)
    shadow = Trained(config).to(device).eval()
    alone: dict[str, str] = {}

    def validate(averaged: dict[str, Tensor]) -> dict[str, Any]:
        shadow.load_state_dict(averaged)
        figures: dict[str, Any] = {}
        for bits in (each.bits for each in chosen if held_out):
            with autocast(device):
                tokenizer, name = shadow.tokenizer, f"k{bits}_alone"
                if name not in alone:
                    alone[name] = evaluate(tokenizer, held_out, bits, device, lpips, alone=True)
                found = evaluate(tokenizer, held_out, bits, device, lpips)
            figures |= {f"k{bits}": found, name: alone[name]}
        return figures

    loop.run(step, validate)
