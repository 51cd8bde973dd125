"""Golden files of the BSQ family: they decode to the same codes for ever,
which code to the same bytes."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bsqcodec.format.image_container import ChunkKind, unpack
from bsqcodec.image.codec import Codec
from bsqcodec.image.picture_tokens import bsq_model
from bsqcodec.models.bsq.coding import slices, write_bits
from bsqcodec.models.bsq.level_payload import pack_slices
from bsqcodec.models.bsq.picture_model import BsqModel

from ..conftest import REGENERATE
from ..golden_bsq_files import (
    EXPECTED,
    FOLDER,
    cases,
    digest,
    model_path,
    regenerate,
)
from ..golden_files import check_folder, check_picture
from ..reference_bsq_decoder import codes_crc, decode_codes
from ..reference_decoder import ReferencePrior

CASES = cases()
ARITHMETIC = [("cpu", True), ("cpu", False)]
ARITHMETIC += [("cuda", False)] if torch.cuda.is_available() else []


@pytest.fixture(scope="module", autouse=True)
def golden_bsq() -> Path:
    """The folder of the golden files."""
    if os.environ.get(REGENERATE) == "1":
        regenerate()
    return FOLDER


@cache
def codec_on(device: str, int8: bool) -> Codec:
    return Codec(model_path(), device=device, int8=int8)


def model_on(device: str, int8: bool) -> BsqModel:
    return bsq_model(codec_on(device, int8).model)


@pytest.fixture(params=CASES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def data(name: str) -> bytes:
    return (FOLDER / f"{name}.bsq").read_bytes()


@pytest.fixture
def expected(name: str) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(EXPECTED.read_text())[name]
    return facts


@pytest.mark.parametrize(("device", "int8"), ARITHMETIC)
def test_the_codes_are_those_expected_and_code_to_the_same_bytes(
    device: str, int8: bool, data: bytes, expected: dict[str, Any]
) -> None:
    assert len(data) == expected["bytes"]
    container = unpack(data)
    header = container.header
    model = model_on(device, int8)
    symbols = model.read(container.level_payloads(), header)
    assert digest(symbols.values) == expected["signs_sha256"]
    assert model.checksum(symbols, header) == container.symbols_crc
    inside = model.grid(header.height, header.width).inside
    coded = write_bits(model.weights.prior, symbols.values > 0, inside, None)
    assert [pack_slices(parts) for parts in coded.payloads] == container.level_payloads()


def test_an_independent_decoder_finds_the_same_codes(data: bytes, expected: dict[str, Any]) -> None:
    container = unpack(data)
    header = container.header
    prior = ReferencePrior(model_path())
    assert prior.id == header.model_id and prior.all_configs["family"] == "bsq"
    signs = decode_codes(prior, 8, header.width, header.height, container.level_payloads())
    assert digest(signs) == expected["signs_sha256"]
    assert codes_crc(signs, 8, header.width, header.height) == container.symbols_crc


def test_the_pictures(name: str) -> None:
    check_picture(FOLDER, name, codec_on("cpu", True), CASES[name])


def test_the_folder_holds_these_files_and_one_model() -> None:
    check_folder(FOLDER, CASES, model_path())


def test_the_files_cover_the_format() -> None:
    containers = [unpack((FOLDER / f"{name}.bsq").read_bytes()) for name in CASES]
    counts = {
        len(slices(model_on("cpu", True).grid(c.header.height, 1).padded_rows)) for c in containers
    }
    assert counts == {1, 2}
    kinds = {chunk.kind for container in containers for chunk in container.chunks}
    assert kinds == {ChunkKind.LEVEL, ChunkKind.ALPHA, ChunkKind.XMP}


def test_every_bit_of_the_codes_is_used() -> None:
    model = model_on("cpu", True)
    seen = []
    for name in CASES:
        container = unpack((FOLDER / f"{name}.bsq").read_bytes())
        signs = model.read(container.level_payloads(), container.header).values
        seen.append(signs[signs.any(-1)])
    mean = np.concatenate(seen).mean(0)
    assert np.abs(mean).max() < 1
