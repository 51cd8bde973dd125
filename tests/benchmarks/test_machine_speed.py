"""Speed on one machine, with tiny weights."""

import json
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from benchmarks import machine_speed
from benchmarks.datasets import generated_picture
from bsqcodec.machine.precision import network_dtype


def test_the_row_and_what_it_was_made_of(
    video_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BSQCODEC_WEIGHTS", str(video_weights.parent))
    picture, video = tmp_path / "picture.png", tmp_path / "video.mkv"
    generated_picture(90, 60, seed=1).save(picture)
    with av.open(video, "w") as output:
        stream = output.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for seed in range(4):
            pixels = np.asarray(generated_picture(64, 48, seed))
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p")
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    before = torch.get_num_threads()
    try:
        arguments = [str(picture), str(video), "--frames", "3", "--threads", "1", "--repeats", "1"]
        done = CliRunner().invoke(machine_speed.main, arguments, catch_exceptions=False)
    finally:
        torch.set_num_threads(before)
    assert done.exit_code == 0
    text, _, row = done.output.rstrip().rpartition("\n")
    found = json.loads(text)
    assert found["video"] == "64x48, 3 frames" and found["threads"] == 1
    assert found["versions"]["python"] == sys.version.split()[0]
    speeds = [value for name, value in found.items() if name.endswith(("seconds", "a_second"))]
    assert len(speeds) == 4 and min(speeds) > 0
    precision = str(network_dtype(torch.device("cpu"))).removeprefix("torch.")
    assert row.startswith("| ") and precision in row and row.count("|") == 6


def test_median_of_runs_after_the_first() -> None:
    calls: list[int] = []
    assert machine_speed.median_seconds(lambda: calls.append(1), 3) >= 0
    assert len(calls) == 4
