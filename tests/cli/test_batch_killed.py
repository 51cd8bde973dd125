"""`bsqcodec batch` killed and interrupted: real processes, real signals, at any moment."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

import bsqcodec
from bsqcodec.batch.journal import NAME, Journal
from bsqcodec.cli.main import main

from ..batch_tools import Inline, save_picture, temporary_files, tree
from ..golden_files import model_path

PATIENCE = 300
FILES = 8
OPTIONS = ("--threads", "1", "--weights", str(model_path()), "--device", "cpu")

Start = Callable[[str], "subprocess.Popen[bytes]"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with pictures below in/."""
    monkeypatch.chdir(tmp_path)
    for number in range(FILES):
        save_picture(tmp_path / "in" / str(number % 2) / f"{number}.png", number, (40, 40))
    return tmp_path


@pytest.fixture
def start(folder: Path) -> Iterator[Start]:
    """Starts a batch from in/ to a folder, as the first of a process group of its own."""
    started: list[subprocess.Popen[bytes]] = []

    def start(output: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "bsqcodec", "batch", "in", output),
                *(*OPTIONS, "--workers", "2", "--log", f"{output}.log"),
            ],
            env=os.environ | {"PYTHONPATH": str(Path(bsqcodec.__file__).parents[1])},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def has_recorded(count: int, process: subprocess.Popen[bytes]) -> bool:
    """Whether out/ has so many files on record, or the process has ended."""
    there = len(recorded("out")) >= count and Path("out", NAME).exists()
    return there or process.poll() is not None


def all_over(processes: list[psutil.Process]) -> bool:
    return all(is_over(process) for process in processes)


def family(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The processes that a batch has started."""
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(process.pid).children(recursive=True)
    return []


def is_over(process: psutil.Process) -> bool:
    """Whether a process does nothing any more, though nobody may have asked how it ended."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def recorded(output: str) -> dict[str, int]:
    """How often each file stands in the journal."""
    journal = Journal(Path(output), locked=False)
    return {
        entry.destination: len(journal.entries(entry.destination))
        for entry in journal.last_entries()
    }


def done_in_log(output: str) -> list[str]:
    """The files that the log tells to be done, by the runs that coded them."""
    names = []
    for line in Path(f"{output}.log").read_text().splitlines():
        with suppress(ValueError):  # the last line of a killed run
            facts = json.loads(line)
            if facts["type"] == "file" and facts["status"] == "done":
                names.append(facts["destination"])
    return names


def test_killed_at_random_moments(
    folder: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole group, or only the first process, dies; the runs after it finish the work."""
    monkeypatch.setattr("bsqcodec.cli.batch._executor", lambda *_: Inline())
    assert main(["batch", "in", "undisturbed", *OPTIONS, "--quiet"]) == 0
    expected = tree(folder / "undisturbed")
    assert len(expected) == FILES

    moments = random.Random(7)
    for kill in (os.killpg, os.kill, os.killpg):
        before = recorded("out")
        process = start("out")
        wanted = min(len(before) + moments.choice((0, 1, 2)), FILES)
        wait_until(partial(has_recorded, wanted, process))
        time.sleep(moments.uniform(0, 0.2))  # no condition: any moment will do
        children = family(process)
        kill(process.pid, signal.SIGKILL)
        process.wait(PATIENCE)
        wait_until(partial(all_over, children))
        for name, data in tree(folder / "out").items():
            assert data == expected[name]
        for name, count in before.items():
            assert recorded("out")[name] == count == 1

    last = start("out")
    assert last.wait(PATIENCE) == 0
    assert tree(folder / "out") == expected
    assert temporary_files(folder) == []
    assert recorded("out") == dict.fromkeys(expected, 1)
    names = done_in_log("out")
    assert len(names) == len(set(names)) <= FILES


def test_ctrl_c(folder: Path, start: Start) -> None:
    """SIGINT to all, as a terminal sends it: the sums so far, status 130, and nobody is left."""
    process = start("out")
    wait_until(lambda: len(recorded("out")) >= 1 or process.poll() is not None)
    children = family(process)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    done = len(tree(folder / "out"))
    files, reported = map(int, out.split(b"\n")[1].split()[1:3])
    assert files == FILES and reported in (done - 1, done)  # the last may be named after all
    assert b"Traceback" not in err and err.endswith(b"bsqcodec: error: interrupted\n")
    assert children
    wait_until(lambda: all(is_over(child) for child in children))
    assert temporary_files(folder) == []
    assert len(recorded("out")) == done
