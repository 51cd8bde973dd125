"""What all families' files of weights have in common: where they lie, how one is named and checked.

A file is `KIND-ID.safetensors`: tensors, with configurations as JSON under "bsqcodec" in its
metadata. ID is the first 8 bytes, in hexadecimal, of the SHA-256 of both (`identity`); a coded file
names its weights by the same 8 bytes. `index.json` beside the files names the default of each kind.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from bsqcodec.errors import WeightsError
from bsqcodec.format.json_text import parse_json
from bsqcodec.format.plain_text import one_line
from bsqcodec.machine.memory import is_out_of_memory

PACKAGE = "bsqcodec.weights_data"
"""The package that holds the shipped weights (the folder `weights/` of the sources)."""

ENVIRONMENT = "BSQCODEC_WEIGHTS"
"""Environment variable with a further folder to look for weights in."""

ID_BYTES = 8

Network = TypeVar("Network", bound=nn.Module)

_WRONG = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What a configuration or tensors that do not fit lead torch and Python into."""

_MAX_REASON = 200
"""Characters of what a library says, of which torch may say pages."""

_METADATA = "bsqcodec"


@dataclass(frozen=True)
class WeightFile:
    """The contents of a file of weights, whose identity has been checked.

    id: the 8 bytes that name it. configs: the configurations, by part of the model.
    """

    path: Path
    id: bytes
    configs: dict[str, Any]
    tensors: dict[str, Tensor]

    def part(self, prefix: str) -> dict[str, Tensor]:
        """Return the tensors whose names have a prefix, without it."""
        return {
            name.removeprefix(prefix): tensor
            for name, tensor in self.tensors.items()
            if name.startswith(prefix)
        }


def identity(config: dict[str, Any], tensors: dict[str, Tensor]) -> bytes:
    """Return the SHA-256 of a configuration and tensors: names, types,
    shapes and bytes, by name."""
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    for name in sorted(tensors):
        t = tensors[name].detach().cpu().contiguous()
        digest.update(f"\n{name} {t.dtype} {tuple(t.shape)}\n".encode())
        digest.update(t.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.digest()


def folders() -> list[Path]:
    """Return where weights are looked for, in order: the environment's, the shipped, the user's."""
    from platformdirs import user_data_path  # not at the top: trainers go without it

    result = []
    if os.environ.get(ENVIRONMENT):
        result.append(Path(os.environ[ENVIRONMENT]))
    try:
        result.append(Path(str(resources.files(PACKAGE))))
    except ModuleNotFoundError:  # run from the sources, not installed
        result.append(Path(__file__).parents[2] / "weights")
    result.append(user_data_path("bsqcodec") / "weights")
    return result


def find_default(kind: str, key: str, what: str, of_index: str) -> Path:
    """Return the file of a kind that `index.json` names under a key.

    The index is that of the first folder whose index has the key. what, of_index: in words, for
    errors: what was not found at all, and what an index does not name. Raises WeightsError.
    """
    lacking: Path | None = None
    for folder in folders():
        index = folder / "index.json"
        if index.is_file():
            try:
                named = parse_json(index.read_text())
                if not isinstance(named, dict):
                    raise TypeError("an index is an object")
            except (ValueError, TypeError) as error:
                raise WeightsError(f"{index} does not name {of_index}") from error
            if key in named:
                return folder / f"{kind}-{named[key]}.safetensors"
            lacking = lacking or index
    if lacking is not None:
        raise WeightsError(f"{lacking} does not name {of_index}")
    raise WeightsError(f"no {what} found in {', '.join(map(str, folders()))}")


def find(kinds: tuple[str, ...], model_id: bytes, what: str) -> Path:
    """Return the file of one of the kinds with this identity.

    what: in words, for errors. Raises WeightsError, saying which file is missing.
    """
    names = [f"{kind}-{model_id.hex()}.safetensors" for kind in kinds]
    for folder in folders():
        for name in names:
            if (folder / name).is_file():
                return folder / name
    raise WeightsError(
        f"the file needs {what} {model_id.hex()}, which are not installed: "
        f"put {' or '.join(names)} into {folders()[-1]} or into a folder named by {ENVIRONMENT}"
    )


def find_beside(path: Path, kind: str, model_id: bytes, what: str) -> Path:
    """Return the file of a kind with this identity: that in the folder of `path`, else as `find`.

    Raises WeightsError, saying which file is missing.
    """
    here = path.parent / f"{kind}-{model_id.hex()}.safetensors"
    return here if here.is_file() else find((kind,), model_id, what)


def halved(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors in half precision, vectors and numbers among them in float32."""
    return {name: t.float() if t.ndim < 2 else t.half() for name, t in tensors.items()}


def read_configs(path: Path) -> dict[str, Any]:
    """Read the configurations in a file of weights, which is not checked. Raises WeightsError."""
    with wrong_is_error(f"{path} is no file of weights"):
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
        configs = parse_json(metadata[_METADATA])
        if not isinstance(configs, dict):
            raise TypeError("its configuration is no object")
        return configs


def read(path: Path, kind: str, what: str) -> WeightFile:
    """Read a file of weights and check that it is what its name says.

    what: in words, for errors. Raises WeightsError; running out of memory is passed on as it comes.
    """
    with wrong_is_error(f"{path} is not a file of {what}"):
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        configs = parse_json(metadata[_METADATA])
        if not isinstance(configs, dict):
            raise TypeError("its configuration is no object")
    model_id = identity(configs, tensors)[:ID_BYTES]
    if path.stem.startswith(f"{kind}-") and path.stem != f"{kind}-{model_id.hex()}":
        raise WeightsError(f"{path} is damaged: its contents are {model_id.hex()}")
    return WeightFile(path, model_id, configs, tensors)


@contextmanager
def wrong_is_error(what: str) -> Iterator[None]:
    """Turn what unfit configurations and tensors raise inside into a WeightsError.

    what: the beginning of its text. Running out of memory is passed on as it comes.
    """
    try:
        yield
    except (OSError, SafetensorError, *_WRONG) as error:
        if is_out_of_memory(error):
            raise
        raise WeightsError(f"{what}: {one_line(str(error), _MAX_REASON)}") from error


class _Unfilled(TorchFunctionMode):
    """Operations in place, such as initialisations, do nothing: for tensors without memory.

    For some of them torch would import its compiler on the meta device, which takes seconds.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func.__name__.endswith("_") and not func.__name__.endswith("__"):
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


def load_network(
    make: Callable[[], Network], tensors: dict[str, Tensor], device: torch.device
) -> Network:
    """Return the network that `make` makes, with weights from a file in float32, for inference.

    Raises what torch does for tensors that do not fit.
    """
    with torch.device("meta"), _Unfilled():
        network = make()
    network.load_state_dict({k: v.float() for k, v in tensors.items()}, assign=True)
    return network.to(device).eval().requires_grad_(False)


def write(
    folder: Path,
    kind: str,
    configs: dict[str, Any],
    tensors: dict[str, Tensor],
    *,
    default: str | None = None,
    notes: dict[str, str] | None = None,
) -> Path:
    """Write `KIND-ID.safetensors` into a folder, which is made, and return its path.

    default: the key under which `index.json` of the folder is to name it. notes: further metadata
    (how the weights were trained); no part of the identity.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    configs = json.loads(json.dumps(configs))
    model_id = identity(configs, tensors)[:ID_BYTES].hex()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{kind}-{model_id}.safetensors"
    save_file(tensors, path, {_METADATA: json.dumps(configs), **(notes or {})})
    path.chmod(0o644)  # safetensors writes for its owner only
    if default is not None:
        index = folder / "index.json"
        named = parse_json(index.read_text()) if index.is_file() else {}
        index.write_text(json.dumps(named | {default: model_id}) + "\n")
    return path
