"""Looks of videos: decoders that show frames, and that no frame is predicted from.

A file `look-ID.safetensors` for video weights holds a decoder of inter frames (`decoder.*`, float16
and float32) and names the weights of videos that it goes with, and the look of pictures that shows
intra frames. `bsqcodec.models.look_files` has what it shares with looks of pictures.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from bsqcodec.errors import WeightsError
from bsqcodec.format.look_chunk import Look
from bsqcodec.machine.memory import memory_guard
from bsqcodec.models import look_files, weight_store
from bsqcodec.models.look_files import KIND
from bsqcodec.models.transform.inter_network import InterNetwork, blocks_in
from bsqcodec.models.transform.tokenizer import Tokenizer
from bsqcodec.models.video_weight_files import VideoWeights

_WHAT = "a look of videos"
_DECODER = "decoder."


@dataclass(frozen=True)
class VideoLook:
    """The networks that show frames: intra frames by the tokenizer, others by the inter network."""

    look: Look
    tokenizer: Tokenizer
    inter_network: InterNetwork
    path: Path


def weights_of(path: Path) -> Path:
    """Return the file of the video weights that a look is for. Raises WeightsError."""
    with weight_store.wrong_is_error(f"{path} is not a file of {_WHAT}"):
        name = f"video-{bytes.fromhex(weight_store.read_configs(path)['weights']).hex()}"
    here = path.parent / f"{name}.safetensors"
    return here if here.is_file() else weight_store.find(("video",), bytes.fromhex(name[6:]), _WHAT)


def load(path: Path, weights: VideoWeights) -> VideoLook:
    """Load and check a look for video weights, and that of pictures that goes with it.

    Raises WeightsError if a file is damaged, not what it says or for other weights, LimitError for
    lack of memory.
    """
    with memory_guard("the look"):
        file = weight_store.read(path, KIND, _WHAT)
        with weight_store.wrong_is_error(f"{path} is not a file of {_WHAT}"):
            look = Look(file.configs["look"], file.id)
            video_id = bytes.fromhex(file.configs["weights"])
            picture = Look(look.name, bytes.fromhex(file.configs["picture"]))
        if video_id != weights.id:
            raise WeightsError(
                f"the look {look.name!r} is of the weights {video_id.hex()}, not {weights.id.hex()}"
            )
        here = path.parent / f"{KIND}-{picture.id.hex()}.safetensors"
        found = here if here.is_file() else look_files.find(picture)
        image = look_files.load(found, weights.image)[1]
        with weight_store.wrong_is_error(f"{path} does not fit this version"):
            state = {k: v.float() for k, v in file.tensors.items() if k.startswith(_DECODER)}
            network = InterNetwork(weights.image.tokenizer, 0, blocks_in(state, "decoder"))
            network.load_state_dict(state, assign=True)
    weight_store.restore_indices(network)
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            module.to(weights.inter_network.dtype)
    network = network.to(weights.image.prior.device).eval().requires_grad_(False)
    return VideoLook(look, image.tokenizer, network, path)


def save(
    folder: Path,
    video_id: bytes,
    name: str,
    picture_id: bytes,
    inter_network: InterNetwork,
    *,
    notes: dict[str, str],
) -> Path:
    """Write the decoder of an inter network as `look-ID.safetensors`, and name it in the index.

    picture_id: of the look that shows intra frames. notes: see `weight_store.write`.
    """
    tensors = {
        _DECODER + key: tensor.float() if tensor.ndim < 2 else tensor.half()
        for key, tensor in inter_network.decoder.state_dict().items()
    }
    configs = {"look": name, "weights": video_id.hex(), "picture": picture_id.hex()}
    key = look_files.index_key(video_id, name)
    return weight_store.write(folder, KIND, configs, tensors, default=key, notes=notes)
