"""Lossy WebP as libwebp writes it at its slowest method."""

from PIL import Image

from benchmarks.anchors import base
from benchmarks.colour import Pixels


class WebP:
    name = "webp"
    label = "WebP"
    suffix = ".webp"
    setting_name = "quality"
    settings: tuple[float, ...] = (0, 1, 5, 10, 20, 35, 50, 70, 80)
    setting_range = (0.0, 100.0)
    whole_settings = True

    def options(self) -> base.Options:
        return {"method": 6}

    def versions(self) -> dict[str, str]:
        return {"pillow": base.pillow_version(), "libwebp": base.library_version("webp")}

    def encode(self, image: Image.Image, setting: float) -> bytes:
        return base.save(image, "WEBP", {"quality": round(setting), **self.options()})

    def decode(self, data: bytes) -> Pixels:
        return base.load(data)
