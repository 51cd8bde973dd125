"""A worker process: same bytes and pixels as without it, wherever it takes over, and a clean
end."""

from __future__ import annotations

import gc
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bsqcodec.encoder.rate_control import CodedGroup
from bsqcodec.errors import FormatError
from bsqcodec.models.token_grid import TokenGrid
from bsqcodec.models.video_weight_files import VideoWeights
from bsqcodec.video.coding_threads import CodingThreads, Helper
from bsqcodec.video.frame_symbols import FrameSymbols, SymbolCoder
from bsqcodec.video.moving_coder import MovingSymbolCoder
from bsqcodec.video.worker_process import WorkerError, WorkerProcess

from .scenes import clip, decode_group, encode_group

LONG = 120.0
"""Seconds that a worker may take to start, on a machine that is busy."""


def started(weights: Path) -> WorkerProcess:
    """A worker that is ready."""
    result = WorkerProcess(weights)
    assert result.wait(LONG)
    return result


@pytest.fixture(scope="module")
def worker(weights: VideoWeights) -> Iterator[WorkerProcess]:
    found = started(weights.path)
    yield found
    found.close()


@pytest.fixture(scope="module")
def helped(weights: VideoWeights, worker: WorkerProcess) -> Iterator[CodingThreads]:
    """CodingThreads of which the process takes all it can, from the first frame on."""
    with CodingThreads.started(helper=Helper(lambda: worker, weights.path)) as made:
        yield made


@pytest.fixture(scope="module")
def group(weights: VideoWeights, threads: CodingThreads) -> CodedGroup:
    """Without a worker."""
    return encode_group(weights, threads, clip(5))


def test_a_group_is_the_same(
    weights: VideoWeights, threads: CodingThreads, helped: CodingThreads, group: CodedGroup
) -> None:
    assert isinstance(helped.coder(weights.priors, TokenGrid(40, 60)), MovingSymbolCoder)
    assert isinstance(threads.coder(weights.priors, TokenGrid(40, 60)), SymbolCoder)
    assert encode_group(weights, helped, clip(5)) == group
    plain = decode_group(weights, threads, group.payloads)
    for a, b in zip(decode_group(weights, helped, group.payloads), plain, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("places", ["wwwww", "hwwww", "hhwww", "whwhw", "wwhhh", "hhhhw"])
def test_a_coder_moves_between_two_frames(
    weights: VideoWeights, worker: WorkerProcess, group: CodedGroup, places: str
) -> None:
    """To the worker (w) and back here (h)."""
    grid = TokenGrid(*clip(1)[0].shape[:2])
    payloads = [group.payloads[0][4:], *group.payloads[1:]]
    plain = SymbolCoder(weights.priors, grid)
    helper: list[WorkerProcess | None] = []
    coders = [
        MovingSymbolCoder(lambda: helper[-1], weights.path, weights.priors, grid) for _ in range(2)
    ]
    for index, (payload, place) in enumerate(zip(payloads, places, strict=True)):
        helper.append(worker if place == "w" else None)
        wanted = plain.decode(payload, index == 0)
        found = coders[0].decode(payload, index == 0)
        assert found.step == wanted.step and found.n.dtype == wanted.n.dtype
        np.testing.assert_array_equal(found.n, wanted.n)
        if wanted.vectors is not None:
            np.testing.assert_array_equal(found.vectors, wanted.vectors)
        assert coders[1].encode(wanted) == payload
        assert coders[0].crc == coders[1].crc == plain.crc


def test_all_that_16_bits_hold_arrives(weights: VideoWeights) -> None:
    """The largest integers and the longest vectors."""
    grid = TokenGrid(16, 32)
    channels = weights.image.tokenizer.config.channels
    n = np.zeros((*grid.inside.shape, channels), np.int32)
    n[0, :2, 0] = (3**10 - 1) // 2, -(3**10 - 1) // 2
    field = np.full((2, 4, 2), -4 * 96)
    assert_same = np.testing.assert_array_equal
    unpacked = pickle.loads(pickle.dumps(FrameSymbols(7, n, field).packed())).symbols()
    assert_same(unpacked.n, n)
    assert_same(unpacked.vectors, field)
    assert FrameSymbols(7, n, None).packed().symbols().vectors is None


def test_damage_is_told_and_the_worker_goes_on(
    weights: VideoWeights, helped: CodingThreads, group: CodedGroup
) -> None:
    broken = (group.payloads[0], group.payloads[1][:1], *group.payloads[2:])
    with pytest.raises(FormatError, match="too few bytes"):
        decode_group(weights, helped, broken)
    decode_group(weights, helped, group.payloads)


def test_many_groups_at_once(
    weights: VideoWeights, worker: WorkerProcess, group: CodedGroup
) -> None:
    """Those at hand are remembered, however many; those that are done with are not."""
    grid = TokenGrid(*clip(1)[0].shape[:2])
    coders = [
        MovingSymbolCoder(lambda: worker, weights.path, weights.priors, grid) for _ in range(20)
    ]
    for coder in coders:
        coder.decode(group.payloads[0][4:], True)
    for coder in coders:
        coder.decode(group.payloads[1], False)
    assert {number for _, number in (c._there or (None, -1) for c in coders)} <= numbers_of(worker)
    del coder, coders
    assert not numbers_of(worker)


def numbers_of(worker: WorkerProcess) -> set[int]:
    """Of the coders that a worker remembers."""
    gc.collect()
    return set(worker.call("numbers"))


def test_a_worker_that_is_killed(weights: VideoWeights, capfd: pytest.CaptureFixture[str]) -> None:
    """The work in hand fails with a reason, in one line, and so does the next."""
    worker = started(weights.path)
    worker._process.kill()
    for _ in range(2):
        with pytest.raises(WorkerError, match="was it killed") as failure:
            worker.call("decode", 0, b"", True)
        assert "\n" not in str(failure.value)
    assert worker.was_ready and not worker.is_ready
    assert capfd.readouterr() == ("", "")


def test_ctrl_c_leaves_no_answer_behind(
    weights: VideoWeights, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or it would be taken for the answer to another request."""
    worker = started(weights.path)

    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pickle, "load", interrupted)
        with pytest.raises(KeyboardInterrupt):
            worker.call("decode", 0, b"", True)
    assert not worker.is_alive
    with pytest.raises(WorkerError):
        worker.call("decode", 0, b"", True)


def test_ctrl_c_is_not_for_the_worker(worker: WorkerProcess) -> None:
    os.kill(worker._process.pid, signal.SIGINT)
    time.sleep(0.2)
    numbers_of(worker)
    assert worker.is_ready


def test_a_worker_without_weights_is_never_ready(tmp_path: Path) -> None:
    worker = WorkerProcess(tmp_path / "none.safetensors")
    worker._process.wait(LONG)
    assert not worker.wait(0.01) and not worker.was_ready


def test_it_imports_what_its_parent_does(
    weights: VideoWeights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no module that happens to lie in the working directory."""
    for name in ("signal", "torch", "bsqcodec"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('not this one')")
    monkeypatch.chdir(tmp_path)
    started(weights.path.absolute()).close()


def is_there(pid: int) -> bool:
    """Whether a process runs."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("end", ["pass", "os._exit(0)", "os.kill(os.getpid(), 9)"])
def test_it_ends_with_its_parent(weights: VideoWeights, end: str) -> None:
    script = f"""
import os, sys
from pathlib import Path
from bsqcodec.video.worker_process import WorkerProcess
worker = WorkerProcess(Path(sys.argv[1]))
assert worker.wait({LONG})
print(worker._process.pid, flush=True)
{end}
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(weights.path.absolute())],
        stdout=subprocess.PIPE,
        check=False,
        timeout=2 * LONG,
    )
    pid = int(done.stdout)
    deadline = time.monotonic() + LONG
    while is_there(pid):
        assert time.monotonic() < deadline, "the worker is still there"
        time.sleep(0.05)
