"""Training of the prior on the integers of a trained tokenizer, one random pass a sample."""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bsqcodec.masking import dead_zones, token_variance
from bsqcodec.prior.context import CONTEXTS, contexts, features, neighbour_sums
from bsqcodec.prior.model import Prior
from bsqcodec.prior.order import (
    BUCKETS,
    LATTICES,
    PriorConfig,
    Stage,
    bucket,
    lattice,
    limits,
    stages,
)
from bsqcodec.tokenizer.model import STEPS, Tokenizer
from bsqcodec.tokenizer.quantizer import quantize_beyond
from bsqcodec.training.checkpoints import prior_of, tokenizer_of, trained_planes, with_planes
from bsqcodec.training.distributed import World
from bsqcodec.training.loop import Loop, write_config
from bsqcodec.training.optim import make_optimizers
from bsqcodec.training.options import (
    add_shared_arguments,
    crop_source,
    load_pictures,
    loop_config,
    set_up,
)
from bsqcodec.training.tokenizer import draw_steps, validation_pictures

log = logging.getLogger(__name__)

LN2 = float(np.log(2))


def count_planes(tokenizer: Tokenizer, crops: Tensor, margin: float = 2.5) -> Tensor:
    """Digits that each channel needs in each step bucket, uint8 [BUCKETS, C].

    From the largest integers of crops [N, 3, H, W], times a margin for unusual pictures.
    """
    rows = []
    # no pixels give the linear part of the transform more than this
    bound = 127.5 * tokenizer.encoder.transform.weight.abs().sum(1)
    for index in range(BUCKETS):
        step = torch.full((len(crops),), float(index * STEPS // BUCKETS))
        with torch.no_grad(), torch.autocast(crops.device.type, torch.bfloat16):
            z = tokenizer.encode(crops, step.to(crops.device))
        most = bound / tokenizer.units(step[:1].to(bound))[0, 0, 0]
        largest = torch.minimum(margin * z.abs().amax((0, 1, 2)), most + 1)
        rows.append(torch.ceil(torch.log(2 * largest + 1e-9) / np.log(3)).clamp(0, 9))
    return torch.stack(rows).to(torch.uint8).cpu()


class Passes:
    """What every pass of every step needs, as tables indexed by (bucket, stage)."""

    def __init__(self, prior: Prior) -> None:
        self.config = prior.config
        planes = prior.planes.cpu().numpy()
        self.orders: list[list[Stage]] = []
        self.limits: list[Tensor] = []
        for index in range(BUCKETS):
            step = index * STEPS // BUCKETS
            self.orders.append(stages(self.config, planes, step))
            self.limits.append(torch.from_numpy(limits(planes, step)).float())
        self.planes = torch.from_numpy(planes.astype(np.int64))

    def draw(self, index: int, generator: np.random.Generator) -> tuple[int, int, float]:
        """(position in the order, lattice, importance weight) of a random pass in a bucket."""
        order = self.orders[index]
        wish = np.array([3.0 if s.plane == 0 else 2.0 if s.plane == 1 else 1.0 for s in order])
        chance = wish / wish.sum()
        position = int(generator.choice(len(order), p=chance))
        return position, int(generator.integers(0, 2)), 1 / float(chance[position])


def before(n: Tensor, coarse: Tensor, stage: Stage, config: PriorConfig) -> Tensor:
    """Partial values when a stage begins: channels of earlier bands have this plane's digit."""
    ends = config.bands[min(stage.plane, len(config.bands) - 1)]
    first = ends[stage.band - 1] if stage.band else 0
    fine = prefix(n, stage.plane)
    return torch.cat([fine[..., :first], coarse[..., first:]], dim=-1)


def prefix(n: Tensor, plane: int) -> Tensor:
    """The balanced ternary digits of n from `plane` upwards: the nearest multiple of 3^plane."""
    power = 3**plane
    return torch.round(n / power) * power


def pass_losses(
    prior: Prior,
    passes: Passes,
    n: Tensor,
    step: Tensor,
    draws: list[tuple[int, int, float]],
    quantized: bool,
) -> Tensor:
    """Bits [B] of the drawn pass of each sample (times its weight): n [B, h, w, C], step [B]."""
    config, device = prior.config, n.device
    h, w, c = n.shape[1:]
    white = torch.from_numpy(lattice(h, w)).to(device)
    state, digit, kind, power, band, alive, now, known, stopped, indices = ([] for _ in range(10))
    for i, (position, parity, _) in enumerate(draws):
        index = bucket(int(step[i]))
        order = passes.orders[index]
        stage = order[position]
        value = n[i].clamp(-passes.limits[index].to(device), passes.limits[index].to(device))
        start = before(value, prefix(value, stage.plane + 1), stage, config)
        channels = torch.zeros(c, device=device)
        channels[torch.from_numpy(stage.channels).to(device)] = 1
        fine = prefix(value, stage.plane)
        done = (white < parity).to(n)
        ends_now = (value == start).all(-1)
        if position:
            earlier = order[position - 1]
            begun = before(value, prefix(value, earlier.plane + 1), earlier, config)
            ended = (value == begun).all(-1)
        else:
            ended = torch.zeros_like(ends_now)
        state.append(torch.where((done[..., None] * channels) > 0, fine, start))
        digit.append((fine - start) / 3**stage.plane)
        kind.append(stage.index)
        power.append(float(3**stage.plane))
        band.append(channels)
        alive.append((white == parity) & ~ended)
        now.append(ends_now)
        known.append(done)
        stopped.append((ended | ((done > 0) & ends_now)).to(n))
        indices.append(index)
    v, target = torch.stack(state), torch.stack(digit)
    kinds = torch.tensor(kind, device=device)
    parity_of = torch.tensor([d[1] for d in draws], device=device)
    buckets = torch.tensor(indices, device=device)
    powers = torch.tensor(power, device=device)[:, None, None, None]
    flags = (torch.stack(known) + 2 * torch.stack(stopped)).long()
    head = prior.trunk(
        features(v, powers), 2 * kinds + parity_of, buckets, flags, quantized
    ).float()
    active, stops, channels = torch.stack(alive), torch.stack(now), torch.stack(band)
    stop = head[..., 2 * c] + prior.stop_table(kinds * BUCKETS + buckets)[:, :, None]
    flag = F.binary_cross_entropy_with_logits(stop, stops.float(), reduction="none") * active
    coded = (active & ~stops)[..., None] & (channels > 0)[:, None, None]
    sample, row, column, channel = coded.nonzero(as_tuple=True)
    chosen = (sample, row, column, channel)
    magnitude, trend = neighbour_sums(v)
    context = contexts(v[chosen], magnitude[chosen], trend[chosen], powers.flatten()[sample])
    kind_of = kinds[sample]
    table = prior.table((kind_of * c + channel) * CONTEXTS + context)
    table = table + prior.shared_table(kind_of * CONTEXTS + context)
    nonzero = head[chosen] + table[:, 0]
    positive = head[sample, row, column, c + channel] + table[:, 1]
    wanted = target[chosen]
    bits = F.binary_cross_entropy_with_logits(nonzero, (wanted != 0).float(), reduction="none")
    sign = F.binary_cross_entropy_with_logits(positive, (wanted > 0).float(), reduction="none")
    bits = bits + sign * (wanted != 0)
    total = flag.sum((1, 2)).index_add(0, sample, bits)
    weight = torch.tensor([LATTICES * d[2] for d in draws], device=device)
    return total * weight / LN2


@torch.no_grad()
def total_bits(prior: Prior, passes: Passes, n: Tensor, step: int, quantized: bool) -> float:
    """Bits of one picture n [1, h, w, C], all passes."""
    bits = 0.0
    for position in range(len(passes.orders[bucket(step)])):
        for parity in range(2):
            draw = [(position, parity, 1 / LATTICES)]
            bits += float(pass_losses(prior, passes, n, torch.tensor([step]), draw, quantized)[0])
    return bits


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_shared_arguments(parser)
    parser.set_defaults(batch=12, decay=0.5, validation_limit=4)
    parser.add_argument(
        "--tokenizer", type=Path, required=True, help="run folder or shipped weights"
    )
    parser.add_argument("--passes", type=int, default=4, help="passes drawn for each crop")
    parser.add_argument("--quantized-from", type=float, default=0.7, help="progress 0..1")
    parser.add_argument("--config", type=json.loads, default={}, help="JSON of PriorConfig")


def main(args: argparse.Namespace) -> None:
    with set_up(args) as world:
        train(args, world)


def train(args: argparse.Namespace, world: World) -> None:
    device = world.device
    source = crop_source(args, load_pictures(args, world), device)
    tokenizer = tokenizer_of(args.tokenizer).to(device)
    config = PriorConfig(channels=tokenizer.config.channels, **args.config)
    planes = trained_planes(args.out)  # not of the pictures that are there now
    if planes is None:
        sample = source.crops(160, args.crop, np.random.default_rng(args.seed))
        planes = count_planes(tokenizer, sample.to(device).float())
        world.broadcast([planes])
    if args.init:
        prior = with_planes(prior_of(args.init), planes).requires_grad_(True).train()
    else:
        prior = Prior(config, planes)
    prior.to(device)
    log.info("digits a channel: %s", prior.planes.float().mean(1).tolist())
    optimizers = make_optimizers(prior, args.rate, slow=("table",), slow_factor=10.0)
    loop = Loop(prior, optimizers, loop_config(args), args.out, world)
    if loop.writes:
        write_config(args.out, asdict(prior.config), args)
    loop.resume()
    shadow = Prior(prior.config, prior.planes).to(device).eval()
    passes = Passes(prior)
    if not args.no_compile:
        for block in prior.blocks:
            block.compile()
    held_out: list[Tensor] = []
    if args.validation:
        held_out = validation_pictures(args.validation, args.validation_limit)

    def encode(pixels: Tensor, step: Tensor) -> Tensor:
        with torch.no_grad(), torch.autocast(device.type, torch.bfloat16):
            x = pixels.to(device).float()
            z = tokenizer.encode(x, step.to(device))
            zone = dead_zones(token_variance(x, tokenizer.config.patch))
            return quantize_beyond(z, zone[..., None])

    def step(generator: np.random.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        index = draw_steps(args.batch, generator).round()
        n = encode(source.crops(args.batch, args.crop, generator), index)
        n, index = n.repeat(args.passes, 1, 1, 1), index.repeat(args.passes)
        draws = [passes.draw(bucket(int(s)), generator) for s in index]
        quantized = loop.progress >= args.quantized_from
        with torch.autocast(device.type, torch.bfloat16):
            bits = pass_losses(prior, passes, n, index, draws, quantized)
        bpp = bits / args.crop**2
        usual = 0.02 + 30.0 / (2.0 * 2.0 ** (index.to(device) / 32.0))
        return (bpp / usual).mean(), {"bpp": bpp.mean()}

    def validate(state: dict[str, Tensor]) -> dict[str, Any]:
        shadow.load_state_dict(state)
        figures = {}
        for index in (160, 192, 224) if held_out else ():
            rows = []
            for picture in held_out:
                n = encode(picture, torch.tensor([float(index)]))
                with torch.autocast(device.type, torch.bfloat16):
                    bits = total_bits(shadow, passes, n, index, True)
                rows.append(bits / (picture.shape[2] * picture.shape[3]))
            figures[f"s{index}"] = round(float(np.mean(rows)), 5)
        return figures

    loop.run(step, validate)
