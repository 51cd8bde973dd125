"""Tiny models of the real architecture, random but the same in every run."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from bsqcodec.entropy.motion_vectors import TABLE
from bsqcodec.models import video_weight_files as video_weights
from bsqcodec.models import weight_files as weights
from bsqcodec.models.bsq import weight_files as bsq_weights
from bsqcodec.models.bsq.bit_order import BitPriorConfig
from bsqcodec.models.bsq.bit_prior import BitPrior
from bsqcodec.models.bsq.integer_bit_prior import quantize_bit_prior
from bsqcodec.models.bsq.network import BsqConfig, BsqTokenizer
from bsqcodec.models.prior.integer import IntegerPrior, quantize_prior
from bsqcodec.models.prior.integer_blocks import probability_table
from bsqcodec.models.prior.neighbour_context import CONTEXTS
from bsqcodec.models.prior.network import BlockShape, Prior
from bsqcodec.models.prior.order import BUCKETS, PriorConfig, stage_kinds
from bsqcodec.models.transform.inter_network import InterNetwork
from bsqcodec.models.transform.temporal_context import context_size
from bsqcodec.models.transform.tokenizer import Tokenizer, TokenizerConfig

TOKENIZER = TokenizerConfig(
    channels=16,
    width=32,
    heads=2,
    encoder_blocks=1,
    decoder_blocks=1,
    conv_channels=8,
    encoder_convs=1,
    decoder_convs=3,
    knots=3,
)

PRIOR = PriorConfig(
    channels=16, width=32, heads=2, blocks=2, hidden=64, bands=((4, 16), (8, 16), (16,))
)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """torch's random numbers from a seed, without a trace afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


@torch.no_grad()
def shake(module: nn.Module, strength: float) -> None:
    """Add noise to all parameters, so that nothing stays at zero."""
    for parameter in module.parameters():
        parameter.add_(torch.randn_like(parameter) * strength)


def linear_tokenizer(config: TokenizerConfig = TOKENIZER, seed: int = 0) -> Tokenizer:
    """A tokenizer as its training begins, with a random orthonormal transform."""
    with seeded(seed):
        tokenizer = Tokenizer(config)
        basis, _ = torch.linalg.qr(torch.randn(3 * config.patch**2, config.channels))
        tokenizer.set_transform(basis.T.contiguous(), torch.linspace(300, 20, config.channels))
    return tokenizer.eval().requires_grad_(False)


def random_tokenizer(
    seed: int = 0, strength: float = 0.05, config: TokenizerConfig = TOKENIZER
) -> Tokenizer:
    """A tokenizer whose every part matters."""
    tokenizer = linear_tokenizer(config, seed)
    with seeded(seed + 1):
        shake(tokenizer, strength)
    return tokenizer


def some_planes(channels: int = PRIOR.channels) -> Tensor:
    """Digits of each channel in each bucket: 4 at most, fewer for high channels and coarse steps.

    Some channels have none.
    """
    bucket, channel = torch.arange(BUCKETS)[:, None], torch.arange(channels)
    return (4 - bucket // 5 - 3 * channel // channels).clamp(0).to(torch.uint8)


def random_prior(seed: int = 0, config: PriorConfig = PRIOR, planes: Tensor | None = None) -> Prior:
    """A float prior whose every part matters."""
    with seeded(seed):
        prior = Prior(config, some_planes(config.channels) if planes is None else planes)
        shake(prior, 0.1)
    return prior.eval().requires_grad_(False)


def integer_prior(seed: int = 0, int8: bool | None = None) -> IntegerPrior:
    """The integer version of `random_prior`."""
    return IntegerPrior(PRIOR, quantize_prior(random_prior(seed)), int8=int8)


def random_inter_network(
    tokenizer: Tokenizer, seed: int = 0, encoder_blocks: int = 0
) -> InterNetwork:
    """A decoder of inter frames, near to that of the tokenizer's pictures."""
    with seeded(seed):
        inter_network = InterNetwork(tokenizer, encoder_blocks)
        shake(inter_network, 0.005)
    return inter_network.eval().requires_grad_(False)


def vector_probabilities() -> Tensor:
    """65536 times the probability of a 1 in each slot, int32: none of them the same as its like."""
    return (20000 + 97 * torch.arange(TABLE) % 24001).to(torch.int32)


def save_video_weights(folder: Path, image: Path, seed: int = 0, encoder_blocks: int = 0) -> Path:
    """Save tiny default weights of video into a folder, with a copy of weights of pictures.

    Returns the file of those of video.
    """
    loaded = weights.load(image, torch.device("cpu"))
    channels = loaded.tokenizer.config.channels
    config = PriorConfig(
        channels=channels,
        width=32,
        heads=2,
        blocks=1,
        hidden=32,
        bands=((channels // 2, channels), (channels,)),
        context=context_size(channels),
    )
    prior = random_prior(seed, config, torch.from_numpy(loaded.prior.planes))
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(image, folder)
    (folder / "index.json").write_text(json.dumps({"default": loaded.id.hex()}))
    inter_network = random_inter_network(loaded.tokenizer, seed, encoder_blocks)
    return video_weights.save(
        folder,
        loaded.id,
        inter_network,
        config,
        quantize_prior(prior),
        vector_probabilities(),
        prior_count=20,
        default=True,
    )


BSQ_PRIOR = BitPriorConfig(width=32, heads=2, blocks=2, hidden=64, lattices=(4, 2, 1))
"""18 bits in three sub-codes of 6, coded in 7 passes."""


def random_bsq_tokenizer(
    seed: int = 0, blocks: int = 1, depths: tuple[int, ...] = (), earlier_frames: int = 0
) -> BsqTokenizer:
    """A BSQ tokenizer whose every part matters.

    earlier_frames: that its decoder attends to; all else is the same without any.
    """
    config = BsqConfig(8, 18, 64, blocks, blocks, fine_width=8, fine_convs=1, depths=depths)
    with seeded(seed):
        model = BsqTokenizer(config)
        shake(model, 0.05)
        if earlier_frames:
            plain = model.state_dict()
            model = BsqTokenizer(replace(config, earlier_frames=earlier_frames, earlier_convs=1))
            shake(model, 0.05)
            model.load_state_dict(plain, strict=False)
    return model


def random_bit_prior(seed: int = 0, config: BitPriorConfig = BSQ_PRIOR) -> BitPrior:
    """A float prior of bits whose every part matters."""
    with seeded(seed):
        prior = BitPrior(config)
        shake(prior, 0.1)
    return prior.eval().requires_grad_(False)


def save_bsq_weights(
    folder: Path,
    depths: tuple[int, ...] = (),
    config: BitPriorConfig = BSQ_PRIOR,
    earlier_frames: int = 0,
) -> Path:
    """Save tiny default weights of the BSQ family into a folder.

    earlier_frames: that the decoder of frames attends to.
    """
    prior = quantize_bit_prior(random_bit_prior(config=config))
    tokenizer = random_bsq_tokenizer(depths=depths, earlier_frames=earlier_frames)
    return bsq_weights.save(folder, tokenizer, config, prior, default=True)


def random_values(planes: Tensor, step: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    """Integers int32 [height, width, C] that the planes can spell at a step.

    Two-sided geometric, with every third token zero and the extremes present.
    """
    generator = np.random.default_rng(seed)
    limit = (3 ** planes[step * BUCKETS // 256].numpy().astype(np.int32) - 1) // 2
    shape = (height, width, planes.shape[1])
    n = generator.geometric(0.3, shape) - generator.geometric(0.3, shape)
    n[generator.random((height, width)) < 1 / 3] = 0
    n[0, 0], n[-1, -1] = limit, -limit
    return np.clip(n, -limit, limit).astype(np.int32)


def _stream(name: str, *shape: int) -> Tensor:
    """int8 values spelled by SHAKE-256 of a name."""
    data = hashlib.shake_256(name.encode()).digest(int(np.prod(shape)))
    return torch.from_numpy(np.frombuffer(data, np.int8).copy()).view(shape)


def _small(name: str, *shape: int) -> Tensor:
    """Positive multiples of 2^-10 below 1/4."""
    return (_stream(name, *shape).float() + 129) / 1024


def _fixed_linear(name: str, rows: int, columns: int, gain: float) -> dict[str, Tensor]:
    return {
        f"{name}.weight": _stream(f"{name}.weight", rows, columns).clamp_min(-127),
        f"{name}.bias": _stream(f"{name}.bias", rows).int() * 16,
        f"{name}.multiplier": _small(f"{name}.multiplier", rows) * gain,
    }


def _fixed_network(
    shape: BlockShape, inputs: int, outputs: int, embeddings: dict[str, int]
) -> dict[str, Tensor]:
    """Integer weights of a prior's network: its layers, and rows of its embeddings."""
    width, hidden = shape.width, shape.hidden
    result = {
        "probability": probability_table(),
        "gain": _small("gain", width),
        **_fixed_linear("embed", width, inputs, 2.0),
        **_fixed_linear("head", -(-outputs // 8) * 8, width, 1 / 64),
    }
    for name, rows in embeddings.items():
        result[name] = _stream(name, rows, width).int()
    for i in range(shape.blocks):
        n = f"blocks.{i}"
        result |= _fixed_linear(f"{n}.qkv", 3 * width, width, 1 / 16)
        result |= _fixed_linear(f"{n}.out", width, width, 1 / 4)
        result |= _fixed_linear(f"{n}.up", hidden, 2 * width, 1 / 16)
        result |= _fixed_linear(f"{n}.down", width, hidden, 1 / 4)
        result[f"{n}.attention_gain"] = _small(f"{n}.attention_gain", width)
        result[f"{n}.mlp_gain"] = _small(f"{n}.mlp_gain", width)
        result[f"{n}.slope"] = _small(f"{n}.slope", shape.heads) / 64
        result[f"{n}.score_bias"] = _stream(f"{n}.score_bias", shape.heads, 225).short() // 16
    return result


def fixed_tensors(config: PriorConfig, planes: Tensor) -> dict[str, Tensor]:
    """Integer weights of a prior spelled by SHAKE-256, the same with every library version."""
    kinds = len(stage_kinds(config, int(planes.max()) - 1))
    embeddings = {"embed_pass": 2 * kinds, "embed_bucket": BUCKETS, "embed_token": 4}
    result = _fixed_network(config, 2 * config.channels, 2 * config.channels + 1, embeddings)
    result["planes"] = planes
    result["table"] = _stream("table", kinds, config.channels, CONTEXTS, 2).short()
    result["stop_table"] = _stream("stop_table", kinds, BUCKETS).short()
    return result


def fixed_bit_tensors(config: BitPriorConfig) -> dict[str, Tensor]:
    """Integer weights of a prior of bits spelled by SHAKE-256."""
    embeddings = {"embed_pass": config.passes + 1, "embed_token": 2}
    return _fixed_network(config, config.bits, config.sub_codes * config.nodes, embeddings)
