"""Intra and inter frames of a group: where a new scene begins, and how finely each is quantized."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from bsqcodec.encoder.motion_estimation import luma

INTRA_STEP_OFFSET = 44
"""Step indices by which an intra frame is finer than the group, whose frames are predicted from it."""

INTER_DEAD_ZONE_OFFSET = 0.04
"""Integer steps by which the dead zones of inter frames are wider than those of pictures."""

SCENE_CHANGE_FRACTION, SCENE_CHANGE_FLOOR = 0.4, 50.0
"""A frame begins a scene if the squared error of its prediction, at 1/4 of the size, is more than this
fraction of the variance within tokens plus this floor. The error is mostly .8 to 3.5 times that variance
between scenes, and below .3 times within one. Noise hardly shows at that size; the floor covers it."""


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


def _quarter_size(x: Tensor) -> Tensor:
    """A map [1, H, W] at 1/4 of its size, [H/4, W/4]."""
    return F.avg_pool2d(x, 4)[0]
