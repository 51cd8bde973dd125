"""Looks of videos: decoders that show frames, and that no frame is predicted from.

A file `look-ID.safetensors` for video weights holds a decoder of inter frames (`decoder.*`, float16
and float32) and names the weights of videos that it goes with, and the look of pictures that shows
intra frames. `bsqcodec.models.look_files` has what it shares with looks of pictures.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bsqcodec.errors import WeightsError
from bsqcodec.format.look_chunk import Look
from bsqcodec.machine.memory import memory_guard
from bsqcodec.models import look_files, video_weight_files, weight_store
from bsqcodec.models.look_files import KIND
from bsqcodec.models.transform.inter_network import InterNetwork
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
        video_id = bytes.fromhex(weight_store.read_configs(path)["weights"])
    return weight_store.find_beside(path, video_weight_files.KIND, video_id, "the video weights")


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
        found = weight_store.find_beside(path, KIND, picture.id, f"the look {picture.name!r}")
        image = look_files.load(found, weights.image)[1]
        with weight_store.wrong_is_error(f"{path} does not fit this version"):
            network = video_weight_files.load_inter_network(
                weights.image, file.tensors, weights.inter_network.dtype
            )
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
    state = weight_store.halved(inter_network.decoder.state_dict())
    tensors = {_DECODER + key: tensor for key, tensor in state.items()}
    configs = {"look": name, "weights": video_id.hex(), "picture": picture_id.hex()}
    key = look_files.index_key(video_id, name)
    return weight_store.write(folder, KIND, configs, tensors, default=key, notes=notes)
