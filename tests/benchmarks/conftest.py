"""Makes benchmarks/ importable, and what its tests share."""

import sys
import types
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

ROOT = Path(__file__).parents[2]
if str(ROOT) not in sys.path:
    # benchmarks/ is not installed. At the end, so that an installed bsqcodec is the one tested.
    sys.path.append(str(ROOT))

if TYPE_CHECKING:
    from .fakes import FakeCodec, FakeStill


@pytest.fixture
def still() -> "FakeStill":
    from .fakes import FakeStill

    return FakeStill()


@pytest.fixture
def fake_codec(monkeypatch: pytest.MonkeyPatch) -> "FakeCodec":
    from .fakes import FakeCodec, FakeTarget

    rate = types.ModuleType("bsqcodec.encoder.target_search")
    rate.Quality = FakeTarget  # type: ignore[attr-defined]
    rate.BitsPerPixel = FakeTarget  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "bsqcodec.encoder.target_search", rate)
    return FakeCodec()


@pytest.fixture
def folder_of_two(tmp_path: Path) -> Path:
    """A folder named `pair` of two small pictures, a.png and b.png."""
    from benchmarks.datasets import generated_picture

    folder = tmp_path / "pair"
    folder.mkdir()
    for seed, name in enumerate("ab"):
        generated_picture(200, 168, seed).save(folder / f"{name}.png")
    return folder
