"""Training of the paper's own tokenizer: ViT encoder, one code of L balanced bits a token, ViT decoder.

Source: arXiv 2406.07548, sections 4 and 4.1, without its perceptual and adversarial losses. For
comparison with the tokenizer of `bsqcodec.models.transform.tokenizer`; no file format knows its
bits.
"""

from __future__ import annotations

import argparse
import logging
import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bsqcodec.encoder.distortion import distortion
from bsqcodec.models.transform.blocks import Block
from bsqcodec.models.transform.quantizer import entropy_penalty, signs, straight_through, to_sphere
from bsqcodec.training.checkpoints import averaged
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
from bsqcodec.training.tokenizer import quality_of, validation_pictures

log = logging.getLogger(__name__)

DEPTHS = 8
"""A nested code keeps between one in so many of its bits and all of them."""

USUAL_ERROR = 100.0
"""Squared error by which the MSE is divided as a loss."""

PIXEL_UNIT = 64.0
"""Networks see pixel values in this unit, around the middle of their range."""

HEAD_WIDTH = 64
"""Dimensions of an attention head."""


@dataclass(frozen=True)
class BsqConfig:
    """Shape of a plain BSQ tokenizer; saved with its weights.

    scale: what the kept bits of a nested code are worth, "fixed" or "sqrt"; see `nested_code`.
    """

    patch: int = 16
    bits: int = 256
    scale: str = "fixed"
    width: int = 256
    encoder_blocks: int = 3
    decoder_blocks: int = 3

    def __post_init__(self) -> None:
        if self.scale not in ("fixed", "sqrt"):
            raise ValueError(f"no scale of bits is called {self.scale!r}")
        if self.width % HEAD_WIDTH:
            raise ValueError(f"a width of {self.width} is no multiple of {HEAD_WIDTH}")


def nested_code(v: Tensor, kept: Tensor, scale: str) -> Tensor:
    """The first kept[b] signs of each v[b], zeros after them; v [B, h, w, L], kept [B].

    The kept ones are BSQ of that prefix on its own sphere, 1 / sqrt(kept) each, with its
    straight-through gradient; in units in which they are +-1 ("fixed"), or in which those of an
    uncut code are, so that all prefixes have the same length ("sqrt": +-sqrt(L / kept)).
    """
    bits = v.shape[-1]
    kept = kept[:, None, None, None]
    inside = torch.arange(bits, device=v.device) < kept
    u = to_sphere(v * inside) * kept.sqrt()
    code = straight_through(signs(v) * inside, u)
    return code * (bits / kept).sqrt() if scale == "sqrt" else code


def vit(width: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(*[Block(width, width // HEAD_WIDTH) for _ in range(blocks)])


class PlainBsq(nn.Module):
    """Pixels [B, 3, H, W] to codes [B, H / patch, W / patch, bits] and back.

    H and W are multiples of 8 patches (whole windows).
    """

    def __init__(self, config: BsqConfig) -> None:
        super().__init__()
        self.config = config
        pixels = 3 * config.patch**2
        self.embed = nn.Linear(pixels, config.width)
        self.encoder_blocks = vit(config.width, config.encoder_blocks)
        self.encoder_norm = nn.LayerNorm(config.width)
        self.project = nn.Linear(config.width, config.bits)
        self.expand = nn.Linear(config.bits, config.width)
        self.decoder_blocks = vit(config.width, config.decoder_blocks)
        self.decoder_norm = nn.LayerNorm(config.width)
        self.out = nn.Linear(config.width, pixels)

    def project_to_bits(self, pixels: Tensor) -> Tensor:
        """What the bits are signs of, float32 [B, h, w, bits], for pixels 0..255."""
        x = F.pixel_unshuffle((pixels - 127.5) / PIXEL_UNIT, self.config.patch)
        tokens = self.encoder_blocks(self.embed(x.permute(0, 2, 3, 1)))
        return self.project(self.encoder_norm(tokens)).float()

    def decode(self, code: Tensor) -> Tensor:
        """Pixels [B, 3, H, W], neither rounded nor clipped, of codes as `nested_code` makes them."""
        tokens = self.decoder_norm(self.decoder_blocks(self.expand(code)))
        patches = self.out(tokens).float().permute(0, 3, 1, 2)
        return F.pixel_shuffle(patches, self.config.patch) * PIXEL_UNIT + 127.5

    def forward(self, pixels: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
        """(reconstruction from the first kept[b] bits of each token, projection v of all bits)."""
        v = self.project_to_bits(pixels)
        return self.decode(nested_code(v, kept, self.config.scale)), v


def regulariser(v: Tensor, temperature: float, group: int) -> Tensor:
    """The paper's entropy penalty of projections v [..., L], in nats a bit.

    temperature: in units of L; a bit that is one among L equally sure ones then has the log-odds
    2 * temperature. With the paper's unit, all bits of long codes would be near even odds.
    """
    bits = v.shape[-1]
    with torch.autocast(v.device.type, enabled=False):
        u = to_sphere(v).reshape(-1, bits)
        return entropy_penalty(u, temperature * bits, group) / bits


def draw_depths(count: int, bits: int, generator: np.random.Generator) -> Tensor:
    """Numbers of bits to keep, float [count]: bits / DEPTHS to bits, uniform in their logarithm."""
    depths = bits * DEPTHS ** -generator.random(count)
    return torch.from_numpy(np.maximum(np.rint(depths), 1)).float()


def validation_depths(bits: int, nested: bool) -> list[int]:
    """All bits, and for a nested code its halves down to bits / DEPTHS."""
    return [bits >> shift for shift in range(DEPTHS.bit_length() if nested else 1) if bits >> shift]


@torch.no_grad()
def evaluate(
    model: PlainBsq, pictures: list[Tensor], depths: list[int], device: torch.device
) -> dict[str, Any]:
    """Raw bpp, mean PSNR and MS-SSIM for each number of bits kept.

    And `bit_entropy`, the entropy of a bit by its share of ones over all pictures, mean over bits:
    below 1, a fixed code for each bit would save what is missing.
    """
    if not pictures:
        return {}
    rows: dict[int, list[tuple[float, float]]] = {depth: [] for depth in depths}
    positive = []
    for picture in pictures:
        x = picture.to(device).float()
        v = model.project_to_bits(x)
        positive.append((v >= 0).float().flatten(0, 2))
        for depth in depths:
            kept = torch.tensor([float(depth)], device=device)
            y = model.decode(nested_code(v, kept, model.config.scale)).clamp(0, 255).round()
            rows[depth].append(quality_of(y, x))
    figures: dict[str, Any] = {}
    for depth in depths:
        psnr, similarity = np.mean(rows[depth], axis=0)
        bpp = depth / model.config.patch**2
        figures[f"k{depth}"] = f"{bpp:.4f}bpp/{psnr:.3f}dB/{similarity:.4f}"
    share = torch.cat(positive).mean(0)
    entropy = -(torch.xlogy(share, share) + torch.xlogy(1 - share, 1 - share)) / math.log(2)
    return figures | {"bit_entropy": round(float(entropy.mean()), 4)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_shared_arguments(parser)
    parser.set_defaults(rate=2e-3)
    add = parser.add_argument
    shape = BsqConfig()
    add("--patch", type=int, choices=(8, 16), default=shape.patch, help="side of a token, pixels")
    add("--bits", type=int, default=shape.bits, help="of a token")
    add("--scale", choices=("fixed", "sqrt"), default=shape.scale, help="of the kept bits")
    add("--nested", action="store_true", help="keep a random number of the bits in each crop")
    add("--width", type=int, default=shape.width)
    add("--encoder-blocks", type=int, default=shape.encoder_blocks)
    add("--decoder-blocks", type=int, default=shape.decoder_blocks)
    add("--loss", choices=("log-mse", "mse"), default="log-mse", help="per crop, or over all")
    add("--ms-ssim", type=float, default=0.0, help="share of MS-SSIM in what --loss calls MSE")
    add("--entropy", type=float, default=0.1, help="weight of the entropy regularisers")
    add("--temperature", type=float, default=1.0, help="of the soft code, in units of --bits")
    add("--group", type=int, default=4, help="bits enumerated together for the codebook entropy")


def main(args: argparse.Namespace) -> None:
    with set_up(args) as world:
        train(args, world)


def train(args: argparse.Namespace, world: World) -> None:
    device = world.device
    config = BsqConfig(
        patch=args.patch,
        bits=args.bits,
        scale=args.scale,
        width=args.width,
        encoder_blocks=args.encoder_blocks,
        decoder_blocks=args.decoder_blocks,
    )
    pictures = load_pictures(args, world)
    log.info("%d pictures", len(pictures))
    model = PlainBsq(config)
    if args.init:
        model.load_state_dict(averaged(args.init)[1])
    model.to(device)
    loop = Loop(model, make_optimizers(model, args.rate), loop_config(args), args.out, world)
    if loop.writes:
        write_config(args.out, asdict(config), args)
    loop.resume()

    def loss_of(pixels: Tensor, kept: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        decoded, v = model(pixels, kept)
        d = distortion(decoded, pixels, args.ms_ssim)
        loss = (torch.log1p(d) if args.loss == "log-mse" else d / USUAL_ERROR).mean()
        if not args.entropy:
            return loss, d, torch.zeros_like(loss)
        penalty = regulariser(v, args.temperature, args.group)
        return loss + args.entropy * penalty, d, penalty

    compiled = loss_of if args.no_compile else torch.compile(loss_of)
    source = crop_source(args, pictures, device)

    def step(generator: np.random.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        pixels = source.crops(args.batch, args.crop, generator).to(device).float()
        kept = torch.full((args.batch,), float(config.bits))
        if args.nested:
            kept = draw_depths(args.batch, config.bits, generator)
        with torch.autocast(device.type, torch.bfloat16):
            loss, d, penalty = compiled(pixels, kept.to(device))
        return loss, {"rmse": d.clamp_min(0).sqrt().mean(), "penalty": penalty}

    held_out: list[Tensor] = []
    if args.validation:
        held_out = validation_pictures(args.validation, args.validation_limit)
    shadow = PlainBsq(config).to(device).eval()
    depths = validation_depths(config.bits, args.nested)

    def validate(state: dict[str, Tensor]) -> dict[str, Any]:
        shadow.load_state_dict(state)
        with torch.autocast(device.type, torch.bfloat16):
            return evaluate(shadow, held_out, depths, device)

    loop.run(step, validate)
