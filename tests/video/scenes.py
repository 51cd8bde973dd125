"""Frames that move, readers that give them, and what the tests of videos ask again and again."""

from __future__ import annotations

import io
import math
import weakref
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from bsqcodec.encoder.rate_control import CodedGroup
from bsqcodec.media.video.video_files import VideoColour, VideoFormat, VideoFrame, VideoReader
from bsqcodec.models.token_grid import TokenGrid
from bsqcodec.models.video_weight_files import VideoWeights
from bsqcodec.options import Tune
from bsqcodec.targets import Quality, Target
from bsqcodec.video.codec import VideoCodec
from bsqcodec.video.coding_threads import CodingThreads
from bsqcodec.video.encoding_loop import EncodingLoop
from bsqcodec.video.group_decoder import GroupDecoder
from bsqcodec.video.group_encoder import GroupEncoder

Pixels = npt.NDArray[np.uint8]

STEP = 150
"""Of groups, where a test wants nothing else."""


def moving(height: int, width: int, index: int = 0) -> Pixels:
    """A frame [height, width, 3] of smooth waves that move 2 pixels a frame to the right."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    x = x - 2 * index
    waves = [np.sin(x / 9) + np.cos(y / 7), np.sin((x + y) / 11), np.cos((x - y) / 13)]
    return np.asarray(128 + 50 * np.stack(waves, axis=-1), np.uint8)


def clip(count: int, height: int = 32, width: int = 48) -> list[Pixels]:
    """Frames of the moving waves."""
    return [moving(height, width, i) for i in range(count)]


class ListReader(VideoReader):
    """Frames from a list, made when they are asked for; counts those that are still alive.

    side: bytes of the side stream, one piece before each frame.
    """

    def __init__(
        self,
        frames: Sequence[Pixels],
        pts: Sequence[int] | None = None,
        *,
        time_base: Fraction = Fraction(1, 25),
        frame_rate: Fraction | None = Fraction(25),
        side: Sequence[bytes] = (),
        size: tuple[int, int] | None = None,
    ) -> None:
        height, width = size or frames[0].shape[:2]
        self.format = VideoFormat(width, height, time_base, frame_rate, VideoColour("bt709"))
        self.notes, self.problems = [], []
        self.most_alive = 0
        self._frames = frames
        self._pts = range(len(frames)) if pts is None else pts
        self._side = list(side)
        self._ready = b""
        self._alive: weakref.WeakSet[VideoFrame] = weakref.WeakSet()

    def frames(self) -> Iterator[VideoFrame]:
        for pixels, pts in zip(self._frames, self._pts, strict=True):
            self._ready += self._side.pop(0) if self._side else b""
            frame = VideoFrame(pixels.copy(), pts)
            self._alive.add(frame)
            self.most_alive = max(self.most_alive, len(self._alive))
            yield frame
            del frame
        self._ready += b"".join(self._side)
        self._side.clear()

    def take_side_bytes(self) -> bytes:
        ready, self._ready = self._ready, b""
        return ready

    def close(self) -> None:
        """Nothing is open."""


def coded(
    codec: VideoCodec,
    reader: VideoReader,
    target: Target | None = None,
    gop: int | None = None,
    effort: int = 1,
    tune: Tune | None = None,
) -> bytes:
    """The bytes of a .bsq video."""
    file = io.BytesIO()
    codec.encode(reader, file, target or Quality(60), gop=gop, effort=effort, tune=tune)
    return file.getvalue()


def loop_of(weights: VideoWeights, frames: Sequence[Pixels]) -> EncodingLoop:
    """A loop for frames of this size, on the CPU."""
    grid = TokenGrid(*frames[0].shape[:2])
    return EncodingLoop(weights.image.tokenizer, weights.inter_network, grid, torch.device("cpu"))


def encode_group(
    weights: VideoWeights,
    threads: CodingThreads,
    frames: Sequence[Pixels],
    steps: Sequence[int] | None = None,
    **options: Any,
) -> CodedGroup:
    """Frames as one group, whatever they show; options: of `GroupEncoder`."""
    encoder = GroupEncoder(loop_of(weights, frames), weights.priors, threads, **options)
    for frame, step in zip(frames, steps or [STEP] * len(frames), strict=True):
        assert encoder.add(frame, step, detect_scene_change=False)
    assert len(encoder) == len(frames)
    return encoder.finish()


def decode_group(
    weights: VideoWeights,
    threads: CodingThreads,
    payloads: tuple[bytes, ...],
    like: Sequence[Pixels] | None = None,
) -> list[Pixels]:
    """The frames of a group; like: frames of their size, by default that of `clip`."""
    loop = loop_of(weights, like or clip(1))
    return list(GroupDecoder(loop, weights.priors, payloads, threads).frames())


def psnr(a: Pixels, b: Pixels) -> float:
    """In dB; infinite for two equal frames, as two decoders on one kind of processor make them."""
    error = float(np.mean((a.astype(np.float64) - b) ** 2))
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)
