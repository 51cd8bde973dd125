"""Training of the paper's own way with videos: frames attend to those before, nothing moves them.

    frame t -> encoder of pictures -> n[t], which depends on no other frame
    n[t], what n[t-1] .. n[t-past] gave in each block -> decoder -> frame t
    n[t], what n[t-1], n[t-2] .. were at the same place -> prior -> bits

Source: the block-causal transformer of arXiv 2406.07548, here with attention in windows. For
comparison with motion compensation (`training.video`, `training.inter`); no file format has it.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bsqcodec.encoder.distortion import distortion, ms_ssim
from bsqcodec.models.prior.neighbour_context import CLIP
from bsqcodec.models.prior.network import Prior
from bsqcodec.models.prior.order import bucket
from bsqcodec.models.transform.quantizer import quantize_beyond
from bsqcodec.models.transform.temporal_context import context_size
from bsqcodec.models.transform.tokenizer import Decoder, Tokenizer, TokenizerConfig, step_size
from bsqcodec.models.windows import WINDOW, from_windows, relative_index, to_windows
from bsqcodec.training.checkpoints import averaged, prior_of, tokenizer_of
from bsqcodec.training.clips import Clips
from bsqcodec.training.distributed import World
from bsqcodec.training.joint import usual_bpp, usual_distortion
from bsqcodec.training.loop import Loop, write_config
from bsqcodec.training.optim import make_optimizers
from bsqcodec.training.options import (
    add_shared_arguments,
    load_pictures,
    loop_config,
    set_up,
)
from bsqcodec.training.prior import Passes, PriorRun, pass_losses, total_bits
from bsqcodec.training.tokenizer import draw_steps
from bsqcodec.training.video import Memory, widened

ABSENT = -1e4
"""Added to the scores of frames that are not there."""

USUAL = {"decoder": {"batch": 5, "frames": 4}, "prior": {"batch": 8, "frames": 9}}
"""Defaults that differ between the parts."""

VALIDATION_STEPS = (168, 184)

SIGNED_UNITS = (1, 9)
"""Units in which the prior sees values of the frame before, each clipped: up to 7, and up to 63."""

Cache = list[Tensor]
"""Keys and values of the last frames, for each temporal layer."""


@dataclass(frozen=True)
class CausalConfig:
    """Shape of a `CausalDecoder` beside its tokenizer's; saved with its weights.

    past: frames before that a frame sees; every: blocks from one temporal layer to the next.
    """

    past: int = 2
    every: int = 1

    def __post_init__(self) -> None:
        if self.past < 1 or self.every < 1:
            raise ValueError(f"{self.past} frames every {self.every} blocks are no past")


class TemporalAttention(nn.Module):
    """Multi-head attention of tokens to those of the frames before, in the same 8x8 window.

    The learned bias is of relative positions, other ones for each number of frames back.
    """

    index: Tensor

    def __init__(self, width: int, heads: int, past: int) -> None:
        super().__init__()
        self.heads, self.past = heads, past
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.bias = nn.Parameter(torch.zeros(heads, past, (2 * WINDOW - 1) ** 2))
        self.register_buffer("index", relative_index(), persistent=False)
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor, before: Tensor | None) -> tuple[Tensor, Tensor]:
        """x [B, T, h, w, D] of T frames -> (what each found in those before, keys and values).

        Keys and values [2, B, F, windows, heads, 64, D / heads] are of the last F <= past frames;
        before: those that the call for the frames before gave, None at the beginning.
        """
        b, t, h, w, d = x.shape
        qkv = self.qkv(to_windows(self.norm(x).flatten(0, 1)))
        qkv = qkv.view(b, t, -1, WINDOW**2, 3, self.heads, d // self.heads)
        q, own = qkv.permute(4, 0, 1, 2, 5, 3, 6).split((1, 2))
        kept = own if before is None else torch.cat([before, own], dim=2)
        known = kept.shape[2] - t
        lack = self.past - known
        frames = torch.cat([own.new_zeros(2, b, lack, *own.shape[3:]), kept], dim=2)
        back = range(1, self.past + 1)
        each = [frames[:, :, self.past - i : self.past - i + t] for i in back]
        k, v = torch.cat(each, dim=-2)  # [B, T, windows, heads, past 64, D / heads]
        score = (q[0] * (d // self.heads) ** -0.5) @ k.transpose(-1, -2)
        bias = self.bias[:, :, self.index].transpose(1, 2).flatten(2)
        there = torch.arange(t, device=x.device)[:, None] + known >= torch.tensor(back).to(x.device)
        missing = ABSENT * (~there).to(score.dtype).repeat_interleave(WINDOW**2, dim=1)
        score = score + bias.to(score.dtype) + missing[:, None, None, None]
        y = score.softmax(-1).to(v.dtype) @ v  # 0 where no frame is there, since all values are
        found = self.out(y.transpose(-2, -3).reshape(-1, WINDOW**2, d))
        return from_windows(found, h, w).unflatten(0, (b, t)), kept[:, :, -self.past :]


class CausalDecoder(Decoder):
    """The decoder of pictures, in whose blocks frames attend to those before.

    Whole clips and frames one by one come to the same; gradients flow through the cache.
    """

    def __init__(self, c: TokenizerConfig, config: CausalConfig) -> None:
        super().__init__(c)
        self.config = config
        layers = range(0, c.decoder_blocks, config.every)
        self.temporal_blocks = nn.ModuleList(
            TemporalAttention(c.width, c.heads, config.past) for _ in layers
        )

    @classmethod
    def of_pictures(cls, tokenizer: Tokenizer, config: CausalConfig) -> CausalDecoder:
        """A new one that begins as the tokenizer's decoder."""
        decoder = cls(tokenizer.config, config)
        decoder.load_state_dict(decoder.state_dict() | tokenizer.decoder.state_dict())
        return decoder

    def decode(
        self, tokenizer: Tokenizer, n: Tensor, step: Tensor, cache: Cache | None = None
    ) -> tuple[Tensor, Cache]:
        """(pixels [B, T, 3, H, W], neither rounded nor clipped, cache for the frames after).

        n [B, T, h, w, C]: integers of T consecutive frames; step [B]; cache: what the call for the
        frames before gave, None for a clip's first.
        """
        count = n.shape[1]
        steps = step.repeat_interleave(count)
        latents, unit = tokenizer.dequantize(n.flatten(0, 1), steps)
        x = self.embed(latents / tokenizer.scale)
        x = x + self.step(steps)[:, None, None].to(x.dtype)
        after: Cache = []
        for index, block in enumerate(self.blocks):
            layer, rest = divmod(index, self.config.every)
            if rest == 0:
                before = None if cache is None else cache[layer]
                clip = x.unflatten(0, (-1, count))
                found, kept = self.temporal_blocks[layer](clip, before)
                x = x + found.flatten(0, 1)
                after.append(kept)
            x = block(x)
        return self.local(latents, self.norm(x), unit).unflatten(0, (-1, count)), after


def decoder_of(run: Path, tokenizer: Tokenizer) -> CausalDecoder:
    """The decoder of a run of `--part decoder` (averaged), which was made for the tokenizer."""
    config, state = averaged(run)
    decoder = CausalDecoder(tokenizer.config, CausalConfig(**config))
    decoder.load_state_dict(state)
    return decoder.eval().requires_grad_(False)


@torch.no_grad()
def integers_of(tokenizer: Tokenizer, frames: Tensor, step: Tensor, wider: Tensor) -> Tensor:
    """Integers [B, T, h, w, C] of frames [B, T, 3, H, W], each as a picture.

    step [B]; wider [B]: what dead zones have more than those of pictures.
    """
    count = frames.shape[1]
    pixels, steps = frames.flatten(0, 1), step.repeat_interleave(count)
    zone = widened(pixels, wider.repeat_interleave(count))
    return quantize_beyond(tokenizer.encode(pixels, steps), zone).unflatten(0, (-1, count))


class Before:
    """What the prior knows of frames of clips: the frames before them, at the same place.

    n [B, h, w, C]: integers of first frames. signed: it knows signs too; without, as little as the
    inter prior, for which signs say nothing, since its integers are of changes.
    """

    def __init__(self, n: Tensor, signed: bool) -> None:
        self._memory, self._last, self._signed = Memory(n), n, signed

    def next(self, n: Tensor) -> Tensor:
        """Context [B, h, w, K] of the next frames, and remember these: n [B, h, w, C]."""
        b, h, w = n.shape[:3]
        still = torch.zeros(b, 2 * h, 2 * w, 2, dtype=torch.long, device=n.device)
        parts = [self._memory.next(n, still)]
        if self._signed:
            parts += [torch.round(self._last / u).clamp(-CLIP, CLIP) for u in SIGNED_UNITS]
        self._last = n
        return torch.cat(parts, dim=-1)

    @staticmethod
    def size(channels: int, signed: bool) -> int:
        """Integers of context for each token."""
        return context_size(channels) + signed * len(SIGNED_UNITS) * channels


def contexts_of(n: Tensor, signed: bool) -> Tensor:
    """Contexts [B, T - 1, h, w, K] of all frames but the first of clips n [B, T, h, w, C]."""
    before = Before(n[:, 0], signed)
    return torch.stack([before.next(each) for each in n[:, 1:].unbind(1)], dim=1)


def picture_prior_of(source: Path) -> Prior:
    """The prior of pictures. Raises ValueError for one with context."""
    prior = prior_of(source)
    if prior.config.context:
        raise ValueError(f"{source} is no prior of pictures: it has context")
    return prior


def clips_to_validate(clips: Clips, device: torch.device) -> Tensor:
    """Float [8, 4, 3, 256, 256]: see `Clips.to_validate`."""
    return torch.stack([frames for frames, _ in clips.to_validate()]).to(device).float()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_shared_arguments(parser)
    parser.set_defaults(batch=None, decay=0.5)
    add = parser.add_argument
    add("--part", choices=tuple(USUAL), required=True, help="prior: --init is that of pictures")
    add("--tokenizer", type=Path, required=True, help="of pictures")
    add("--clips", type=Path, nargs="*", default=[], help="shards of clips")
    add("--clip-cache", type=Path, default=Path("runs/clips"))
    add("--moving", type=int, default=700, help="synthetic clips")
    add("--frames", type=int, help="of a clip; for the prior, at most")
    shape = CausalConfig()
    add("--past", type=int, default=shape.past, help="of a new decoder: frames that one sees")
    add("--every", type=int, default=shape.every, help="of a new decoder: blocks to a layer")
    add("--ms-ssim", type=float, default=0.8, help="decoder: share of MS-SSIM in the loss")
    add("--signed", action="store_true", help="prior: sees signs of the frame before too")
    add("--passes", type=int, default=6, help="prior: passes drawn for each frame")
    add("--quantized-from", type=float, default=0.7, help="prior: progress 0..1")


def main(args: argparse.Namespace) -> None:
    for name, value in USUAL[args.part].items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    with set_up(args) as world:
        (train_decoder if args.part == "decoder" else train_prior)(args, world)


def train_decoder(args: argparse.Namespace, world: World) -> None:
    device = world.device
    clips = Clips.load(args.clips, load_pictures(args, world), args.clip_cache, args.moving)
    tokenizer = tokenizer_of(args.tokenizer).to(device)
    model = CausalDecoder.of_pictures(tokenizer, CausalConfig(args.past, args.every))
    if args.init:
        model = decoder_of(args.init, tokenizer).requires_grad_(True).train()
    model.to(device)
    optimizers = make_optimizers(model, args.rate, slow=("transform",))
    loop = Loop(model, optimizers, loop_config(args), args.out, world)
    if loop.writes:
        write_config(args.out, asdict(model.config), args)
    loop.resume()

    def loss_of(frames: Tensor, n: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
        """(loss, distortion), each [B, T]."""
        decoded, _ = model.decode(tokenizer, n, step)
        d = distortion(decoded.flatten(0, 1), frames.flatten(0, 1), args.ms_ssim)
        d = d.view(frames.shape[:2])
        return d / usual_distortion(step_size(step))[:, None], d

    compiled = loss_of if args.no_compile else torch.compile(loss_of)

    def step(generator: np.random.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        drawn = [clips.draw(args.frames, args.crop, generator)[0] for _ in range(args.batch)]
        frames = torch.stack(drawn).to(device).float()
        index = draw_steps(args.batch, generator).to(device)
        wider = 0.1 * torch.rand(args.batch, device=device) - 0.03
        with torch.autocast(device.type, torch.bfloat16):
            n = integers_of(tokenizer, frames, index, wider)
            loss, d = compiled(frames, n, index)
        rmse = d.clamp_min(0).sqrt().mean(0)
        return loss.mean(), {"rmse_first": rmse[0], "rmse": rmse[1:].mean()}

    held_out = clips_to_validate(clips, device)
    shadow = CausalDecoder(tokenizer.config, model.config).to(device).eval()

    @torch.no_grad()
    def validate(state: dict[str, Tensor]) -> dict[str, Any]:
        """MS-SSIM and squared error of first frames, and of the three after them."""
        shadow.load_state_dict(state)
        figures = {}
        for at in VALIDATION_STEPS:
            index = torch.full((len(held_out),), float(at), device=device)
            with torch.autocast(device.type, torch.bfloat16):
                n = integers_of(tokenizer, held_out, index, torch.zeros_like(index))
                decoded = shadow.decode(tokenizer, n, index)[0].clamp(0, 255)
            similarity = ms_ssim(decoded.flatten(0, 1), held_out.flatten(0, 1)).view(-1, 4).mean(0)
            error = (decoded - held_out).square().mean((0, 2, 3, 4))
            figures[f"first{at}"] = f"{similarity[0]:.5f}/{error[0]:.2f}"
            figures[f"s{at}"] = f"{similarity[1:].mean():.5f}/{error[1:].mean():.2f}"
        return figures

    loop.run(step, validate)


def train_prior(args: argparse.Namespace, world: World) -> None:
    device = world.device
    if args.init is None:
        raise ValueError("a prior with context goes on from one of pictures: --init")
    clips = Clips.load(args.clips, load_pictures(args, world), args.clip_cache, args.moving)
    tokenizer = tokenizer_of(args.tokenizer).to(device)
    pictures = picture_prior_of(args.init).to(device)
    args.config = {"context": Before.size(tokenizer.config.channels, args.signed)}
    run = PriorRun.begin(args, world, {}, lambda: pictures.planes)
    loop, passes = run.loop, run.passes
    longest = min(args.frames, max(shape[0] for shape in clips.shapes))

    def integers(frames: Tensor, index: Tensor) -> Tensor:
        index = index.to(device)
        with torch.autocast(device.type, torch.bfloat16):
            return integers_of(tokenizer, frames, index, torch.zeros_like(index))

    def step(generator: np.random.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        index = draw_steps(args.batch, generator).round()
        values, contexts = [], []
        for at in index:
            count = int(generator.integers(2, longest + 1))
            frames, _ = clips.draw(count, args.crop, generator)
            n = integers(frames[None].to(device).float(), at[None])
            values.append(n[:, -1])
            contexts.append(contexts_of(n, args.signed)[:, -1])
        n, context = (torch.cat(x).repeat(args.passes, 1, 1, 1) for x in (values, contexts))
        index = index.repeat(args.passes)
        draws = [passes.draw(bucket(int(at)), generator) for at in index]
        quantized = loop.progress >= args.quantized_from
        with torch.autocast(device.type, torch.bfloat16):
            bits = pass_losses(run.prior, passes, n, draws, quantized, context)
        bpp = bits / args.crop**2
        return (bpp / usual_bpp(step_size(index.to(device)))).mean(), {"bpp": bpp.mean()}

    held_out = clips_to_validate(clips, device)
    coded = {}
    for at in VALIDATION_STEPS:
        n = integers(held_out, torch.full((len(held_out),), float(at)))
        coded[at] = n[:, 1:].flatten(0, 1), contexts_of(n, args.signed).flatten(0, 1)

    def bpp_of(prior: Prior, plain: Passes, at: int, with_context: bool) -> float:
        """Of the frames after the first of the held out clips."""
        n, context = coded[at]
        bits = 0.0
        with torch.autocast(device.type, torch.bfloat16):
            for i in range(len(n)):
                known = context[i : i + 1] if with_context else None
                bits += total_bits(prior, plain, n[i : i + 1], at, True, known)
        return bits / (len(n) * 256**2)

    alone = {at: bpp_of(pictures, Passes(pictures), at, False) for at in VALIDATION_STEPS}

    def validate(state: dict[str, Tensor]) -> dict[str, Any]:
        """Bits per pixel of three frames after the first, and what the prior of pictures needs."""
        run.shadow.load_state_dict(state)
        return {
            f"s{at}": f"{bpp_of(run.shadow, run.plain, at, True):.5f}bpp/{alone[at]:.5f}alone"
            for at in VALIDATION_STEPS
        }

    loop.run(step, validate)
