"""A process that is forked after a codec was made: torch's threads are not there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bsqcodec.machine import threads

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


def finish(code: str, *arguments: str) -> None:
    """Run code in a fresh process; fails where it does not end well within ten minutes."""
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            _, errors = process.communicate(timeout=600)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # its children too, which hold the pipe
            raise
    assert (process.returncode, errors) == (0, "")


FORK = """
import os, sys, traceback
import numpy as np, torch
torch.set_num_threads(2)
busy = torch.ones(1000, 1000) @ torch.ones(1000, 1000) + 1  # torch's threads are there now

def in_child(work):
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
"""

PICTURES = """
from tests.golden_files import model_path, scene
from bsqcodec.image.codec import Codec
from bsqcodec.targets import Quality
picture = scene(300, 400)
codec = Codec(model_path(), device="cpu", threads=2)
expected = codec.encode(picture, Quality(60)).data

def work():
    busy.exp()  # an operation of torch alone that would take several threads
    for each in (codec, Codec(model_path(), device="cpu", threads=2), Codec(model_path())):
        for effort in (1, 2):
            each.encode(picture, Quality(60), effort=effort).psnr
        assert each.encode(picture, Quality(60)).data == expected
        each.decode(expected)
    in_child(lambda: codec.decode(expected))  # a child's child

in_child(work)
assert torch.get_num_threads() == 2
assert codec.encode(picture, Quality(60)).data == expected
"""

VIDEOS = """
from pathlib import Path
from tests.video.scenes import ListReader, clip, coded
from bsqcodec.video.codec import VideoCodec
frames = clip(6, 100, 200)
weights = Path(sys.argv[1])
codec = VideoCodec(weights, device="cpu", threads=2)
codec._processes.expect(100)
worker = codec._processes.places[0].process
assert worker.wait(60)
codec._processes._expected = 0
expected = coded(codec, ListReader(frames))

def work():
    busy.exp()
    for each in (codec, VideoCodec(weights, device="cpu", threads=2)):
        data = coded(each, ListReader(frames))
        assert data == expected
        assert len(list(each.decode(data).frames())) == 6

in_child(work)
assert worker.is_ready  # the child neither used nor ended it
assert coded(codec, ListReader(frames)) == expected
"""

BEFORE = """
import bsqcodec.image.codec  # imported, but no codec was made: what comes after is as without us

def work():
    assert torch.get_num_threads() == 2

in_child(work)
"""


def test_pictures_in_a_forked_process(golden: Path) -> None:
    finish(FORK + PICTURES)


def test_videos_in_a_forked_process(video_weights: Path) -> None:
    finish(FORK + VIDEOS, str(video_weights))


def test_a_fork_before_any_codec_is_left_alone() -> None:
    finish(FORK + BEFORE)


def test_what_another_thread_sets_does_not_change_ours() -> None:
    """torch gives a thread that has not looked at its own number that of the other one."""
    code = """
import threading, torch
from bsqcodec.machine.threads import set_thread_count, thread_count
set_thread_count(3)
other = threading.Thread(target=torch.set_num_threads, args=(1,))
other.start()
other.join()
print(torch.get_num_threads(), thread_count())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["3", "3"]


def test_a_fork_waits_for_threads_that_have_just_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(threads.time, "sleep", waited.append)
    monkeypatch.setattr(threads._threads, "ended", float("-inf"))
    threads._before_fork()
    threads.threads_have_ended()
    threads._before_fork()
    assert waited[0] == 0 and 0 < waited[1] <= threads.SECONDS_TO_END
