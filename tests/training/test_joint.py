"""Joint training: what learns, that it lowers rate and distortion, and its command."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from bsqcodec.encoder.distortion import distortion
from bsqcodec.encoder.masking import TYPICAL_DEAD_ZONE, dead_zones_of
from bsqcodec.image.codec import Codec
from bsqcodec.models.prior.network import Prior
from bsqcodec.models.transform.quantizer import quantize_beyond
from bsqcodec.models.transform.tokenizer import Tokenizer, step_size
from bsqcodec.models.weight_files import load
from bsqcodec.targets import Quality
from bsqcodec.training import rate as rate_module
from bsqcodec.training.checkpoints import tokenizer_of
from bsqcodec.training.data import transform_basis
from bsqcodec.training.joint import (
    DISTORTION_FOR_RATE,
    Objective,
    hold_transform,
    typical_bpp,
    typical_distortion,
)
from bsqcodec.training.optim import make_optimizers
from bsqcodec.training.prior_passes import Passes, total_bits
from bsqcodec.training.rate import Rate, Rounded

from ..tiny_models import (
    PRIOR,
    TOKENIZER,
    linear_tokenizer,
    random_prior,
    random_tokenizer,
    seeded,
    some_planes,
)
from .commands import (
    ONE_STEP,
    checkpoint,
    joint_arguments,
    log_of,
    moved,
    prior_arguments,
    tokenizer_arguments,
)
from .conftest import scene
from .crops import pictures_of

STEPS = torch.tensor([150.0, 200.0])
MS_SSIM_WEIGHT = 0.8


@pytest.fixture(autouse=True)
def same_random_numbers() -> Iterator[None]:
    with seeded(0):
        yield


@pytest.fixture
def pixels() -> Tensor:
    scenes = np.stack([scene(128, 128, seed) for seed in (1, 2)])
    return torch.from_numpy(scenes).permute(0, 3, 1, 2).float()


def rate_of(prior: Prior) -> Rate:
    passes = Passes(prior.requires_grad_(False))
    return Rate(prior, passes, passes)


def objective_of(tokenizer: Tokenizer, prior: Prior, passes: int = 2) -> Objective:
    return Objective(tokenizer, rate_of(prior), MS_SSIM_WEIGHT, passes, compiled=False)


@torch.no_grad()
def rate_and_distortion(tokenizer: Tokenizer, prior: Prior, pixels: Tensor) -> tuple[float, float]:
    """Means of both, relative to typical ones, of pictures that are coded whole."""
    rate, relative = 0.0, 0.0
    for x, step in zip(pixels[:, None], STEPS[:, None], strict=True):
        n = quantize_beyond(tokenizer.encode(x, step), dead_zones_of(x, 16))
        bits = total_bits(prior, Passes(prior), n, int(step), False)
        rate += bits / 128**2 / float(typical_bpp(step_size(step)))
        d = float(distortion(tokenizer.decode(n, step), x, MS_SSIM_WEIGHT))
        relative += d / (DISTORTION_FOR_RATE * float(typical_distortion(step_size(step))))
    return rate / len(pixels), relative / len(pixels)


def test_the_loss_is_relative_rate_and_distortion(
    pixels: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_module, "SOFTNESS", 1e-6)  # rounding as it is in coding
    tokenizer, prior = random_tokenizer(), random_prior()
    generator = np.random.default_rng(0)
    count = 100
    loss, rate, d = objective_of(tokenizer, prior, passes=count)(pixels, STEPS, generator)
    assert loss.shape == rate.shape == d.shape == (2,)
    bits, relative = rate_and_distortion(tokenizer, prior, pixels)
    assert float(rate.mean()) == pytest.approx(bits, rel=0.1)
    assert float((loss - rate).mean()) == pytest.approx(relative, rel=1e-4)
    n = quantize_beyond(tokenizer.encode(pixels, STEPS), dead_zones_of(pixels, 16))
    torch.testing.assert_close(d, distortion(tokenizer.decode(n, STEPS), pixels, MS_SSIM_WEIGHT))


def test_encoder_network_and_decoder_learn_and_the_transform_stays(pixels: Tensor) -> None:
    tokenizer = random_tokenizer().requires_grad_(True)
    hold_transform(tokenizer)
    prior = random_prior()
    objective_of(tokenizer, prior)(pixels, STEPS, np.random.default_rng(0))[0].sum().backward()
    held = {"encoder.transform.weight", "decoder.transform.weight", "log_gain.table"}
    for name, parameter in tokenizer.named_parameters():
        if name in held:
            assert parameter.grad is None, name
        else:
            assert parameter.grad is not None and parameter.grad.abs().max() > 0, name
            assert torch.isfinite(parameter.grad).all(), name
    assert all(parameter.grad is None for parameter in prior.parameters())


@torch.no_grad()
def test_for_squared_error_alone_no_token_is_masked(pixels: Tensor) -> None:
    """Then a flat and a busy token have the same dead zone, as with `--tune psnr`."""
    tokenizer, prior = random_tokenizer(), random_prior()
    for weight, masked in ((MS_SSIM_WEIGHT, True), (0.0, False)):
        objective = Objective(tokenizer, rate_of(prior), weight, 1, compiled=False)
        zones = dead_zones_of(pixels, 16, masked=masked)
        with seeded(0):
            found = objective(pixels, STEPS, np.random.default_rng(0))[2]
        with seeded(0):
            z = tokenizer.encode(pixels, STEPS)
            rounded = Rounded.of(z, zones, torch.rand_like(z))
        y = tokenizer.decode(rounded.hard, STEPS)
        torch.testing.assert_close(found, distortion(y, pixels, weight))
    assert float(zones.min()) == float(zones.max()) == pytest.approx(TYPICAL_DEAD_ZONE)
    assert zones.shape == dead_zones_of(pixels, 16).shape


def test_both_the_rate_and_the_decoder_are_felt(pixels: Tensor) -> None:
    """Another prior changes the encoder's gradient, and so does another distortion."""
    tokenizer = random_tokenizer().requires_grad_(True)
    hold_transform(tokenizer)
    found = []
    for weight, seed in ((MS_SSIM_WEIGHT, 0), (MS_SSIM_WEIGHT, 0), (MS_SSIM_WEIGHT, 1), (0.0, 0)):
        objective = Objective(tokenizer, rate_of(random_prior(seed)), weight, 2, compiled=False)
        with seeded(0):
            loss = objective(pixels, STEPS, np.random.default_rng(0))[0].sum()
        found.append(torch.autograd.grad(loss, tokenizer.encoder.out.weight)[0])
    torch.testing.assert_close(found[1], found[0])
    for other in found[2:]:
        assert (other - found[0]).abs().mean() > 0.01 * found[0].abs().mean()


@pytest.mark.parametrize("part", ["encoder", "both"])
def test_a_few_steps_lower_rate_and_distortion(pixels: Tensor, part: str) -> None:
    """The encoder's network alone does, too, from a start that makes ones of many zeros."""
    pictures = pictures_of(*(x.permute(1, 2, 0).byte().numpy() for x in pixels))
    generator = np.random.default_rng(0)
    tokenizer = linear_tokenizer()
    tokenizer.set_transform(*transform_basis(pictures, 16, TOKENIZER.channels, generator))
    if part == "encoder":
        tokenizer.encoder.out.bias.fill_(0.5)
    tokenizer.requires_grad_(True)
    hold_transform(tokenizer)
    tokenizer.decoder.requires_grad_(part == "both")
    prior = Prior(PRIOR, some_planes())
    objective = objective_of(tokenizer, prior)
    optimizers = make_optimizers(tokenizer, 5e-3)
    before = rate_and_distortion(tokenizer, prior, pixels)
    for _ in range(15):
        objective(pixels, STEPS, generator)[0].mean().backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
    after = rate_and_distortion(tokenizer, prior, pixels)
    assert sum(after) < 0.9 * sum(before)
    assert after[0] < before[0] and after[1] < before[1]


def test_from_a_tokenizer_to_a_coded_picture(folder: Path, train: Callable[..., None]) -> None:
    train(*tokenizer_arguments(*ONE_STEP))
    train(*prior_arguments(*ONE_STEP))
    train(*joint_arguments("--validation", "held_out"))
    last = log_of(folder / "joint")[-1]
    assert {"step", "loss", "rate", "rmse", "s160", "s192", "s224"} <= last.keys()
    assert last["s192"].split("/")[0].endswith("bpp")
    assert (
        json.loads((folder / "joint" / "config.json").read_text())["model"]["encoder_blocks"] == 1
    )

    first = checkpoint(folder / "joint")
    train(*joint_arguments("--minutes", "1000", "--stop-after", "0"))
    second = checkpoint(folder / "joint")
    assert second["count"] == first["count"] + 1
    assert {name.split(".")[1] for name in moved(first, second)} == {"encoder", "decoder"}
    assert not {name for name in moved(first, second) if "transform" in name}

    tokenizer = tokenizer_of(folder / "joint")
    assert tokenizer.config == TOKENIZER and not tokenizer.encoder.linear
    parent = tokenizer_of(folder / "tokenizer")
    assert parent.encoder.linear
    for name in ("encoder.transform.weight", "decoder.transform.weight", "log_gain.table"):
        assert torch.equal(tokenizer.state_dict()[name], parent.state_dict()[name])

    train("export", "--tokenizer", "joint", "--prior", "prior", "--out", "out", "--default")
    (path,) = (folder / "out").glob("image-*.safetensors")
    assert not load(path, torch.device("cpu")).tokenizer.encoder.linear
    codec = Codec(path, device="cpu")
    encoded = codec.encode(scene(140, 150, 9), Quality(60), verify=True)
    assert encoded.psnr > 20

    # a shipped file will do for both, and the network goes on from where it was
    shipped = ["--init", str(path), "--prior", str(path), "--out", "again", "--rate", "0"]
    train(*joint_arguments(*ONE_STEP, *shipped))
    again = tokenizer_of(folder / "again").state_dict()
    for name, value in tokenizer_of(path).state_dict().items():
        assert torch.equal(again[name], value), name


def test_joint_training_needs_a_tokenizer(folder: Path, train: Callable[..., None]) -> None:
    arguments = joint_arguments()
    at = arguments.index("--init")
    with pytest.raises(ValueError, match="--init"):
        train(*arguments[:at], *arguments[at + 2 :])
