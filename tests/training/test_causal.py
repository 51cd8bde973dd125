"""Videos the paper's way: frames that see those before them, and one run of each part end to end."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from bsqcodec.models.prior.neighbour_context import CLIP
from bsqcodec.models.transform.temporal_context import context_size
from bsqcodec.training.causal import (
    Before,
    CausalConfig,
    CausalDecoder,
    TemporalAttention,
    contexts_of,
    decoder_of,
    integers_of,
    picture_prior_of,
)
from bsqcodec.training.checkpoints import averaged, prior_of, tokenizer_of, with_shape
from bsqcodec.training.prior import Passes, total_bits

from ..golden_files import model_path
from ..tiny_models import TOKENIZER, random_tokenizer, seeded, shake
from ..video.scenes import moving
from .commands import ONE_STEP, USUAL, checkpoint, log_of, moved

Train = Callable[..., None]

STEP = torch.tensor([150.0, 90.0])
"""Of the two clips of `integers`."""


def decoder(past: int = 2, every: int = 1, blocks: int = 2, strength: float = 0.05) -> Any:
    """(a decoder, shaken so that every part matters, its tokenizer)."""
    tokenizer = random_tokenizer(config=replace(TOKENIZER, decoder_blocks=blocks))
    with seeded(3):
        model = CausalDecoder.of_pictures(tokenizer, CausalConfig(past, every))
        shake(model.temporal_blocks, strength)
    return model, tokenizer


def integers(frames: int, seed: int = 0) -> Tensor:
    """Of two clips with two windows, [2, T, 8, 16, C]."""
    generator = torch.Generator().manual_seed(seed)
    shape = (2, frames, 8, 16, TOKENIZER.channels)
    return torch.randn(shape, generator=generator).mul(2).round()


def test_it_begins_as_the_decoder_of_pictures() -> None:
    model, tokenizer = decoder(strength=0.0)
    n = integers(3)
    decoded, cache = model.decode(tokenizer, n, STEP)
    for t in range(3):
        torch.testing.assert_close(decoded[:, t], tokenizer.decode(n[:, t], STEP))
    assert [c.shape for c in cache] == 2 * [(2, 2, 2, 2, TOKENIZER.heads, 64, 16)]


@pytest.mark.parametrize("past", [1, 2])
@pytest.mark.parametrize("blocks", [1, 2])
def test_a_frame_sees_so_many_before_it_in_each_block_and_none_after(
    past: int, blocks: int
) -> None:
    model, tokenizer = decoder(past, blocks=blocks)
    n, changed = integers(6), 1
    other = n.clone()
    other[:, changed] = integers(6, seed=1)[:, changed]
    with torch.no_grad():
        a, b = (model.decode(tokenizer, x, STEP)[0] for x in (n, other))
    differ = [t for t in range(6) if not torch.equal(a[:, t], b[:, t])]
    assert differ == list(range(changed, min(changed + past * blocks, 5) + 1))


def test_a_frame_sees_the_same_window_only() -> None:
    with seeded(0):
        layer = TemporalAttention(32, 2, 2)
        shake(layer, 0.1)
        x = torch.randn(1, 3, 8, 16, 32)
    other = x.clone()
    other[:, 0, :, :8] = x[:, 1, :, 8:]
    with torch.no_grad():
        (a, _), (b, _) = (layer(each, None) for each in (x, other))
    assert not a[:, 0].any() and a[:, 1:].any()
    assert torch.equal(a[:, 0], b[:, 0]) and torch.equal(a[..., 8:, :], b[..., 8:, :])
    assert not torch.isclose(a[:, 1:, :, :8], b[:, 1:, :, :8]).all(-1).any()


def test_frames_further_back_have_another_bias() -> None:
    with seeded(0):
        layer = TemporalAttention(32, 2, 2)
        shake(layer, 0.1)
        x = torch.randn(1, 1, 8, 8, 32).expand(1, 3, 8, 8, 32)
        with torch.no_grad():
            layer.bias.normal_()
            layer.bias[:, 1] = 50.0  # above all two frames back, wherever it is there
            layer.bias[:, 1, 7 * 15 + 7] += 50.0  # and at the same place
            qkv = layer.qkv(layer.norm(x[0, 0]))
            found, _ = layer(x, None)
    torch.testing.assert_close(found[0, 2], layer.out(qkv[..., 64:]))
    assert not torch.isclose(found[0, 1], found[0, 2]).all(-1).any()


@pytest.mark.parametrize("past", [1, 2, 3])
@pytest.mark.parametrize("chunks", [[1, 1, 1, 1, 1], [2, 3], [4, 1]])
def test_frame_by_frame_equals_whole(past: int, chunks: list[int]) -> None:
    model, tokenizer = decoder(past)
    n = integers(5)
    with torch.no_grad():
        whole, last = model.decode(tokenizer, n, STEP)
        cache, parts = None, []
        for part in n.split(chunks, dim=1):
            decoded, cache = model.decode(tokenizer, part, STEP, cache)
            parts.append(decoded)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole)
    torch.testing.assert_close(cache, last)


@pytest.mark.parametrize(("every", "layers"), [(1, 3), (2, 2), (4, 1)])
def test_gradients_reach_every_temporal_layer(every: int, layers: int) -> None:
    model, tokenizer = decoder(every=every, blocks=3, strength=0.0)
    assert len(model.temporal_blocks) == layers

    def gradients() -> dict[str, bool]:
        model.zero_grad()
        decoded, _ = model.decode(tokenizer, integers(3), STEP)
        decoded[:, 2].square().mean().backward()
        return {  # of biases, those of all heads and frames
            name: bool(p.grad.any(-1).all() if p.ndim == 3 else p.grad.any())
            for name, p in model.temporal_blocks.named_parameters()
        }

    begins = {name for name, some in gradients().items() if some}
    assert begins == {f"{i}.out.weight" for i in range(layers)}
    with seeded(1), torch.no_grad():
        for layer in model.temporal_blocks:
            layer.out.weight.normal_(0, 0.1)
    assert all(gradients().values())


@pytest.mark.parametrize("wrong", [{"past": 0}, {"every": 0}])
def test_impossible_configurations_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="no past"):
        CausalConfig(**wrong)


def test_integers_are_those_of_pictures() -> None:
    tokenizer = random_tokenizer()
    generator = torch.Generator().manual_seed(0)
    frames = 255 * torch.rand(2, 3, 3, 128, 128, generator=generator)
    wider = torch.tensor([0.0, 0.3])
    n = integers_of(tokenizer, frames, STEP, wider)
    assert n.shape == (2, 3, 8, 8, TOKENIZER.channels) and torch.equal(n, n.round())
    one = integers_of(tokenizer, frames[1:, 2:], STEP[1:], wider[1:])
    assert torch.equal(one[0, 0], n[1, 2])
    zeros = (integers_of(tokenizer, frames, STEP, torch.zeros(2)) == 0).sum((1, 2, 3, 4))
    assert (n[0] == 0).sum() == zeros[0] and (n[1] == 0).sum() > zeros[1]


@pytest.mark.parametrize("signed", [False, True])
def test_contexts_are_of_frames_before(signed: bool) -> None:
    n = 30 * integers(4)
    context = contexts_of(n, signed)
    channels = TOKENIZER.channels
    assert context.shape == (2, 3, 8, 16, Before.size(channels, signed))
    assert torch.equal(context[..., :channels], n[:, :-1].abs().clamp(max=CLIP))
    if signed:
        plain = context_size(channels)
        assert torch.equal(context[..., :plain], contexts_of(n, signed=False))
        fine, coarse = context[..., plain:].chunk(2, dim=-1)
        assert torch.equal(fine, n[:, :-1].clamp(-CLIP, CLIP))
        assert (coarse - n[:, :-1] / 9).abs()[n[:, :-1].abs() <= 63].max() <= 0.5
    later = n.clone()
    later[:, 2] += 1
    other = contexts_of(later, signed)
    assert torch.equal(other[:, :2], context[:, :2]) and not torch.equal(other[:, 2], context[:, 2])


@pytest.mark.parametrize("quantized", [False, True])
def test_a_new_prior_heeds_no_context(golden: Path, quantized: bool) -> None:
    parent = prior_of(model_path())
    channels = parent.config.channels
    config = replace(parent.config, context=Before.size(channels, signed=True))
    prior = with_shape(parent, parent.planes, config)
    n = integers(2)[:1, ..., :channels]
    context = contexts_of(n, signed=True)[:, 0]
    bits = total_bits(prior, Passes(prior), n[:, 1], 100, quantized, context)
    assert bits == total_bits(parent, Passes(parent), n[:, 1], 100, quantized) > 0


@pytest.fixture
def causal(folder: Path, golden: Path, train: Train) -> Train:
    """Train a part on synthetic clips, for the tiny model."""
    model = str(model_path())
    shared = ["--tokenizer", model, "--data", "data", "--cache", "cache", "--crop", "128"]
    shared += ["--clip-cache", "clips", "--moving", "3", *USUAL]

    def run(part: str, *more: str) -> None:
        start = ["--init", model, "--passes", "2"] if part == "prior" else []
        train("causal", "--part", part, "--out", part, *shared, *start, *more)

    return run


def test_the_decoder_learns_resumes_and_can_be_started_from(folder: Path, causal: Train) -> None:
    for _ in range(2):
        causal("decoder", "--past", "3", "--every", "2", "--frames", "3", *ONE_STEP)
    second = checkpoint(folder / "decoder")
    first, last = log_of(folder / "decoder")
    assert (first["step"], last["step"]) == (1, 2) and second["count"] == 2
    assert {"loss", "rmse", "rmse_first"} <= first.keys()
    assert CausalConfig(**averaged(folder / "decoder")[0]) == CausalConfig(3, 2)

    causal("decoder", "--init", "decoder", "--rate", "0", "--out", "warm", *ONE_STEP)
    trained = decoder_of(folder / "warm", tokenizer_of(model_path()))
    assert trained.config == CausalConfig(3, 2) and len(trained.temporal_blocks) == 1
    for name, value in second["average"].items():
        assert torch.equal(trained.state_dict()[name], value), name
    assert trained.temporal_blocks[0].out.weight.any()


def test_validation_of_the_decoder_tells_first_frames_from_others(
    folder: Path, causal: Train
) -> None:
    causal("decoder", "--rate", "0")
    last = log_of(folder / "decoder")[-1]
    for name in ("first168", "s168", "first184", "s184"):
        similarity, error = map(float, last[name].split("/"))
        assert 0 < similarity <= 1 and error > 0


@pytest.mark.parametrize("signed", [False, True])
def test_the_prior_learns_and_resumes(folder: Path, causal: Train, signed: bool) -> None:
    more = ["--signed"] if signed else []
    causal("prior", *more, *ONE_STEP)
    first = checkpoint(folder / "prior")
    causal("prior", *more, *ONE_STEP)
    second = checkpoint(folder / "prior")
    assert second["count"] == 2 and {"embed_context.weight", "head.weight"} <= moved(first, second)
    prior, parent = prior_of(folder / "prior"), prior_of(model_path())
    assert prior.config.context == Before.size(parent.config.channels, signed)
    assert torch.equal(prior.planes, parent.planes)
    assert all({"loss", "bpp"} <= figures.keys() for figures in log_of(folder / "prior"))


@pytest.mark.parametrize("rate", [0, 1])
def test_validation_of_the_prior_knows_what_pictures_need(
    folder: Path, causal: Train, rate: int
) -> None:
    causal("prior", "--rate", str(rate))
    last = log_of(folder / "prior")[-1]
    for name in ("s168", "s184"):
        bpp, alone = map(float, last[name].removesuffix("alone").split("bpp/"))
        assert bpp > 0 and (bpp == alone) == (rate == 0)


def test_a_prior_goes_on_from_one_of_pictures(folder: Path, causal: Train) -> None:
    causal("prior", *ONE_STEP)
    with pytest.raises(ValueError, match="no prior of pictures"):
        picture_prior_of(folder / "prior")
    with pytest.raises(ValueError, match="no prior of pictures"):
        causal("prior", "--init", "prior", "--out", "other")


def test_runs_that_have_learned_nothing_are_worth_every_frame_alone(
    folder: Path, causal: Train, train: Train
) -> None:
    for name in ("first", "second"):
        (folder / name).mkdir()
        for t in range(3):
            picture = Image.fromarray(moving(140, 150, t + 9 * (name == "second")))
            picture.save(folder / name / f"{t}.png")
    causal("decoder", "--rate", "0", *ONE_STEP)
    causal("prior", "--rate", "0", "--signed", *ONE_STEP)

    def evaluate(decoder: str, prior: str, *more: str) -> dict[Any, dict[str, float]]:
        model = ["--tokenizer", str(model_path()), "--picture-prior", str(model_path())]
        runs = ["--decoder", decoder, "--prior", prior, "--videos", "first", "second"]
        train("evaluate-causal", *model, *runs, "--out", "result.json", "--threads", "1", *more)
        rows = json.loads(Path("result.json").read_text())["rows"]
        return {(r.pop("video"), r.pop("step"), r.pop("way")): r for r in rows}

    rows = evaluate("decoder", "prior", "--steps", "60", "120", "--frames", "3")
    assert len(rows) == 12
    for (video, step, way), row in rows.items():
        assert row == pytest.approx(rows[video, step, "alone"], rel=2e-3), way
    for step in (60, 120):
        mean = rows["mean", step, "causal"]
        for measure, value in mean.items():
            each = [rows[video, step, "causal"][measure] for video in ("first", "second")]
            assert value == pytest.approx(sum(each) / 2, abs=2e-5)
    assert rows["mean", 60, "causal"]["bpp"] > 1.2 * rows["mean", 120, "causal"]["bpp"] > 0
    assert rows["mean", 60, "causal"]["psnr"] > rows["mean", 120, "causal"]["psnr"] > 15

    causal("decoder", "--rate", "1", "--out", "moved", *ONE_STEP)  # a step while warming up
    causal("prior", "--rate", "1", "--signed", "--out", "knows", *ONE_STEP)
    one, two = (evaluate("moved", "knows", "--steps", "60", "--frames", count) for count in "12")
    for name in ("first", "second"):
        way, other = (name, 60, "causal"), (name, 60, "alone")
        assert one[way]["bpp"] == one[other]["bpp"]
        assert all(two[way][measure] != two[other][measure] for measure in two[way])
