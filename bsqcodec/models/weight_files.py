"""Finding, checking, loading and saving weights: one safetensors file, named by its identity.

A file `image-ID.safetensors` holds a tokenizer (`tokenizer.*`, float16 and float32) and an integer
prior (`prior.*`), with their configurations as JSON in its metadata. ID is the first 8 bytes, in
hexadecimal, of the SHA-256 of both (see `bsqcodec.models.prior.integer.identity`); a .bsq file
names the weights that coded it by the same 8 bytes.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import torch
from platformdirs import user_data_path
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from bsqcodec.errors import WeightsError
from bsqcodec.format.json_text import parse_json
from bsqcodec.format.plain_text import one_line
from bsqcodec.machine.memory import is_out_of_memory, memory_guard
from bsqcodec.models.prior.integer import IntegerPrior, identity
from bsqcodec.models.prior.order import PriorConfig
from bsqcodec.models.transform.blocks import WindowAttention
from bsqcodec.models.transform.tokenizer import Tokenizer, TokenizerConfig
from bsqcodec.models.windows import relative_index

PACKAGE = "bsqcodec.weights_data"
"""The package that holds the shipped weights (the folder `weights/` of the sources)."""

ENVIRONMENT = "BSQCODEC_WEIGHTS"
"""Environment variable with a further folder to look for weights in."""


WRONG = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What a configuration or tensors that do not fit lead torch and Python into."""

LONGEST_REASON = 200
"""Characters of what a library says, of which torch may say pages."""


@dataclass(frozen=True)
class Weights:
    """Everything a codec needs, and the 8 bytes that name it."""

    id: bytes
    tokenizer: Tokenizer
    prior: IntegerPrior
    path: Path


def folders() -> list[Path]:
    """Where weights are looked for, in this order: the environment's, the shipped, the user's."""
    result = []
    if os.environ.get(ENVIRONMENT):
        result.append(Path(os.environ[ENVIRONMENT]))
    try:
        result.append(Path(str(resources.files(PACKAGE))))
    except ModuleNotFoundError:  # run from the sources, not installed
        result.append(Path(__file__).parents[2] / "weights")
    result.append(user_data_path("bsqcodec") / "weights")
    return result


def find_default() -> Path:
    """The weights that `index.json` of the first folder that has one names. Raises WeightsError."""
    for folder in folders():
        index = folder / "index.json"
        if index.is_file():
            try:
                name = parse_json(index.read_text())["default"]
            except (ValueError, KeyError, TypeError) as error:
                raise WeightsError(f"{index} does not name the default weights") from error
            return folder / f"image-{name}.safetensors"
    raise WeightsError(f"no weights found in {', '.join(map(str, folders()))}")


def find(model_id: bytes) -> Path:
    """The file of the weights with this identity. Raises WeightsError, saying which are missing."""
    return find_file(f"image-{model_id.hex()}.safetensors", f"the weights {model_id.hex()}")


def find_file(name: str, what: str) -> Path:
    """A file of weights by its name. Raises WeightsError, saying that `what` is missing."""
    for folder in folders():
        if (folder / name).is_file():
            return folder / name
    raise WeightsError(
        f"the file needs {what}, which are not installed: "
        f"put {name} into {folders()[-1]} or into a folder named by {ENVIRONMENT}"
    )


def load(path: Path, device: torch.device, int8: bool | None = None) -> Weights:
    """Load and check weights.

    Raises WeightsError if the file is damaged or not what it says, LimitError for lack of memory.
    """
    with memory_guard("the weights"):
        return _load(path, device, int8)


def _load(path: Path, device: torch.device, int8: bool | None) -> Weights:
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        configs = parse_json(metadata["bsqcodec"])
        tokenizer_config = TokenizerConfig(**configs["tokenizer"])
        prior_config = PriorConfig(**configs["prior"])
    except (OSError, SafetensorError, *WRONG) as error:
        if is_out_of_memory(error):
            raise
        reason = one_line(str(error), LONGEST_REASON)
        raise WeightsError(f"{path} is not a file of bsqcodec weights: {reason}") from error
    model_id = identity(configs, tensors)[:8]
    expected = path.stem.removeprefix("image-")
    if path.stem.startswith("image-") and expected != model_id.hex():
        raise WeightsError(f"{path} is damaged: its contents are {model_id.hex()}")
    state = part(tensors, "tokenizer.")
    try:
        with torch.device("meta"):
            tokenizer = Tokenizer(tokenizer_config)
        tokenizer.load_state_dict({k: v.float() for k, v in state.items()}, assign=True)
        prior = IntegerPrior(prior_config, part(tensors, "prior."), device, int8)
    except WRONG as error:
        if is_out_of_memory(error):
            raise
        reason = one_line(str(error), LONGEST_REASON)
        raise WeightsError(f"{path} does not fit this version: {reason}") from error
    restore_indices(tokenizer)
    return Weights(model_id, tokenizer.to(device).eval().requires_grad_(False), prior, path)


def restore_indices(network: nn.Module) -> None:
    """Give the attention layers the indices that files of weights leave out."""
    for module in network.modules():
        if isinstance(module, WindowAttention):
            module.index = relative_index()


def part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names have a prefix, without it."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


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

    notes: further metadata (how the weights were trained); no part of the identity.
    """
    tensors = {}
    for name, tensor in tokenizer.state_dict().items():
        keep = tensor.ndim < 2 or "log_gain" in name
        tensors[f"tokenizer.{name}"] = tensor.float() if keep else tensor.half()
    tensors |= {f"prior.{name}": tensor for name, tensor in prior.items()}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    configs = {"tokenizer": tokenizer.config.to_dict(), "prior": prior_config.to_dict()}
    configs = json.loads(json.dumps(configs))
    model_id = identity(configs, tensors)[:8].hex()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"image-{model_id}.safetensors"
    save_file(tensors, path, {"bsqcodec": json.dumps(configs), **(notes or {})})
    path.chmod(0o644)  # safetensors writes for its owner only
    if default:
        index = folder / "index.json"
        named = parse_json(index.read_text()) if index.is_file() else {}
        index.write_text(json.dumps(named | {"default": model_id}) + "\n")
    return path
