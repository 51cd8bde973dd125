"""The tiny model and the pictures behind tests/golden, and how its files are made.

Nothing is drawn from a library's random numbers: weights and pictures are formulas, so that
`BSQCODEC_REGENERATE_GOLDEN=1 pytest tests/image/test_golden.py` makes them anew anywhere. Do so
only when the format changes on purpose; files in tests/golden must decode for ever.
"""

from __future__ import annotations

import hashlib
import json
import math
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor, nn

from bsqcodec.format.image_container import Chunk, ChunkKind, Container, pack, unpack
from bsqcodec.image.codec import Codec
from bsqcodec.media.image.picture import Picture, to_pil
from bsqcodec.models import weight_files as weights_files
from bsqcodec.models.prior.integer import quantize_prior
from bsqcodec.models.prior.neighbour_context import CONTEXTS, MAGNITUDE, TREND
from bsqcodec.models.prior.network import Prior
from bsqcodec.models.prior.order import BUCKETS, PriorConfig, limits, stage_kinds
from bsqcodec.models.prior.walk import walk
from bsqcodec.models.prior.walk_coders import DecodingCoder, EncodingCoder
from bsqcodec.models.transform.picture_model import TransformModel
from bsqcodec.models.transform.tokenizer import Tokenizer, TokenizerConfig
from bsqcodec.models.weight_files import Weights
from bsqcodec.targets import Quality

FOLDER = Path(__file__).parent / "golden"
EXPECTED = FOLDER / "expected.json"
CHANNELS = 8

TOKENIZER = TokenizerConfig(
    channels=CHANNELS,
    width=16,
    heads=2,
    encoder_blocks=1,
    decoder_blocks=1,
    conv_channels=8,
    encoder_convs=1,
    decoder_convs=1,
    knots=3,
)
PRIOR = PriorConfig(
    channels=CHANNELS, width=32, heads=2, blocks=2, hidden=32, bands=((3, 8), (5, 8), (8,))
)

BASIS = ((0, 0, 0), (1, 0, 0), (2, 0, 0), (0, 0, 1), (0, 1, 0), (0, 1, 1), (0, 0, 2), (0, 2, 0))
"""What each channel of the transform is: (colour, vertical frequency, horizontal frequency)."""

REACH = (3533, 1200, 1200, 1200, 1200, 400, 200, 100)
"""How large the values of each channel may grow, in pixel units; 3533 is 127.5 * sqrt(768)."""


# The model ----------------------------------------------------------------------------------------


def noise(name: str, *shape: int) -> Tensor:
    """float32 of a shape, 16 values spread over (-1, 1), spelled by SHAKE-256 of a name.

    So few values because the file then packs to a third.
    """
    data = hashlib.shake_256(name.encode()).digest(math.prod(shape))
    nibbles = np.frombuffer(data, np.uint8).astype(np.float32) // 16
    return torch.from_numpy((nibbles - 7.5) / 8).view(shape)


def planes() -> Tensor:
    """Digits [BUCKETS, C] that spell about what each channel reaches: 7 down to 0.

    At coarse steps whole bands have none.
    """
    unit = 2 * 2 ** (np.arange(BUCKETS)[:, None] * (256 / BUCKETS / 32))
    digits = np.rint(np.log(2 * np.array(REACH) / unit + 1) / np.log(3))
    return torch.from_numpy(digits.astype(np.uint8))


@torch.no_grad()
def make_tokenizer() -> Tokenizer:
    """8 functions of a cosine transform, and networks that change their result a little."""
    tokenizer = Tokenizer(TOKENIZER)
    for name, parameter in tokenizer.named_parameters():
        spread = noise(name, *parameter.shape)
        if "norm" in name and name.endswith("weight"):
            parameter.copy_(1 + spread / 8)
        elif parameter.ndim > 1 and ".bias" not in name and "table" not in name:
            small = 0.1 if ".out." in name else 1.0
            parameter.copy_(spread * (small / math.sqrt(parameter[0].numel())))
        else:
            parameter.copy_(spread / 4)
    side = np.arange(TOKENIZER.patch)
    waves = [np.cos(np.pi * k * (side + 0.5) / TOKENIZER.patch) for k in range(4)]
    waves = [wave / np.linalg.norm(wave) for wave in waves]
    colours = [np.array(c) / np.linalg.norm(c) for c in ((1, 1, 1), (1, 0, -1), (1, -2, 1))]
    basis = [np.kron(colours[c], np.kron(waves[y], waves[x])) for c, y, x in BASIS]
    tokenizer.set_transform(
        torch.tensor(np.array(basis), dtype=torch.float32), torch.tensor(REACH) / 4
    )
    return tokenizer


@torch.no_grad()
def fill_prior(prior: nn.Module, prefix: str = "") -> None:
    """Give all parameters of a prior values that matter. prefix: of the names that spell them."""
    for name, parameter in prior.named_parameters():
        spread = noise(prefix + name, *parameter.shape)
        if "gain" in name:
            parameter.copy_(1 + spread / 4)
        elif "slope" in name:
            parameter.copy_(0.1 + spread / 20)
        elif parameter.ndim > 1 and ".bias" not in name and "embed_" not in name:
            large = 6.0 if ".up." in name else 1.0  # so that activations are clipped here and there
            parameter.copy_(spread * (large / math.sqrt(parameter.shape[1])))
        else:
            parameter.copy_(spread / 4)


@torch.no_grad()
def make_prior() -> Prior:
    """A prior that guesses sensibly from its tables, and whose networks change the guesses."""
    prior = Prior(PRIOR, planes())
    fill_prior(prior)
    kinds = len(stage_kinds(PRIOR, prior.top_plane))
    context = torch.arange(CONTEXTS)
    size, trend = context // TREND % MAGNITUDE, context % TREND
    guess = torch.stack([size * 0.5 - 2.0, trend * 0.5 - 1.0], dim=-1)
    shared = noise("shared_table", kinds, CONTEXTS, 2) / 4 + guess
    prior.shared_table.weight.copy_(shared.view(-1, 2))
    prior.table.weight.copy_(noise("table", *prior.table.weight.shape) / 4)
    prior.stop_table.weight.copy_(noise("stop_table", *prior.stop_table.weight.shape) - 1.5)
    return prior


def model_path() -> Path:
    """The tiny model's file."""
    name = json.loads((FOLDER / "index.json").read_text())["default"]
    return FOLDER / f"image-{name}.safetensors"


# The pictures -------------------------------------------------------------------------------------


def scene(height: int, width: int) -> npt.NDArray[np.uint8]:
    """A picture [height, width, 3] in integer arithmetic: slopes, a disc, stripes, fine texture."""
    y, x = np.mgrid[:height, :width].astype(np.int64)
    red = 40 + 160 * x // width
    green = 60 + 120 * y // height
    blue = 180 - 120 * (x + y) // (width + height)
    disc = (3 * x - width) ** 2 + (2 * y - height) ** 2 < (height * width) // 2
    stripes = 50 * ((x + 2 * y) // 11 % 2) * (2 * x > width)
    texture = (x * x + 3 * y * y + x * y) // 16 % 16
    result = np.stack([red + 70 * disc, green + stripes, blue - 60 * disc + stripes], axis=-1)
    return np.clip(result + texture[..., None], 0, 255).astype(np.uint8)


def fake_icc() -> bytes:
    """A header that counts as an RGB profile."""
    data = bytearray(range(160))
    data[16:20], data[36:40] = b"RGB ", b"acsp"
    return bytes(data)


@dataclass(frozen=True)
class Case:
    """A golden file: what it is made of, and at which quality.

    wild: its integers are not those of the picture but noise of every size the planes can spell.
    """

    picture: Picture
    quality: float
    wild: bool = False


def cases() -> dict[str, Case]:
    """The golden files by name."""
    soft = (np.add.outer(np.arange(47) * 5, np.arange(33) * 3) % 256).astype(np.uint8)
    mask = np.where(np.add.outer(np.arange(21), np.arange(19)) % 5 < 2, 0, 255).astype(np.uint8)
    return {
        "rgb": Case(Picture(scene(77, 131)), 50),
        "coarsest": Case(Picture(scene(150, 140)), 0),
        "finest": Case(Picture(scene(20, 33)), 100),
        "grey": Case(Picture(scene(40, 24)[..., 0]), 60),
        "alpha": Case(Picture(scene(47, 33), soft), 40),
        "alpha-mask": Case(Picture(scene(21, 19)[..., 1], mask), 70),
        "alpha-constant": Case(Picture(scene(20, 20), np.full((20, 20), 128, np.uint8)), 30),
        "pixel": Case(Picture(np.array([[[200, 100, 50]]], np.uint8)), 80),
        "wild": Case(Picture(scene(25, 140)), 95, wild=True),
        "metadata": Case(
            Picture(
                scene(18, 24),
                icc=fake_icc(),
                exif=Image.Exif().tobytes().removeprefix(b"Exif\0\0"),
                xmp=b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>",
            ),
            90,
        ),
    }


# Coding without the tokenizer ---------------------------------------------------------------------


def inside(height: int, width: int) -> npt.NDArray[np.bool_]:
    """Which tokens of the padded grid touch a picture, by the definition in docs/BITSTREAM.md."""
    rows, columns = -(-height // 16), -(-width // 16)
    result = np.zeros((-(-rows // 8) * 8, -(-columns // 8) * 8), bool)
    result[:rows, :columns] = True
    return result


def integers(weights: Weights, container: Container) -> npt.NDArray[np.int32]:
    """The integers [h, w, C] in a file, all of its levels or as many as there are."""
    header = container.header
    coder = DecodingCoder(container.level_payloads())
    return walk(weights.prior, header.step, inside(header.height, header.width), coder)


def symbols_crc(values: npt.NDArray[np.int32], tokens: npt.NDArray[np.bool_]) -> int:
    """The checksum in END."""
    return zlib.crc32(values[tokens].astype("<i2").tobytes())


def recode(weights: Weights, values: npt.NDArray[np.int32], container: Container) -> bytes:
    """A file that holds these integers, all else as in `container`. No float has a say in it."""
    header = container.header
    tokens = inside(header.height, header.width)
    coder = EncodingCoder(
        values.reshape(-1, values.shape[-1]).astype(np.float32),
        limits(weights.prior.planes, header.step),
    )
    coded = walk(weights.prior, header.step, tokens, coder)
    if not np.array_equal(coded[tokens], values[tokens]):
        raise ValueError("these integers cannot be coded at this step")
    payloads = iter(coder.payloads())
    chunks = [
        Chunk(ChunkKind.LEVEL, next(payloads)) if chunk.kind == ChunkKind.LEVEL else chunk
        for chunk in container.chunks
    ]
    return pack(header, chunks, symbols_crc(coded, tokens))


def wild_integers(weights: Weights, container: Container) -> npt.NDArray[np.int32]:
    """Integers [h, w, C] up to the limits in a third of the tokens, smaller ones elsewhere."""
    header = container.header
    tokens = inside(header.height, header.width)
    limit = limits(weights.prior.planes, header.step)
    shape = (*tokens.shape, len(limit))
    shrink = (np.arange(tokens.size) % 3).reshape(tokens.shape)[..., None]
    values = np.rint(noise("wild", *shape).numpy() * limit / 0.9375 * 0.3**shrink)
    values[0, 0] = limit
    values[0, 1] = -limit
    return np.where(tokens[..., None], values, 0).astype(np.int32)


def transform_weights(codec: Codec) -> Weights:
    """The weights of a codec of the family `transform`."""
    assert isinstance(codec.model, TransformModel)
    return codec.model.weights


def digest(values: npt.NDArray[np.signedinteger]) -> str:
    """SHA-256 of integers [h, w, C] as little-endian int32."""
    return hashlib.sha256(values.astype("<i4").tobytes()).hexdigest()


# Making the files and comparing with them, of any family -----------------------------------------


def emptied(folder: Path) -> Path:
    """A folder without its files."""
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    return folder


def store(folder: Path, name: str, codec: Codec, data: bytes) -> None:
    """Write a golden file, and beside it the picture that it decodes to."""
    (folder / f"{name}.bsq").write_bytes(data)
    decoded = to_pil(codec.decode(data).picture)
    decoded.info.clear()
    decoded.save(folder / f"{name}.png", optimize=True)


def check_picture(folder: Path, name: str, codec: Codec, original: Picture) -> None:
    """Assert that a golden file decodes to what is stored, and has what its original had.

    The tokenizer's decoder is float, so its samples may differ by one elsewhere.
    """
    picture = codec.decode((folder / f"{name}.bsq").read_bytes()).picture
    with Image.open(folder / f"{name}.png") as image:
        stored = np.array(image)
    if picture.alpha is not None:
        np.testing.assert_array_equal(stored[..., -1], picture.alpha)
        stored = stored[..., :-1].reshape(original.pixels.shape)
    assert picture.pixels.shape == original.pixels.shape == stored.shape
    assert np.abs(picture.pixels.astype(int) - stored).max() <= 1
    np.testing.assert_equal(picture.alpha, original.alpha)
    assert (picture.icc, picture.exif, picture.xmp) == (original.icc, original.exif, original.xmp)


def check_folder(folder: Path, names: Iterable[str], model: Path) -> None:
    """Assert that a folder holds the golden files of these names, one model, and not much more."""
    expected = {f"{name}.{suffix}" for name in names for suffix in ("bsq", "png")}
    expected |= {"expected.json", "index.json", model.name}
    assert {path.name for path in folder.iterdir()} == expected
    assert sum(path.stat().st_size for path in folder.iterdir()) < 300_000


def regenerate() -> None:
    """Write the model and all golden files anew."""
    path = weights_files.save(
        emptied(FOLDER), make_tokenizer(), PRIOR, quantize_prior(make_prior()), default=True
    )
    path.chmod(0o644)
    codec = Codec(path, device="cpu")
    weights = weights_files.load(path, torch.device("cpu"))
    expected = {}
    for name, case in cases().items():
        made = unpack(codec.encode(case.picture, Quality(case.quality), effort=0).data)
        values = wild_integers(weights, made) if case.wild else integers(weights, made)
        data = recode(weights, values, made)
        store(FOLDER, name, codec, data)
        expected[name] = {
            "bytes": len(data),
            "levels": made.header.levels,
            "integers_sha256": digest(values),
            "nonzero": int(np.count_nonzero(values)),
        }
    EXPECTED.write_text(json.dumps(expected, indent=1) + "\n")
