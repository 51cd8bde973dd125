"""bsqcodec as one of the codecs measured, through its public Python API."""

import hashlib
import io
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks import ours_video
from benchmarks.anchors import ANCHORS, VIDEO_ANCHORS, StillCodec, VideoCodec
from benchmarks.anchors.base import Options
from benchmarks.colour import Pixels
from benchmarks.datasets.generated import generated_picture
from benchmarks.environment import versions
from benchmarks.measures import SEARCHES, TUNED

if TYPE_CHECKING:
    from bsqcodec.image.codec import Codec
    from bsqcodec.targets import Target

DEFAULT_QUALITIES = (0.0, 3.0, 8.0, 13.0, 19.0, 26.0, 34.0, 44.0, 58.0)  # about .09 to 1 bpp
SEARCHING_QUALITIES = (7.3, 17.2, 27.2, 40.5, 58.2)  # fewer, since each takes far longer
# Width, height and quality: both ways a Kodak picture can stand, and odd sides.
PROBES = ((768, 512, 15.0), (512, 768, 60.0), (131, 97, 90.0))


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
        name: str = name,
    ) -> None:
        self.name = name
        self.tune = TUNED.get(name)
        if name in SEARCHES:
            tuned = "" if self.tune is None else f" --tune {self.tune}"
            self.label = f"bsqcodec, --effort {effort}{tuned}"
        self.codec = codec
        self.effort = effort
        self.settings = qualities

    def options(self) -> Options:
        return {
            "weights": weights_id(self.codec),
            "effort": self.effort,
            **({} if self.tune is None else {"tune": self.tune}),
            "fingerprint": self.fingerprint(),
        }

    def fingerprint(self) -> str:
        """Hash of the files and the decoded pixels of a few generated pictures.

        It stands for all that decides what is measured: with it in a result file, results of code
        that codes or decodes otherwise are not taken for results of this code, while comments,
        names and other formats may change freely.
        """
        digest = hashlib.sha256()
        for seed, (width, height, quality) in enumerate(PROBES):
            data = self.encode(generated_picture(width, height, seed), quality)
            digest.update(data)
            digest.update(self.decode(data).tobytes())
        return digest.hexdigest()[:16]

    def versions(self) -> dict[str, str]:
        names = ("bsqcodec", "torch", "constriction")
        found = versions(extra=names)
        return {name: found[name] for name in names}

    def encode(self, image: Image.Image, setting: float) -> bytes:
        from bsqcodec.targets import Quality

        return self._encode(image, Quality(setting))

    def encode_near(self, image: Image.Image, bpp: float) -> bytes:
        """Code to at most `bpp` bits per pixel with the codec's own rate control."""
        from bsqcodec.targets import BitsPerPixel

        return self._encode(image, BitsPerPixel(bpp))

    def _encode(self, image: Image.Image, target: "Target") -> bytes:
        data: bytes = self.codec.encode(image, target, effort=self.effort, tune=self.tune).data
        return data

    def decode(self, data: bytes) -> Pixels:
        return rgb(self.codec.decode(io.BytesIO(data)).picture.pixels)


class BsqTokenizer:
    """The tokenizer of a loaded codec without the prior; the integers it makes are its tokens."""

    def __init__(self, codec: "Codec") -> None:
        from bsqcodec.models import weight_files as weights

        self._codec = codec
        model_id = bytes.fromhex(weights_id(codec))
        self._weights = weights.load(weights.find(model_id), codec.device)
        self.weights_id = model_id.hex()

    @property
    def channels(self) -> int:
        return int(self._weights.prior.planes.shape[1])

    def step(self, quality: float) -> int:
        from bsqcodec.encoder.target_search import step_of_quality

        return step_of_quality(quality)

    def digits(self, quality: float) -> int:
        """Ternary digits that the integers of one token have together at a quality."""
        from bsqcodec.models.prior.order import bucket

        return int(self._weights.prior.planes[bucket(self.step(quality))].sum())

    def encode(self, pixels: Pixels, quality: float) -> npt.NDArray[np.int32]:
        """Integers [h, w, C] of pixels [H, W, 3], the nearest that the digits can spell.

        Tokens of the padding to whole windows are left out.
        """
        from bsqcodec.models.prior.order import limits
        from bsqcodec.models.transform.strips import encode_picture

        step = self.step(quality)
        tokenizer = self._weights.tokenizer
        z = encode_picture(tokenizer, pixels, step, self._codec.device).cpu().numpy()
        allowed = limits(self._weights.prior.planes, step)
        patch = tokenizer.config.patch
        z = z[: -(-pixels.shape[0] // patch), : -(-pixels.shape[1] // patch)]
        return np.clip(np.rint(z), -allowed, allowed).astype(np.int32)

    def decode(
        self, integers: npt.NDArray[np.int32], quality: float, height: int, width: int
    ) -> Pixels:
        """Pixels [height, width, 3] of integers [h, w, C]."""
        import torch

        from bsqcodec.models.transform.strips import decode_picture, grid_size

        tokenizer = self._weights.tokenizer
        rows, columns = grid_size(height, width, tokenizer.window_pixels, tokenizer.config.patch)
        padded = np.zeros((rows, columns, integers.shape[2]), np.int32)
        padded[: integers.shape[0], : integers.shape[1]] = integers
        n = torch.from_numpy(padded).to(self._codec.device)
        return decode_picture(tokenizer, n, self.step(quality), height, width)

    def coded_bits(self, pixels: Pixels, quality: float) -> float:
        """Bits that the prior promises for the same integers."""
        from bsqcodec.targets import Quality

        return float(self._codec.encode(pixels, Quality(quality), effort=0).ideal_bits)


def open_codec(weights: str | None = None, threads: int | None = None) -> "Codec":
    """Load bsqcodec on the CPU."""
    from bsqcodec.image.codec import Codec

    return Codec(weights, device="cpu", threads=threads)


def make_still(
    name: str,
    weights: str | None = None,
    threads: int | None = None,
    effort: int = 1,
    qualities: tuple[float, ...] = DEFAULT_QUALITIES,
) -> StillCodec:
    """A still codec by its name, an anchor or bsqcodec. Raises KeyError for another name."""
    if name == BsqStill.name:
        return BsqStill(open_codec(weights, threads), effort=effort, qualities=qualities)
    if name in SEARCHES:
        grid = SEARCHING_QUALITIES if qualities == DEFAULT_QUALITIES else qualities
        return BsqStill(open_codec(weights, threads), effort=2, qualities=grid, name=name)
    return ANCHORS[name]()


def make_video(name: str, weights: str | None = None, threads: int | None = None) -> VideoCodec:
    """A video codec by its name, an anchor or bsqcodec. Raises KeyError for another name."""
    if name in ours_video.NAMES:
        return ours_video.open_video(name, weights, threads)
    return VIDEO_ANCHORS[name]


def rgb(pixels: Pixels) -> Pixels:
    """uint8 [H, W] or [H, W, 3] as [H, W, 3]."""
    return np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels


def weights_id(codec: "Codec") -> str:
    """The identity of the weights in use, read off a file that they wrote."""
    data = codec.encode(np.full((16, 16, 3), 128, np.uint8)).data
    model_id: bytes = codec.decode(data).header.model_id
    return model_id.hex()
