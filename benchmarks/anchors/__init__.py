"""The codecs that bsqcodec is measured against, one small class each."""

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec

from benchmarks.anchors.aom import Aom
from benchmarks.anchors.av1 import Av1
from benchmarks.anchors.avif import Avif
from benchmarks.anchors.base import StillCodec, VideoCodec
from benchmarks.anchors.h264 import H264
from benchmarks.anchors.hevc import Hevc
from benchmarks.anchors.jpeg import Jpeg
from benchmarks.anchors.jpeg2000 import Jpeg2000
from benchmarks.anchors.jpegxl import JpegXl
from benchmarks.anchors.vvc import Vvc, VvcStill
from benchmarks.anchors.webp import WebP

ANCHORS: dict[str, Callable[[], StillCodec]] = {
    "jpeg": Jpeg,
    "jpeg2000": Jpeg2000,
    "webp": WebP,
    "avif": Avif,
    **{f"jpegxl-{effort}": partial(JpegXl, effort) for effort in (7, 9)},
    "vvc": VvcStill,
}
_VIDEO: tuple[VideoCodec, ...] = (
    *(H264(preset, low) for preset in ("medium", "veryslow") for low in (False, True)),
    *(Hevc(preset, low) for preset in ("medium", "veryslow") for low in (False, True)),
    *(Av1(low) for low in (False, True)),
    Av1(preset=2),
    Aom(),
    Vvc(),
)
VIDEO_ANCHORS = {codec.name: codec for codec in _VIDEO}
PACKAGES = {
    "jpegxl-7": "imagecodecs",
    "jpegxl-9": "imagecodecs",
    "vvc": "imageio-ffmpeg",
    "libaom": "imageio-ffmpeg",
}
"""What an anchor needs of the extra `rivals`."""


def missing(codec: str) -> str | None:
    """Why a codec cannot be measured here, a sentence that says what to install; or None."""
    package = PACKAGES.get(codec)
    if package is None or find_spec(package.replace("-", "_")) is not None:
        return None
    return f"{codec} needs {package}: pip install bsqcodec[rivals]"


__all__ = [
    "ANCHORS",
    "H264",
    "PACKAGES",
    "VIDEO_ANCHORS",
    "Av1",
    "Avif",
    "Hevc",
    "Jpeg",
    "Jpeg2000",
    "StillCodec",
    "VideoCodec",
    "WebP",
    "missing",
]
