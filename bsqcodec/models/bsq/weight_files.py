"""The weights of the BSQ family: files `bsq-ID.safetensors`.

Such a file holds a tokenizer (`tokenizer.*`, float16 and float32) and an integer prior of its bits
(`prior.*`). `bsqcodec.models.weight_store` says what it has in common with other families' files.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from bsqcodec.machine.memory import memory_guard
from bsqcodec.models import weight_store
from bsqcodec.models.bsq.bit_order import BitPriorConfig
from bsqcodec.models.bsq.integer_bit_prior import IntegerBitPrior
from bsqcodec.models.bsq.network import BsqConfig, BsqTokenizer
from bsqcodec.models.weight_store import WeightFile

KIND = "bsq"

WHAT = "bsqcodec weights of the BSQ family"

TOKENIZER, PRIOR = "tokenizer.", "prior."


@dataclass(frozen=True)
class BsqWeights:
    """The networks of the family, and the 8 bytes that name them."""

    id: bytes
    tokenizer: BsqTokenizer
    prior: IntegerBitPrior
    path: Path


def find_default() -> Path:
    """Return the weights that `index.json` of the first folder that has one names.

    Raises WeightsError.
    """
    what = "weights of the BSQ family"
    return weight_store.find_default(KIND, "bsq", what, what)


def configs_of(file: WeightFile) -> tuple[BsqConfig, BitPriorConfig]:
    """Return the shapes of a file's tokenizer and prior. Raises WeightsError."""
    with weight_store.wrong_is_error(f"{file.path} is not a file of {WHAT}"):
        tokenizer = BsqConfig(**file.configs["tokenizer"])
        prior = BitPriorConfig(**file.configs["prior"])
        if prior.bits != tokenizer.bits:
            raise ValueError(f"its codes have {tokenizer.bits} bits, its prior {prior.bits}")
        if any(depth % prior.sub_code for depth in tokenizer.depths):
            raise ValueError(f"{tokenizer.depths} are no whole sub-codes")
    return tokenizer, prior


def steps_of(tokenizer: BsqConfig, prior: BitPriorConfig) -> tuple[int, ...]:
    """Return what the step of a header can be, the number of sub-codes cut off, finest first."""
    return tuple((prior.bits - depth) // prior.sub_code for depth in reversed(tokenizer.depths))


def load(path: Path, device: torch.device, int8: bool | None = None) -> BsqWeights:
    """Load and check weights. int8: see `IntegerBitPrior`.

    Raises WeightsError if the file is damaged or not what it says, LimitError for lack of memory.
    """
    with memory_guard("the weights"):
        return networks_of(weight_store.read(path, KIND, WHAT), device, int8)


def networks_of(file: WeightFile, device: torch.device, int8: bool | None = None) -> BsqWeights:
    """Return the networks that a file describes, on a device.

    Raises WeightsError if they do not fit this version; running out of memory is passed on as it
    comes.
    """
    path = file.path
    tokenizer_config, prior_config = configs_of(file)
    with weight_store.wrong_is_error(f"{path} does not fit this version"):
        tokenizer = weight_store.load_network(
            lambda: BsqTokenizer(tokenizer_config), file.part(TOKENIZER), device
        )
        prior = IntegerBitPrior(prior_config, file.part(PRIOR), device, int8)
    return BsqWeights(file.id, tokenizer, prior, path)


def save(
    folder: Path,
    tokenizer: BsqTokenizer,
    prior_config: BitPriorConfig,
    prior: dict[str, Tensor],
    *,
    default: bool = False,
    notes: dict[str, str] | None = None,
) -> Path:
    """Write `bsq-ID.safetensors` into a folder, matrices of the tokenizer in half precision.

    default, notes: see `weight_store.write`.
    """
    tensors = {}
    for name, tensor in tokenizer.state_dict().items():
        tensors[TOKENIZER + name] = tensor.float() if tensor.ndim < 2 else tensor.half()
    tensors |= {PRIOR + name: tensor for name, tensor in prior.items()}
    configs = {
        "family": "bsq",
        "tokenizer": asdict(tokenizer.config),
        "prior": asdict(prior_config),
    }
    key = "bsq" if default else None
    return weight_store.write(folder, KIND, configs, tensors, default=key, notes=notes)
