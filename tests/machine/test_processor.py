"""How many threads make sense, and how idle ones wait."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from bsqcodec.image.codec import Codec
from bsqcodec.machine import processor
from bsqcodec.machine.processor import clamp_threads, core_count, prepare_process
from bsqcodec.video.codec import VideoCodec

from ..golden_files import model_path, scene

NAMES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "OPENBLAS_NUM_THREADS")


def test_cores_are_those_that_this_process_may_use() -> None:
    count = core_count()
    assert 1 <= count <= (os.cpu_count() or 1)
    if hasattr(os, "sched_setaffinity"):
        allowed = os.sched_getaffinity(0)
        try:
            os.sched_setaffinity(0, {min(allowed)})
            assert core_count() == 1
        finally:
            os.sched_setaffinity(0, allowed)
    assert core_count() == count


def test_too_many_threads_are_fewer_with_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor, "core_count", lambda: 3)
    assert clamp_threads(12) == (12, None)
    most, note = clamp_threads(13)
    assert most == 12 and note == "13 threads are too many for 3 cores; 12 are used"
    monkeypatch.setattr(processor, "core_count", lambda: 1)
    assert clamp_threads(10**30)[0] == 4
    with pytest.raises(ValueError, match="0 threads are too few"):
        clamp_threads(0)


def test_codecs_with_a_million_threads(golden: Path, video_weights: Path) -> None:
    before = torch.get_num_threads()
    try:
        codec = Codec(model_path(), device="cpu", threads=10**6)
        assert torch.get_num_threads() == 4 * core_count()
        (note,) = codec.notes
        assert "1000000 threads are too many" in note
        assert codec.encode(scene(20, 30)).notes == (note,)
        assert VideoCodec(video_weights, device="cpu", threads=10**9).notes != ()
        assert Codec(model_path(), device="cpu", threads=1).notes == ()
    finally:
        torch.set_num_threads(before)


def test_the_command_with_a_million_threads(
    golden: Path, tiny_weights: Path, tmp_path: Path
) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "bsqcodec", "encode", "--threads", "1000000"),
            *(str(golden / "rgb.png"), "-o", "a.bsq"),
        ],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and (tmp_path / "a.bsq").exists()
    note, summary = done.stderr.splitlines()
    assert note.startswith("bsqcodec: note: 1000000 threads are too many for")
    assert "rgb.png -> a.bsq" in summary


SHOW = """
import os, subprocess, sys
from bsqcodec.cli import main
main._run = lambda *_: print([os.environ.get(n) for n in {names}], "torch" in sys.modules) or 0
sys.exit(main.main({arguments}))
"""


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "['passive', '0', '1']"),
        ({"OMP_WAIT_POLICY": "active"}, "['active', None, '1']"),
        ({"GOMP_SPINCOUNT": "1000"}, "[None, '1000', '1']"),
        ({"OPENBLAS_NUM_THREADS": "3"}, "['passive', '0', '3']"),
    ],
)
def test_the_command_waits_passively_unless_the_user_says_otherwise(
    given: dict[str, str], expected: str
) -> None:
    environment = {k: v for k, v in os.environ.items() if k not in NAMES}
    done = subprocess.run(
        [sys.executable, "-c", SHOW.format(names=NAMES, arguments="")],
        env=environment | {"PYTHONPATH": str(Path(__file__).parents[2])} | given,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout.strip(), done.stderr) == (f"{expected} False", "")


def test_the_command_as_a_function_leaves_the_environment_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from bsqcodec.cli.main import main

    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    assert main(["--version"]) == 0
    assert not set(NAMES) & set(os.environ)
    prepare_process()
    assert os.environ["OMP_WAIT_POLICY"] == "passive"
