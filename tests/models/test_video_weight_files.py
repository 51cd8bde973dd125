"""Files of weights for video: what is saved is loaded, and what is wrong is said."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from bsqcodec.entropy.motion_vectors import TABLE
from bsqcodec.errors import WeightsError
from bsqcodec.models import video_weight_files as files
from bsqcodec.video.codec import VideoCodec

from ..golden_files import model_path
from ..tiny_models import random_inter_network, save_video_weights, vector_probabilities
from ..video.scenes import ListReader, clip, coded

CPU = torch.device("cpu")


@pytest.fixture
def folder(video_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own with the tiny weights, which is where weights are looked for."""
    shutil.copytree(video_weights.parent, tmp_path / "weights")
    monkeypatch.setattr(files.weight_store, "folders", lambda: [tmp_path / "weights"])
    return tmp_path / "weights"


def video_file(folder: Path) -> Path:
    (path,) = folder.glob("video-*.safetensors")
    return path


def rewritten(path: Path, name: str = "other.safetensors", **changes: Any) -> Path:
    """The file with other tensors (None: without) or another configuration."""
    with safe_open(path, "pt") as file:
        metadata = dict(file.metadata())
    tensors = load_file(path)
    for key, value in changes.items():
        key = key.replace("__", ".")
        if key == "config":
            metadata["bsqcodec"] = json.dumps(value)
        elif value is None:
            tensors = {k: v for k, v in tensors.items() if not k.startswith(key)}
        else:
            tensors[key] = value
    other = path.with_name(name)
    save_file(tensors, other, metadata)
    return other


def test_what_is_saved_is_loaded(folder: Path) -> None:
    loaded = files.load(video_file(folder), CPU)
    assert video_file(folder).name == f"video-{loaded.id.hex()}.safetensors"
    assert loaded.image.path == folder / model_path().name
    assert (loaded.priors.vectors == vector_probabilities().numpy()).all()
    assert loaded.priors.intra is loaded.image.prior
    assert loaded.priors.inter.config.context > 0
    wanted = random_inter_network(loaded.image.tokenizer).state_dict()
    for name, tensor in loaded.inter_network.state_dict().items():
        rounded = wanted[name].to(tensor.dtype)  # matrices are kept as they are used
        torch.testing.assert_close(tensor, rounded, rtol=8e-3, atol=1e-4)


def test_the_same_weights_have_the_same_name(folder: Path, tmp_path: Path) -> None:
    again = save_video_weights(tmp_path / "again", model_path())
    assert again.name == video_file(folder).name
    other = save_video_weights(tmp_path / "other", model_path(), seed=5)
    assert other.name != again.name


def test_an_encoders_network_is_saved_and_used(tmp_path: Path) -> None:
    """It changes what is coded, and whoever decodes it need not run it."""
    path = save_video_weights(tmp_path / "with", model_path(), encoder_blocks=2)
    loaded = files.load(path, CPU)
    encoder = loaded.inter_network.encoder
    assert encoder is not None and len(encoder.blocks) == 2
    wanted = random_inter_network(loaded.image.tokenizer, encoder_blocks=2).state_dict()
    found = loaded.inter_network.state_dict()
    assert found.keys() == wanted.keys()
    for name, value in found.items():
        torch.testing.assert_close(value.float(), wanted[name].float(), rtol=8e-3, atol=1e-4)
    codec = VideoCodec(path, device="cpu")
    data = coded(codec, ListReader(clip(3)))
    shown = [frame.pixels for frame in codec.decode(data).frames()]
    codec.weights.inter_network.encoder = None
    assert coded(codec, ListReader(clip(3))) != data
    again = [frame.pixels for frame in codec.decode(data).frames()]
    assert len(shown) == 3 and all((a == b).all() for a, b in zip(shown, again, strict=True))


def test_the_index_names_both_kinds(folder: Path) -> None:
    named = json.loads((folder / "index.json").read_text())
    assert set(named) == {"default", "video"}
    assert files.find_default() == video_file(folder)


def test_an_index_without_video(folder: Path) -> None:
    for index in ('{"default": "0123"}', "[" * 100_000, '{"video":' * 100_000):
        (folder / "index.json").write_text(index)
        with pytest.raises(WeightsError, match="does not name weights for video"):
            files.find_default()
    (folder / "index.json").unlink()
    with pytest.raises(WeightsError, match="no weights for video found"):
        files.find_default()


def test_a_configuration_that_is_a_deep_nest(folder: Path) -> None:
    path = folder / "video-nest.safetensors"
    for config in ("[" * 100_000, '{"prior": ' * 100_000):
        save_file(load_file(video_file(folder)), path, {"bsqcodec": config})
        with pytest.raises(WeightsError, match="is not a file of bsqcodec video weights"):
            files.load(path, CPU)
        path.unlink()


def test_missing_weights_are_named(folder: Path) -> None:
    with pytest.raises(WeightsError, match="needs the video weights 0102030405060708"):
        files.find(bytes(range(1, 9)))


def test_damaged_files(folder: Path) -> None:
    path = video_file(folder)
    changed = rewritten(path, vectors=vector_probabilities().flip(0)).rename(path)
    with pytest.raises(WeightsError, match="is damaged: its contents are"):
        files.load(changed, CPU)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(WeightsError, match="is not a file of bsqcodec video weights"):
        files.load(path, CPU)
    with pytest.raises(WeightsError, match="is not a file of bsqcodec video weights"):
        files.load(folder / model_path().name, CPU)
    with pytest.raises(WeightsError):
        files.load(folder / "absent.safetensors", CPU)


@pytest.mark.parametrize(
    "changes",
    [
        {"vectors": torch.zeros(TABLE, dtype=torch.int32)},
        {"vectors": vector_probabilities()[:-1].clone()},
        {"decoder": None},
        {"prior": None},
        {"decoder__out__weight": torch.zeros(3)},
    ],
    ids=["probability of 0", "short table", "no decoder", "no prior", "shape"],
)
def test_contents_that_do_not_fit(folder: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(WeightsError, match="does not fit this version"):
        files.load(rewritten(video_file(folder), **changes), CPU)


def test_without_their_weights_of_pictures(folder: Path) -> None:
    (folder / model_path().name).unlink()
    with pytest.raises(WeightsError, match="which are not installed"):
        files.load(video_file(folder), CPU)


def test_a_file_finds_its_weights(folder: Path, tmp_path: Path) -> None:
    """Made by others than the default ones; and an error where they are gone."""
    other = save_video_weights(tmp_path / "other", model_path(), seed=5)
    data = coded(VideoCodec(other, device="cpu"), ListReader(clip(2)))
    codec = VideoCodec(device="cpu")
    with pytest.raises(WeightsError, match=f"needs the video weights {other.stem[6:]}"):
        codec.decode(data)
    shutil.copy(other, folder)
    assert len(list(codec.decode(data).frames())) == 2


def test_a_file_of_other_weights_of_pictures(folder: Path) -> None:
    """The header names both, and they must go together."""
    codec = VideoCodec(device="cpu")
    with pytest.raises(WeightsError, match="but those of video"):
        codec.model_of(codec.weights.id, bytes(8))
