"""What the video codec needs of a family of weights, and the families that there are.

group -> model.decoder -> frames
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import torch

from bsqcodec.format.video_gop import Gop
from bsqcodec.models import look_files, video_look_files, video_weight_files, weight_store
from bsqcodec.models.bsq import weight_files as bsq_weight_files
from bsqcodec.models.bsq.picture_model import BsqModel
from bsqcodec.models.families import BSQ, TRANSFORM, default_weights, family_in_file
from bsqcodec.models.token_grid import TokenGrid
from bsqcodec.models.video_look_files import VideoLook
from bsqcodec.models.video_weight_files import VideoWeights
from bsqcodec.video.bit_accounting import BsqLevelMeter, LevelMeter
from bsqcodec.video.bsq_group_decoder import BsqGroupDecoder
from bsqcodec.video.coding_threads import CodingThreads
from bsqcodec.video.decoding_loop import DecodingLoop, Pixels
from bsqcodec.video.group_decoder import GroupDecoder
from bsqcodec.video.verify import check_group


class FrameSource(Protocol):
    """A group that is being decoded."""

    def frames(self) -> Iterator[Pixels]:
        """The frames [H, W, 3] of the group, one by one. Raises FormatError and its children."""


class Meter(Protocol):
    """Adds up the bytes of each level of the groups that it gets."""

    def add(self, gop: Gop) -> None:
        """Count a group. Raises FormatError if it does not decode to what was coded."""

    def rows(self) -> list[dict[str, Any]]:
        """Rows in coding order, with the frames' type, the level and its bytes."""


class VideoModel(Protocol):
    """The decoder's half of a family for videos, with its weights on a device."""

    @property
    def id(self) -> bytes:
        """The 8 bytes that name the weights of frames in a file."""

    @property
    def image_id(self) -> bytes:
        """The 8 bytes that name the weights of pictures that they go with."""

    @property
    def path(self) -> Path:
        """The file of the weights."""

    @property
    def can_be_helped(self) -> bool:
        """Whether a worker process can do a part of the work on a group (`MovingSymbolCoder`)."""

    def decoder(self, height: int, width: int, gop: Gop, threads: CodingThreads) -> FrameSource:
        """What decodes a group of frames of so many pixels."""

    def check(self, height: int, width: int, gop: Gop) -> None:
        """Raise FormatError if a group does not decode to what was coded."""

    def meter(self, height: int, width: int) -> Meter:
        """What finds how many bytes each level of a video takes."""


class TransformVideoModel:
    """Weights of the family `transform`; a `VideoModel`.

    look: networks that show frames in place of those of the weights.
    """

    def __init__(
        self, weights: VideoWeights, device: torch.device, look: VideoLook | None = None
    ) -> None:
        self.weights, self._device, self._look = weights, device, look

    def with_look(self, name: str) -> TransformVideoModel:
        """The same weights with frames shown in another look.

        Raises WeightsError where they have none of that name, LimitError for lack of memory.
        """
        path = look_files.find_default(self.id, name)
        look = video_look_files.load(path, self.weights)
        return TransformVideoModel(self.weights, self._device, look)

    @property
    def id(self) -> bytes:
        return self.weights.id

    @property
    def image_id(self) -> bytes:
        return self.weights.image.id

    @property
    def path(self) -> Path:
        return (self._look or self.weights).path.absolute()

    @property
    def can_be_helped(self) -> bool:
        return True

    def decoder(self, height: int, width: int, gop: Gop, threads: CodingThreads) -> FrameSource:
        weights, grid = self.weights, TokenGrid(height, width)
        networks = weights.image.tokenizer, weights.inter_network
        loop = DecodingLoop(*networks, grid, self._device, self._look)
        return GroupDecoder(loop, weights.priors, gop.frames, threads)

    def check(self, height: int, width: int, gop: Gop) -> None:
        check_group(self.weights.priors, TokenGrid(height, width), gop)

    def meter(self, height: int, width: int) -> Meter:
        return LevelMeter(self.weights.priors, TokenGrid(height, width))


class BsqVideoModel:
    """Weights of the family `bsq`, which are the same for pictures and frames; a `VideoModel`."""

    def __init__(self, model: BsqModel) -> None:
        self.model = model

    @property
    def id(self) -> bytes:
        return self.model.id

    image_id = id

    @property
    def path(self) -> Path:
        return self.model.weights.path.absolute()

    @property
    def can_be_helped(self) -> bool:
        return False

    def decoder(self, height: int, width: int, gop: Gop, threads: CodingThreads) -> FrameSource:
        return BsqGroupDecoder(self.model, height, width, gop)

    def check(self, height: int, width: int, gop: Gop) -> None:
        BsqGroupDecoder(self.model, height, width, gop).check()

    def meter(self, height: int, width: int) -> Meter:
        return BsqLevelMeter(self.model, height, width)


def load_video_model(path: Path, device: torch.device, int8: bool | None = None) -> VideoModel:
    """Load and check a file of weights for videos, of whichever family, or of a look of them.

    int8: see `IntegerPrior`. Raises WeightsError, MachineError, LimitError for lack of memory.
    """
    if family_in_file(path) == BSQ:
        return BsqVideoModel(BsqModel(bsq_weight_files.load(path, device, int8)))
    if path.stem.startswith(look_files.KIND):
        weights = video_weight_files.load(video_look_files.weights_of(path), device, int8)
        return TransformVideoModel(weights, device, video_look_files.load(path, weights))
    return TransformVideoModel(video_weight_files.load(path, device, int8), device)


def find_video_model(
    video_id: bytes, image_id: bytes, device: torch.device, int8: bool | None = None
) -> VideoModel:
    """Find the weights that a file names by their hashes, and load them as `load_video_model`.

    Raises WeightsError also if they are not installed, with the name of their file.
    """
    kinds = (bsq_weight_files.KIND,) if video_id == image_id else (video_weight_files.KIND,)
    return load_video_model(weight_store.find(kinds, video_id, "the video weights"), device, int8)


def default_video_weights(family: str) -> Path:
    """The file of weights for videos that a family uses by default.

    Raises WeightsError where there is none, ValueError for a family that is not known.
    """
    return video_weight_files.find_default() if family == TRANSFORM else default_weights(family)
