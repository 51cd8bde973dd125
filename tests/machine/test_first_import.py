"""What a process imports before it codes, and what the garbage collector has to do with it."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from bsqcodec.machine.first_import import import_torch

from ..golden_files import model_path
from ..media.clips import make_clip
from ..tiny_models import save_bsq_weights

COMMAND = """
import sys
from bsqcodec.cli.main import main

print(main(sys.argv[1:]), *sys.modules)
"""

COLLECTOR = """
import gc, sys
from bsqcodec.machine.first_import import import_torch

made = []
gc.callbacks.append(lambda phase, _: made.append("torch" in sys.modules))
before = gc.get_freeze_count()
import_torch()
print(True in made, gc.isenabled(), gc.get_freeze_count() - before > 100_000)
before = gc.get_freeze_count()
import_torch()
print(gc.get_freeze_count() == before)
"""


def python(code: str, *arguments: str) -> str:
    """What a fresh process prints that runs this."""
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


@pytest.mark.parametrize("kind", ["picture", "bsq", "video", "bsq-video"])
def test_coding_imports_no_compiler(
    golden: Path, video_weights: Path, tmp_path: Path, kind: str
) -> None:
    """It takes longer to import than a picture to code."""
    source = tmp_path / "source"
    if "video" in kind:
        source.write_bytes(make_clip("matroska", "ffv1", pts=range(3)))
        weights, decoded = video_weights, "decoded.mkv"
    else:
        Image.new("RGB", (40, 24)).save(source, "png")
        weights, decoded = model_path(), "decoded.png"
    if "bsq" in kind:
        weights = save_bsq_weights(tmp_path, (6, 12, 18))
    coded = str(tmp_path / "coded.bsq")
    options = "--device", "cpu", "--weights", str(weights)
    for command in (
        ("encode", str(source), "-o", coded),
        ("decode", coded, "-o", str(tmp_path / decoded)),
    ):
        status, *imported = python(COMMAND, *command, *options).split()
        assert status == "0" and "torch" in imported
        assert not {"torch._dynamo", "torch._inductor", "sympy"} & set(imported)


def test_torch_is_imported_without_the_collector() -> None:
    """Once; later calls leave what the collector looks through as it is."""
    assert python(COLLECTOR).split() == ["False", "True", "True", "True"]


def test_where_torch_is_there_nothing_happens() -> None:
    before = gc.get_freeze_count()
    import_torch()
    assert gc.get_freeze_count() == before and gc.isenabled()
