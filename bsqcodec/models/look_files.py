"""Further decoders for integers of the transform family: files `look-ID.safetensors`.

Such a file holds a tokenizer's decoder (`decoder.*`, float16 and float32) and names the weights
whose integers it decodes. `index.json` names the one of each look, under `MODEL-LOOK`.
`bsqcodec.models.weight_store` says what it has in common with other files of weights.
"""

from __future__ import annotations

import copy
from pathlib import Path

from torch import nn

from bsqcodec.errors import WeightsError
from bsqcodec.format.look_chunk import Look
from bsqcodec.machine.memory import memory_guard
from bsqcodec.models import weight_store
from bsqcodec.models.transform.tokenizer import Decoder, Tokenizer, TokenizerConfig
from bsqcodec.models.weight_files import Weights

KIND = "look"

_DECODER = "decoder."


def find_default(model_id: bytes, name: str) -> Path:
    """Return the file of a look that the index names for weights. Raises WeightsError."""
    try:
        return weight_store.find_default(KIND, index_key(model_id, name), "looks", "that look")
    except WeightsError as error:
        raise WeightsError(f"the weights {model_id.hex()} have no look {name!r} here") from error


def find(look: Look) -> Path:
    """Return the file of a look that a coded file names. Raises WeightsError."""
    return weight_store.find((KIND,), look.id, f"the look {look.name!r}")


def load(path: Path, weights: Weights) -> tuple[Look, Weights]:
    """Load and check a look: (the look, the weights with its decoder in place of their own).

    Raises WeightsError if the file is damaged, not what it says or for other weights, LimitError
    for lack of memory.
    """
    with memory_guard("the look"):
        file = weight_store.read(path, KIND, "a look")
        with weight_store.wrong_is_error(f"{path} is not a file of a look"):
            look = Look(file.configs["look"], file.id)
            model_id = bytes.fromhex(file.configs["weights"])
            config = TokenizerConfig(**file.configs["tokenizer"])
        if model_id != weights.id:
            raise WeightsError(
                f"the look {look.name!r} is of the weights {model_id.hex()}, not {weights.id.hex()}"
            )
        with weight_store.wrong_is_error(f"{path} does not fit this version"):
            decoder = weight_store.load_network(
                lambda: Decoder(config), file.part(_DECODER), weights.prior.device
            )
    tokenizer = with_decoder(weights.tokenizer, decoder)
    return look, Weights(weights.id, tokenizer, weights.prior, path)


def with_decoder(tokenizer: Tokenizer, decoder: nn.Module) -> Tokenizer:
    """A tokenizer that shares all but its decoder with another one."""
    result = copy.copy(tokenizer)
    result._modules = {**tokenizer._modules, "decoder": decoder}
    return result


def save(
    folder: Path, model_id: bytes, name: str, tokenizer: Tokenizer, *, notes: dict[str, str]
) -> Path:
    """Write the decoder of a tokenizer as `look-ID.safetensors`, and name it in the folder's index.

    Half precision where it does no harm. notes: see `weight_store.write`.
    """
    state = weight_store.halved(tokenizer.decoder.state_dict())
    tensors = {_DECODER + key: tensor for key, tensor in state.items()}
    configs = {
        "look": name,
        "weights": model_id.hex(),
        "tokenizer": tokenizer.config.to_dict(),
    }
    return weight_store.write(
        folder, KIND, configs, tensors, default=index_key(model_id, name), notes=notes
    )


def index_key(model_id: bytes, name: str) -> str:
    """The name in `index.json` of a look of weights."""
    return f"{model_id.hex()}-{name}"
