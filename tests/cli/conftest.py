"""Fixtures of the command line's tests: a codec without weights, and pictures to work on."""

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


@pytest.fixture
def fake_codec(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module fake_codec.py, fresh, in the place of bsqcodec.image.codec."""
    spec = importlib.util.spec_from_file_location("bsqcodec.image.codec", HERE / "fake_codec.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setitem(sys.modules, "bsqcodec.image.codec", module)
    return module


@pytest.fixture
def photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A picture file, photo.png, in the current folder, which is an empty one of the test's own."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    samples = np.random.default_rng(5).integers(0, 256, (12, 16, 3), np.uint8)
    Image.fromarray(samples).save(folder / "photo.png")
    return Path("photo.png")


Run = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture
def run_process() -> Run:
    """Runs the command line with the fake codec in a process of its own."""

    def run(*arguments: str, **options: Any) -> "subprocess.CompletedProcess[bytes]":
        environment = {"PYTHONPATH": f"{ROOT}:{HERE}", "PATH": "/usr/bin:/bin"}
        environment |= options.pop("env", {})
        defaults: dict[str, Any] = {
            "stdin": subprocess.DEVNULL,
            "capture_output": "stdout" not in options,
        }
        return subprocess.run(
            [sys.executable, str(HERE / "run_with_fake_codec.py"), *arguments],
            env=environment,
            timeout=300,
            check=False,
            **defaults | options,
        )

    return run
