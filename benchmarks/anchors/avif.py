"""AVIF as libavif writes it with the AOM encoder: speed 4, full chroma resolution."""

from PIL import AvifImagePlugin, Image

from benchmarks.anchors import base
from benchmarks.colour import Pixels


class Avif:
    name = "avif"
    label = "AVIF"
    suffix = ".avif"
    setting_name = "quality"
    settings: tuple[float, ...] = (5, 10, 15, 20, 30, 40, 50, 60, 70)
    setting_range = (0.0, 100.0)
    whole_settings = True

    def options(self) -> base.Options:
        # The AOM encoder writes other files with other numbers of threads (0.7 % apart in size, on
        # the same curve), so one thread, and the result does not depend on the machine.
        return {"codec": "aom", "speed": 4, "subsampling": "4:4:4", "max_threads": 1}

    def versions(self) -> dict[str, str]:
        return {
            "pillow": base.pillow_version(),
            "libavif": base.library_version("avif"),
            "aom": AvifImagePlugin.get_codec_version("aom") or "unknown",
            "dav1d": AvifImagePlugin.get_codec_version("dav1d") or "unknown",
        }

    def encode(self, image: Image.Image, setting: float) -> bytes:
        return base.save(image, "AVIF", {"quality": round(setting), **self.options()})

    def decode(self, data: bytes) -> Pixels:
        return base.load(data)
