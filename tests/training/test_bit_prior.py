"""The trainer of the prior of bits: what is drawn, what is counted, and a run end to end."""

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image

from bsqcodec.format.token_file import bits_of_codes
from bsqcodec.image.codec import Codec
from bsqcodec.models.bsq.bit_order import BitPriorConfig
from bsqcodec.models.bsq.bit_prior import BitPrior
from bsqcodec.models.bsq.integer_bit_prior import quantize_bit_prior
from bsqcodec.training import bit_prior, bsq, export_bsq, speed
from bsqcodec.training.bit_prior import coded_bits, draw, loss_of
from bsqcodec.training.checkpoints import shipped
from bsqcodec.training.clips import Clips
from bsqcodec.training.distributed import World

from ..tiny_models import BSQ_PRIOR, save_bsq_weights, seeded, shake

MakeScene = Callable[[int, int, int], npt.NDArray[np.uint8]]

CONFIG = BitPriorConfig(bits=6, sub_code=3, lattices=(2, 4), width=32, heads=2, blocks=1, hidden=32)


def tiny() -> BitPrior:
    with seeded(0):
        prior = BitPrior(CONFIG)
        shake(prior, 0.1)
    return prior.eval().requires_grad_(False)


def test_known_and_wanted_never_overlap_and_padding_is_neither() -> None:
    sample = draw(CONFIG, 200, (16, 8), np.random.default_rng(0))
    assert sample.known.shape == sample.wanted.shape == (200, 16, 8, 2)
    assert not (sample.known & sample.wanted).any()
    outside = sample.outside.bool()
    assert not (sample.known | sample.wanted)[outside].any()
    assert 0.05 < float(outside.float().mean()) < 0.4
    scheduled = sample.passes < CONFIG.passes
    assert 0.35 < float(scheduled.float().mean()) < 0.65
    assert set(sample.passes[scheduled].tolist()) == set(range(CONFIG.passes))
    masked = ~scheduled
    asked_or_told = (sample.known | sample.wanted)[masked]
    assert torch.equal(asked_or_told[..., 0], ~outside[masked])
    depth = asked_or_told.sum(-1).flatten(1).amax(1)  # sub-codes that there are at all
    there = outside[masked].logical_not().flatten(1).any(1)
    assert torch.equal(sample.weight[masked][there], depth[there].float())
    assert 0.15 < float((depth[there] == 1).float().mean()) < 0.35
    asked = sample.wanted[masked].flatten(1).any(1)  # padding or the cut may hide what is not known
    assert float(asked.float().mean()) > 0.9


def test_the_mean_over_passes_is_what_a_picture_costs() -> None:
    """All passes of one picture, each once, with their weights: the loss is unbiased."""
    prior = tiny()
    bits = torch.randn(1, 8, 8, 6, generator=torch.Generator().manual_seed(1)) > 0
    costs: dict[int, float] = {}
    generator = np.random.default_rng(2)
    while len(costs) < CONFIG.passes:
        sample = draw(CONFIG, 1, (8, 8), generator)
        if sample.passes[0] < CONFIG.passes and not sample.outside.any():
            costs[int(sample.passes[0])] = float(loss_of(prior, bits, sample, True)[0])
    mean = sum(costs.values()) / CONFIG.passes
    assert mean == pytest.approx(float(coded_bits(prior, bits).sum()), rel=1e-5)


def test_a_prior_that_knows_nothing_costs_every_bit() -> None:
    with seeded(0):
        prior = BitPrior(CONFIG)
    bits = torch.randn(2, 8, 8, 6, generator=torch.Generator().manual_seed(1)) > 0
    torch.testing.assert_close(coded_bits(prior, bits), torch.full((2,), 3.0).double())


def test_a_prior_of_longer_codes_starts_from_a_shorter_ones(tmp_path: Path) -> None:
    """The first sub-codes cost what they did, the new ones all of their bits."""
    old = BitPriorConfig(18, 6, (4, 2, 1), BSQ_PRIOR.width, BSQ_PRIOR.heads, 2, BSQ_PRIOR.hidden)
    parent = bit_prior.bit_prior_of(save_bsq_weights(tmp_path))
    assert parent.config == old
    child = BitPrior(replace(old, bits=30, lattices=(4, 2, 1, 2, 1))).eval()
    bit_prior.start_from(child, parent)
    bits = torch.randn(1, 16, 16, 30, generator=torch.Generator().manual_seed(1)) > 0
    costs = coded_bits(child, bits)
    torch.testing.assert_close(costs[:3], coded_bits(parent, bits[..., :18]))
    assert costs[3:].tolist() == [6.0, 6.0]
    with pytest.raises(ValueError, match="cannot start from"):
        bit_prior.start_from(BitPrior(replace(old, width=64)), parent)


def test_earlier_frames_come_latest_first_and_some_are_not_there() -> None:
    bits = torch.randn(40, 4, 2, 3, 6, generator=torch.Generator().manual_seed(1)) > 0
    last, earlier = bit_prior.frames_of(bits, np.random.default_rng(0))
    assert torch.equal(last, bits[:, 3])
    there = earlier.ne(0).all(-1).all(1).all(1)  # [40, 3]
    assert {tuple(row) for row in there.tolist()} == {
        (True, False, False),
        (True, True, False),
        (True, True, True),
    }
    for back in range(3):
        own = earlier[:, :, :, back][there[:, back]]
        assert torch.equal(own > 0, bits[:, 2 - back][there[:, back]])
        assert not earlier[:, :, :, back][~there[:, back]].any()


def test_a_shipped_prior_of_bits_quantizes_to_what_was_shipped(tmp_path: Path) -> None:
    path = save_bsq_weights(tmp_path)
    again = quantize_bit_prior(bit_prior.bit_prior_of(path))
    _, tensors = shipped(path, "prior")
    assert tensors.keys() == again.keys()
    for name, value in tensors.items():
        torch.testing.assert_close(again[name], value, msg=name)


def test_a_run_learns_and_resumes(
    tmp_path: Path, make_scene: MakeScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed, "MEASURED_SECONDS", 0.01)
    monkeypatch.setattr(bsq, "START_CROPS", 60)
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    for number in range(3):
        Image.fromarray(make_scene(260, 290, number)).save(f"data/{number}.png")
    common = ["--data", "data", "--cache", "cache", "--no-compile", "--batch", "2"]
    common += ["--crop", "128", "--validation", "data", "--validation-limit", "1"]
    shape = ["--bits", "12", "--width", "64", "--encoder-blocks", "1", "--decoder-blocks", "1"]

    def parsed(trainer: object, *arguments: str) -> argparse.Namespace:
        parser = argparse.ArgumentParser()
        trainer.add_arguments(parser)  # type: ignore[attr-defined]
        return parser.parse_args([*common, *arguments])

    with torch.random.fork_rng(devices=[]):
        bsq.train(parsed(bsq, *shape, "--out", "tokens", "--minutes", "0.003"), World())
        config = {"lattices": [2, 2], "width": 32, "heads": 2, "blocks": 1, "hidden": 32}
        arguments = ["--tokenizer", "tokens", "--out", "run", "--config", json.dumps(config)]
        bit_prior.train(parsed(bit_prior, *arguments, "--minutes", "0.005"), World())
        first = torch.load("run/checkpoint.pt", weights_only=True)
        minutes = str(first["seconds"] / 60 + 0.003)
        bit_prior.train(parsed(bit_prior, *arguments, "--minutes", minutes), World())
    second = torch.load("run/checkpoint.pt", weights_only=True)
    assert second["count"] > first["count"] >= 1
    lines = [json.loads(line) for line in Path("run/log.jsonl").read_text().splitlines()]
    assert lines[-1]["coded"].endswith("/12") and lines[-1]["saved"] < 1
    assert BitPriorConfig(**json.loads(Path("run/config.json").read_text())["model"]).bits == 12

    following = {**config, "earlier_frames": 2, "earlier_blocks": 1}
    arguments = ["--tokenizer", "tokens", "--out", "video", "--config", json.dumps(following)]
    arguments += ["--init", "run", "--moving", "3", "--clip-cache", "clips", "--clip-batch", "2"]
    generator = np.random.default_rng(0)
    monkeypatch.setattr(Clips, "to_validate", lambda clips: [clips.draw(4, 128, generator)])
    with torch.random.fork_rng(devices=[]):
        more = ["--minutes", "0.01", "--clip-share", "1"]
        bit_prior.train(parsed(bit_prior, *arguments, *more), World())
    learned = torch.load("video/checkpoint.pt", weights_only=True)["module"]
    assert learned["prior.earlier.embed.weight"].any()
    (*_, last) = map(json.loads, Path("video/log.jsonl").read_text().splitlines())
    assert last["following"] > 0 and last["following_saved"] < 1

    made = ["--tokenizer", "tokens", "--prior", "run", "--out", "weights", "--default"]
    export = argparse.ArgumentParser()
    export_bsq.add_arguments(export)
    export_bsq.main(export.parse_args(made))
    (path,) = Path("weights").glob("bsq-*.safetensors")
    codec = Codec(path, device="cpu")
    picture = make_scene(64, 128, 0)
    encoded = codec.encode(picture, verify=True)
    tokens = codec.tokens(picture)
    bits = torch.from_numpy(bits_of_codes(tokens.codes, 12))[None]
    float_prior = export_bsq.bit_prior_of(Path("run"))
    assert encoded.ideal_bits / tokens.codes.size == pytest.approx(
        float(coded_bits(float_prior, bits).sum()), rel=0.02
    )

    # of shipped weights the integers are taken as they are
    made = ["--tokenizer", str(path), "--prior", str(path), "--out", "again"]
    export_bsq.main(export.parse_args(made))
    (again,) = Path("again").glob("bsq-*.safetensors")
    first, second = map(export_bsq.integer_prior_of, (path, again))
    assert first[0] == second[0] and first[1].keys() == second[1].keys()
    assert all(torch.equal(second[1][name], tensor) for name, tensor in first[1].items())
