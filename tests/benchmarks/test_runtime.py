"""The table of where the BSQ family's time goes: measured with tiny weights, and as a table."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks import markup, runtime
from benchmarks.__main__ import main

from ..tiny_models import save_bsq_weights


def test_the_parts_are_measured_and_tabled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "SIZES", ((64, 40), (128, 72)))
    weights = save_bsq_weights(tmp_path / "weights", (6, 18))
    arguments = ["runtime", "--results", str(tmp_path), "--weights", str(weights), "--threads", "1"]
    done = CliRunner().invoke(main, [*arguments, "--repeats", "1"])
    assert done.exit_code == 0, done.output
    document = json.loads((tmp_path / runtime.FILE).read_text())
    assert document["weights"] == weights.stem.partition("-")[2]
    sizes = [(each["bits"], each["width"], each["height"]) for each in document["times"]]
    assert sizes == [(18, 64, 40), (18, 128, 72)]  # 36 bits these weights do not have
    parts = [
        each[name] for each in document["times"] for name in ("encode", "write", "read", "decode")
    ]
    assert min(parts) > 0


def test_the_table_has_milliseconds_and_frames_a_second(tmp_path: Path) -> None:
    times = {"bits": 18, "width": 640, "height": 360, "encode": 0.1, "write": 0.15}
    document = {
        "command": "python -m benchmarks runtime",
        "date": "2026-11-30",
        "machine": {"cpu": "a CPU"},
        "threads": 2,
        "repeats": 3,
        "times": [{**times, "read": 0.2, "decode": 0.3}],
    }
    assert runtime.blocks(tmp_path) == []
    (tmp_path / runtime.FILE).write_text(json.dumps(document))
    text = markup.markdown(runtime.blocks(tmp_path))
    assert "| 18 | 640x360 | 100 | 150 | 200 | 300 | 4.00 / 2.00 |" in text
    assert "with 2 threads of a CPU" in text
