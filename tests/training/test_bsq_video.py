"""The trainer of what earlier frames add: what it changes, what it measures, what it needs."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from bsqcodec.models.bsq.coding import bits_of_picture, picture_of_signs
from bsqcodec.models.bsq.frame_renderer import FrameRenderer
from bsqcodec.training import bsq
from bsqcodec.training.bit_prior import bsq_tokenizer_of
from bsqcodec.training.bsq_video import aligned_clips, evaluate, flicker, pictures_of, shown

from ..encoder.test_lpips import random_weights
from ..media.clips import make_clip
from ..tiny_models import random_bsq_tokenizer
from ..video.scenes import clip
from .commands import BRIEF, checkpoint, log_of, moved

CPU = torch.device("cpu")
SHAPE = ["--bits", "12", "--depths", "6", "12", "--width", "64"]
SHAPE += ["--encoder-blocks", "1", "--decoder-blocks", "1"]


def clips(count: int = 3, height: int = 64, width: int = 128) -> Tensor:
    """A clip [1, T, 3, H, W] of moving waves."""
    frames = np.stack(clip(count, height, width))
    return torch.from_numpy(frames).permute(0, 3, 1, 2)[None].float()


def test_clips_are_shown_as_the_codec_shows_them() -> None:
    """Given earlier frames as the renderer of a group does, and as pictures without them."""
    tokenizer = random_bsq_tokenizer(earlier_frames=2)
    x, kept = clips(4), torch.tensor([18.0])
    pictures = pictures_of(tokenizer, x, kept)
    assert tokenizer.earlier is not None
    with torch.no_grad():
        earlier = aligned_clips(pictures, 2)
        assert [len(known) for known in earlier] == [0, 1, 2, 2]
        given = shown(tokenizer.earlier, pictures, earlier).clamp(0, 255).round()
    renderer = FrameRenderer(tokenizer)
    for own, picture, frame in zip(x[0], pictures[0], given[0], strict=True):
        samples = own.permute(1, 2, 0).to(torch.uint8).numpy()
        bits = bits_of_picture(tokenizer, samples)
        signs = np.where(bits, 1, -1).astype(np.int8)
        for expected, found in (
            (picture_of_signs(tokenizer, signs, 64, 128), picture),
            (renderer.render(signs, 64, 128), frame),
        ):
            assert np.abs(found.permute(1, 2, 0).numpy() - expected.astype(float)).max() <= 1


def test_flicker_is_how_errors_change() -> None:
    x = clips(3)
    assert not flicker(x + 7, x).any()  # wrong, but steadily so
    changing = x.clone()
    changing[:, 1] += 3
    assert flicker(changing, x).tolist() == [[pytest.approx(9), pytest.approx(9)]]


def test_figures_of_clips() -> None:
    tokenizer = random_bsq_tokenizer(earlier_frames=1)
    x = clips(3)[0]
    found = evaluate(tokenizer, [x], 18, CPU, alone=True)
    psnr, similarity, distance, change = found.split("/")
    y = pictures_of(tokenizer, x[None], torch.tensor([18.0]))
    errors = (y[0, 1:] - x[1:]).square().mean((1, 2, 3))
    expected = (10 * torch.log10(255**2 / errors)).mean()
    assert float(psnr.removesuffix("dB")) == pytest.approx(float(expected), abs=1e-3)
    assert 0 < float(similarity) < 1 and math.isnan(float(distance))
    steady = flicker(y, x[None]).sqrt().mean()
    assert float(change) == pytest.approx(float(steady), abs=1e-3)
    assert evaluate(tokenizer, [x], 18, CPU) != found


def test_a_run_trains_the_new_network_alone_and_is_exported(
    folder: Path, train: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a run's folder; its export is what further runs, and the codec, start from."""
    monkeypatch.setattr(bsq, "START_CROPS", 60)
    save_file(random_weights(), folder / "lpips.safetensors")
    (folder / "videos").mkdir()
    (folder / "videos/a.mkv").write_bytes(make_clip("matroska", "libx264", width=96, height=80))
    shared = ["--data", "data", "--cache", "cache", *BRIEF]
    train("bsq", "--out", "base", *SHAPE, "--crop", "128", *shared)
    more = ["--moving", "3", "--clip-cache", "clips", "--lpips", "lpips.safetensors"]
    more += ["--flicker", "0.5", "--earlier-convs", "1"]
    held_out = ["--validation", "videos", "--validation-limit", "3"]
    train("bsq-video", "--out", "run", "--init", "base", *shared, *more, *held_out)
    assert not (folder / "clips/vectors.npy").exists()
    first, learned = checkpoint(folder / "base")["average"], checkpoint(folder / "run")
    for name, value in first.items():
        assert torch.equal(learned["module"][name], value), name
    changed = [k for k, v in learned["module"].items() if k not in first and v.any()]
    assert any("earlier.out" in name for name in changed)
    last = log_of(folder / "run")[-1]
    assert {"loss", "rmse", "lpips", "flicker", "k6", "k12", "k6_alone", "k12_alone"} <= set(last)
    assert "nan" not in last["k6"] + last["k6_alone"]

    train("export-bsq", "--tokenizer", "run", "--out", "out.safetensors")
    tokenizer = bsq_tokenizer_of(folder / "out.safetensors")
    assert tokenizer.config.earlier_frames == 2 and tokenizer.earlier is not None
    train("bsq-video", "--out", "on", "--init", "out.safetensors", *shared, *more, "--rate", "0")
    again = checkpoint(folder / "on")["module"]
    for name, value in learned["average"].items():
        assert torch.equal(again[name], value.half().float()), name
    before = checkpoint(folder / "run")
    train("bsq-video", "--out", "run", "--init", "base", *shared, *more, "--minutes", "0.02")
    assert all(".earlier." in name for name in moved(before, checkpoint(folder / "run")))


def test_it_needs_a_tokenizer(folder: Path, train: Callable[..., None]) -> None:
    with pytest.raises(SystemExit, match="needs --init"):
        train("bsq-video", "--data", "data", "--cache", "cache", "--out", "run", *BRIEF)
