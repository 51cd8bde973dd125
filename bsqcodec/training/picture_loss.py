"""How far decoded pictures are from their originals, as the trainers of the family `bsq` weigh it:
squared error (as its logarithm in each crop), MS-SSIM and LPIPS."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor, nn

from bsqcodec.encoder.distortion import distortion
from bsqcodec.encoder.lpips import Lpips


def add_loss_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments that weigh the parts of the loss."""
    add = parser.add_argument
    add("--ms-ssim", type=float, default=0.0, help="weight of MS-SSIM in the squared error")
    add("--lpips", type=Path, help="file of LPIPS weights")
    add("--perceptual", type=float, default=1.0, help="weight of LPIPS, if --lpips is given")


class PictureLoss(nn.Module):
    """The loss of decoded pictures, with the weights that the arguments name."""

    def __init__(self, args: argparse.Namespace, lpips: Lpips | None) -> None:
        super().__init__()
        self.lpips = lpips
        self.perceptual: float = args.perceptual
        self.ms_ssim: float = args.ms_ssim

    def forward(self, decoded: Tensor, pixels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """(loss, figures to log) of pictures [B, 3, H, W] in 0..255."""
        d = distortion(decoded, pixels, self.ms_ssim)
        loss = torch.log1p(d).mean()
        figures = {"rmse": d.clamp_min(0).sqrt().mean()}
        if self.lpips is not None:
            distance = self.lpips(decoded, pixels).mean()
            loss = loss + self.perceptual * distance
            figures["lpips"] = distance
        return loss, figures
