"""Fixtures for tests with real codings: the tiny committed model of tests/golden."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bsqcodec.image.codec import Codec
    from bsqcodec.video.codec import VideoCodec

    from .dask_processes import Dask

# a busy machine makes no test wrong
hypothesis.settings.register_profile(
    "patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("patient")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # as for what a shell starts in the background; the commands that tests interrupt would
    # inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_make_parametrize_id(val: object) -> str | None:
    """Names bytes by their number: the processes of pytest-xdist must find the same names."""
    return f"{len(val)} bytes" if isinstance(val, bytes) else None


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
    from bsqcodec.image.codec import Codec

    from .golden_files import model_path

    return Codec(model_path(), device="cpu")


@pytest.fixture
def tiny_weights(golden: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Makes the tiny model the default weights; returns their folder."""
    monkeypatch.setenv("BSQCODEC_WEIGHTS", str(golden))
    return golden


@pytest.fixture
def tiny_looks(golden: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Makes the tiny model with a look "natural" the default weights; returns their folder."""
    import torch

    from bsqcodec.models import look_files, weight_files

    from .golden_files import model_path
    from .tiny_models import seeded, shake

    folder = tmp_path / "weights"
    folder.mkdir()
    for path in (model_path(), golden / "index.json"):
        shutil.copy(path, folder)
    weights = weight_files.load(model_path(), torch.device("cpu"))
    with seeded(1):
        shake(weights.tokenizer.decoder.transform, 0.003)
    look_files.save(folder, weights.id, "natural", weights.tokenizer, notes={})
    monkeypatch.setenv("BSQCODEC_WEIGHTS", str(folder))
    return folder


@pytest.fixture(scope="session")
def video_weights(golden: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of tiny weights for video, in a folder with the tiny model of pictures."""
    from .golden_files import model_path
    from .tiny_models import save_video_weights

    return save_video_weights(tmp_path_factory.mktemp("weights"), model_path())


@pytest.fixture(scope="session")
def video_codec(video_weights: Path) -> VideoCodec:
    """A codec of videos with the tiny models, on the CPU."""
    from bsqcodec.video.codec import VideoCodec

    return VideoCodec(video_weights, device="cpu")


@pytest.fixture
def tiny_video_weights(video_weights: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Makes the tiny models of pictures and video the default ones; returns their folder."""
    monkeypatch.setenv("BSQCODEC_WEIGHTS", str(video_weights.parent))
    return video_weights.parent


@pytest.fixture
def dask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dask]:
    """A real scheduler with two workers, both known to it."""
    from .dask_processes import Dask

    dask = Dask(tmp_path_factory.mktemp("dask"))
    try:
        dask.start_worker("first")
        dask.start_worker("second")
        yield dask
    finally:
        dask.stop()


@pytest.fixture(params=[False, True], ids=["tensors", "loops"])
def loops(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Runs a test by tensor operations, and by compiled loops; returns which."""
    use_loops(monkeypatch, request.param)
    return bool(request.param)


def use_loops(monkeypatch: pytest.MonkeyPatch, wanted: bool, *, shorts: bool = False) -> None:
    """Have compiled loops used, or tensor operations.

    shorts: with the loops products of int16, where the processor has what they need.
    """
    from bsqcodec.machine import compiled

    monkeypatch.setattr(compiled, "is_installed", lambda: wanted)
    monkeypatch.setenv(compiled.ENVIRONMENT, "1")
    products = None
    if shorts:
        from bsqcodec.machine import integer_products

        if integer_products.are_supported():
            products = integer_products
    monkeypatch.setattr(compiled, "_short_products", lambda: products)
