"""Looks of videos: frames are shown by other networks, and predicted from the same ones."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from bsqcodec.cli.main import main
from bsqcodec.errors import WeightsError
from bsqcodec.models import look_files, video_look_files, video_weight_files
from bsqcodec.video.codec import VideoCodec
from bsqcodec.video.video_model import TransformVideoModel, load_video_model

from ..tiny_models import save_bsq_weights, seeded, shake
from ..video.scenes import ListReader, clip, coded

CPU = torch.device("cpu")


@pytest.fixture
def folder(video_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny weights of pictures and videos with a look "natural" of both, the default ones."""
    folder = tmp_path / "weights"
    shutil.copytree(video_weights.parent, folder)
    weights = video_weight_files.load(folder / video_weights.name, CPU, dtype=torch.float32)
    with seeded(1):
        shake(weights.image.tokenizer.decoder.transform, 0.003)
        shake(weights.inter_network.decoder.out, 0.01)
    image, network = weights.image, weights.inter_network
    look_files.save(folder, image.id, "natural", image.tokenizer, notes={})
    look, _ = look_files.load(look_files_of(folder)[0], image)
    video_look_files.save(folder, weights.id, "natural", look.id, network, notes={})
    monkeypatch.setenv("BSQCODEC_WEIGHTS", str(folder))
    return folder


def look_files_of(folder: Path) -> list[Path]:
    return sorted(folder.glob("look-*"))


@pytest.fixture
def file(folder: Path) -> bytes:
    return coded(VideoCodec(device="cpu"), ListReader(clip(5)), gop=3)


def frames(codec: VideoCodec, file: bytes, look: str | None) -> list[npt.NDArray[np.uint8]]:
    decoded = codec.decode(file, look=look)  # type: ignore[arg-type]
    return [frame.pixels for frame in decoded.frames()]


def test_all_frames_are_shown_in_the_look(folder: Path, file: bytes) -> None:
    codec = VideoCodec(device="cpu")
    plain, own, natural = (frames(codec, file, look) for look in (None, "balanced", "natural"))
    assert all(map(np.array_equal, plain, own))
    assert not any(map(np.array_equal, plain, natural))


def test_frames_are_predicted_from_the_same_ones_in_every_look(folder: Path, file: bytes) -> None:
    """With the same networks again, nothing changes, in any frame of a group."""
    model = VideoCodec(device="cpu").model
    assert isinstance(model, TransformVideoModel)
    same = video_look_files.VideoLook(
        video_look_files.Look("natural", bytes(8)),
        model.weights.image.tokenizer,
        model.weights.inter_network,
        model.path,
    )
    codec = VideoCodec(device="cpu")
    plain = frames(codec, file, None)
    codec._loaded[model.id] = TransformVideoModel(model.weights, CPU, same)
    assert all(map(np.array_equal, plain, frames(codec, file, None)))


def test_a_worker_process_knows_a_look_by_its_file(folder: Path, file: bytes) -> None:
    codec = VideoCodec(device="cpu")
    expected = frames(codec, file, "natural")
    path = look_files.find_default(codec.model.id, "natural")
    loaded = load_video_model(path, CPU)
    assert loaded.path == path.absolute() and loaded.id == codec.model.id
    codec._loaded[codec.model.id] = loaded
    assert all(map(np.array_equal, expected, frames(codec, file, None)))


def test_what_has_no_look_of_videos_says_so(folder: Path, file: bytes, tmp_path: Path) -> None:
    weights = video_weight_files.load(video_weight_files.find_default(), CPU)
    for path in look_files_of(folder):
        if json.loads(look_configs(path))["weights"] == weights.id.hex():
            other = video_look_files.save(
                tmp_path, bytes(8), "natural", bytes(8), weights.inter_network, notes={}
            )
            with pytest.raises(WeightsError, match="is of the weights 0000000000000000"):
                video_look_files.load(other, weights)
            path.unlink()
    with pytest.raises(WeightsError, match="look"):
        frames(VideoCodec(device="cpu"), file, "natural")
    bsq = VideoCodec(save_bsq_weights(tmp_path / "bsq"), device="cpu")
    with pytest.raises(WeightsError, match="have one look only"):
        frames(bsq, coded(bsq, ListReader(clip(2))), "natural")


def look_configs(path: Path) -> str:
    return json.dumps(look_files.weight_store.read_configs(path))


def test_the_command_decodes_in_a_look(
    folder: Path, file: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "clip.bsq"
    source.write_bytes(file)
    shown = {}
    for look in ("balanced", "natural"):
        out = tmp_path / f"{look}.y4m"
        assert main(["decode", str(source), "-o", str(out), "--look", look, "--quiet"]) == 0
        shown[look] = out.read_bytes()
    assert len(shown["balanced"]) == len(shown["natural"])
    assert shown["balanced"] != shown["natural"]
