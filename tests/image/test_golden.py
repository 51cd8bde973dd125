"""Golden files: they decode to the same integers for ever, and those code to the same bytes."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bsqcodec.format.image_container import Container, unpack
from bsqcodec.image.codec import Codec
from bsqcodec.models import weight_files as weights_files
from bsqcodec.models.weight_files import Weights

from ..golden_files import (
    EXPECTED,
    cases,
    check_folder,
    check_picture,
    digest,
    integers,
    model_path,
    noise,
    recode,
    scene,
    symbols_crc,
)
from ..reference_decoder import ReferencePrior, decode_integers
from ..reference_decoder import symbols_crc as reference_crc

CASES = cases()
ARITHMETIC = [("cpu", True), ("cpu", False)]
ARITHMETIC += [("cuda", False)] if torch.cuda.is_available() else []

Load = Callable[[str, bool], Weights]


@pytest.fixture(scope="module")
def load(golden: Path) -> Load:
    """Gives the tiny model on a device, with int8 or with float32 products."""

    @cache
    def load_model(device: str, int8: bool) -> Weights:
        return weights_files.load(model_path(), torch.device(device), int8)

    return load_model


@pytest.fixture(params=CASES)
def name(request: pytest.FixtureRequest) -> str:
    """The name of each golden file."""
    return str(request.param)


@pytest.fixture
def data(golden: Path, name: str) -> bytes:
    return (golden / f"{name}.bsq").read_bytes()


@pytest.fixture
def container(data: bytes) -> Container:
    return unpack(data)


@pytest.fixture
def expected(golden: Path, name: str) -> dict[str, Any]:
    """What expected.json says of a file."""
    facts: dict[str, Any] = json.loads(EXPECTED.read_text())[name]
    return facts


@pytest.mark.parametrize(("device", "int8"), ARITHMETIC)
def test_the_integers_are_those_expected(
    device: str, int8: bool, container: Container, expected: dict[str, Any], load: Load
) -> None:
    values = integers(load(device, int8), container)
    assert digest(values) == expected["integers_sha256"]
    assert np.count_nonzero(values) == expected["nonzero"]
    assert container.header.levels == expected["levels"]


@pytest.mark.parametrize(("device", "int8"), ARITHMETIC)
def test_coding_the_integers_gives_the_same_bytes(
    device: str, int8: bool, container: Container, data: bytes, load: Load
) -> None:
    weights = load(device, int8)
    assert recode(weights, integers(weights, container), container) == data


def test_an_independent_decoder_finds_the_same_integers(
    golden: Path, container: Container, expected: dict[str, Any]
) -> None:
    header = container.header
    prior = ReferencePrior(model_path())
    assert prior.id == header.model_id
    values = decode_integers(
        prior, header.step, header.width, header.height, container.level_payloads()
    )
    assert digest(values) == expected["integers_sha256"]
    assert reference_crc(values, header.width, header.height) == container.symbols_crc


def test_the_pictures(codec: Codec, golden: Path, name: str) -> None:
    check_picture(golden, name, codec, CASES[name].picture)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.wild])
def test_the_pictures_resemble_what_was_coded(codec: Codec, name: str, data: bytes) -> None:
    error = codec.decode(data).picture.pixels.astype(float) - CASES[name].picture.pixels
    assert np.sqrt(np.mean(error**2)) < 45


def test_the_stored_sizes(data: bytes, expected: dict[str, Any], container: Container) -> None:
    assert len(data) == expected["bytes"]
    assert container.chunks and not container.truncated


def test_the_folder_holds_these_files_and_one_model(golden: Path) -> None:
    check_folder(golden, CASES, model_path())


def test_the_files_cover_the_format(golden: Path, load: Load) -> None:
    containers = [unpack((golden / f"{name}.bsq").read_bytes()) for name in CASES]
    kinds = {chunk.kind for container in containers for chunk in container.chunks}
    assert kinds == {b"L", b"A", b"i", b"e", b"x"}
    alphas = (container.find(b"A") for container in containers)
    assert {alpha[0] for alpha in alphas if alpha} == {0, 1}
    assert {container.header.colour for container in containers} == {0, 1}
    assert {container.header.levels for container in containers} == {2, 3, 4, 5, 6}
    weights = load("cpu", False)
    values = np.concatenate([integers(weights, container).ravel() for container in containers])
    assert values.min() < -1000 and values.max() > 1000  # seven digits of one sign
    assert len(np.unique(values)) > 40


def test_the_checksum_of_symbols(golden: Path, container: Container, load: Load) -> None:
    header = container.header
    values = integers(load("cpu", True), container)
    tokens = np.zeros(values.shape[:2], bool)
    tokens[: -(-header.height // 16), : -(-header.width // 16)] = True
    assert symbols_crc(values, tokens) == container.symbols_crc
    assert not values[~tokens].any()


def test_formulas_do_not_drift() -> None:
    """Pictures and weights are made anew from formulas; these are some of their values."""
    assert scene(3, 4).ravel()[:6].tolist() == [40, 60, 180, 80, 60, 163]
    assert noise("a", 4).tolist() == [0.0625, -0.0625, -0.6875, 0.4375]
