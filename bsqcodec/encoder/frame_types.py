"""Intra and inter frames of a group: where a new scene begins, and how finely each is quantized."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from bsqcodec.encoder.motion_estimation import luma

INTRA_STEP_OFFSET = 44
"""Step indices by which an intra frame is finer than the group,
whose frames are predicted from it."""

INTER_DEAD_ZONE_OFFSET = 0.04
"""Integer steps by which the dead zones of inter frames are wider than those of pictures."""

SCENE_CHANGE_FRACTION, SCENE_CHANGE_FLOOR = 0.4, 50.0
"""A frame begins a scene if the squared error of its prediction, at 1/4 of the size, is more than
this fraction of the variance within tokens plus this floor. The error is mostly .8 to 3.5 times
that variance between scenes, and below .3 times within one. Noise hardly shows at that size; the
floor covers it."""


BLOCK = 16
"""Side of the blocks of pixels whose means tell scenes apart where motion is not known."""

UNLIKE_FRACTION, UNLIKE_FLOOR = 0.25, 3.0
"""Without motion vectors a frame begins a scene if its blocks differ from the nearest of those
around the same place before, on average, by more than this fraction of their spread plus this
floor, in 8-bit luma. In training clips .1 % of frames within a scene do, and 99 % of those of
another clip."""


def intra_step(step: int) -> int:
    """The step index of the intra frame of a group with this step index."""
    return max(step - INTRA_STEP_OFFSET, 0)


@torch.inference_mode()
def is_scene_change(frame: Tensor, prediction: Tensor) -> bool:
    """Whether a frame [3, H, W] differs so much from its prediction that it begins a new scene.

    H and W are multiples of 16.
    """
    current = _quarter_size(luma(frame))
    error = (current - _quarter_size(luma(prediction))).square().mean()
    tokens = current.unfold(0, 4, 4).unfold(1, 4, 4)
    within = tokens.var((2, 3), correction=0).mean()
    return bool(error > SCENE_CHANGE_FRACTION * within + SCENE_CHANGE_FLOOR)


def is_unlike(pixels: npt.NDArray[np.uint8], before: npt.NDArray[np.uint8]) -> bool:
    """Whether a frame [H, W, 3] begins a new scene,
    by the frame before it and no motion vectors."""
    own, earlier = _block_means(pixels), _block_means(before)
    around = np.pad(earlier, 1, mode="edge")
    rows, columns = own.shape
    moved = [around[i : i + rows, j : j + columns] for i in range(3) for j in range(3)]
    distance = np.min([np.abs(each - own) for each in moved], 0).mean()
    return bool(distance > UNLIKE_FRACTION * own.std() + UNLIKE_FLOOR)


def _block_means(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Mean luma of each block, [rows, columns]; those at the bottom and right may be continued."""
    lack = [(0, -size % BLOCK) for size in pixels.shape[:2]]
    y = pixels.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    y = np.pad(y, lack, mode="edge")
    blocks = y.reshape(y.shape[0] // BLOCK, BLOCK, -1, BLOCK)
    return np.asarray(blocks.mean((1, 3)), np.float32)


def _quarter_size(x: Tensor) -> Tensor:
    """A map [1, H, W] at 1/4 of its size, [H/4, W/4]."""
    return F.avg_pool2d(x, 4)[0]
