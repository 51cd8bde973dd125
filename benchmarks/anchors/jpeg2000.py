"""JPEG 2000 as OpenJPEG writes it: 9/7 wavelet and the irreversible colour transform, by rate."""

from PIL import Image

from benchmarks.anchors import base
from benchmarks.colour import Pixels


class Jpeg2000:
    """The knob is the wanted size in bits per pixel; OpenJPEG is told 24 / bpp as its rate."""

    name = "jpeg2000"
    label = "JPEG 2000"
    suffix = ".jp2"
    setting_name = "target bpp"
    settings: tuple[float, ...] = (0.08, 0.12, 0.15, 0.2, 0.25, 0.3, 0.4, 0.6, 0.8, 1.2)
    setting_range = (0.02, 4.0)
    whole_settings = False

    def options(self) -> base.Options:
        # mct=1 decorrelates the colours. Without it the anchor would be 2 dB worse than fair.
        return {"irreversible": True, "mct": 1, "quality_mode": "rates"}

    def versions(self) -> dict[str, str]:
        return {"pillow": base.pillow_version(), "openjpeg": base.library_version("jpg_2000")}

    def encode(self, image: Image.Image, setting: float) -> bytes:
        return base.save(image, "JPEG2000", {"quality_layers": [24 / setting], **self.options()})

    def decode(self, data: bytes) -> Pixels:
        return base.load(data)
