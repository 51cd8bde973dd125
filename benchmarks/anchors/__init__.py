"""The codecs that bsqcodec is measured against, one small class each."""

from collections.abc import Callable

from benchmarks.anchors.av1 import Av1
from benchmarks.anchors.avif import Avif
from benchmarks.anchors.base import StillCodec, VideoCodec
from benchmarks.anchors.h264 import H264
from benchmarks.anchors.hevc import Hevc
from benchmarks.anchors.jpeg import Jpeg
from benchmarks.anchors.jpeg2000 import Jpeg2000
from benchmarks.anchors.webp import WebP

ANCHORS: dict[str, Callable[[], StillCodec]] = {
    "jpeg": Jpeg,
    "jpeg2000": Jpeg2000,
    "webp": WebP,
    "avif": Avif,
}
_VIDEO: tuple[VideoCodec, ...] = (
    *(H264(preset, low) for preset in ("medium", "veryslow") for low in (False, True)),
    *(Hevc(preset, low) for preset in ("medium", "veryslow") for low in (False, True)),
    *(Av1(low) for low in (False, True)),
)
VIDEO_ANCHORS = {codec.name: codec for codec in _VIDEO}

__all__ = [
    "ANCHORS",
    "H264",
    "VIDEO_ANCHORS",
    "Av1",
    "Avif",
    "Hevc",
    "Jpeg",
    "Jpeg2000",
    "StillCodec",
    "VideoCodec",
    "WebP",
]
