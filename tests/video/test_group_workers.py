"""Groups coded and decoded side by side: the same bytes and pixels, whoever has a part in them."""

from __future__ import annotations

import errno
import gc
import io
import itertools
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import torch

from bsqcodec.errors import FormatError, LimitError
from bsqcodec.format.video_file_reader import VideoFileReader
from bsqcodec.format.video_gop import Gop
from bsqcodec.targets import Bitrate, Psnr, Quality, Target
from bsqcodec.video import encode_groups, group_workers
from bsqcodec.video.codec import VideoCodec
from bsqcodec.video.coding_threads import CodingThreads
from bsqcodec.video.group_workers import MIN_FRAMES_FOR_PROCESS, GroupWorkers, WorkerProcesses
from bsqcodec.video.worker_process import WorkerError, WorkerProcess

from ..tiny_models import save_bsq_weights
from .scenes import ListReader, Pixels, clip, coded, moving

LONG = 120.0
"""Seconds that a process may take to start, on a machine that is busy."""

GOP = 3

Result = TypeVar("Result")


def frames() -> list[Pixels]:
    """Eleven that move, with a new scene in the middle of a group."""
    noise = np.random.default_rng(2).integers(0, 256, (32, 48, 3), np.uint8)
    return [*clip(4), noise, noise, *[moving(32, 48, i) for i in range(5)]]


def reader() -> ListReader:
    """Of those frames, with a side stream."""
    made = ListReader(frames(), side=[b"a", b"", b"b", b"", b"", b"c", b"d"])
    made.expected_frames = MIN_FRAMES_FOR_PROCESS
    return made


def with_processes(weights: Path, count: int) -> VideoCodec:
    """A codec with so many processes beside this one, which are ready."""
    before = torch.get_num_threads()
    codec = VideoCodec(weights, device="cpu", threads=count + 1)
    torch.set_num_threads(before)
    processes = codec._processes
    assert processes is not None
    processes.expect(MIN_FRAMES_FOR_PROCESS)
    processes.provide(count)
    for place in processes.places:
        assert place.process.wait(LONG)
    return codec


@pytest.fixture(scope="module")
def helped(video_weights: Path) -> Iterator[VideoCodec]:
    codec = with_processes(video_weights, 2)
    yield codec
    assert codec._processes is not None
    codec._processes.close()


@pytest.fixture(scope="module")
def alone(video_weights: Path) -> VideoCodec:
    return VideoCodec(video_weights, device="cpu", worker_processes=False)


@pytest.fixture
def groups_by(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For each group that is coded or decoded whether a process did it."""
    found: list[bool] = []
    original = GroupWorkers._threads_for

    def spied(self: GroupWorkers, process: WorkerProcess | None) -> Any:
        found.append(process is not None)
        return original(self, process)

    monkeypatch.setattr(GroupWorkers, "_threads_for", spied)
    return found


def pixels_of(codec: VideoCodec, data: bytes, **options: Any) -> list[Pixels]:
    return [frame.pixels for frame in codec.decode(io.BytesIO(data), **options).frames()]


@pytest.mark.parametrize("target", [Quality(60), Psnr(9), Bitrate(200_000)], ids=str)
def test_a_file_does_not_depend_on_the_workers(
    alone: VideoCodec, helped: VideoCodec, groups_by: list[bool], target: Target
) -> None:
    expected = coded(alone, reader(), target, gop=GOP)
    assert not any(groups_by)
    assert coded(helped, reader(), target, gop=GOP) == expected
    assert any(groups_by)
    for a, b in zip(pixels_of(helped, expected), pixels_of(alone, expected), strict=True):
        np.testing.assert_array_equal(a, b)


def test_so_it_is_with_the_other_family(
    tmp_path_factory: pytest.TempPathFactory, groups_by: list[bool]
) -> None:
    weights = save_bsq_weights(tmp_path_factory.mktemp("weights"))
    helped = with_processes(weights, 1)
    expected = coded(VideoCodec(weights, device="cpu", worker_processes=False), reader(), gop=GOP)
    assert coded(helped, reader(), gop=GOP) == expected
    assert any(groups_by)
    assert len(pixels_of(helped, expected)) == len(frames())


@pytest.mark.parametrize("guess", [False, True])
def test_wrong_guesses_of_scenes_cost_time_only(
    alone: VideoCodec, helped: VideoCodec, monkeypatch: pytest.MonkeyPatch, guess: bool
) -> None:
    expected = coded(alone, reader(), gop=GOP)
    monkeypatch.setattr(encode_groups, "is_unlike", lambda *_: guess)
    assert coded(helped, reader(), gop=GOP) == expected


def test_a_process_that_is_killed_costs_time_only(
    alone: VideoCodec,
    helped: VideoCodec,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever it is at; and another takes its place."""
    data = coded(alone, reader(), gop=GOP)
    monkeypatch.setattr(GroupWorkers, "_code_here", lambda self: None)
    assert killing(helped, lambda: coded(helped, reader(), gop=GOP)) == data
    assert len(killing(helped, lambda: pixels_of(helped, data))) == len(frames())
    assert capfd.readouterr() == ("", "")


def killing(codec: VideoCodec, work: Callable[[], Result]) -> Result:
    """What comes of a work during which a process with a group is killed."""
    assert codec._processes is not None
    processes = codec._processes
    killed: list[int] = []

    def kill() -> None:
        while not killed:
            for place in processes.places:
                if place.groups and not killed:
                    killed.append(place.process._process.pid)
                    place.process._process.kill()
            time.sleep(0.001)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        return work()
    finally:
        killed.append(0)
        thread.join()
        assert killed[0], "no process had a group"


def test_processes_that_are_killed_again_and_again(
    helped: VideoCodec, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: object) -> None:
        raise WorkerError("it has ended")

    with GroupWorkers(helped._processes, None) as workers, pytest.raises(WorkerError):
        workers.submit(lost).result(LONG)


def test_a_full_disk_ends_it(helped: VideoCodec) -> None:
    class Full(io.BytesIO):
        def write(self, data: Any) -> int:
            if self.tell() > 300:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().write(data)

    before = set(threading.enumerate())
    with pytest.raises(OSError, match="No space left"):
        helped.encode(reader(), Full(), Quality(60), gop=GOP)
    begun = set(threading.enumerate()) - before
    assert "bsqcodec group" not in {thread.name for thread in begun}


def test_too_little_memory_in_a_worker_is_an_error_of_one_line(
    alone: VideoCodec, helped: VideoCodec, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = WorkerProcess.call

    def exhausted(self: WorkerProcess, name: str, *arguments: Any) -> Any:
        if name in ("add", "next_frame"):
            raise LimitError("there is not enough memory for this video")
        return original(self, name, *arguments)

    data = coded(alone, reader(), gop=GOP)
    monkeypatch.setattr(GroupWorkers, "_code_here", lambda self: None)
    monkeypatch.setattr(WorkerProcess, "call", exhausted)
    with pytest.raises(LimitError, match="not enough memory"):
        coded(helped, reader(), gop=GOP)
    with pytest.raises(LimitError, match="not enough memory"):
        pixels_of(helped, data)


def test_damage_is_found_by_processes_too(alone: VideoCodec, helped: VideoCodec) -> None:
    """And frames before it are shown, and other groups whole."""
    data = bytearray(coded(alone, reader(), gop=GOP))
    parts = [part for part in VideoFileReader(bytes(data)).chunks() if isinstance(part, Gop)]
    index = VideoFileReader(bytes(data)).index
    assert index is not None and len(parts) == 5
    data[(index[2].offset + index[3].offset) // 2] ^= 4
    with pytest.raises(FormatError):
        pixels_of(helped, bytes(data))
    decoded = helped.decode(io.BytesIO(data), partial=True)
    shown = [frame.pts for frame in decoded.frames()]
    assert len(decoded.missing) == 1 and len(shown) == 11 - len(parts[2].frames)


def test_a_reader_that_stops_leaves_no_thread(helped: VideoCodec, alone: VideoCodec) -> None:
    data = coded(alone, reader(), gop=GOP)
    before = set(threading.enumerate())
    found = helped.decode(io.BytesIO(data)).frames()
    next(found)
    found.close()
    assert set(threading.enumerate()) <= before
    start = pixels_of(helped, data, start=0.2, duration=0.1)
    for a, b in zip(start, pixels_of(alone, data)[5:8], strict=True):
        np.testing.assert_array_equal(a, b)


def test_few_frames_are_in_memory(helped: VideoCodec) -> None:
    """Whatever the length: those of the groups that are under way."""
    source = ListReader(clip(30))
    source.expected_frames = MIN_FRAMES_FOR_PROCESS
    coded(helped, source, gop=GOP)
    assert source.most_alive <= 4 * GOP + 5


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
def test_only_longer_videos_get_a_process(
    monkeypatch: pytest.MonkeyPatch, threads: int, frames: int, expected: int | None, wanted: bool
) -> None:
    started = itertools.count()

    def start(*_: object) -> WorkerProcess:
        next(started)
        raise PermissionError("no more processes")

    monkeypatch.setattr(group_workers, "WorkerProcess", start)
    processes = WorkerProcesses(threads, Path("weights"))
    processes.expect(expected)
    for _ in range(frames):
        processes.count_frame()
    assert (next(started) > 0) == wanted
    assert not processes.places and processes.free() is None


@pytest.mark.parametrize(("before", "read"), [(0, 48), (20, 28)])
def test_frames_that_are_read_are_expected(
    monkeypatch: pytest.MonkeyPatch, before: int, read: int
) -> None:
    """So that a process is there in time where no file says how many frames there are.

    before: frames of earlier videos, which count too.
    """
    started = itertools.count()

    def start(*_: object) -> WorkerProcess:
        next(started)
        raise PermissionError("no more processes")

    monkeypatch.setattr(group_workers, "WorkerProcess", start)
    processes = WorkerProcesses(2, Path("weights"))
    processes._frames = before
    processes.expect(None)
    assert before + read == MIN_FRAMES_FOR_PROCESS
    processes.expect_at_least(read - 1)
    assert next(started) == 0
    processes.expect_at_least(read)
    assert next(started) == 2


def test_where_no_process_can_be_started(
    video_weights: Path, alone: VideoCodec, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("no more processes")

    before = torch.get_num_threads()
    codec = VideoCodec(video_weights, device="cpu", threads=2)
    torch.set_num_threads(before)
    monkeypatch.setattr(subprocess, "Popen", refuse)
    assert coded(codec, reader(), gop=GOP) == coded(alone, reader(), gop=GOP)


def test_processes_end_with_their_codec(video_weights: Path) -> None:
    codec = with_processes(video_weights, 1)
    assert codec._processes is not None
    process = codec._processes.places[0].process._process
    coded(codec, reader(), gop=GOP)
    del codec
    gc.collect()
    assert process.wait(LONG) is not None


def test_a_process_without_a_group_helps_with_the_only_one(
    video_weights: Path, alone: VideoCodec, monkeypatch: pytest.MonkeyPatch
) -> None:
    helped, called = with_processes(video_weights, 1), set[str]()
    original = WorkerProcess.call

    def spied(self: WorkerProcess, name: str, *arguments: Any) -> Any:
        called.add(name)
        return original(self, name, *arguments)

    monkeypatch.setattr(WorkerProcess, "call", spied)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    one_group = ListReader(clip(6))
    one_group.expected_frames = MIN_FRAMES_FOR_PROCESS
    data = coded(helped, one_group, gop=6)
    assert data == coded(alone, ListReader(clip(6)), gop=6)
    assert {"search_integer_pel", "encode"} < called and "add" not in called
    called.clear()
    assert len(pixels_of(helped, data)) == 6
    assert "decode" in called and "next_frame" not in called


def test_one_group_at_a_time_has_threads(alone: VideoCodec) -> None:
    """Those that work beside the pixels' one; none where processes have groups, too."""
    lanes: list[object] = []
    with GroupWorkers(None, None) as workers:

        def work(process: WorkerProcess | None, threads: CodingThreads) -> None:
            lanes.append(threads.entropy._executor)

        workers._count = 2
        workers.submit(work).result(LONG)
        workers._count = 1
        workers.submit(work).result(LONG)
    assert lanes[0] is not None and lanes[1] is None
