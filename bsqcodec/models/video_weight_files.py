"""Weights for inter frames: one safetensors file beside those of pictures, named by identity.

A file `video-ID.safetensors` holds the decoder of inter frames (`decoder.*`, float16 and
float32), the encoder's network if it has one (`encoder.*`), the integer inter prior (`prior.*`) and
the probabilities of vectors (`vectors`), and names the weights of pictures that it goes with. ID is
the first 8 bytes, in hexadecimal, of the SHA-256 of configurations and tensors
(`bsqcodec.models.weight_store`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from bsqcodec.entropy.motion_vectors import TABLE
from bsqcodec.machine.memory import memory_guard
from bsqcodec.machine.precision import network_dtype
from bsqcodec.models import weight_files as image_weights
from bsqcodec.models import weight_store
from bsqcodec.models.prior.integer import IntegerPrior
from bsqcodec.models.prior.order import PriorConfig
from bsqcodec.models.transform.inter_network import InterNetwork, blocks_in
from bsqcodec.models.video_priors import VideoPriors

MAX_PRIOR_COUNT = 1 << 20
"""Largest prior count of the vectors' probabilities:
they follow the coded bits at least as fast."""

KIND = "video"

ENCODER, DECODER, PRIOR, VECTORS = "encoder.", "decoder.", "prior.", "vectors"


@dataclass(frozen=True)
class VideoWeights:
    """Everything that inter frames need, the 8 bytes that name it, and those of pictures."""

    id: bytes
    image: image_weights.Weights
    inter_network: InterNetwork
    priors: VideoPriors
    path: Path


def find_default() -> Path:
    """Return the video weights that `index.json` of the first folder that has one names.

    Raises WeightsError.
    """
    what = "weights for video"
    return weight_store.find_default(KIND, "video", what, what)


def find(model_id: bytes) -> Path:
    """Return the file of the weights with this identity.

    Raises WeightsError, saying which are missing.
    """
    return weight_store.find((KIND,), model_id, "the video weights")


def load(
    path: Path,
    device: torch.device,
    int8: bool | None = None,
    dtype: torch.dtype | None = None,
) -> VideoWeights:
    """Load and check weights, with those of pictures beside them.

    int8: see `IntegerPrior`. dtype: in which the networks are to run, by default what
    `network_dtype` says. Raises WeightsError, MachineError, LimitError for lack of memory.
    """
    dtype = network_dtype(device) if dtype is None else dtype
    with memory_guard("the weights"):
        return _load(path, device, int8, dtype)


def _load(path: Path, device: torch.device, int8: bool | None, dtype: torch.dtype) -> VideoWeights:
    what = "bsqcodec video weights"
    file = weight_store.read(path, KIND, what)
    with weight_store.wrong_is_error(f"{path} is not a file of {what}"):
        image_id = bytes.fromhex(file.configs["image"])
        prior_config = PriorConfig(**file.configs["prior"])
        vectors = file.tensors[VECTORS].numpy()
    image = image_weights.load(
        weight_store.find_beside(path, image_weights.KIND, image_id, "the weights"), device, int8
    )
    with weight_store.wrong_is_error(f"{path} does not fit this version"):
        if vectors.shape != (TABLE,) or vectors.min() < 1 or vectors.max() > 65535:
            raise ValueError("the probabilities of vectors are not what they should be")
        prior_count = file.configs["patience"]  # older weights lack it, and code vectors otherwise
        if not isinstance(prior_count, int) or not 0 <= prior_count <= MAX_PRIOR_COUNT:
            raise ValueError(f"the prior count {prior_count} is not within 0..{MAX_PRIOR_COUNT}")
        inter_network = load_inter_network(image, file.tensors, dtype)
        prior = IntegerPrior(prior_config, file.part(PRIOR), device, int8)
    return VideoWeights(
        file.id, image, inter_network, VideoPriors(image.prior, prior, vectors, prior_count), path
    )


def load_inter_network(
    image: image_weights.Weights, tensors: dict[str, Tensor], dtype: torch.dtype
) -> InterNetwork:
    """Return the networks of inter frames among the tensors of a file, beside weights of pictures.

    dtype: in which they run. Raises what torch does for tensors that do not fit.
    """
    state = {k: v.float() for k, v in tensors.items() if k.startswith((ENCODER, DECODER))}
    blocks = (blocks_in(state, part) for part in ("encoder", "decoder"))
    network = InterNetwork(image.tokenizer, *blocks)
    network.load_state_dict(state, assign=True)  # in float32, whatever the default type is
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):  # as frames are decoded; once, not each time
            module.to(dtype)
    return network.to(image.prior.device).eval().requires_grad_(False)


def save(
    folder: Path,
    image_id: bytes,
    inter_network: InterNetwork,
    prior_config: PriorConfig,
    prior: dict[str, Tensor],
    vectors: Tensor,
    prior_count: int,
    *,
    default: bool = False,
    notes: dict[str, str] | None = None,
) -> Path:
    """Write `video-ID.safetensors` into a folder, networks' matrices in half precision.

    default, notes: see `weight_store.write`.
    """
    tensors: dict[str, Tensor] = {VECTORS: vectors}
    tensors |= weight_store.halved(inter_network.state_dict())
    tensors |= {PRIOR + name: tensor for name, tensor in prior.items()}
    configs = {"image": image_id.hex(), "prior": prior_config.to_dict(), "patience": prior_count}
    key = "video" if default else None
    return weight_store.write(folder, KIND, configs, tensors, default=key, notes=notes)
