"""The exact decoder: near the one that it is made of, and the same whatever runs it."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from decimal import ROUND_CEILING, Decimal, localcontext
from pathlib import Path

import pytest
import torch

from bsqcodec.errors import WeightsError
from bsqcodec.machine import integer_products
from bsqcodec.models.pieces import Tile
from bsqcodec.models.transform import exact_decoder, strips
from bsqcodec.models.transform.exact_decoder import (
    EXACT,
    MAP,
    ExactDecoder,
    ExactRendering,
    convolution,
    matrix_product,
    tree_sum,
)
from bsqcodec.models.transform.strips import decode_picture, encode_picture, render
from bsqcodec.models.transform.tokenizer import Tokenizer

from ...conftest import use_loops
from ...exact_pixels import HEIGHT, STEP, WIDTH, integers
from ...golden_files import model_path, scene
from ...tiny_models import TOKENIZER, random_tokenizer

WEIGHTS = Path(__file__).parents[3] / "weights"
SHIPPED = WEIGHTS / "image-781a029040f1ae05.safetensors"
SHIPPED_VIDEO = WEIGHTS / "video-b9002723f5367176.safetensors"

PIXELS = [
    "b0249d198565726f08ed80a26c8051116470d4b89be7131bbe46a2e707d82de0",
    "fa8a22f8899c95992b9e942e0c180eb2960f377e6984c651f645e46ca68823d5",
    "cbb094c1afd4eb8d5db6e68fa1f143f4de9b0e265a39ba11f86aff782f6154c7",
]
"""SHA-256 of the samples by the weights of tests/golden and by the shipped ones, and of those of a
group of frames by the shipped ones."""

CONFIG = replace(TOKENIZER, companding=0.3, decoder_blocks=2)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return random_tokenizer(config=CONFIG)


@pytest.fixture(scope="module")
def decoder(tokenizer: Tokenizer) -> ExactDecoder:
    return ExactDecoder(tokenizer)


@pytest.fixture
def low_precision() -> Iterator[None]:
    torch.set_float32_matmul_precision("medium")
    yield
    torch.set_float32_matmul_precision("highest")


@pytest.mark.parametrize("companding", [0.0, 0.3])
@pytest.mark.parametrize(("step", "missing"), [(40, 0), (150, 0), (150, 1), (230, 2)])
def test_samples_are_near_those_of_the_networks(companding: float, step: int, missing: int) -> None:
    tokenizer = random_tokenizer(config=replace(CONFIG, companding=companding))
    n = encode_picture(tokenizer, scene(HEIGHT, WIDTH), step, torch.device("cpu")).round()
    exact = render(ExactRendering(ExactDecoder(tokenizer), step, missing), n, HEIGHT, WIDTH)
    expected = decode_picture(tokenizer, n, step, HEIGHT, WIDTH, missing)
    difference = torch.from_numpy(exact.astype("f4") - expected)
    assert expected.std() > 10
    assert difference.abs().mean() < 0.3
    assert difference.abs().quantile(0.99) <= 1


@pytest.mark.parametrize("tiles", [(8, 8), (16, 24)])
def test_tiles_and_crops_are_cut_from_the_whole(
    decoder: ExactDecoder, tiles: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    n = integers(TOKENIZER.channels, 32, 40)
    height, width = 500, 600
    monkeypatch.setattr(strips, "TILE_TOKENS", (10**9, 10**9))
    whole = render(ExactRendering(decoder, STEP), n, height, width)
    monkeypatch.setattr(strips, "TILE_TOKENS", tiles)
    assert (render(ExactRendering(decoder, STEP), n, height, width) == whole).all()
    for crop in (Tile(0, 1, 599, 600), Tile(130, 255, 250, 390), Tile(383, 500, 100, 101)):
        part = render(ExactRendering(decoder, STEP), n, height, width, crop)
        assert (part == whole[crop.rows, crop.columns]).all()


@pytest.mark.parametrize(
    "environment",
    [
        {"OMP_NUM_THREADS": "1", "BSQCODEC_COMPILED": "0"},
        {"OMP_NUM_THREADS": "1", "BSQCODEC_COMPILED": "1", "ATEN_CPU_CAPABILITY": "avx2"},
        {"OMP_NUM_THREADS": "2", "ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
        {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_CBWR": "COMPATIBLE"},
        pytest.param(
            {"ATEN_CPU_CAPABILITY": "avx512", "ONEDNN_MAX_CPU_ISA": "AVX512_CORE"},
            marks=pytest.mark.skipif(
                not torch.cpu._is_avx512_supported(),
                reason="the processor has no AVX-512, which torch would use unasked",
            ),
        ),
    ],
    ids=["one-thread", "int16-products", "avx2-two-threads", "no-avx", "avx512"],
)
def test_another_process_has_the_same_samples(environment: dict[str, str]) -> None:
    root = Path(__file__).parents[3]
    script, weights = root / "tests" / "exact_pixels.py", (model_path(), SHIPPED, SHIPPED_VIDEO)
    done = subprocess.run(
        [sys.executable, "-W", "error", script, *weights],
        env=os.environ | {"PYTHONPATH": str(root)} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == PIXELS


@pytest.mark.parametrize("size", [(130, 250), (500, 600)])
def test_products_of_int16_make_the_same_samples(
    decoder: ExactDecoder, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    if not integer_products.are_supported():
        pytest.skip("the processor has no AVX2")
    n = integers(TOKENIZER.channels, 32, 40)
    found = []
    for shorts in (False, True):
        use_loops(monkeypatch, shorts, shorts=shorts)
        found.append(render(ExactRendering(decoder, STEP), n, *size))
    assert (found[0] == found[1]).all()
    monkeypatch.setattr(integer_products.ShortMatrix, "times", lambda matrix, a: 1 / 0)
    with pytest.raises(ZeroDivisionError):  # so these products it was
        render(ExactRendering(decoder, STEP), n, *size)


def extremes(seed: int, shape: tuple[int, ...], limit: int) -> torch.Tensor:
    """Integers of the largest magnitude, of either sign."""
    signs = torch.randint(0, 2, shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return (signs * limit).float()


@pytest.mark.filterwarnings("ignore:TF32 acceleration")  # of switching oneDNN off
def test_sums_up_to_the_limit_are_exact_by_every_product(low_precision: None) -> None:
    channels = 48
    weight = EXACT // (MAP * channels * 9)
    a, kernel = extremes(1, (1, channels, 40, 24), MAP), extremes(2, (16, channels, 3, 3), weight)
    a[:, :, 5:9, 5:9] = MAP
    kernel[0] = weight
    exact = torch.nn.functional.conv2d(a.double(), kernel.double(), padding=1)
    assert exact.max() == MAP * weight * channels * 9 > 0.9 * EXACT
    columns = torch.nn.functional.unfold(a, 3, padding=1)
    for precision in ("medium", "highest"):
        torch.set_float32_matmul_precision(precision)
        for enabled in (True, False):
            with torch.backends.mkldnn.flags(enabled=enabled):
                assert torch.equal(convolution(a, kernel).double(), exact)
                product = matrix_product(kernel.flatten(1), columns)
                assert torch.equal(product.double(), exact.flatten(2))


def test_the_tree_sum_is_a_sum_of_any_number() -> None:
    for count in (1, 2, 3, 7, 48, 256):
        x = torch.arange(2 * count).view(2, count).float()
        assert torch.equal(tree_sum(x), x.sum(-1, keepdim=True))


def test_weights_that_are_not_finite_are_an_error(tokenizer: Tokenizer) -> None:
    broken = random_tokenizer(config=CONFIG)
    with torch.no_grad():
        broken.decoder.stem.weight[0, 0, 0, 0] = float("nan")
    with pytest.raises(WeightsError, match="not finite in stem.weight"):
        ExactDecoder(broken)


def test_the_step_scale_is_that_of_the_tokenizer(tokenizer: Tokenizer) -> None:
    energy = torch.logspace(-1, 4, 200)[:, None]
    least, thresholds = exact_decoder._step_scale_table(CONFIG)
    steps = exact_decoder.ENERGY_STEPS * 3 * CONFIG.patch**2
    found = torch.bucketize(energy.double() * steps, thresholds, right=True) + least
    expected = tokenizer.step_scale(tokenizer.expanded_energy(energy))
    assert (found / exact_decoder.STEP_SCALE_UNITS - expected).abs().max() < 0.6 / 1024


@pytest.mark.parametrize("companded", [True, False])
@pytest.mark.parametrize("companding", [0.1, 0.5, 0.9])
def test_thresholds_split_integers_as_in_decimal_arithmetic(
    companding: float, companded: bool
) -> None:
    config = replace(CONFIG, companding=companding)
    least, thresholds = exact_decoder._step_scale_table(config, companded)
    assert len(thresholds) == exact_decoder.MAX_STEP_SCALE - least
    with localcontext(prec=exact_decoder.DIGITS):
        for i in range(0, len(thresholds), 50):
            size = Decimal(2 * (least + i) + 1) / 2048
            energy = 400 * (size.ln() * 2 / Decimal(companding)).exp() - 100
            energy *= 16 * 3 * config.patch**2
            energy /= size**2 if companded else 1
            assert math.ceil(thresholds[i]) == energy.to_integral_value(ROUND_CEILING)
