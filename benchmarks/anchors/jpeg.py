"""JPEG as libjpeg-turbo writes it: progressive, with optimised Huffman tables, 4:2:0."""

from PIL import Image, features

from benchmarks.anchors import base
from benchmarks.colour import Pixels


class Jpeg:
    name = "jpeg"
    label = "JPEG"
    suffix = ".jpg"
    setting_name = "quality"
    settings: tuple[float, ...] = (1, 5, 10, 15, 25, 40, 60, 75)
    setting_range = (1.0, 95.0)
    whole_settings = True

    def options(self) -> base.Options:
        return {"optimize": True, "progressive": True, "subsampling": "4:2:0"}

    def versions(self) -> dict[str, str]:
        turbo = str(features.version_feature("libjpeg_turbo") or "unknown")
        return {"pillow": base.pillow_version(), "libjpeg-turbo": turbo}

    def encode(self, image: Image.Image, setting: float) -> bytes:
        return base.save(image, "JPEG", {"quality": round(setting), **self.options()})

    def decode(self, data: bytes) -> Pixels:
        return base.load(data)
