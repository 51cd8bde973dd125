"""Weights for predicted frames: one safetensors file beside those of pictures, named by identity.

A file `video-ID.safetensors` holds the decoder of predicted frames (`decoder.*`, float16 and
float32), the encoder's network if it has one (`encoder.*`), the integer inter prior (`prior.*`) and
the chances of vectors (`vectors`), and names the weights of pictures that it goes with. ID is the first 8 bytes, in hexadecimal, of the SHA-256 of
configurations and tensors, as for pictures.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from bsqcodec.entropy.motion_vectors import TABLE
from bsqcodec.errors import WeightsError
from bsqcodec.format.json_text import parse_json
from bsqcodec.format.plain_text import one_line
from bsqcodec.machine.memory import is_out_of_memory, memory_guard
from bsqcodec.machine.precision import network_dtype
from bsqcodec.models import weight_files as image_weights
from bsqcodec.models.prior.integer import IntegerPrior, identity
from bsqcodec.models.prior.order import PriorConfig
from bsqcodec.models.transform.inter_network import Predicted, blocks_in
from bsqcodec.models.weight_files import LONGEST_REASON, WRONG
from bsqcodec.video.frame_symbols import Priors

MOST_PATIENT = 1 << 20
"""Chances of vectors follow what is coded at least as fast as this."""

ENCODER, DECODER, PRIOR, VECTORS = "encoder.", "decoder.", "prior.", "vectors"


@dataclass(frozen=True)
class VideoWeights:
    """Everything that predicted frames need, the 8 bytes that name it, and those of pictures."""

    id: bytes
    image: image_weights.Weights
    predicted: Predicted
    priors: Priors
    path: Path


def find_default() -> Path:
    """The video weights that `index.json` of the first folder that has one names.

    Raises WeightsError.
    """
    for folder in image_weights.folders():
        index = folder / "index.json"
        if index.is_file():
            try:
                name = parse_json(index.read_text())["video"]
            except (ValueError, KeyError, TypeError) as error:
                raise WeightsError(f"{index} does not name weights for video") from error
            return folder / f"video-{name}.safetensors"
    folders = ", ".join(map(str, image_weights.folders()))
    raise WeightsError(f"no weights for video found in {folders}")


def find(model_id: bytes) -> Path:
    """The file of the weights with this identity. Raises WeightsError, saying which are missing."""
    name = f"video-{model_id.hex()}.safetensors"
    return image_weights.find_file(name, f"the video weights {model_id.hex()}")


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
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        configs = parse_json(metadata["bsqcodec"])
        image_id = bytes.fromhex(configs["image"])
        prior_config = PriorConfig(**configs["prior"])
        vectors = tensors[VECTORS].numpy()
    except (OSError, SafetensorError, *WRONG) as error:
        if is_out_of_memory(error):
            raise
        reason = one_line(str(error), LONGEST_REASON)
        raise WeightsError(f"{path} is not a file of bsqcodec video weights: {reason}") from error
    model_id = identity(configs, tensors)[:8]
    expected = path.stem.removeprefix("video-")
    if path.stem.startswith("video-") and expected != model_id.hex():
        raise WeightsError(f"{path} is damaged: its contents are {model_id.hex()}")
    image = image_weights.load(_beside(path, image_id), device, int8)
    try:
        if vectors.shape != (TABLE,) or vectors.min() < 1 or vectors.max() > 65535:
            raise ValueError("the chances of vectors are not what they should be")
        patience = configs["patience"]  # older weights have none, and code vectors otherwise
        if not isinstance(patience, int) or not 0 <= patience <= MOST_PATIENT:
            raise ValueError(f"the patience {patience} is not within 0..{MOST_PATIENT}")
        state = {k: v.float() for k, v in tensors.items() if k.startswith((ENCODER, DECODER))}
        blocks = (blocks_in(state, part) for part in ("encoder", "decoder"))
        predicted = Predicted(image.tokenizer, *blocks)
        predicted.load_state_dict(state, assign=True)  # in float32, whatever the default type is
        prior = IntegerPrior(prior_config, image_weights.part(tensors, PRIOR), device, int8)
    except WRONG as error:
        if is_out_of_memory(error):
            raise
        reason = one_line(str(error), LONGEST_REASON)
        raise WeightsError(f"{path} does not fit this version: {reason}") from error
    image_weights.restore_indices(predicted)
    for module in predicted.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):  # as frames are decoded; once, not each time
            module.to(dtype)
    predicted = predicted.to(device).eval().requires_grad_(False)
    return VideoWeights(
        model_id, image, predicted, Priors(image.prior, prior, vectors, patience), path
    )


def _beside(path: Path, image_id: bytes) -> Path:
    """The weights of pictures, in the same folder or where those are looked for."""
    here = path.parent / f"image-{image_id.hex()}.safetensors"
    return here if here.is_file() else image_weights.find(image_id)


def save(
    folder: Path,
    image_id: bytes,
    predicted: Predicted,
    prior_config: PriorConfig,
    prior: dict[str, Tensor],
    vectors: Tensor,
    patience: int,
    *,
    default: bool = False,
    notes: dict[str, str] | None = None,
) -> Path:
    """Write `video-ID.safetensors` into a folder, networks' matrices in half precision.

    notes: further metadata (how the weights were trained); no part of the identity.
    """
    tensors: dict[str, Tensor] = {VECTORS: vectors}
    for name, tensor in predicted.state_dict().items():
        tensors[name] = tensor.float() if tensor.ndim < 2 else tensor.half()
    tensors |= {PRIOR + name: tensor for name, tensor in prior.items()}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    configs = json.loads(
        json.dumps({"image": image_id.hex(), "prior": prior_config.to_dict(), "patience": patience})
    )
    model_id = identity(configs, tensors)[:8].hex()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"video-{model_id}.safetensors"
    save_file(tensors, path, {"bsqcodec": json.dumps(configs), **(notes or {})})
    path.chmod(0o644)  # safetensors writes for its owner only
    if default:
        index = folder / "index.json"
        named = parse_json(index.read_text()) if index.is_file() else {}
        index.write_text(json.dumps(named | {"video": model_id}) + "\n")
    return path
