"""LPIPS: a network small enough to follow by hand, and the properties of the real one."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import ImageFilter

from benchmarks import lpips
from benchmarks.datasets import generated_picture
from benchmarks.lpips import Lpips
from bsqcodec.encoder.lpips import SCALE, SHIFT

DATA = os.environ.get("BSQCODEC_DATA")
WEIGHTS = lpips.find(Path(DATA) if DATA else None)
needs_weights = pytest.mark.skipif(
    WEIGHTS is None, reason="BSQCODEC_DATA and BSQCODEC_LPIPS name no LPIPS weights"
)


def synthetic_weights() -> dict[str, torch.Tensor]:
    """The shapes of SqueezeNet 1.1 with 2 channels; the first layer takes R and G as they are.

    All fires are zero, so only the first tap sees a difference.
    """
    first = torch.zeros(2, 3, 3, 3)
    first[0, 0, 1, 1] = first[1, 1, 1, 1] = 1
    weights = {"features.0.weight": first, "features.0.bias": torch.zeros(2)}
    for layer in (3, 4, 6, 7, 9, 10, 11, 12):
        for part, shape in (
            ("squeeze", (1, 2, 1, 1)),
            ("expand1x1", (1, 1, 1, 1)),
            ("expand3x3", (1, 1, 3, 3)),
        ):
            weights[f"features.{layer}.{part}.weight"] = torch.zeros(shape)
            weights[f"features.{layer}.{part}.bias"] = torch.zeros(shape[0])
    for index in range(7):
        weights[f"lpips.lin{index}.weight"] = torch.tensor([3.0, 5.0]).reshape(1, 2, 1, 1)
    return weights


def test_a_network_that_can_be_followed_by_hand() -> None:
    first = np.full((64, 64, 3), (255, 255, 0), np.uint8)
    second = np.full((64, 64, 3), (255, 128, 0), np.uint8)

    def features(colour: tuple[int, int]) -> np.ndarray:
        scaled = [
            max(0.0, (value / 127.5 - 1 - shift) / scale)
            for value, shift, scale in zip(colour, SHIFT, SCALE, strict=False)
        ]
        return np.array(scaled) / np.linalg.norm(scaled)

    expected = features((255, 255)) - features((255, 128))
    distance = Lpips(synthetic_weights())(first, second)
    assert distance == pytest.approx(3 * expected[0] ** 2 + 5 * expected[1] ** 2, rel=1e-5)
    assert distance is not None and distance > 0.1


def test_small_pictures_have_no_distance() -> None:
    small = np.zeros((34, 64, 3), np.uint8)
    assert Lpips(synthetic_weights())(small, small) is None
    large = np.zeros((35, 64, 3), np.uint8)
    assert Lpips(synthetic_weights())(large, large) == 0


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not a file of LPIPS weights"):
        Lpips.load(tmp_path / "none.safetensors")
    (tmp_path / "text").write_text("text")
    with pytest.raises(ValueError, match="not a file of LPIPS weights"):
        Lpips.load(tmp_path / "text")
    weights = synthetic_weights()
    del weights["lpips.lin3.weight"]
    with pytest.raises(ValueError, match=r"lack lpips\.lin3\.weight"):
        Lpips(weights)


def test_weights_are_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(lpips.ENVIRONMENT, raising=False)
    assert lpips.find(None) is None
    assert lpips.find(tmp_path) is None
    path = tmp_path / "lpips" / lpips.FILE
    path.parent.mkdir()
    path.write_bytes(b"")
    (tmp_path / "kodak").mkdir()
    assert lpips.find(tmp_path) == path
    assert lpips.find(tmp_path / "kodak") == path
    monkeypatch.setenv(lpips.ENVIRONMENT, "elsewhere")
    assert lpips.find(tmp_path) == Path("elsewhere")


@pytest.fixture(scope="module")
def network() -> Lpips:
    assert WEIGHTS is not None
    return Lpips.load(WEIGHTS)


@needs_weights
def test_equal_pictures_have_no_distance_and_order_does_not_matter(network: Lpips) -> None:
    first, second = (np.asarray(generated_picture(96, 80, seed)) for seed in (0, 1))
    assert network(first, first) == 0
    assert network(first, second) == pytest.approx(network(second, first))
    assert 0.2 < (network(first, second) or 0) < 1.5


@needs_weights
def test_distance_grows_with_damage(network: Lpips) -> None:
    image = generated_picture(128, 128)
    pixels = np.asarray(image)
    blurred = [
        network(pixels, np.asarray(image.filter(ImageFilter.GaussianBlur(radius))))
        for radius in (0.5, 1, 2, 4)
    ]
    assert blurred == sorted(blurred, key=lambda distance: distance or 0)
    noise = np.random.default_rng(0).normal(0, 1, pixels.shape)
    noisy = [
        network(pixels, np.clip(pixels + level * noise, 0, 255).astype(np.uint8))
        for level in (2, 8, 32)
    ]
    assert noisy == sorted(noisy, key=lambda distance: distance or 0)


@needs_weights
def test_blur_looks_worse_than_a_shift_of_brightness_of_equal_error(network: Lpips) -> None:
    # What LPIPS is for: PSNR cannot tell these two apart.
    image = generated_picture(128, 128)
    pixels = np.asarray(image)
    soft = np.asarray(image.filter(ImageFilter.GaussianBlur(3)))
    error = np.sqrt(np.mean((pixels.astype(float) - soft) ** 2))
    brighter = np.clip(pixels + round(error), 0, 255).astype(np.uint8)
    assert (network(pixels, soft) or 0) > 2 * (network(pixels, brighter) or 0)
