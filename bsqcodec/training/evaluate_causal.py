"""What `training.causal` gives on videos, beside every frame alone: bpp, MS-SSIM and PSNR.

Bits are those that the priors say, with rounded weights, of all tokens that touch a frame and the
few zeros that fill the grid up to whole windows. There is no file, and no search by the encoder.
"""

from __future__ import annotations

import argparse
import json
import logging
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bsqcodec.models.prior.network import Prior
from bsqcodec.models.prior.order import bucket
from bsqcodec.models.transform.tokenizer import Tokenizer
from bsqcodec.models.windows import continued
from bsqcodec.training.causal import (
    Before,
    Cache,
    CausalDecoder,
    decoder_of,
    integers_of,
    picture_prior_of,
)
from bsqcodec.training.checkpoints import prior_of, tokenizer_of
from bsqcodec.training.prior import Passes, total_bits
from bsqcodec.training.tokenizer import quality_of
from bsqcodec.video.frame_loop import Geometry, Pixels, load_frame

log = logging.getLogger(__name__)

MEASURES = ("bpp", "ms_ssim", "psnr")

Rows = list[dict[str, float]]


@dataclass(frozen=True)
class Models:
    """The picture codec and what looks back; `picture_prior` codes a video's first frame for both."""

    tokenizer: Tokenizer
    picture_prior: Prior
    decoder: CausalDecoder
    prior: Prior


def quality(decoded: Tensor, pixels: Tensor) -> dict[str, float]:
    """MS-SSIM and PSNR in dB of a frame [1, 3, H, W] in 8 bits."""
    psnr, similarity = quality_of(decoded.float().clamp(0, 255).round(), pixels)
    return {"ms_ssim": similarity, "psnr": psnr}


@torch.inference_mode()
def evaluate_clip(models: Models, frames: Iterable[Pixels], step: int) -> dict[str, Rows]:
    """Figures of each frame [H, W, 3] at a step, by way: "causal" and "alone".

    bpp, MS-SSIM, and PSNR in dB. All frames have the same size.
    """
    tokenizer = models.tokenizer
    picture_passes, passes = Passes(models.picture_prior), Passes(models.prior)
    signed = models.prior.config.context > Before.size(tokenizer.config.channels, signed=False)
    limit = torch.minimum(picture_passes.limits[bucket(step)], passes.limits[bucket(step)])
    index = torch.tensor([float(step)], device=limit.device)
    rows: dict[str, Rows] = {"causal": [], "alone": []}
    before: Before | None = None
    cache: Cache | None = None
    for pixels in frames:
        height, width = pixels.shape[:2]
        geometry = Geometry(height, width)
        (h, w), (inner_h, inner_w) = geometry.grid, geometry.tokens
        bottom, right = h - inner_h, w - inner_w
        patch = tokenizer.config.patch
        x = load_frame(pixels, geometry, limit.device)[None]
        whole = continued(x, 0, bottom * patch, 0, right * patch)
        n = integers_of(tokenizer, whole[:, None], index, torch.zeros_like(index))[:, 0]
        n = torch.minimum(torch.maximum(n, -limit), limit)[:, :inner_h, :inner_w]
        coded = F.pad(n, (0, 0, 0, right, 0, bottom))
        seen = continued(n.permute(0, 3, 1, 2), 0, bottom, 0, right).permute(0, 2, 3, 1)
        with torch.autocast(limit.device.type, torch.bfloat16):
            alone = bits = total_bits(models.picture_prior, picture_passes, coded, step, True)
            if before is None:
                before = Before(coded, signed)
            else:
                context = before.next(coded)
                bits = total_bits(models.prior, passes, coded, step, True, context)
            picture = tokenizer.decode(seen, index)
            clip, cache = models.decoder.decode(tokenizer, seen[:, None], index, cache)
        for way, used, y in (("causal", bits, clip[:, 0]), ("alone", alone, picture)):
            area = (..., slice(height), slice(width))
            rows[way].append({"bpp": used / (height * width)} | quality(y[area], x[area]))
    return rows


def evaluate_clips(
    models: Models, videos: list[Path], steps: list[int], frames: int
) -> list[dict[str, object]]:
    """Means over the first frames of each video at each step, and means of those, as rows.

    A row names its video ("mean" for the mean of all), step and way, then has the measures.
    """
    # here, not at the top: it needs PyAV, which a training machine may lack
    from bsqcodec.media.video.video_files import open_video

    result: list[dict[str, object]] = []
    for step in steps:
        of_all: dict[str, list[list[float]]] = {}
        for video in videos:
            with open_video(video) as reader:
                pixels = (frame.pixels for frame in islice(reader.frames(), frames))
                found = evaluate_clip(models, pixels, step)
            for way, rows in found.items():
                mean = np.mean([[row[m] for m in MEASURES] for row in rows], axis=0).tolist()
                of_all.setdefault(way, []).append(mean)
                result.append(_row(video.stem, step, way, mean))
        for way, means in of_all.items():
            result.append(_row("mean", step, way, np.mean(means, axis=0).tolist()))
    return result


def _row(video: str, step: int, way: str, mean: list[float]) -> dict[str, object]:
    """A row of figures, logged too."""
    row = {name: round(value, 5) for name, value in zip(MEASURES, mean, strict=True)}
    log.info(
        "%-40s step %3d %-6s %s", video, step, way, " ".join(f"{k}={v}" for k, v in row.items())
    )
    return {"video": video, "step": step, "way": way, **row}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--tokenizer", type=Path, required=True, help="of pictures")
    add("--picture-prior", type=Path, required=True, help="run folder or shipped weights")
    add("--decoder", type=Path, required=True, help="run of causal --part decoder")
    add("--prior", type=Path, required=True, help="run of causal --part prior")
    add("--videos", type=Path, nargs="+", required=True)
    add("--steps", type=int, nargs="+", default=[152, 168, 184, 200], help="0 to 255")
    add("--frames", type=int, default=16, help="of each video")
    add("--threads", type=int)
    add("--out", type=Path, required=True, help="JSON file")


def main(args: argparse.Namespace) -> None:
    if args.threads:
        torch.set_num_threads(args.threads)
    tokenizer = tokenizer_of(args.tokenizer)
    models = Models(
        tokenizer,
        picture_prior_of(args.picture_prior),
        decoder_of(args.decoder, tokenizer),
        prior_of(args.prior),
    )
    result = {
        "frames": args.frames,
        "runs": {name: getattr(args, name).name for name in ("tokenizer", "decoder", "prior")},
        "rows": evaluate_clips(models, args.videos, args.steps, args.frames),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
    }
    args.out.write_text(json.dumps(result, indent=1) + "\n")
