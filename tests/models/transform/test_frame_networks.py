"""What makes frames: exact arithmetic on a CPU in float32, the networks themselves otherwise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from bsqcodec.models import video_weight_files
from bsqcodec.models.transform.frame_networks import ExactFrames, FloatFrames, frame_networks
from bsqcodec.video.codec import VideoCodec

from ...exact_pixels import group
from ...tiny_models import random_inter_network, random_tokenizer
from ...video.scenes import ListReader, clip


def test_float32_on_a_cpu_is_exact() -> None:
    network = random_inter_network(random_tokenizer())
    tokenizer = network.tokenizer[0]
    exact = frame_networks(tokenizer, network)
    assert isinstance(exact, ExactFrames)
    assert frame_networks(tokenizer, network) is exact  # made once for each network
    network.decoder.embed.to(torch.bfloat16)
    assert isinstance(frame_networks(tokenizer, network), FloatFrames)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_frames_follow_from_the_integers(video_weights: Path, dtype: torch.dtype) -> None:
    """By either, and nearly the same by both: one by rounding, after a group of four frames."""
    cpu = torch.device("cpu")
    frames = group(video_weight_files.load(video_weights, cpu, dtype=dtype))
    again = group(video_weight_files.load(video_weights, cpu, dtype=torch.float32))
    assert len(frames) == 4
    for one, other in zip(frames, again, strict=True):
        difference = np.abs(one.astype(int) - other)
        assert difference.max() == 0 if dtype == torch.float32 else difference.mean() < 2
        assert other.std() > 10


def test_an_encoder_has_the_frames_that_a_decoder_makes(
    video_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the PSNR that it tells is that of the file."""
    monkeypatch.setenv("BSQCODEC_PRECISION", "float32")
    frames, path = clip(6), tmp_path / "clip.bsq"
    codec = VideoCodec(video_weights, device="cpu")
    with path.open("wb") as sink:
        coded = codec.encode(ListReader(frames), sink)
    decoded = [
        frame.pixels
        for frame in VideoCodec(video_weights, device="cpu").decode(path.read_bytes()).frames()
    ]
    errors = [np.square(a.astype(float) - b).mean() for a, b in zip(decoded, frames, strict=True)]
    assert coded.psnr == pytest.approx(10 * np.log10(255**2 / np.mean(errors)), abs=1e-5)
