"""What encoding a video needs of a family of weights: an encoder for each group,
and rate control."""

from __future__ import annotations

from typing import Protocol

import torch

from bsqcodec.encoder.bsq_encoder import check_bsq_options
from bsqcodec.encoder.depth_steps import scale_of_depths, step_of_depth
from bsqcodec.encoder.effort import is_optimised
from bsqcodec.encoder.rate_control import (
    QUANTIZER_STEPS,
    CodedGroup,
    ConstantStep,
    RateControl,
    StepScale,
    make_rate_control,
    rate_control_on,
)
from bsqcodec.encoder.target_search import step_among
from bsqcodec.errors import TargetError
from bsqcodec.models.bsq.picture_model import BsqModel
from bsqcodec.models.token_grid import TokenGrid
from bsqcodec.models.video_weight_files import VideoWeights
from bsqcodec.options import EncodeOptions
from bsqcodec.targets import Quality, Target
from bsqcodec.video.bsq_group_encoder import BsqGroupEncoder
from bsqcodec.video.coding_threads import CodingThreads
from bsqcodec.video.decoding_loop import Pixels
from bsqcodec.video.encoding_loop import EncodingLoop
from bsqcodec.video.group_encoder import GroupEncoder
from bsqcodec.video.video_model import BsqVideoModel, TransformVideoModel, VideoModel


class GroupCoder(Protocol):
    """A group that is being coded."""

    def add(
        self,
        pixels: Pixels,
        step: int,
        detect_scene_change: bool = True,
        following: Pixels | None = None,
    ) -> bool:
        """Code the next frame [H, W, 3]; return False, and do nothing, if it begins a new scene.

        The first frame of a group never does; nor does any without `detect_scene_change`.
        following: the frame after it, if it is known, for work ahead, which changes no result.
        """

    def finish(self) -> CodedGroup:
        """The whole group."""


class GroupEncoders(Protocol):
    """The encoder's half of a family, for one video."""

    @property
    def scale(self) -> StepScale:
        """The steps with which groups are coded."""

    def rate_control(self, target: Target) -> RateControl:
        """What chooses the steps for a target. Raises TargetError for one that cannot be had."""

    def start(self, threads: CodingThreads, *, dry: bool) -> GroupCoder:
        """The encoder of the next group; dry: see `GroupEncoder`."""


class TransformGroupEncoders:
    """Those of the family `transform`; a `GroupEncoders`.

    Raises TargetError for a tune that videos do not have.
    """

    scale = QUANTIZER_STEPS

    def __init__(
        self, weights: VideoWeights, grid: TokenGrid, options: EncodeOptions, device: torch.device
    ) -> None:
        if options.tune == "lpips":
            raise TargetError("videos cannot be tuned for LPIPS; leave --tune out")
        self._weights, self._grid, self._device = weights, grid, device
        self._optimised = is_optimised(options.effort, grid.height * grid.width)
        self._tune = options.tune

    def rate_control(self, target: Target) -> RateControl:
        return make_rate_control(target, self._grid)

    def start(self, threads: CodingThreads, *, dry: bool) -> GroupCoder:
        weights = self._weights
        loop = EncodingLoop(
            weights.image.tokenizer, weights.inter_network, self._grid, self._device
        )
        return GroupEncoder(loop, weights.priors, threads, dry, self._optimised, self._tune)


class BsqGroupEncoders:
    """Those of the family `bsq`; a `GroupEncoders`.

    Raises TargetError for effort 2 and any tune.
    """

    def __init__(self, model: BsqModel, height: int, width: int, options: EncodeOptions) -> None:
        check_bsq_options(options)
        self._model, self._height, self._width = model, height, width

    @property
    def scale(self) -> StepScale:
        return scale_of_depths(len(self._model.steps))

    def rate_control(self, target: Target) -> RateControl:
        if isinstance(target, Quality):
            depths = range(len(self._model.steps))
            return ConstantStep(step_of_depth(step_among(depths, target.value)), self.scale)
        grid = self._model.grid(self._height, self._width)
        return rate_control_on(self.scale, target, grid, strict=True)

    def start(self, threads: CodingThreads, *, dry: bool) -> GroupCoder:
        return BsqGroupEncoder(self._model, self._height, self._width, dry)


def group_encoders_of(
    model: VideoModel, height: int, width: int, options: EncodeOptions, device: torch.device
) -> GroupEncoders:
    """The encoders of a video's groups with the weights of a model.

    Raises TargetError for options that the model's family does not have, TypeError for a family
    without an encoder.
    """
    if isinstance(model, TransformVideoModel):
        return TransformGroupEncoders(model.weights, TokenGrid(height, width), options, device)
    if isinstance(model, BsqVideoModel):
        return BsqGroupEncoders(model.model, height, width, options)
    raise TypeError(f"no encoder is known for {type(model).__name__}")
