"""The weights of the transform family for pictures: files `image-ID.safetensors`.

Such a file holds a tokenizer (`tokenizer.*`, float16 and float32) and an integer prior (`prior.*`).
`bsqcodec.models.weight_store` says what it has in common with other families' files.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from bsqcodec.machine.memory import memory_guard
from bsqcodec.models import weight_store
from bsqcodec.models.prior.integer import IntegerPrior
from bsqcodec.models.prior.order import PriorConfig
from bsqcodec.models.transform.tokenizer import Tokenizer, TokenizerConfig
from bsqcodec.models.weight_store import WeightFile

KIND = "image"
WHAT = "bsqcodec weights"

TOKENIZER, PRIOR = "tokenizer.", "prior."


@dataclass(frozen=True)
class Weights:
    """The networks of the family, and the 8 bytes that name them."""

    id: bytes
    tokenizer: Tokenizer
    prior: IntegerPrior
    path: Path


def find_default() -> Path:
    """Return the weights that `index.json` of the first folder that has one names.

    Raises WeightsError.
    """
    return weight_store.find_default(KIND, "default", "weights", "the default weights")


def find(model_id: bytes) -> Path:
    """Return the file of the weights with this identity.

    Raises WeightsError, saying which are missing.
    """
    return weight_store.find((KIND,), model_id, "the weights")


def load(path: Path, device: torch.device, int8: bool | None = None) -> Weights:
    """Load and check weights.

    Raises WeightsError if the file is damaged or not what it says, LimitError for lack of memory.
    """
    with memory_guard("the weights"):
        return networks_of(weight_store.read(path, KIND, WHAT), device, int8)


def networks_of(file: WeightFile, device: torch.device, int8: bool | None = None) -> Weights:
    """Return the networks that a file describes, on a device.

    Raises WeightsError if they do not fit this version; running out of memory is passed on as it
    comes.
    """
    path = file.path
    with weight_store.wrong_is_error(f"{path} is not a file of {WHAT}"):
        tokenizer_config = TokenizerConfig(**file.configs["tokenizer"])
        prior_config = PriorConfig(**file.configs["prior"])
    with weight_store.wrong_is_error(f"{path} does not fit this version"):
        tokenizer = weight_store.load_network(
            lambda: Tokenizer(tokenizer_config), file.part(TOKENIZER), device
        )
        prior = IntegerPrior(prior_config, file.part(PRIOR), device, int8)
    return Weights(file.id, tokenizer, prior, path)


def save(
    folder: Path,
    tokenizer: Tokenizer,
    prior_config: PriorConfig,
    prior: dict[str, Tensor],
    *,
    default: bool = False,
    notes: dict[str, str] | None = None,
) -> Path:
    """Write `image-ID.safetensors` into a folder, half precision where it does no harm.

    default, notes: see `weight_store.write`.
    """
    tensors = {}
    for name, tensor in tokenizer.state_dict().items():
        keep = tensor.ndim < 2 or "log_gain" in name
        tensors[TOKENIZER + name] = tensor.float() if keep else tensor.half()
    tensors |= {PRIOR + name: tensor for name, tensor in prior.items()}
    configs = {"tokenizer": tokenizer.config.to_dict(), "prior": prior_config.to_dict()}
    key = "default" if default else None
    return weight_store.write(folder, KIND, configs, tensors, default=key, notes=notes)
