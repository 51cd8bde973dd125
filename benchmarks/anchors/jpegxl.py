"""JPEG XL as libjxl writes it, through imagecodecs, by libjxl's quality."""

import numpy as np
from PIL import Image

from benchmarks.anchors import base
from benchmarks.colour import Pixels


class JpegXl:
    """effort: of libjxl, 1 to 9; 7 is its default.

    The knob is libjxl's quality, which stands for a distance: 90 is 1, 68 is 3, 8 is 17. At
    distances above 20 libjxl halves the picture first, and effort 7 then writes larger files again.
    """

    suffix = ".jxl"
    setting_name = "quality"
    settings: tuple[float, ...] = (8, 22, 48, 68, 83)
    setting_range = (6.0, 99.0)
    whole_settings = True

    def __init__(self, effort: int = 7) -> None:
        self.effort = effort
        self.name = f"jpegxl-{effort}"
        self.label = f"JPEG XL, effort {effort}"

    def options(self) -> base.Options:
        return {"effort": self.effort, "numthreads": 1}

    def versions(self) -> dict[str, str]:
        import imagecodecs

        library = imagecodecs.jpegxl_version().split()[-1]
        return {"imagecodecs": imagecodecs.__version__, "libjxl": library}

    def encode(self, image: Image.Image, setting: float) -> bytes:
        import imagecodecs

        pixels, quality = np.asarray(image), round(setting)
        data = imagecodecs.jpegxl_encode(pixels, quality, effort=self.effort, numthreads=1)
        return bytes(data)

    def decode(self, data: bytes) -> Pixels:
        import imagecodecs

        pixels: Pixels = imagecodecs.jpegxl_decode(data, numthreads=1)
        return pixels
