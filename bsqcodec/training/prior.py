"""Training of the prior on the integers of a trained tokenizer, one random pass a sample."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bsqcodec.encoder.masking import dead_zones_of
from bsqcodec.format.json_text import parse_json
from bsqcodec.machine.precision import autocast
from bsqcodec.models.prior.network import Prior
from bsqcodec.models.prior.order import BUCKETS, PriorConfig, bucket
from bsqcodec.models.transform.quantizer import quantize_beyond
from bsqcodec.models.transform.tokenizer import STEPS, Tokenizer
from bsqcodec.training.checkpoints import prior_of, tokenizer_of, trained_planes, with_shape
from bsqcodec.training.distributed import World
from bsqcodec.training.loop import Loop, write_config
from bsqcodec.training.optim import make_optimizers
from bsqcodec.training.prior_passes import Passes, pass_losses, total_bits
from bsqcodec.training.tokenizer import draw_steps, validation_pictures
from bsqcodec.training.trainer_options import (
    add_shared_arguments,
    crop_source,
    load_pictures,
    loop_config,
    set_up,
)

log = logging.getLogger(__name__)


def count_planes(tokenizer: Tokenizer, crops: Tensor, margin: float = 2.5) -> Tensor:
    """Digits that each channel needs in each step bucket, uint8 [BUCKETS, C].

    From the largest integers of crops [N, 3, H, W], times a margin for unusual pictures.
    """
    rows = []
    # no pixels give the linear part of the transform more than this
    bound = 127.5 * tokenizer.encoder.transform.weight.abs().sum(1)
    for index in range(BUCKETS):
        step = torch.full((len(crops),), float(index * STEPS // BUCKETS))
        with torch.no_grad(), autocast(crops.device):
            z = tokenizer.encode(crops, step.to(crops.device))
        most = bound / tokenizer.units(step[:1].to(bound))[0, 0, 0]
        largest = torch.minimum(margin * z.abs().amax((0, 1, 2)), most + 1)
        rows.append(torch.ceil(torch.log(2 * largest + 1e-9) / np.log(3)).clamp(0, 9))
    return torch.stack(rows).to(torch.uint8).cpu()


@dataclass(frozen=True)
class PriorRun:
    """A prior in training. shadow: for its averaged weights; plain:
    passes that are not compiled."""

    prior: Prior
    loop: Loop
    passes: Passes
    shadow: Prior
    plain: Passes

    @classmethod
    def begin(
        cls,
        args: argparse.Namespace,
        world: World,
        shape: dict[str, Any],
        count: Callable[[], Tensor],
    ) -> PriorRun:
        """Begin, or go on from the run's checkpoint.

        shape: of a new prior, unless `args.config` says otherwise; count: counts the planes, which
        a run that has begun keeps, whatever data there are now.
        """
        planes = trained_planes(args.out)
        if planes is None:
            planes = count()
            world.broadcast([planes])
        if args.init:
            parent = prior_of(args.init)
            config = replace(parent.config, **args.config)
            prior = with_shape(parent, planes, config).requires_grad_(True).train()
        else:
            prior = Prior(PriorConfig(**(shape | args.config)), planes)
        prior.to(world.device)
        log.info("digits a channel: %s", prior.planes.float().mean(1).tolist())
        optimizers = make_optimizers(prior, args.rate, slow=("table",), slow_factor=10.0)
        loop = Loop(prior, optimizers, loop_config(args), args.out, world)
        if loop.writes:
            write_config(args.out, asdict(prior.config), args)
        loop.resume()
        shadow = Prior(prior.config, prior.planes).to(world.device).eval()
        run = cls(prior, loop, Passes(prior), shadow, Passes(prior))
        if not args.no_compile:
            prior.compile()
            run.passes.compile()
        return run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_shared_arguments(parser)
    parser.set_defaults(batch=12, decay=0.5, validation_limit=4)
    parser.add_argument(
        "--tokenizer", type=Path, required=True, help="run folder or shipped weights"
    )
    parser.add_argument("--passes", type=int, default=4, help="passes drawn for each crop")
    parser.add_argument("--quantized-from", type=float, default=0.7, help="progress 0..1")
    parser.add_argument("--config", type=parse_json, default={}, help="JSON of PriorConfig")


def main(args: argparse.Namespace) -> None:
    with set_up(args) as world:
        train(args, world)


def train(args: argparse.Namespace, world: World) -> None:
    device = world.device
    source = crop_source(args, load_pictures(args, world), device)
    tokenizer = tokenizer_of(args.tokenizer).to(device)

    def count() -> Tensor:
        sample = source.crops(160, args.crop, np.random.default_rng(args.seed))
        return count_planes(tokenizer, sample.to(device).float())

    run = PriorRun.begin(args, world, {"channels": tokenizer.config.channels}, count)
    loop, passes = run.loop, run.passes
    held_out: list[Tensor] = []
    if args.validation:
        held_out = validation_pictures(args.validation, args.validation_limit)

    def encode(pixels: Tensor, step: Tensor) -> Tensor:
        with torch.no_grad(), autocast(device):
            x = pixels.to(device).float()
            z = tokenizer.encode(x, step.to(device))
            return quantize_beyond(z, dead_zones_of(x, tokenizer.config.patch))

    def step(generator: np.random.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        index = draw_steps(args.batch, generator).round()
        n = encode(source.crops(args.batch, args.crop, generator), index)
        n, index = n.repeat(args.passes, 1, 1, 1), index.repeat(args.passes)
        draws = [passes.draw(bucket(int(s)), generator) for s in index]
        quantized = loop.progress >= args.quantized_from
        with autocast(device):
            bits = pass_losses(run.prior, passes, n, draws, quantized)
        bpp = bits / args.crop**2
        typical = 0.02 + 30.0 / (2.0 * 2.0 ** (index.to(device) / 32.0))
        return (bpp / typical).mean(), {"bpp": bpp.mean()}

    def validate(state: dict[str, Tensor]) -> dict[str, Any]:
        run.shadow.load_state_dict(state)
        figures = {}
        for index in (160, 192, 224) if held_out else ():
            rows = []
            for picture in held_out:
                n = encode(picture, torch.tensor([float(index)]))
                with autocast(device):
                    bits = total_bits(run.shadow, run.plain, n, index, True)
                rows.append(bits / (picture.shape[2] * picture.shape[3]))
            figures[f"s{index}"] = round(float(np.mean(rows)), 5)
        return figures

    loop.run(step, validate)
