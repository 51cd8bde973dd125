"""What the documents say: the README's Python runs as it stands, and nothing is left to fill in."""

import re
import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bsqcodec import api

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "weights").glob("*.md")]
PYTHON_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PLACEHOLDER = re.compile(r"@[A-Z_]{4,}@")


@pytest.mark.usefixtures("tiny_weights")
def test_the_python_of_the_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (program,) = PYTHON_BLOCK.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    ramp = np.mgrid[:48, :64].astype(np.uint8)
    Image.fromarray(np.stack([*ramp, 255 - ramp[0]], axis=2)).save(tmp_path / "photo.jpg")
    (tmp_path / "readme.py").write_text(program, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    api._codec.cache_clear()
    try:
        names = runpy.run_path("readme.py")
    finally:
        api._codec.cache_clear()
    assert names["image"].size == (64, 48)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_placeholder_is_left(path: Path) -> None:
    assert PLACEHOLDER.findall(path.read_text(encoding="utf-8")) == []
