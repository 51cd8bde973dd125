"""Speeds beside each other in one run, and what is missing is named."""

import json
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from benchmarks import side_by_side
from benchmarks.__main__ import main
from benchmarks.anchors import ANCHORS, missing
from benchmarks.datasets import generated_picture


class Network:
    """Takes the place of a model of CompressAI."""

    def eval(self) -> "Network":
        return self

    def update(self) -> None:
        self.updated = True

    def compress(self, x: torch.Tensor) -> dict[str, Any]:
        assert self.updated
        assert x.shape == (1, 3, 128, 192) and 0 <= float(x.min()) <= float(x.max()) <= 1
        return {"strings": [[b"x"]], "shape": (2, 3)}

    def decompress(self, strings: list[list[bytes]], shape: tuple[int, int]) -> None:
        assert (strings, shape) == ([[b"x"]], (2, 3))


@pytest.mark.usefixtures("tiny_weights")
@pytest.mark.parametrize("installed", [True, False])
def test_the_table_has_all_that_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: bool
) -> None:
    zoo = types.ModuleType("compressai.zoo")
    zoo.mbt2018 = zoo.bmshj2018_hyperprior = lambda quality, pretrained: Network()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "compressai", types.ModuleType("compressai"))
    monkeypatch.setitem(sys.modules, "compressai.zoo", zoo if installed else None)
    picture = tmp_path / "picture.png"
    generated_picture(200, 150).save(picture)
    arguments = [
        "side-by-side",
        str(picture),
        "--bpp",
        "1",
        "--repeats",
        "1",
        "--results",
        str(tmp_path),
    ]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / side_by_side.FILE).read_text())
    rows = {row["label"]: row for row in found["rows"]}
    ours = [row for label, row in rows.items() if row["bpp"] is not None]
    present = {make().label for name, make in ANCHORS.items() if not missing(name)}
    assert {"bsqcodec", *present} <= set(rows)
    assert all(0.3 < row["bpp"] <= 1 and row["encode_seconds"] > 0 for row in ours)
    assert ("CompressAI mbt2018" in rows) == installed
    assert rows["Cool-chic 4.0"]["source"].startswith("https://")
    if not installed:
        assert "left out: CompressAI: " in done.output
        assert found["missing"][-1].endswith("pip install compressai")
    assert "| Cool-chic 4.0 (published) |  |  | 0.074 | " in done.output


def test_the_page_has_it_where_it_was_measured(tmp_path: Path) -> None:
    assert side_by_side.blocks(tmp_path) == []
