"""bsqcodec as one of the codecs measured, through its public Python API."""

import hashlib
import io
from collections.abc import Sequence
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
from benchmarks.measures import FIXED, SEARCHES, SHOWN, TUNED

if TYPE_CHECKING:
    from bsqcodec.image.codec import Codec
    from bsqcodec.models.bsq.picture_model import BsqModel
    from bsqcodec.targets import Target

DEFAULT_QUALITIES = (0.0, 3.0, 8.0, 13.0, 19.0, 26.0, 34.0, 44.0, 58.0)  # about .09 to 1 bpp
SEARCHING_QUALITIES = (7.3, 17.2, 27.2, 40.5, 58.2)  # fewer, since each takes far longer
# Width, height and quality: both ways a Kodak picture can stand, and odd sides.
PROBES = ((768, 512, 15.0), (512, 768, 60.0), (131, 97, 90.0))
BSQ_PATCH = 8  # of the tokens of the codecs of one rate


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
        self.look = SHOWN.get(name)
        if self.look is not None:
            self.label = f"bsqcodec, --look {self.look}"
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
            **({} if self.look is None else {"look": self.look}),
            "fingerprint": self.fingerprint(),
        }

    def fingerprint(self) -> str:
        """See `fingerprint`."""
        return fingerprint(self, PROBES)

    def versions(self) -> dict[str, str]:
        return own_versions()

    def encode(self, image: Image.Image, setting: float) -> bytes:
        from bsqcodec.targets import Quality

        return self._encode(image, Quality(setting))

    def encode_near(self, image: Image.Image, bpp: float) -> bytes:
        """Code to at most `bpp` bits per pixel with the codec's own rate control."""
        from bsqcodec.targets import BitsPerPixel

        return self._encode(image, BitsPerPixel(bpp))

    def _encode(self, image: Image.Image, target: "Target") -> bytes:
        data: bytes = self.codec.encode(
            image, target, effort=self.effort, tune=self.tune, look=self.look
        ).data
        return data

    def decode(self, data: bytes) -> Pixels:
        return rgb(self.codec.decode(io.BytesIO(data)).picture.pixels)


class FixedStill:
    """bsqcodec with weights of the family bsq, whose only setting are the bits of a token.

    name: one of `FIXED`. Satisfies `StillCodec`. Raises WeightsError for weights of another family
    or shape.
    """

    suffix = ".bsq"
    setting_name = "bits"
    whole_settings = True

    def __init__(self, name: str, codec: "Codec") -> None:
        from bsqcodec.errors import WeightsError
        from bsqcodec.image.picture_tokens import bsq_model
        from bsqcodec.models.bsq.picture_model import listed
        from bsqcodec.targets import Quality

        bits = FIXED[name]
        model = bsq_model(codec.model)
        if bits not in model.depths or model.patch != BSQ_PATCH:
            raise WeightsError(
                f"the weights {model.id.hex()} spend {listed(model.depths)} bits on each"
                f" {model.patch} x {model.patch} pixels, {name} is {bits} on each"
                f" {BSQ_PATCH} x {BSQ_PATCH}"
            )
        self.name = name
        self.codec = codec
        self.settings: tuple[float, ...] = (float(bits),)
        self.setting_range = (float(bits), float(bits))
        self.target = target_of(model, bits)
        self.label = "bsqcodec, --model bsq"
        if bits != model.default_depth and isinstance(self.target, Quality):
            self.label += f" -q {self.target.value:g}"

    def options(self) -> Options:
        return {"weights": self.codec.model_id.hex(), "fingerprint": self.fingerprint()}

    def fingerprint(self) -> str:
        """See `fingerprint`."""
        sizes = [(width, height, self.settings[0]) for width, height, _ in PROBES]
        return fingerprint(self, sizes)

    def versions(self) -> dict[str, str]:
        return own_versions()

    def encode(self, image: Image.Image, setting: float) -> bytes:
        if setting not in self.settings:
            raise ValueError(f"{self.name} has no setting of {setting:g} bits")
        data: bytes = self.codec.encode(image, self.target).data
        return data

    def decode(self, data: bytes) -> Pixels:
        return rgb(self.codec.decode(io.BytesIO(data)).picture.pixels)


def fingerprint(codec: StillCodec, probes: Sequence[tuple[int, int, float]]) -> str:
    """Hash of the files and the decoded pixels of a few generated pictures.

    It stands for all that decides what is measured: with it in a result file, results of code
    that codes or decodes otherwise are not taken for results of this code, while comments,
    names and other formats may change freely. probes: (width, height, setting) of each.
    """
    digest = hashlib.sha256()
    for seed, (width, height, setting) in enumerate(probes):
        data = codec.encode(generated_picture(width, height, seed), setting)
        digest.update(data)
        digest.update(codec.decode(data).tobytes())
    return digest.hexdigest()[:16]


def own_versions() -> dict[str, str]:
    """Versions of what writes and reads the files of bsqcodec."""
    names = ("bsqcodec", "torch", "constriction")
    found = versions(extra=names)
    return {name: found[name] for name in names}


class TransformTokenizer:
    """The tokenizer of a loaded codec without the prior; the integers it makes are its tokens."""

    def __init__(self, codec: "Codec") -> None:
        from bsqcodec.models import weight_files as weights
        from bsqcodec.models.transform.exact_decoder import ExactDecoder

        self._codec = codec
        model_id = bytes.fromhex(weights_id(codec))
        self._weights = weights.load(weights.find(model_id), codec.device)
        self._exact = ExactDecoder(self._weights.tokenizer)
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

        from bsqcodec.models.transform.exact_decoder import ExactRendering
        from bsqcodec.models.transform.strips import grid_size, render

        tokenizer = self._weights.tokenizer
        rows, columns = grid_size(height, width, tokenizer.window_pixels, tokenizer.config.patch)
        padded = np.zeros((rows, columns, integers.shape[2]), np.int32)
        padded[: integers.shape[0], : integers.shape[1]] = integers
        n = torch.from_numpy(padded).to(self._codec.device)
        return render(ExactRendering(self._exact, self.step(quality)), n, height, width)

    def coded_bits(self, pixels: Pixels, quality: float) -> float:
        """Bits that the prior promises for the same integers."""
        from bsqcodec.targets import Quality

        return float(self._codec.encode(pixels, Quality(quality), effort=0).ideal_bits)


class BsqTokenizer:
    """The tokenizer of a loaded codec of the family bsq without the prior, at one depth.

    bits: of a code, by default as many as encoding spends. Its tokens are taken as the sub-codes
    that the prior codes at once: integers [h, w, C] of `sub_code` bits each.
    """

    def __init__(self, codec: "Codec", bits: int | None = None) -> None:
        from bsqcodec.image.picture_tokens import bsq_model

        model = bsq_model(codec.model)
        self._codec = codec
        self.weights_id = model.id.hex()
        self.bits = model.default_depth if bits is None else bits
        self._target = target_of(model, self.bits)
        self.patch = model.patch
        self.sub_code = model.weights.prior.config.sub_code

    def encode(self, pixels: Pixels) -> npt.NDArray[np.int32]:
        """Sub-codes [h, w, C] of pixels [H, W, 3], the first bits of a code first."""
        codes = self._codec.tokens(pixels, self.bits).codes
        shifts = np.arange(self.bits - self.sub_code, -1, -self.sub_code)
        return (codes[..., None] >> shifts & 2**self.sub_code - 1).astype(np.int32)

    def decode(self, sub_codes: npt.NDArray[np.int32], height: int, width: int) -> Pixels:
        """Pixels [height, width, 3] of sub-codes [h, w, C]."""
        from bsqcodec.format.token_file import Tokens

        shifts = np.arange(self.bits - self.sub_code, -1, -self.sub_code)
        codes = (sub_codes.astype(np.int64) << shifts).sum(-1)
        tokens = Tokens(codes, self.bits, self.patch, self.weights_id, width, height)
        return rgb(self._codec.from_tokens(tokens).pixels)

    def coded_bits(self, pixels: Pixels) -> float:
        """Bits that the prior promises for the same tokens."""
        return float(self._codec.encode(pixels, self._target).ideal_bits)


def target_of(model: "BsqModel", bits: int) -> "Target | None":
    """What an encoder aims at to spend so many bits on a token; None where there is no choice."""
    from bsqcodec.encoder.target_search import quality_among
    from bsqcodec.targets import Quality

    quality = quality_among(model.steps, model.step_of(bits))
    return None if quality is None else Quality(quality)


def depths_measured(model: "BsqModel") -> list[int]:
    """Those of the bits of the codecs of one rate that a model has, or its default."""
    return [bits for bits in FIXED.values() if bits in model.depths] or [model.default_depth]


def bsq_tokenizers(codec: "Codec") -> list[BsqTokenizer]:
    """The tokenizer of a codec of the family bsq at each depth that is measured.

    Raises WeightsError.
    """
    from bsqcodec.image.picture_tokens import bsq_model

    return [BsqTokenizer(codec, bits) for bits in depths_measured(bsq_model(codec.model))]


def open_codec(
    weights: str | None = None, threads: int | None = None, family: str = "transform"
) -> "Codec":
    """Load bsqcodec on the CPU, by default with the shipped weights of a family.

    Raises WeightsError.
    """
    from bsqcodec.image.codec import Codec

    return Codec(weights, device="cpu", threads=threads, model=family)


def make_still(
    name: str,
    weights: str | None = None,
    threads: int | None = None,
    effort: int = 1,
    qualities: tuple[float, ...] = DEFAULT_QUALITIES,
) -> StillCodec:
    """A still codec by its name, an anchor or bsqcodec.

    Raises KeyError for another name, WeightsError where the weights it needs are not there.
    """
    if name in FIXED:
        return FixedStill(name, open_codec(weights, threads, "bsq"))
    if name == BsqStill.name:
        return BsqStill(_transform_codec(weights, threads), effort=effort, qualities=qualities)
    if name in SHOWN:
        codec = _transform_codec(weights, threads)
        return BsqStill(codec, effort=effort, qualities=qualities, name=name)
    if name in SEARCHES:
        grid = SEARCHING_QUALITIES if qualities == DEFAULT_QUALITIES else qualities
        return BsqStill(_transform_codec(weights, threads), effort=2, qualities=grid, name=name)
    return ANCHORS[name]()


def _transform_codec(weights: str | None, threads: int | None) -> "Codec":
    """A codec whose weights have qualities. Raises WeightsError for others."""
    from bsqcodec.errors import WeightsError
    from bsqcodec.models.bsq.picture_model import BsqModel

    codec = open_codec(weights, threads)
    if isinstance(codec.model, BsqModel):
        raise WeightsError(f"the weights {codec.model_id.hex()} have one rate and no qualities")
    return codec


def make_video(
    name: str,
    weights: str | None = None,
    threads: int | None = None,
    qualities: tuple[float, ...] | None = None,
) -> VideoCodec:
    """A video codec by its name, an anchor or bsqcodec. Raises KeyError for another name.

    qualities: for bsqcodec, None for its own.
    """
    if name in ours_video.NAMES:
        return ours_video.open_video(name, weights, threads, qualities)
    return VIDEO_ANCHORS[name]


def rgb(pixels: Pixels) -> Pixels:
    """uint8 [H, W] or [H, W, 3] as [H, W, 3]."""
    return np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels


def weights_id(codec: "Codec") -> str:
    """The identity of the weights in use, read off a file that they wrote."""
    data = codec.encode(np.full((16, 16, 3), 128, np.uint8)).data
    model_id: bytes = codec.decode(data).header.model_id
    return model_id.hex()
