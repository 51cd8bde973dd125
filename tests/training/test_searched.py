"""Integers of the slow search: parts of a folder, squares drawn from them,
a decoder that learns them."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from bsqcodec.encoder.distortion import ms_ssim
from bsqcodec.encoder.masking import dead_zones_of
from bsqcodec.encoder.rdo import PICTURE_SCHEDULE, PictureTask, code
from bsqcodec.models.prior.walk_coders import RATE_WEIGHT
from bsqcodec.models.weight_files import load
from bsqcodec.training.checkpoints import tokenizer_of
from bsqcodec.training.searched import HELD_OUT, HIGHEST, LOWEST, PART, Searched, searched_integers
from bsqcodec.training.tokenizer import Objective, Trained, evaluate_searched

from ..golden_files import model_path
from ..tiny_models import random_tokenizer
from .commands import ONE_STEP, checkpoint, log_of, tokenizer_arguments

MakeScene = Callable[[int, int, int], npt.NDArray[np.uint8]]
Train = Callable[..., None]
CPU = torch.device("cpu")


@pytest.fixture
def made(folder: Path, golden: Path, train: Train) -> Callable[..., Path]:
    """Make searched crops of 128x128 of the training pictures."""

    def run(*more: str) -> Path:
        data = ["--data", "data", "--cache", "cache", "--out", "searched", "--threads", "1"]
        train("searched", *data, "--weights", str(model_path()), "--crop", "128", *more)
        return folder / "searched"

    return run


def test_parts_appear_whole_and_are_not_made_again(made: Callable[..., Path]) -> None:
    path = made("--count", str(PART - 1)) / "part-00000.npz"
    first = path.stat().st_mtime_ns
    made("--count", str(PART + 1))
    assert path.stat().st_mtime_ns == first
    assert sorted(p.name for p in path.parent.iterdir()) == [
        *("part-00000.npz", "part-00001.npz", "searched.json")
    ]
    found = Searched.load(path.parent)
    assert len(found) == 2 * PART
    assert found.pixels.shape == (2 * PART, 128, 128, 3) and found.pixels.dtype == np.uint8
    assert found.integers.shape[:3] == (2 * PART, 8, 8) and found.integers.any()
    assert LOWEST <= found.steps.min() < found.steps.max() <= HIGHEST
    assert not np.array_equal(found.pixels[:PART], found.pixels[PART:])


def test_crops_of_other_weights_sizes_or_seeds_are_not_mixed(made: Callable[..., Path]) -> None:
    note = made("--count", "1") / "searched.json"
    for other in (["--crop", "256"], ["--seed", "1"]):
        with pytest.raises(ValueError, match="of other weights, size or seed"):
            made(*other)
    note.write_text(json.dumps(json.loads(note.read_text()) | {"weights": "00"}))
    with pytest.raises(ValueError, match="of other weights, size or seed"):
        made()


def test_crops_are_whole_windows(made: Callable[..., Path]) -> None:
    with pytest.raises(ValueError, match="crops of 136 pixels are not made of whole windows"):
        made("--crop", "136")


def test_a_folder_without_parts(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no searched crops"):
        Searched.load(tmp_path)


@pytest.mark.parametrize("share", [0.7, 1.0])
def test_a_search_finds_better_integers(share: float, golden: Path, make_scene: MakeScene) -> None:
    weights, pixels, step = load(model_path(), CPU), make_scene(128, 256, 3), 150
    found = searched_integers(weights, pixels, step, share)
    assert found.shape == (8, 16, weights.tokenizer.config.channels)

    x = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
    zone = dead_zones_of(x, 16).flatten().numpy()
    inside = np.ones((8, 16), bool)
    with torch.no_grad():
        z = weights.tokenizer.encode(x, torch.tensor([float(step)]))[0].numpy()
    plain = code(weights.prior, step, inside, z, zone, RATE_WEIGHT)
    better = code(weights.prior, step, inside, found.astype(np.float32))
    task = PictureTask(weights.tokenizer, weights.prior, pixels, step, inside)

    def parts(n: npt.NDArray[np.int32]) -> tuple[float, float]:
        with torch.no_grad():
            y = task.decode(torch.from_numpy(n).float(), slice(0, 8), slice(0, 16))
        return float((y - x).square().mean()), float(1 - ms_ssim(y, x)[0])

    (mse, structural), (mse_plain, structural_plain) = parts(better.values), parts(plain.values)
    worth = PICTURE_SCHEDULE.rate_weight * better.bits / plain.bits
    loss = (1 - share) * mse / mse_plain + share * structural / structural_plain + worth
    assert loss < 1 + PICTURE_SCHEDULE.rate_weight - 0.01


def test_squares_are_drawn_with_their_own_integers() -> None:
    rows, columns = np.indices((6, 8))
    each = np.stack([100 * i + 10 * rows + columns for i in range(3)])  # of each token
    pixels = np.repeat(np.repeat(each % 251, 16, 1), 16, 2)[..., None].repeat(3, -1)
    source = Searched(
        pixels.astype(np.uint8),
        each[..., None].repeat(5, -1).astype(np.int16),
        np.array([10, 11, 12], np.uint8),
    )
    x, n, steps = source.draw(40, 64, np.random.default_rng(0))
    assert x.shape == (40, 3, 64, 64) and x.dtype == torch.uint8
    assert n.shape == (40, 4, 4, 5) and n.dtype == torch.float32
    assert torch.equal(x[:, :, ::16, ::16], (n[..., :3] % 251).permute(0, 3, 1, 2).byte())
    assert torch.equal(steps, 10 + n[:, 0, 0, 0].div(100, rounding_mode="floor"))
    assert len({(int(v) // 10 % 10, int(v) % 10) for v in n[:, 0, 0, 0]}) > 8
    with pytest.raises(ValueError, match="no 112 pixels in searched crops of 96"):
        source.draw(1, 112, np.random.default_rng(0))
    again = source.draw(40, 64, np.random.default_rng(0))
    assert all(torch.equal(a, b) for a, b in zip((x, n, steps), again, strict=True))


def test_their_loss_is_that_of_the_encoders_own(make_scene: MakeScene) -> None:
    tokenizer = random_tokenizer()
    pixels = torch.from_numpy(make_scene(128, 128, 1)).permute(2, 0, 1)[None].float()
    step, wider = torch.tensor([150.0]), torch.tensor([0.1])
    with torch.no_grad():
        z, zone = tokenizer.encode(pixels, step), dead_zones_of(pixels, 16) + 0.1
        n = torch.where(z.abs() < zone, 0.0, z.round())
        objective = Objective(0.5)
        plain = objective.of_pixels(tokenizer, pixels, step, wider)
        same = objective(tokenizer, pixels, n, step)
    assert torch.equal(plain[0], same[0]) and torch.equal(plain[1], same[1])


def goes_on(*more: str) -> list[str]:
    """Arguments to train the tiny model's decoder with searched crops too."""
    config = tokenizer_of(model_path()).config.to_dict()
    start = ["--init", str(model_path()), "--config", json.dumps(config)]
    return tokenizer_arguments(*start, "--searched", "searched", *more)


@pytest.mark.parametrize(("count", "held_out"), [(3, 0), (16, 2), (500, HELD_OUT)])
def test_some_are_never_learned_from(count: int, held_out: int) -> None:
    number = np.arange(count)
    crops = Searched(
        number[:, None, None, None].repeat(3, -1).astype(np.uint8),
        number[:, None, None, None].astype(np.int16),
        number.astype(np.uint8),
    )
    learn, validate = crops.split()
    assert (len(learn), len(validate)) == (count - held_out, held_out)
    for part, expected in ((learn, number[: len(learn)]), (validate, number[len(learn) :])):
        assert np.array_equal(part.integers.ravel(), expected)
        assert np.array_equal(part.pixels[..., 0].ravel(), expected.astype(np.uint8))
        assert np.array_equal(part.steps, expected.astype(np.uint8))


def test_those_are_validated_with(
    folder: Path, made: Callable[..., Path], train: Train, make_scene: MakeScene
) -> None:
    crops = Searched.load(made("--count", str(PART))).split()[1]
    train(*goes_on("--minutes", "0.005"))
    model = Trained(tokenizer_of(model_path()).config)
    model.load_state_dict(checkpoint(folder / "tokenizer")["average"])
    found = evaluate_searched(model.tokenizer, crops, CPU)
    assert log_of(folder / "tokenizer")[-1]["searched"] == found
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        steps = torch.from_numpy(crops.steps).float()
        y = model.tokenizer.decode(torch.from_numpy(crops.integers).float(), steps)
    x = torch.from_numpy(crops.pixels).permute(0, 3, 1, 2).float()
    error = (y.clamp(0, 255).round() - x).square().mean((1, 2, 3))
    db = float((10 * torch.log10(255**2 / error)).mean())
    assert float(found.split("dB")[0]) == pytest.approx(db, abs=0.02)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_decoder_learns_from_them(
    folder: Path, made: Callable[..., Path], train: Train, share: float
) -> None:
    made("--count", "1")
    for _ in range(2):
        train(*goes_on("--searched-share", str(share), *ONE_STEP))
    first, last = log_of(folder / "tokenizer")
    assert last["step"] == 2
    for figures in (first, last):
        assert ("rmse_searched" in figures) == (share == 1)
        assert ("rmse" in figures) == (share == 0)
        assert figures["loss"] > 0
