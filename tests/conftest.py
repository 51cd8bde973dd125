"""Fixtures for tests with real codings: the tiny committed model of tests/golden."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from bsqcodec.codec import Codec

REGENERATE = "BSQCODEC_REGENERATE_GOLDEN"
"""Set this environment variable to 1 to have tests/golden made anew before the tests."""


@pytest.fixture(scope="session")
def golden() -> Path:
    """The folder of the golden files and of the tiny model that made them."""
    from .golden_files import FOLDER, regenerate

    if os.environ.get(REGENERATE) == "1":
        regenerate()
    return FOLDER


@pytest.fixture(scope="session")
def codec(golden: Path) -> Codec:
    """A codec with the tiny model, on the CPU."""
    from bsqcodec.codec import Codec

    from .golden_files import model_path

    return Codec(model_path(), device="cpu")


@pytest.fixture
def tiny_weights(golden: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Makes the tiny model the default weights; returns their folder."""
    monkeypatch.setenv("BSQCODEC_WEIGHTS", str(golden))
    return golden
