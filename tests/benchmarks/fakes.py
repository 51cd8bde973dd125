"""Stand-ins for codecs."""

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.anchors.base import Options, load, save
from benchmarks.colour import Frame, Pixels
from benchmarks.datasets import Clip


class FakeStill:
    """A `StillCodec` that quantizes pixels and counts what it is asked to do."""

    name = "fake"
    label = "Fake"
    suffix = ".png"
    setting_name = "bits"
    settings: tuple[float, ...] = (2, 4)
    setting_range = (1.0, 8.0)
    whole_settings = True

    def __init__(self, version: str = "1") -> None:
        self.version = version
        self.encodes = 0

    def options(self) -> Options:
        return {"dither": False}

    def versions(self) -> dict[str, str]:
        return {"fake": self.version}

    def encode(self, image: Image.Image, setting: float) -> bytes:
        self.encodes += 1
        step = 2 ** (8 - round(setting))
        return save(Image.fromarray(np.asarray(image) // step * step + step // 2), "PNG", {})

    def decode(self, data: bytes) -> Pixels:
        return load(data)


class FakeVideo:
    """A `VideoCodec` that quantizes the samples of frames."""

    name = "fake"
    label = "Fake"
    suffix = ".npy"
    setting_name = "bits"
    settings: tuple[float, ...] = (2, 4)

    def options(self) -> Options:
        return {}

    def versions(self) -> dict[str, str]:
        return {"fake": "1"}

    def encode(self, clip: Clip, frames: Iterable[Frame], setting: float, target: Path) -> None:
        step = 2 ** (8 - round(setting))
        np.save(target, np.stack([frame // step * step + step // 2 for frame in frames]))

    def decode(self, path: Path) -> Iterator[Frame]:
        return iter(np.load(path))


@dataclass(frozen=True)
class FakeTarget:
    value: float


class FakeCodec:
    """Has the part of `bsqcodec.Codec` that the benchmarks use; its files are WebP."""

    model = None  # of no family

    def encode(
        self,
        picture: Any,
        target: object = None,
        *,
        effort: int = 1,
        tune: str | None = None,
        look: object = None,
    ) -> SimpleNamespace:
        image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
        quality = target.value if isinstance(target, FakeTarget) else 50
        data = save(image, "WEBP", {"quality": round(quality)})
        return SimpleNamespace(data=data, ideal_bits=8.0 * (len(data) - 60))

    def decode(self, source: bytes | io.BytesIO) -> SimpleNamespace:
        data = source if isinstance(source, bytes) else source.read()
        return SimpleNamespace(
            picture=SimpleNamespace(pixels=load(data)),
            header=SimpleNamespace(model_id=bytes(range(8))),
        )
