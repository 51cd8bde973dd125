"""The tiny model of the BSQ family and the pictures behind tests/golden_bsq, and how they are made.

As in `golden_files`: weights and pictures are formulas, and
`BSQCODEC_REGENERATE_GOLDEN=1 pytest tests/image/test_golden_bsq.py` makes them anew. Do so only
when the format changes on purpose; files in tests/golden_bsq must decode for ever.
"""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path

import numpy as np
import torch

from bsqcodec.format.image_container import unpack
from bsqcodec.image.codec import Codec
from bsqcodec.media.image.picture import Picture
from bsqcodec.models.bsq import weight_files
from bsqcodec.models.bsq.bit_order import BitPriorConfig
from bsqcodec.models.bsq.bit_prior import BitPrior
from bsqcodec.models.bsq.integer_bit_prior import quantize_bit_prior
from bsqcodec.models.bsq.network import BsqConfig, BsqTokenizer

from .golden_files import emptied, fill_prior, noise, scene, store

FOLDER = Path(__file__).parent / "golden_bsq"
EXPECTED = FOLDER / "expected.json"

TOKENIZER = BsqConfig(
    patch=8, bits=12, width=64, encoder_blocks=0, decoder_blocks=1, fine_width=8, fine_convs=1
)
PRIOR = BitPriorConfig(
    bits=12, sub_code=4, lattices=(4, 2, 1), width=32, heads=2, blocks=2, hidden=32
)


@torch.no_grad()
def make_tokenizer() -> BsqTokenizer:
    """Signs of random projections, and a decoder that is no inverse of it."""
    tokenizer = BsqTokenizer(TOKENIZER)
    for name, parameter in tokenizer.named_parameters():
        spread = noise(f"bsq {name}", *parameter.shape)
        if "norm" in name and name.endswith("weight"):
            parameter.copy_(1 + spread / 8)
        elif parameter.ndim > 1 and ".bias" not in name:
            parameter.copy_(spread / math.sqrt(parameter[0].numel()))
        else:
            parameter.copy_(spread / 4)
    return tokenizer


def make_prior() -> BitPrior:
    """A prior whose every part matters."""
    prior = BitPrior(PRIOR)
    fill_prior(prior, "bsq ")
    return prior


def model_path() -> Path:
    """The tiny model's file."""
    name = json.loads((FOLDER / "index.json").read_text())["bsq"]
    return FOLDER / f"bsq-{name}.safetensors"


def cases() -> dict[str, Picture]:
    """The pictures of the golden files by name; the tall one has two slices."""
    alpha = (np.add.outer(np.arange(40) * 5, np.arange(24) * 3) % 256).astype(np.uint8)
    return {
        "rgb": Picture(scene(77, 131)),
        "tall": Picture(scene(270, 20)),
        "pixel": Picture(np.array([[[200, 100, 50]]], np.uint8)),
        "grey": Picture(scene(40, 24)[..., 0], alpha, xmp=b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"),
    }


def digest(signs: np.ndarray) -> str:
    """SHA-256 of signs [h, w, L] as int8."""
    return hashlib.sha256(signs.astype(np.int8).tobytes()).hexdigest()


def regenerate() -> None:
    """Write the model and all golden files anew."""
    prior = quantize_bit_prior(make_prior())
    path = weight_files.save(emptied(FOLDER), make_tokenizer(), PRIOR, prior, default=True)
    codec = Codec(path, device="cpu")
    expected = {}
    for name, picture in cases().items():
        data = codec.encode(picture).data
        store(FOLDER, name, codec, data)
        container = unpack(data)
        signs = codec.model.read(container.level_payloads(), container.header).values
        expected[name] = {"bytes": len(data), "signs_sha256": digest(signs)}
    EXPECTED.write_text(json.dumps(expected, indent=1) + "\n")
