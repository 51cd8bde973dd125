"""The still codecs that bsqcodec is measured against, one small class each."""

from benchmarks.anchors.avif import Avif
from benchmarks.anchors.base import StillCodec
from benchmarks.anchors.jpeg import Jpeg
from benchmarks.anchors.jpeg2000 import Jpeg2000
from benchmarks.anchors.webp import WebP

ANCHORS: dict[str, type[StillCodec]] = {
    anchor.name: anchor for anchor in (Jpeg, Jpeg2000, WebP, Avif)
}

__all__ = ["ANCHORS", "Avif", "Jpeg", "Jpeg2000", "StillCodec", "WebP"]
