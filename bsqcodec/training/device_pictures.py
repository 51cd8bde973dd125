"""Training pictures that lie on the device whole, where crops are gathered from them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from bsqcodec.training.data import Pictures, padded


class DevicePictures:
    """All pixels uint8 [number of pixels, 3] on a device, for random crops of one size.

    Pictures that are too small for a crop are padded once, here.
    """

    def __init__(self, pictures: Pictures, size: int, device: torch.device) -> None:
        self.size = size
        self.shapes = np.maximum(pictures.shapes, size)
        ends = self.shapes.prod(1).cumsum()
        self.starts = ends - self.shapes.prod(1)
        area = pictures.shapes.prod(1).cumsum()
        self._cumulative = area / area[-1]
        self.pixels = torch.empty(int(ends[-1]), 3, dtype=torch.uint8, device=device)
        for index, (start, end) in enumerate(zip(self.starts, ends, strict=True)):
            # a copy, since torch takes no array that cannot be written to
            picture = np.array(padded(pictures[index], size)).reshape(-1, 3)
            self.pixels[start:end] = torch.from_numpy(picture)

    def crops(self, count: int, size: int, generator: np.random.Generator) -> Tensor:
        """Random crops uint8 [count, 3, size, size] on the device, distributed as by `Pictures`.

        Raises ValueError if the size is not the one that the pictures were padded for.
        """
        if size != self.size:
            raise ValueError(f"crops of {size}, but the pictures were laid out for {self.size}")
        chosen = np.searchsorted(self._cumulative, generator.random(count), side="right")
        height, width = self.shapes[chosen].T
        top = generator.integers(0, height - size + 1)
        left = generator.integers(0, width - size + 1)
        turned, mirrored = generator.random((2, count)) < 0.5
        # pixel (i, j) of a crop is the pixel first + i * down + j * right of all
        down = np.where(turned, -1, width)
        right = np.where(turned, width, 1)
        first = self.starts[chosen] + top * width + left
        first += np.where(turned, size - 1, 0) + np.where(mirrored, (size - 1) * right, 0)
        right = np.where(mirrored, -right, right)
        steps = torch.from_numpy(np.stack([first, down, right])).to(self.pixels.device)
        line = torch.arange(size, device=self.pixels.device)
        first_, down_, right_ = steps[:, :, None, None]
        index = first_ + down_ * line[:, None] + right_ * line
        return self.pixels[index].permute(0, 3, 1, 2).contiguous()
