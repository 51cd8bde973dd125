"""Clips for the tests of the command line, and looks into what it wrote."""

from __future__ import annotations

import io
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..media.clips import Read, make_clip, packets

WIDTH, HEIGHT, FRAMES, GOP = 48, 32, 7, 3
SIZE = ["--gop", str(GOP)]


def clip(**options: Any) -> bytes:
    """A Matroska file of 7 frames at 25 a second, lossless, with what is asked for."""
    form: dict[str, Any] = {"width": WIDTH, "height": HEIGHT, "pts": range(FRAMES)} | options
    return make_clip("matroska", "ffv1", **form)


def clip_with_sound() -> bytes:
    """The same with .3 s of sound and a title."""
    return clip(audio="aac", seconds_of_sound=0.3, metadata={"title": "Waves"})


def frames_of(path: str | Path | bytes) -> npt.NDArray[np.uint8]:
    """All frames of a video [N, H, W, 3]."""
    source = io.BytesIO(path) if isinstance(path, bytes) else Path(path)
    return np.stack([frame.pixels for frame in Read(source).frames])


def seconds_of(path: str) -> list[float]:
    """When each frame is shown."""
    return [round(float(time), 3) for time in Read(Path(path)).seconds]


def sound_of(path: str) -> list[tuple[Fraction, bytes]]:
    """Times and bytes of the packets of sound."""
    return packets(Path(path).read_bytes(), "audio")


def lines_of_json(text: str) -> list[dict[str, Any]]:
    """Objects, one a line."""
    return [json.loads(line) for line in text.splitlines()]
