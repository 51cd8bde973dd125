"""Training of the BSQ tokenizer: ViT encoder, one code of L balanced bits a token, ViT decoder.

Source: arXiv 2406.07548, sections 4 and 4.1: squared error (as its logarithm in each crop), the
entropy regularisers, LPIPS, an adversary; MS-SSIM may take a part of the squared error's place.
"""

from __future__ import annotations

import argparse
import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from bsqcodec.encoder.lpips import Lpips
from bsqcodec.machine.precision import autocast
from bsqcodec.models.bsq.klt import start_from_klt
from bsqcodec.models.bsq.network import BsqConfig, BsqTokenizer, bits_of
from bsqcodec.models.bsq.spherical_quantizer import entropy_penalty, signs, to_sphere
from bsqcodec.models.transform.quantizer import straight_through
from bsqcodec.training.checkpoints import bsq_state, part_of
from bsqcodec.training.data import Pictures
from bsqcodec.training.discriminator import (
    PENALTY_EVERY,
    PatchDiscriminator,
    discriminator_loss,
    generator_loss,
)
from bsqcodec.training.distributed import World
from bsqcodec.training.longer_code import start_longer_code
from bsqcodec.training.loop import Loop, write_config
from bsqcodec.training.optim import make_optimizers
from bsqcodec.training.picture_loss import PictureLoss, add_loss_arguments
from bsqcodec.training.tokenizer import quality_of, validation_pictures
from bsqcodec.training.trainer_options import (
    add_shared_arguments,
    crop_source,
    load_pictures,
    loop_config,
    set_up,
)

log = logging.getLogger(__name__)

SUB_CODE = 6
"""Bits of a sub-code, whose use is reported."""

ADVERSARIAL_ALONE = 2.0
"""Minutes in which the adversary learns before the tokenizer heeds it."""

ADVERSARIAL_RAMP = 10.0
"""Minutes in which its weight then rises to the whole."""

START_CROPS = 1000
"""Crops of one window of tokens from which the linear paths start."""


class Trained(nn.Module):
    """A tokenizer in training and its adversary, `tokenizer.*` and `adversary.*` in checkpoints."""

    def __init__(self, config: BsqConfig, adversarial: bool = False) -> None:
        super().__init__()
        self.tokenizer = BsqTokenizer(config)
        self.adversary = PatchDiscriminator() if adversarial else None


def nested_signs(v: Tensor, kept: Tensor) -> Tensor:
    """The first kept[b] signs of each v[b], zeros after them; v [B, h, w, L], kept [B].

    The kept ones are BSQ of that prefix on its own sphere, with its straight-through gradient, in
    units in which they are +-1.
    """
    kept = kept[:, None, None, None]
    inside = torch.arange(v.shape[-1], device=v.device) < kept
    u = to_sphere(v * inside) * kept.sqrt()
    return straight_through(signs(v) * inside, u)


class Depth(NamedTuple):
    """A number of bits that codes are cut to, and its fraction of the crops,
    relative to other depths'."""

    bits: int
    fraction: float = 1.0


def depth(text: str) -> Depth:
    """BITS or BITS:FRACTION. Raises ValueError."""
    bits, _, fraction = text.partition(":")
    found = Depth(int(bits), float(fraction or 1))
    if found.bits < 1 or not 0 < found.fraction < math.inf:
        raise ValueError(text)
    return found


def depths_of(bits: int, chosen: Sequence[Depth]) -> list[Depth]:
    """Depths of codes of so many bits, in order: the chosen ones, and all bits if none is.

    Raises ValueError where all bits are not among them, or a depth is there twice.
    """
    found = sorted(chosen or [Depth(bits)], key=lambda each: each.bits)
    numbers = [each.bits for each in found]
    if numbers[-1] != bits or len(set(numbers)) < len(numbers):
        raise ValueError(f"codes of {bits} bits cannot be cut to {numbers} bits")
    return found


def regulariser(u: Tensor, temperature: float, group: int) -> Tensor:
    """The paper's entropy penalty of u [..., L] on the sphere, in nats a bit.

    temperature: in units of L; a bit that is one among L equally sure ones then has the log-odds
    2 * temperature. With the paper's unit, all bits of long codes would be near even odds.
    """
    bits = u.shape[-1]
    with torch.autocast(u.device.type, enabled=False):
        return entropy_penalty(u.float().reshape(-1, bits), temperature * bits, group) / bits


def sub_code_entropy(bits: Tensor) -> float:
    """Entropy in bits a bit of sub-codes of bits [N, L], by their frequencies;
    1 if all are used alike."""
    count, length = bits.shape
    total = 0.0
    for part in bits.long().split(SUB_CODE, 1):
        number = (part << torch.arange(part.shape[1], device=bits.device)).sum(1)
        frequency = torch.bincount(number).double() / count
        total += float(torch.special.entr(frequency).sum()) / math.log(2)
    return total / length


@torch.no_grad()
def evaluate(
    model: BsqTokenizer,
    pictures: list[Tensor],
    depths: Sequence[int],
    device: torch.device,
    lpips: Lpips | None = None,
) -> dict[str, Any]:
    """Raw bpp, mean PSNR, MS-SSIM and LPIPS for each number of bits kept, and how bits are used.

    `bit_entropy` is the entropy of a bit by its frequency over all pictures, the mean and the
    least over bits; `sub_code_entropy` as the function of that name.
    """
    if not pictures:
        return {}
    rows: dict[int, list[tuple[float, ...]]] = {depth: [] for depth in depths}
    found = []
    for picture in pictures:
        x = picture.to(device).float()
        v = model.encoder(x)
        found.append(bits_of(v).flatten(0, 2))
        for depth in depths:
            kept = torch.tensor([float(depth)], device=device)
            y = model.decoder(nested_signs(v, kept)).clamp(0, 255).round()
            distance = float(lpips(y, x)[0]) if lpips else math.nan
            rows[depth].append((*quality_of(y, x), distance))
    figures: dict[str, Any] = {}
    for depth in depths:
        psnr, similarity, distance = np.mean(rows[depth], axis=0)
        bpp = depth / model.config.patch**2
        figures[f"k{depth}"] = f"{bpp:.4f}bpp/{psnr:.3f}dB/{similarity:.4f}/{distance:.4f}"
    bits = torch.cat(found)
    frequency = bits.double().mean(0)
    entropy = torch.special.entr(torch.stack([frequency, 1 - frequency])).sum(0) / math.log(2)
    return figures | {
        "bit_entropy": f"{float(entropy.mean()):.4f}/{float(entropy.min()):.4f}",
        "sub_code_entropy": round(sub_code_entropy(bits), 4),
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_shared_arguments(parser)
    parser.set_defaults(rate=2e-3)
    add = parser.add_argument
    add_loss_arguments(parser)
    shape = BsqConfig()
    add("--patch", type=int, choices=(8, 16), default=shape.patch, help="side of a token, pixels")
    add("--bits", type=int, default=shape.bits, help="of a token")
    add(
        "--depths",
        type=depth,
        nargs="+",
        default=[],
        metavar="BITS[:FRACTION]",
        help="numbers of first bits to which codes are cut, at random in each crop",
    )
    add("--width", type=int, default=shape.width)
    add("--encoder-blocks", type=int, default=shape.encoder_blocks)
    add("--decoder-blocks", type=int, default=shape.decoder_blocks)
    add(
        "--freeze-encoder",
        action="store_true",
        help="train the decoder alone, for codes as they are",
    )
    add("--adversarial", type=float, default=0.0, help="weight of the adversary")
    add("--adversarial-after", type=float, default=0.0, help="minutes until it begins to learn")
    add("--r1", type=float, default=0.1, help="weight of the adversary's penalty R1")
    add("--entropy", type=float, default=0.1, help="weight of the entropy regularisers")
    add("--temperature", type=float, default=1.0, help="of the soft code, in units of --bits")
    add("--group", type=int, default=6, help="bits enumerated together for the codebook entropy")


def main(args: argparse.Namespace) -> None:
    with set_up(args) as world:
        train(args, world)


def config_of(args: argparse.Namespace) -> BsqConfig:
    return BsqConfig(
        patch=args.patch,
        bits=args.bits,
        width=args.width,
        encoder_blocks=args.encoder_blocks,
        decoder_blocks=args.decoder_blocks,
        depths=tuple(each.bits for each in depths_of(args.bits, args.depths)),
    )


def new_parts(state: dict[str, Tensor], model: nn.Module) -> Iterator[str]:
    """Names of a model's tensors that a state lacks or has in another shape."""
    for name, value in model.state_dict().items():
        if name not in state or state[name].shape != value.shape:
            yield name


class Objective(nn.Module):
    """What a step minimises, for a model and the weights of its parts."""

    def __init__(self, args: argparse.Namespace, lpips: Lpips | None) -> None:
        super().__init__()
        self.pictures = PictureLoss(args, lpips)
        self.entropy: float = args.entropy
        self.temperature: float = args.temperature
        self.group: int = args.group

    def forward(
        self, model: BsqTokenizer, pixels: Tensor, kept: Tensor
    ) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """(loss, figures to log, reconstruction)."""
        v = model.encoder(pixels)
        decoded = model.decoder(nested_signs(v, kept))
        loss, figures = self.pictures(decoded, pixels)
        if self.entropy and v.requires_grad:
            penalty = regulariser(to_sphere(v), self.temperature, self.group)
            loss = loss + self.entropy * penalty
            figures["penalty"] = penalty
        return loss, figures, decoded


def adversarial_fraction(minutes: float, after: float) -> float:
    """Fraction 0..1 of the adversary's weight at a time; below 0 before the adversary begins.

    It learns alone at first, then its weight rises for `ADVERSARIAL_RAMP` minutes.
    """
    if minutes < after:
        return -1.0
    return min(max((minutes - after - ADVERSARIAL_ALONE) / ADVERSARIAL_RAMP, 0.0), 1.0)


def start(model: Trained, args: argparse.Namespace, pictures: Pictures) -> None:
    """Give a model the weights that a new run begins with."""
    config = model.tokenizer.config
    crops = pictures.crops(START_CROPS, config.window, np.random.default_rng(args.seed))
    generator = torch.Generator().manual_seed(args.seed)
    if args.init is None:
        error = start_from_klt(model.tokenizer, crops, generator)
        log.info("linear paths start at a squared error of %.1f", error)
        return
    shape, state = bsq_state(args.init)
    shorter = BsqConfig(**shape)
    if shorter.bits < config.bits:
        tokenizer = BsqTokenizer(shorter)
        tokenizer.load_state_dict(part_of(state, "tokenizer."))
        before, after = start_longer_code(model.tokenizer, tokenizer, crops, generator)
        log.info("new bits take the squared error from %.1f to %.1f", before, after)
        return
    lacking = list(new_parts(state, model))
    log.info("new in this run: %s", ", ".join(lacking) or "nothing")
    own = model.state_dict()
    model.load_state_dict({k: own[k] if k in lacking else state[k] for k in own})


def train(args: argparse.Namespace, world: World) -> None:
    device = world.device
    config = config_of(args)
    pictures = load_pictures(args, world)
    log.info("%d pictures", len(pictures))
    model = Trained(config, args.adversarial > 0)
    if not (args.out / "checkpoint.pt").exists():
        start(model, args, pictures)
    model.to(device)
    if args.freeze_encoder:
        model.tokenizer.encoder.requires_grad_(False)
    lpips = Lpips.load(args.lpips).to(device) if args.lpips else None
    optimizers = make_optimizers(model, args.rate, slow=("adversary",), slow_factor=0.1)
    loop = Loop(model, optimizers, loop_config(args), args.out, world)
    if loop.writes:
        write_config(args.out, asdict(config), args)
    loop.resume()
    objective = Objective(args, lpips)
    compiled = objective if args.no_compile else torch.compile(objective.forward)
    source = crop_source(args, pictures, device)
    chosen = depths_of(config.bits, args.depths)
    depths = [each.bits for each in chosen]
    fractions = np.array([each.fraction for each in chosen])
    fractions /= fractions.sum()

    def step(generator: np.random.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        pixels = source.crops(args.batch, args.crop, generator).to(device).float()
        kept = (
            torch.from_numpy(generator.choice(depths, args.batch, p=fractions)).float().to(device)
        )
        with autocast(device):
            loss, figures, decoded = compiled(model.tokenizer, pixels, kept)
            if model.adversary is not None:
                fraction = adversarial_fraction(loop.seconds / 60, args.adversarial_after)
                if fraction >= 0:
                    weight = args.adversarial * fraction
                    loss = loss + weight * generator_loss(model.adversary, decoded)
                    due = loop.count % PENALTY_EVERY == 0
                    told, accuracy = discriminator_loss(
                        model.adversary, decoded, pixels, args.r1 * PENALTY_EVERY * due
                    )
                    loss = loss + told
                    figures |= {"adversary": told, "told_apart": accuracy}
        return loss, figures

    held_out: list[Tensor] = []
    if args.validation:
        held_out = validation_pictures(args.validation, args.validation_limit)
    shadow = Trained(config, args.adversarial > 0).to(device).eval()

    def validate(state: dict[str, Tensor]) -> dict[str, Any]:
        shadow.load_state_dict(state)
        with autocast(device):
            return evaluate(shadow.tokenizer, held_out, depths, device, lpips)

    loop.run(step, validate)
