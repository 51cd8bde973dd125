"""Compiled loops: when they are used, and that they compile where nothing can be written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bsqcodec.machine import compiled

from ..golden_files import model_path

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def nothing_done_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled._work, "tokens", 0)
    monkeypatch.delenv(compiled.ENVIRONMENT, raising=False)
    monkeypatch.setattr(compiled, "is_installed", lambda: True)
    monkeypatch.setattr(compiled, "_can_be_loaded", lambda: True)


def test_enough_work_makes_them_pay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "modules", {})
    compiled.count_tokens(compiled.MIN_TOKENS - 1)
    assert not compiled.loops_pay()
    compiled.count_tokens(1)
    assert compiled.loops_pay()


def test_they_pay_once_numba_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "modules", {"numba": None})
    assert compiled.loops_pay()


def test_the_environment_has_them_from_the_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "modules", {})
    monkeypatch.setenv(compiled.ENVIRONMENT, "1")
    assert compiled.loops_pay()


def test_without_numba_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "is_installed", lambda: False)
    compiled.count_tokens(compiled.MIN_TOKENS)
    monkeypatch.setenv(compiled.ENVIRONMENT, "1")
    assert not compiled.loops_pay()


def run(code: str, **environment: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


def test_the_environment_switches_them_off() -> None:
    code = "from bsqcodec.machine.compiled import *; print(is_installed())"
    assert run(code, BSQCODEC_COMPILED="0") == "False"
    assert run(code, BSQCODEC_COMPILED="") == "True"


@pytest.mark.parametrize("error", ["OSError", "ImportError", "MemoryError"])
def test_a_numba_that_does_not_load_is_done_without(tmp_path: Path, error: str) -> None:
    """There is no memory for it, or its library is of another system."""
    (tmp_path / "numba.py").write_text(f"raise {error}('libllvmlite.so')")
    code = """
import numpy as np
from bsqcodec import Codec, Picture
from bsqcodec.machine.compiled import is_installed, loops_pay

codec = Codec(device="cpu")
codec.decode(codec.encode(Picture(np.zeros((8, 8, 3), np.uint8))).data)
print(is_installed(), loops_pay())
"""
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    environment = {
        "PYTHONPATH": path,
        "BSQCODEC_COMPILED": "1",
        "BSQCODEC_WEIGHTS": str(model_path().parent),
    }
    assert run(code, **environment) == "True False"


def test_a_function_compiles_where_no_cache_can_be_kept(tmp_path: Path) -> None:
    """numba refuses to be asked for a cache if neither the source's folder nor another will do."""
    code = """
import numba
from bsqcodec.machine.compiled import compiled
jit = numba.njit
def without_cache(*functions, cache=False, **options):
    def decorate(function):
        if cache and function.__module__ == "__main__":
            raise RuntimeError("cannot cache function: no locator available")
        return jit(**options)(function)
    return decorate(*functions) if functions else decorate
numba.njit = without_cache
print(compiled(lambda a, b: a + b)(2, 3))
"""
    assert run(code) == "5"
