"""What the frames before a frame of a video add to its picture.

    the frame's picture, by its own codes --------------------------+-------------> + -> shown
    pictures of the frames before, -> aligned -> differences to it -+-> convolutions -^
    by their own codes, up to two                                   +-> weights of these, and a rest

Each pixel attends to the same place of the frames before along its motion
(`bsqcodec.models.bsq.alignment`): the network gives weights, by which the differences are added.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from bsqcodec.models.transform.blocks import ResidualConv, shuffle, unshuffle

CELL = 4
"""Side in pixels of the cells on whose grid the convolutions run."""

UNIT = 64.0
"""The network sees differences of pixel values in this unit."""

MIDDLE = 127.5

START = 0.45
"""The sum of the weights with which training begins; the rest is the weight of the own picture.

Of one weight for a whole clip, .38 to .45 is best for one frame (davis360, 18 bits), and .44 to .56
in sum for two.
"""


class EarlierFrames(nn.Module):
    """Adds to a picture what aligned pictures of the frames before show better.

    It begins as their weighted mean. frames: how many there are at most. width, convs: channels
    and number of the residual convolutions.
    """

    def __init__(self, frames: int, width: int, convs: int) -> None:
        super().__init__()
        self.frames = frames
        self.margin = 2 * convs + 2  # cells around a cell that take part in it
        values = 3 * CELL**2
        self.embed = nn.Conv2d((1 + frames) * values, width, 3, padding=1)
        self.convs = nn.Sequential(*[ResidualConv(width) for _ in range(convs)])
        self.out = nn.Conv2d(width, frames * CELL**2 + values, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        begin = torch.cat([torch.full((frames * CELL**2,), START / frames), torch.zeros(values)])
        self.out.bias = nn.Parameter(begin)

    def forward(self, own: Tensor, earlier: Sequence[Tensor]) -> Tensor:
        """Pictures [B, 3, H, W], not clipped, of pictures in 0..255 whose sides are whole cells.

        earlier: pictures of one to `frames` frames before, aligned to the own ones, the latest
        first. Where there are fewer, the last one stands for those that lack.
        """
        differences = [picture - own for picture in earlier]
        differences += differences[-1:] * (self.frames - len(differences))
        x = torch.cat([own - MIDDLE, *differences], 1) / UNIT
        made = self.out(self.convs(self.embed(unshuffle(x, CELL)))).float()
        weights, rest = made.split([self.frames * CELL**2, 3 * CELL**2], 1)
        result = own + UNIT * shuffle(rest, CELL)
        for weight, difference in zip(shuffle(weights, CELL).unbind(1), differences, strict=True):
            result = result + weight[:, None] * difference
        return result
