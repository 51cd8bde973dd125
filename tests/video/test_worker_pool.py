"""The worker process: same bytes and pixels as without it, wherever it takes over,
and a clean end."""

from __future__ import annotations

import gc
import io
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
import torch

from bsqcodec.encoder.rate_control import CodedGroup
from bsqcodec.errors import FormatError
from bsqcodec.models.token_grid import TokenGrid
from bsqcodec.models.video_weight_files import VideoWeights
from bsqcodec.video import worker_pool as worker_module
from bsqcodec.video.codec import VideoCodec
from bsqcodec.video.coding_threads import CodingThreads
from bsqcodec.video.frame_symbols import FrameSymbols, SymbolCoder
from bsqcodec.video.worker_pool import (
    MIN_FRAMES_FOR_PROCESS,
    PooledSymbolCoder,
    WorkerError,
    WorkerPool,
    WorkerProcess,
)

from .scenes import ListReader, clip, coded, decode_group, encode_group

LONG = 120.0
"""Seconds that a worker may take to start, on a machine that is busy."""


def started(weights: Path) -> WorkerPool:
    """WorkerPool that is ready."""
    result = WorkerPool(2, weights)
    worker = result.start()
    assert worker is not None and worker.wait(LONG)
    return result


@pytest.fixture(scope="module")
def pool(weights: VideoWeights) -> Iterator[WorkerPool]:
    found = started(weights.path)
    yield found
    found.close()


@pytest.fixture(scope="module")
def pooled(weights: VideoWeights, pool: WorkerPool) -> Iterator[CodingThreads]:
    """CodingThreads of which the process takes all it can, from the first frame on."""
    with CodingThreads.started(pool=(pool, weights.path)) as made:
        yield made


@pytest.fixture(scope="module")
def group(weights: VideoWeights, threads: CodingThreads) -> CodedGroup:
    """Without pool."""
    return encode_group(weights, threads, clip(5))


class Later(WorkerPool):
    """WorkerPool that is ready after so many questions."""

    def __init__(self, pool: WorkerPool, questions: int) -> None:
        super().__init__(1, Path("nowhere"))
        self._there, self._left = pool, questions

    def ready(self) -> WorkerProcess | None:
        self._left -= 1
        return self._there.ready() if self._left < 0 else None


def test_a_group_is_the_same(
    weights: VideoWeights, threads: CodingThreads, pooled: CodingThreads, group: CodedGroup
) -> None:
    assert isinstance(pooled.coder(weights.priors, TokenGrid(40, 60)), PooledSymbolCoder)
    assert isinstance(threads.coder(weights.priors, TokenGrid(40, 60)), SymbolCoder)
    assert encode_group(weights, pooled, clip(5)) == group
    plain = decode_group(weights, threads, group.payloads)
    for a, b in zip(decode_group(weights, pooled, group.payloads), plain, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("here", [0, 1, 3, 4, 9])
def test_a_coder_moves_between_two_frames(
    weights: VideoWeights, pool: WorkerPool, group: CodedGroup, here: int
) -> None:
    grid = TokenGrid(*clip(1)[0].shape[:2])
    payloads = [group.payloads[0][4:], *group.payloads[1:]]
    plain = SymbolCoder(weights.priors, grid)
    moving = PooledSymbolCoder(Later(pool, here), weights.path, weights.priors, grid)
    back = PooledSymbolCoder(Later(pool, here), weights.path, weights.priors, grid)
    for index, payload in enumerate(payloads):
        wanted = plain.decode(payload, index == 0)
        found = moving.decode(payload, index == 0)
        assert found.step == wanted.step and found.n.dtype == wanted.n.dtype
        np.testing.assert_array_equal(found.n, wanted.n)
        if wanted.vectors is not None:
            np.testing.assert_array_equal(found.vectors, wanted.vectors)
        assert back.encode(wanted) == payload
        assert moving.crc == back.crc == plain.crc


def test_all_that_16_bits_hold_arrives(weights: VideoWeights, pool: WorkerPool) -> None:
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
    weights: VideoWeights, pooled: CodingThreads, group: CodedGroup
) -> None:
    broken = (group.payloads[0], group.payloads[1][:1], *group.payloads[2:])
    with pytest.raises(FormatError, match="too few bytes"):
        decode_group(weights, pooled, broken)
    decode_group(weights, pooled, group.payloads)


def test_many_groups_at_once(weights: VideoWeights, pool: WorkerPool, group: CodedGroup) -> None:
    """Those at hand are remembered, however many; those that are done with are not."""
    grid = TokenGrid(*clip(1)[0].shape[:2])
    worker = pool.ready()
    assert worker is not None
    coders = [PooledSymbolCoder(pool, weights.path, weights.priors, grid) for _ in range(20)]
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


def test_a_worker_that_is_killed(
    weights: VideoWeights,
    group: CodedGroup,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The work in hand fails with a reason; the next has a worker again."""
    monkeypatch.setattr(worker_module, "MIN_FRAMES_FOR_PROCESS", 1)
    found = started(weights.path)
    worker = found.ready()
    assert worker is not None
    with CodingThreads.started(pool=(found, weights.path)) as threads:
        worker._process.kill()
        with pytest.raises(WorkerError, match="was it killed"):
            worker.call("decode", 0, b"", True)
        assert not worker.is_ready and found.ready() is None
        deadline = time.monotonic() + LONG
        while found.ready() is None:  # frames that are coded here meanwhile
            assert time.monotonic() < deadline
            assert encode_group(weights, threads, clip(5)) == group
        assert encode_group(weights, threads, clip(5)) == group
    found.close()
    assert capfd.readouterr() == ("", "")


def test_ctrl_c_leaves_no_answer_behind(
    weights: VideoWeights, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or it would be taken for the answer to another request."""
    found = started(weights.path)
    worker = found.ready()
    assert worker is not None

    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pickle, "load", interrupted)
        with pytest.raises(KeyboardInterrupt):
            worker.call("decode", 0, b"", True)
    assert not worker.is_alive
    with pytest.raises(WorkerError):
        worker.call("decode", 0, b"", True)


def test_ctrl_c_is_not_for_the_worker(
    pool: WorkerPool, weights: VideoWeights, group: CodedGroup
) -> None:
    worker = pool.ready()
    assert worker is not None
    os.kill(worker._process.pid, signal.SIGINT)
    time.sleep(0.2)
    grid = TokenGrid(*clip(1)[0].shape[:2])
    coder = PooledSymbolCoder(pool, weights.path, weights.priors, grid)
    coder.decode(group.payloads[0][4:], True)
    assert worker.is_ready


def test_a_worker_without_weights_is_not_asked_again(
    weights: VideoWeights, group: CodedGroup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "MIN_FRAMES_FOR_PROCESS", 1)
    found = WorkerPool(2, tmp_path / "none.safetensors")
    worker = found.start()
    assert worker is not None
    assert not worker.wait(0.01)
    worker._process.wait(LONG)
    with CodingThreads.started(pool=(found, weights.path)) as threads:
        for _ in range(3):
            assert encode_group(weights, threads, clip(5)) == group
    assert found._worker is worker, "it was started once more"


def test_where_no_process_can_be_started(
    weights: VideoWeights, group: CodedGroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("no more processes")

    monkeypatch.setattr(worker_module, "MIN_FRAMES_FOR_PROCESS", 1)
    monkeypatch.setattr(subprocess, "Popen", refuse)
    with CodingThreads.started(pool=(WorkerPool(2, weights.path), weights.path)) as threads:
        for _ in range(3):
            assert encode_group(weights, threads, clip(5)) == group


def test_it_imports_what_its_parent_does(
    weights: VideoWeights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no module that happens to lie in the working directory."""
    for name in ("signal", "torch", "bsqcodec"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('not this one')")
    monkeypatch.chdir(tmp_path)
    started(weights.path.absolute()).close()


@pytest.mark.parametrize(
    ("threads", "frames", "expected", "wanted"),
    [
        (2, MIN_FRAMES_FOR_PROCESS - 1, None, False),
        (2, MIN_FRAMES_FOR_PROCESS - 1, MIN_FRAMES_FOR_PROCESS - 1, False),
        (2, MIN_FRAMES_FOR_PROCESS, None, True),
        (2, 2, MIN_FRAMES_FOR_PROCESS, True),
        (1, MIN_FRAMES_FOR_PROCESS, MIN_FRAMES_FOR_PROCESS, False),
    ],
)
def test_only_longer_videos_get_a_worker(
    video_weights: Path, threads: int, frames: int, expected: int | None, wanted: bool
) -> None:
    before = torch.get_num_threads()
    try:
        codec = VideoCodec(video_weights, device="cpu", threads=threads)
        reader = ListReader(clip(frames, 16, 16))
        reader.expected_frames = expected
        coded(codec, reader)
        assert codec._pool is not None
        assert (codec._pool._worker is not None) == wanted
    finally:
        torch.set_num_threads(before)


def test_a_video_with_a_worker_is_that_without(video_weights: Path) -> None:
    before = torch.get_num_threads()
    try:
        alone = VideoCodec(video_weights, device="cpu", threads=2, worker_process=False)
        data = coded(alone, ListReader(clip(9)), gop=4)
        codec = VideoCodec(video_weights, device="cpu", threads=2)
        assert codec._pool is not None and alone._pool is None
        worker = codec._pool.start()
        assert worker is not None and worker.wait(LONG)
        assert coded(codec, ListReader(clip(9)), gop=4) == data
        decoded = codec.decode(io.BytesIO(data)).frames()
        for a, b in zip(decoded, alone.decode(io.BytesIO(data)).frames(), strict=True):
            np.testing.assert_array_equal(a.pixels, b.pixels)
        process = worker._process
        del codec, decoded, worker
        gc.collect()
        assert process.poll() is not None, "it outlives its codec"
    finally:
        torch.set_num_threads(before)


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
from bsqcodec.video.worker_pool import WorkerPool
worker = WorkerPool(2, Path(sys.argv[1])).start()
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
