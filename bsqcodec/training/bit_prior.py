"""Training of the prior of a BSQ tokenizer's bits, one random set of known bits a sample.

Half of the samples are passes of the coding order, the others random sets, as in masked language
models: single sub-codes, whole tokens, or all but a rectangle (a hole), half of them of codes that
are cut to their first sub-codes. A prior of videos learns on frames of clips too, given the frames
before.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bsqcodec.machine.precision import autocast
from bsqcodec.models.bsq.bit_order import BitPriorConfig, lattice_of, passes
from bsqcodec.models.bsq.bit_prior import BitPrior, cost_in_bits
from bsqcodec.models.bsq.network import BsqConfig, BsqTokenizer, bits_of
from bsqcodec.models.windows import WINDOW
from bsqcodec.training.checkpoints import averaged, bsq_state, part_of, shipped
from bsqcodec.training.clips import Clips, add_clip_arguments, load_clips
from bsqcodec.training.dequantized import dequantized_bit_prior
from bsqcodec.training.distributed import World
from bsqcodec.training.loop import Loop, write_config
from bsqcodec.training.optim import make_optimizers
from bsqcodec.training.tokenizer import validation_pictures
from bsqcodec.training.trainer_options import (
    add_shared_arguments,
    crop_source,
    load_pictures,
    loop_config,
    set_up,
)

log = logging.getLogger(__name__)

SCHEDULED = 0.5
"""Fraction of the samples that are passes of the coding order."""

SHORT = 0.5
"""Fraction of the other samples whose codes are cut to a random number of sub-codes."""

CUT = 0.25
"""Probability that a sample's last window of a direction is partly padding."""


class TrainedPrior(nn.Module):
    """A prior in training, whose tensors checkpoints call `prior.*`."""

    def __init__(self, config: BitPriorConfig) -> None:
        super().__init__()
        self.prior = BitPrior(config)


@dataclass(frozen=True)
class Sample:
    """What is known of a batch's codes, and what is asked.

    known, wanted: bool [B, h, w, sub-codes]; passes [B]: as `BitPrior` takes them; outside
    [B, h, w] int64; weight [B]: bits a token that a mean bit of a wanted sub-code stands for.
    """

    known: Tensor
    wanted: Tensor
    passes: Tensor
    outside: Tensor
    weight: Tensor

    def to(self, device: torch.device) -> Sample:
        return Sample(*(part.to(device) for part in vars(self).values()))


def _scheduled(
    config: BitPriorConfig, index: int, shape: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Known and wanted sub-codes [h, w, sub-codes] of a pass."""
    at = passes(config)[index]
    lattice = lattice_of(*shape, at.lattices)
    known = np.zeros((*shape, config.sub_codes), bool)
    wanted = known.copy()
    known[..., : at.sub_code] = True
    known[..., at.sub_code] = lattice < at.lattice
    wanted[..., at.sub_code] = lattice == at.lattice
    return known, wanted


def _random_known(
    config: BitPriorConfig, shape: tuple[int, int], generator: np.random.Generator
) -> np.ndarray:
    """Known sub-codes [h, w, sub-codes], at least one of them not."""
    full = (*shape, config.sub_codes)
    kind = generator.integers(3)
    if kind == 2:  # all but a hole
        known = np.ones(full, bool)
        height, width = (int(generator.integers(1, n + 1)) for n in shape)
        top = int(generator.integers(shape[0] - height + 1))
        left = int(generator.integers(shape[1] - width + 1))
        known[top : top + height, left : left + width] = False
        known &= generator.random(full) < 1 - generator.random() / 4
    else:
        fraction = np.cos(np.pi / 2 * generator.random())  # of what is not known
        known = generator.random(full if kind else (*shape, 1)) >= fraction
        known = np.broadcast_to(known, full).copy()
    if known.all():
        known[tuple(int(generator.integers(n)) for n in full)] = False
    return known


def _outside(shape: tuple[int, int], generator: np.random.Generator) -> np.ndarray:
    """Which tokens [h, w] are padding: of the last window of a direction, sometimes."""
    outside = np.zeros(shape, bool)
    if generator.random() < CUT:
        outside[shape[0] - int(generator.integers(WINDOW)) :] = True
    if generator.random() < CUT:
        outside[:, shape[1] - int(generator.integers(WINDOW)) :] = True
    return outside


def draw(
    config: BitPriorConfig, count: int, shape: tuple[int, int], generator: np.random.Generator
) -> Sample:
    """Samples for `count` grids of `shape` tokens."""
    rows = []
    for _ in range(count):
        index = config.passes
        outside = _outside(shape, generator)
        if generator.random() < SCHEDULED:
            index = int(generator.integers(config.passes))
            known, wanted = _scheduled(config, index, shape)
            weight = config.passes / passes(config)[index].lattices
        else:
            known = _random_known(config, shape, generator)
            wanted = ~known
            depth = config.sub_codes
            if generator.random() < SHORT:
                depth = int(generator.integers(1, depth + 1))
                known[..., depth:] = wanted[..., depth:] = False
            weight = float(depth)
        inside = ~outside[..., None]
        rows.append((known & inside, wanted & inside, index, outside.astype(np.int64), weight))
    parts = [torch.from_numpy(np.stack(part)) for part in zip(*rows, strict=True)]
    return Sample(parts[0], parts[1], parts[2], parts[3], parts[4].float())


def signs_of(bits: Tensor, known: Tensor, sub_code: int) -> Tensor:
    """+1 and -1 for known bits, 0 for others: bits [B, h, w, L], known [B, h, w, sub-codes]."""
    return (bits.float() * 2 - 1) * known.repeat_interleave(sub_code, -1)


def stream_of(prior: BitPrior, earlier: Tensor | None, quantized: bool) -> Tensor | None:
    """What a prior makes of earlier frames' signs [B, h, w, F, L], the latest first; None for none.

    0 for frames that there are not.
    """
    if earlier is None or prior.earlier is None:
        return None
    known: Tensor = earlier.ne(0).flatten(1, 2).any(1).any(-1).sum(-1)
    stream: Tensor = prior.earlier(earlier.flatten(-2), known, quantized)
    return stream


def loss_of(
    prior: BitPrior,
    bits: Tensor,
    sample: Sample,
    quantized: bool,
    earlier: Tensor | None = None,
) -> Tensor:
    """Bits a token [B] that the samples' wanted sub-codes cost, each times the sample's weight.

    earlier: as `stream_of` takes it.
    """
    signs = signs_of(bits, sample.known, prior.config.sub_code)
    stream = stream_of(prior, earlier, quantized)
    logits = prior(signs, sample.passes, sample.outside, quantized, stream)
    cost = cost_in_bits(logits, bits) * sample.wanted
    count = sample.wanted.sum((1, 2, 3)).clamp_min(1)
    return cost.sum((1, 2, 3)) / count * sample.weight


@torch.no_grad()
def coded_bits(
    prior: BitPrior, bits: Tensor, quantized: bool = True, earlier: Tensor | None = None
) -> Tensor:
    """Bits a token of each sub-code, [sub-codes], for whole pictures of bits [B, h, w, L].

    earlier: as `stream_of` takes it.
    """
    config = prior.config
    shape = (bits.shape[1], bits.shape[2])
    total = torch.zeros(config.sub_codes, dtype=torch.float64)
    outside = torch.zeros(bits.shape[:3], dtype=torch.int64, device=bits.device)
    stream = stream_of(prior, earlier, quantized)
    for at in passes(config):
        known, wanted = (
            torch.from_numpy(part).to(bits.device)[None].expand(len(bits), -1, -1, -1)
            for part in _scheduled(config, at.index, shape)
        )
        signs = signs_of(bits, known, config.sub_code)
        index = torch.full((len(bits),), at.index, device=bits.device)
        cost = cost_in_bits(prior(signs, index, outside, quantized, stream), bits)
        total[at.sub_code] += float((cost * wanted).sum())
    return total / outside.numel()


def bsq_tokenizer_of(source: Path) -> BsqTokenizer:
    """The tokenizer of a run of `training.bsq` (averaged), or of a file of
    `training.export_bsq`."""
    config, state = bsq_state(source)
    tokenizer = BsqTokenizer(BsqConfig(**config))
    tokenizer.load_state_dict(part_of(state, "tokenizer."))
    return tokenizer.eval().requires_grad_(False)


def bit_prior_of(source: Path) -> BitPrior:
    """The float prior of a run of this trainer (averaged), or of a shipped file, up to rounding."""
    if source.is_dir():
        config, state = averaged(source)
        prior = BitPrior(BitPriorConfig(**config))
        prior.load_state_dict(part_of(state, "prior."))
    else:
        config, tensors = shipped(source, "prior")
        prior = dequantized_bit_prior(BitPriorConfig(**config), tensors)
    return prior.eval().requires_grad_(False)


@torch.no_grad()
def start_from(prior: BitPrior, other: BitPrior) -> None:
    """Give a prior what another one has learned, of codes with as many bits or fewer.

    New sub-codes are not seen at first, and are as likely 0 as 1; what reads earlier frames is new
    if the other one has none. Raises ValueError if more than the number of bits, with lattices for
    them, differs.
    """
    new, old = prior.config, other.config
    expected = replace(old, bits=new.bits, lattices=old.lattices + new.lattices[old.sub_codes :])
    if not old.earlier_frames:
        expected = replace(
            expected, earlier_frames=new.earlier_frames, earlier_blocks=new.earlier_blocks
        )
    if expected != new or old.bits > new.bits:
        raise ValueError(f"a prior of the shape {new} cannot start from one of the shape {old}")
    state = prior.state_dict()
    for name, value in other.state_dict().items():
        if state[name].shape == value.shape:
            state[name].copy_(value)
            continue
        state[name].zero_()
        state[name][tuple(map(slice, value.shape))] = value
    last, random = other.embed_pass.weight[-2], other.embed_pass.weight[-1]
    prior.embed_pass.weight[old.passes : -1] = last
    prior.embed_pass.weight[-1] = random


def frames_of(bits: Tensor, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
    """(bits [B, h, w, L] of the last frames, signs [B, h, w, F, L] of the ones before).

    bits [B, F + 1, h, w, L] of clips. One frame is always known, of the others a random number.
    """
    signs = bits[:, :-1].float() * 2 - 1
    count = signs.shape[1]
    known = torch.from_numpy(generator.integers(1, count + 1, len(bits))).to(bits.device)
    there = torch.arange(count, device=bits.device).flip(0) < known[:, None]
    earlier = (signs * there[:, :, None, None, None]).flip(1)
    return bits[:, -1], earlier.permute(0, 2, 3, 1, 4)


def following_bits(prior: BitPrior, clips: Clips, bits_in: Callable[[Tensor], Tensor]) -> float:
    """Mean bits a token of the last frames of the clips to validate, given all frames before."""
    count = prior.config.earlier_frames + 1
    costs = []
    for frames, _ in clips.to_validate():
        bits = bits_in(frames[:count])
        earlier = (bits[:-1].float() * 2 - 1).flip(0).permute(1, 2, 0, 3)[None]
        costs.append(float(coded_bits(prior, bits[-1:], earlier=earlier).sum()))
    return sum(costs) / len(costs)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_shared_arguments(parser)
    parser.set_defaults(rate=3e-3)
    add = parser.add_argument
    add("--tokenizer", type=Path, required=True, help="run folder, or exported file")
    add("--config", type=json.loads, default={}, help="JSON of BitPriorConfig")
    add_clip_arguments(parser)
    add("--clip-share", type=float, default=0.5, help="of the steps that are of clips")
    add("--clip-batch", type=int, default=10, help="clips a step")


def main(args: argparse.Namespace) -> None:
    with set_up(args) as world:
        train(args, world)


def train(args: argparse.Namespace, world: World) -> None:
    device = world.device
    tokenizer = bsq_tokenizer_of(args.tokenizer).to(device)
    config = BitPriorConfig(**{"bits": tokenizer.config.bits} | args.config)
    pictures = load_pictures(args, world)
    log.info("%d pictures", len(pictures))
    model = TrainedPrior(config)
    if args.init:
        start_from(model.prior, bit_prior_of(args.init))
    model.to(device)
    loop = Loop(model, make_optimizers(model, args.rate), loop_config(args), args.out, world)
    if loop.writes:
        write_config(args.out, asdict(config), args)
    loop.resume()
    loss = loss_of if args.no_compile else torch.compile(loss_of)
    source = crop_source(args, pictures, device)
    side = args.crop // tokenizer.config.patch

    @torch.no_grad()
    def bits_in(pixels: Tensor) -> Tensor:
        return bits_of(tokenizer.encoder(pixels.to(device).float()))

    clips = None
    if config.earlier_frames:
        clips = load_clips(args, pictures, vectors=False)

    def step(generator: np.random.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        if clips is not None and generator.random() < args.clip_share:
            return clip_step(clips, generator)
        pixels = source.crops(args.batch, args.crop, generator)
        sample = draw(config, args.batch, (side, side), generator).to(device)
        with autocast(device):
            each = loss(model.prior, bits_in(pixels), sample, True)
        scheduled = sample.passes < config.passes
        figures = {}
        for name, chosen in (("coding", scheduled), ("masked", ~scheduled)):
            if bool(chosen.any()):
                figures[name] = each[chosen].mean()
        return each.mean() / config.bits, figures

    def clip_step(clips: Clips, generator: np.random.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        count, size = config.earlier_frames + 1, args.crop
        drawn = [clips.draw(count, size, generator)[0] for _ in range(args.clip_batch)]
        sample = draw(config, len(drawn), (side, side), generator).to(device)
        with autocast(device):
            bits = bits_in(torch.cat(drawn)).unflatten(0, (-1, count))
            last, earlier = frames_of(bits, generator)
            each = loss(model.prior, last, sample, True, earlier)
        return each.mean() / config.bits, {"following": each.mean()}

    held_out: list[Tensor] = []
    if args.validation:
        with autocast(device):
            pixels = validation_pictures(args.validation, args.validation_limit)
            held_out = [bits_in(picture) for picture in pixels]
    shadow = TrainedPrior(config).to(device).eval()

    def validate(state: dict[str, Tensor]) -> dict[str, Any]:
        shadow.load_state_dict(state)
        if not held_out:
            return {}
        each = torch.stack([coded_bits(shadow.prior, bits) for bits in held_out]).mean(0)
        figures: dict[str, Any] = {}
        if clips is not None:
            following = following_bits(shadow.prior, clips, bits_in)
            figures["following_saved"] = round(1 - following / config.bits, 4)
        return figures | {
            "coded": f"{float(each.sum()):.3f}/{config.bits}",
            "sub_codes": "/".join(f"{float(b):.3f}" for b in each),
            "saved": round(1 - float(each.sum()) / config.bits, 4),
        }

    loop.run(step, validate)
