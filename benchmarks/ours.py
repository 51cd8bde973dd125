"""bsqcodec as one of the codecs measured, through its public Python API."""

import hashlib
import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from benchmarks.anchors.base import Options, Pixels
from benchmarks.results import versions

if TYPE_CHECKING:
    from bsqcodec.codec import Codec

DEFAULT_QUALITIES = (5.0, 15.0, 30.0, 45.0, 60.0, 75.0, 90.0)


class BsqStill:
    """Satisfies `StillCodec`; holds a loaded codec, so that coding times leave out loading."""

    name = "bsqcodec"
    label = "bsqcodec"
    suffix = ".bsq"
    setting_name = "quality"
    setting_range = (0.0, 100.0)
    whole_settings = False

    def __init__(
        self,
        codec: "Codec",
        *,
        effort: int = 1,
        qualities: tuple[float, ...] = DEFAULT_QUALITIES,
    ) -> None:
        self.codec = codec
        self.effort = effort
        self.settings = qualities

    def options(self) -> Options:
        return {
            "weights": weights_id(self.codec),
            "effort": self.effort,
            "source_sha256": source_hash(),
        }

    def versions(self) -> dict[str, str]:
        names = ("bsqcodec", "torch", "constriction")
        found = versions(extra=names)
        return {name: found[name] for name in names}

    def encode(self, image: Image.Image, setting: float) -> bytes:
        from bsqcodec.rate import Quality

        data: bytes = self.codec.encode(image, Quality(setting), effort=self.effort).data
        return data

    def encode_near(self, image: Image.Image, bpp: float) -> bytes:
        """Code to at most `bpp` bits per pixel with the codec's own rate control."""
        from bsqcodec.rate import BitsPerPixel

        data: bytes = self.codec.encode(image, BitsPerPixel(bpp), effort=self.effort).data
        return data

    def decode(self, data: bytes) -> Pixels:
        return rgb(self.codec.decode(io.BytesIO(data)).picture.pixels)


def open_codec(weights: str | None = None, threads: int | None = None) -> "Codec":
    """Load bsqcodec on the CPU."""
    from bsqcodec.codec import Codec

    return Codec(weights, device="cpu", threads=threads)


def rgb(pixels: Pixels) -> Pixels:
    """uint8 [H, W] or [H, W, 3] as [H, W, 3]."""
    return np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels


def weights_id(codec: "Codec") -> str:
    """The identity of the weights in use, read off a file that they wrote."""
    data = codec.encode(np.full((16, 16, 3), 128, np.uint8)).data
    model_id: bytes = codec.decode(data).header.model_id
    return model_id.hex()


def source_hash() -> str:
    """Hash of the Python files that decide what a file holds.

    With it in a result file, results of older code are not taken for results of this code.
    """
    import bsqcodec

    folder = Path(bsqcodec.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        if path.relative_to(folder).parts[0] in ("cli", "training"):
            continue
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
