"""Training on predicted frames: the encoder's network, and what the inter prior remembers."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bsqcodec.models.token_grid import TokenGrid
from bsqcodec.models.transform.inter_network import blocks_in
from bsqcodec.training.checkpoints import tokenizer_of
from bsqcodec.training.video import CropContexts, inter_network_of
from bsqcodec.video.codec import VideoCodec
from bsqcodec.video.frame_symbols import FrameSymbols, SymbolCoder

from ..golden_files import model_path
from .commands import BRIEF, ONE_STEP, checkpoint, log_of, moved

Train = Callable[..., None]


@pytest.fixture
def video(folder: Path, train: Train) -> Train:
    """Train on synthetic clips, for the tiny model's tokenizer."""
    shared = ["--tokenizer", str(model_path()), "--data", "data", "--cache", "cache"]
    shared += ["--clip-cache", "clips", "--moving", "3", "--frames", "3", "--crop", "128", *BRIEF]

    def run(*more: str) -> None:
        train("video", *shared, *more)

    return run


def parts(names: set[str]) -> set[str]:
    return {name.split(".")[0] for name in names}


def encoder_of(state: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in state.items() if k.startswith("encoder.")}


def test_an_inter_prior_trains_an_encoders_network(
    folder: Path, video: Train, video_weights: Path
) -> None:
    arguments = ["--prior", str(video_weights), "--encoder-blocks", "1", *ONE_STEP]
    video("--out", "run", *arguments)
    first = checkpoint(folder / "run")
    video("--out", "run", *arguments)
    second = checkpoint(folder / "run")
    assert second["count"] == 2 and parts(moved(first, second)) == {"encoder", "decoder"}
    assert blocks_in(second["module"], "encoder") == 1
    assert all(figures["rate"] > 0 for figures in log_of(folder / "run"))

    tokenizer = tokenizer_of(model_path())
    predicted = inter_network_of(folder / "run", tokenizer)
    assert predicted.encoder is not None and len(predicted.encoder.blocks) == 1
    for name, value in second["average"].items():
        assert torch.equal(predicted.state_dict()[name], value)
    generator = torch.Generator().manual_seed(0)
    pixels, prediction = (255 * torch.rand(1, 3, 128, 128, generator=generator) for _ in range(2))
    step = torch.tensor([120.0])
    z, latents = predicted.encode(pixels, prediction, step)
    predicted.encoder = None
    without, same = predicted.encode(pixels, prediction, step)
    assert torch.equal(latents, same) and not torch.equal(z, without)


@pytest.mark.parametrize("frames", [2, 3])
def test_the_rate_is_felt(folder: Path, video: Train, video_weights: Path, frames: int) -> None:
    """If the distortion counts for nothing, the decoder has to make later frames cheap at most."""
    start = ["--init", str(video_weights), "--prior", str(video_weights)]
    video(
        "--out", "run", *start, "--distortion-for-rate", "inf", "--frames", str(frames), *ONE_STEP
    )
    state = checkpoint(folder / "run")["module"]
    plain = inter_network_of(video_weights, tokenizer_of(model_path())).state_dict()
    assert state["encoder.out.weight"].any() and state["encoder.out.bias"].any()
    for name in ("decoder.out.weight", "decoder.stem.weight", "decoder.embed.weight"):
        assert torch.equal(state[name], plain[name]) == (frames == 2)


def test_a_new_network_changes_nothing_at_first(
    folder: Path, video: Train, video_weights: Path
) -> None:
    tokenizer = tokenizer_of(model_path())
    plain = inter_network_of(video_weights, tokenizer)
    grown = inter_network_of(video_weights, tokenizer, encoder_blocks=2)
    assert plain.encoder is None and grown.encoder is not None
    generator = torch.Generator().manual_seed(0)
    pixels, prediction = (255 * torch.rand(1, 3, 128, 128, generator=generator) for _ in range(2))
    for a, b in zip(
        *(model.encode(pixels, prediction, torch.tensor([120.0])) for model in (plain, grown)),
        strict=True,
    ):
        assert torch.equal(a, b)
    for name, value in plain.decoder.state_dict().items():
        assert torch.equal(grown.decoder.state_dict()[name], value)

    start = ["--init", str(video_weights), "--prior", str(video_weights), "--rate", "0"]
    video("--out", "run", *start, *ONE_STEP)
    begun = inter_network_of(folder / "run", tokenizer)
    assert begun.encoder is not None and len(begun.encoder.blocks) == 2
    for name, value in plain.state_dict().items():
        assert torch.equal(begun.state_dict()[name], value)


def test_without_a_prior_the_decoder_learns_alone(
    folder: Path, video: Train, video_weights: Path
) -> None:
    video("--out", "run", *ONE_STEP)
    state = checkpoint(folder / "run")
    assert not encoder_of(state["module"])
    assert inter_network_of(folder / "run", tokenizer_of(model_path())).encoder is None
    (figures,) = log_of(folder / "run")
    assert {"loss", "rmse1", "rmse2"} <= figures.keys() and "rate" not in figures

    # a network that is there stays as it is
    video("--out", "network", "--prior", str(video_weights), *ONE_STEP)
    trained = checkpoint(folder / "network")["average"]
    video("--out", "decoder", "--init", "network", *ONE_STEP)
    again = checkpoint(folder / "decoder")["module"]
    assert encoder_of(trained)
    for name, value in encoder_of(trained).items():
        assert torch.equal(again[name], value), name
    assert any(not torch.equal(again[k], v) for k, v in trained.items())


@pytest.mark.parametrize("with_prior", [False, True])
def test_validation_says_what_predicted_frames_are_like(
    folder: Path, video: Train, video_weights: Path, with_prior: bool
) -> None:
    video("--out", "run", *(["--prior", str(video_weights)] if with_prior else []))
    last = log_of(folder / "run")[-1]
    for name in ("s168", "s184"):
        bpp, found, quality = re.fullmatch(r"(?:([\d.]+)(bpp)/)?([\d./]+)", last[name]).groups()  # type: ignore[union-attr]
        similarity, error, nonzero = map(float, quality.split("/"))
        assert 0 < similarity <= 1 and error > 0 and 0 <= nonzero < 1
        assert bool(found) == with_prior
        assert not with_prior or 0 <= float(bpp) < 20
    assert math.isfinite(last["loss"])


def test_the_memory_is_that_of_the_coder(video_codec: VideoCodec) -> None:
    priors = video_codec.weights.priors
    channels = video_codec.weights.image.tokenizer.config.channels
    grid = TokenGrid(128, 256)
    rows, columns = grid.shape
    generator = np.random.default_rng(0)

    def frame(moves: bool) -> FrameSymbols:
        n = generator.integers(-1, 2, (rows, columns, channels)).astype(np.int32)
        n[generator.random((rows, columns)) < 0.5] = 0
        field = generator.integers(-200, 201, (2 * rows, 2 * columns, 2)) if moves else None
        return FrameSymbols(40, n, field)

    # two crops that are remembered side by side
    groups = [[frame(index > 0) for index in range(4)] for _ in range(2)]
    coders = [SymbolCoder(priors, grid) for _ in groups]
    contexts = CropContexts(torch.from_numpy(np.stack([group[0].n for group in groups])).float())
    for coder, group in zip(coders, groups, strict=True):
        coder.encode(group[0])
    for index in range(1, 4):
        n = torch.from_numpy(np.stack([group[index].n for group in groups])).float()
        vectors = torch.from_numpy(np.stack([group[index].vectors for group in groups]))  # type: ignore[misc]
        expected = []
        for coder, group in zip(coders, groups, strict=True):
            field = group[index].vectors
            assert field is not None
            expected.append(coder.context(field))
            coder.encode(group[index])
        found = contexts.next(n, vectors)
        assert torch.equal(found, torch.cat(expected))
        assert not torch.equal(found[0], found[1])
