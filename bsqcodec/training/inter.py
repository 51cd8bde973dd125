"""Training of the inter prior, on the integers of inter frames and what is known before them."""

from __future__ import annotations

import argparse
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bsqcodec.format.json_text import parse_json
from bsqcodec.machine.precision import autocast
from bsqcodec.models.prior.network import Prior
from bsqcodec.models.prior.order import BUCKETS, bucket
from bsqcodec.models.transform.temporal_context import context_size
from bsqcodec.models.transform.tokenizer import STEPS
from bsqcodec.training.checkpoints import tokenizer_of
from bsqcodec.training.clips import Clips
from bsqcodec.training.distributed import World
from bsqcodec.training.groups import Groups
from bsqcodec.training.prior import PriorRun
from bsqcodec.training.prior_passes import pass_losses, total_bits
from bsqcodec.training.trainer_options import add_shared_arguments, set_up
from bsqcodec.training.video import inter_network_of, typical_bpp

log = logging.getLogger(__name__)

INTER = {
    "width": 192,
    "blocks": 3,
    "hidden": 512,
    "bands": ((256,),),
    "attention": False,
    "depths": (3, 3, 1),
    "lattices": (2, 2, 1),
}
"""The default shape: small, since every frame pays for it."""

MARGIN = 3.0
"""Largest integers of inter frames may be this times those seen."""


@dataclass(frozen=True)
class Batch:
    """Samples: their steps, the planes they need, integers [B, h, w, C], context [B, h, w, K]."""

    steps: list[int]
    planes: list[int]
    n: Tensor
    context: Tensor


def count_planes(groups: Groups) -> Tensor:
    """Digits that each channel needs in each step bucket, uint8 [BUCKETS, C].

    From the largest integers of inter frames; they shrink with the step.
    """
    largest = torch.zeros(BUCKETS, groups.channels)
    for index in range(len(groups)):
        step, n, _ = groups[index]
        if len(n) > 1:
            most = n[1:].abs().amax((0, 1, 2))
            mine = bucket(step)
            for other in range(BUCKETS):  # a step of another bucket makes them larger or smaller
                factor = 2.0 ** ((mine - other) * (STEPS // BUCKETS) / 32)
                if factor <= 1 or other == mine:
                    largest[other] = torch.maximum(largest[other], most * factor)
    planes = torch.ceil(torch.log(2 * MARGIN * largest + 1) / np.log(3)).clamp(1, 9)
    return planes.to(torch.uint8)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_shared_arguments(parser)
    parser.set_defaults(batch=24, decay=0.5)
    parser.add_argument("--tokenizer", type=Path, required=True, help="of pictures")
    parser.add_argument(
        "--inter-network", type=Path, required=True, help="run of the video decoder"
    )
    parser.add_argument("--clip-cache", type=Path, default=Path("runs/clips"))
    parser.add_argument("--group-cache", type=Path, default=Path("runs/groups"))
    parser.add_argument("--rounds", type=int, default=2, help="steps at which each clip is coded")
    parser.add_argument("--passes", type=int, default=3, help="passes drawn for each sample")
    parser.add_argument("--quantized-from", type=float, default=0.7, help="progress 0..1")
    parser.add_argument("--config", type=parse_json, default={}, help="JSON of PriorConfig")


def main(args: argparse.Namespace) -> None:
    with set_up(args) as world:
        train(args, world)


def train(args: argparse.Namespace, world: World) -> None:
    device = world.device
    tokenizer = tokenizer_of(args.tokenizer).to(device)
    clips = Clips(args.clip_cache)
    model = inter_network_of(args.inter_network, tokenizer).to(device)
    groups = Groups.load(model, clips, args.group_cache, args.rounds, args.seed)
    channels = tokenizer.config.channels
    shape = INTER | {"channels": channels, "context": context_size(channels)}
    run = PriorRun.begin(args, world, shape, lambda: count_planes(groups))
    loop, passes = run.loop, run.passes
    tokens = args.crop // tokenizer.config.patch

    def batch(generator: np.random.Generator, count: int) -> Batch:
        drawn = [groups.draw(tokens, generator) for _ in range(count)]
        n = torch.stack([d[2] for d in drawn]).to(device)
        context = torch.stack([d[3] for d in drawn]).to(device)
        return Batch([d[0] for d in drawn], [d[1] for d in drawn], n, context)

    def losses(
        net: Prior, drawn: Batch, generator: np.random.Generator, hard: bool
    ) -> tuple[Tensor, Tensor]:
        """(loss, bits per pixel), of each pass drawn."""
        steps = drawn.steps * args.passes
        n, context = (x.repeat(args.passes, 1, 1, 1) for x in (drawn.n, drawn.context))
        draws = []
        for index, most in zip(steps, drawn.planes * args.passes, strict=True):
            mine = bucket(index)
            draws.append(passes.draw(mine, generator, passes.begins(mine, most)))
        with autocast(device):
            bits = pass_losses(net, passes, n, draws, hard, context)
        bpp = bits / args.crop**2
        typical = torch.tensor([typical_bpp(index) for index in steps]).to(device)
        return bpp / typical, bpp

    def step(generator: np.random.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        quantized = loop.progress >= args.quantized_from
        loss, bpp = losses(run.prior, batch(generator, args.batch), generator, quantized)
        return loss.mean(), {"bpp": bpp.mean()}

    fixed = np.random.default_rng(12345)
    held_out = [batch(fixed, 1) for _ in range(64)]

    @torch.no_grad()
    def validate(state: dict[str, Tensor]) -> dict[str, Any]:
        """On squares of the training groups, the same every time."""
        run.shadow.load_state_dict(state)
        ratios = []
        for drawn in held_out:
            with autocast(device):
                bits = total_bits(
                    run.shadow,
                    run.plain,
                    drawn.n,
                    drawn.steps[0],
                    True,
                    drawn.context,
                    drawn.planes[0],
                )
            ratios.append(bits / args.crop**2 / typical_bpp(drawn.steps[0]))
        return {"relative": round(float(np.mean(ratios)), 5)}

    loop.run(step, validate)
