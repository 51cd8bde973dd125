"""Stand-ins for codecs."""

import io
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
from PIL import Image

from benchmarks.anchors.base import Options, Pixels, load, save


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


@dataclass(frozen=True)
class FakeTarget:
    value: float


class FakeCodec:
    """Has the part of `bsqcodec.Codec` that the benchmarks use; its files are WebP."""

    def encode(self, picture: object, target: object = None, *, effort: int = 1) -> SimpleNamespace:
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
