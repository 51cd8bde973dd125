"""Threads that share the pieces of a picture's work."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from bsqcodec.errors import LimitError
from bsqcodec.image.codec import Codec
from bsqcodec.machine import team as team_module
from bsqcodec.machine.scope import coding
from bsqcodec.machine.team import Team, team, team_of
from bsqcodec.machine.threads import set_thread_count, thread_count
from bsqcodec.targets import Quality

from ..golden_files import model_path, scene
from .test_threads import FORK, finish

CPU = torch.device("cpu")
LONG = 60


@pytest.fixture(autouse=True)
def restored_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def three(monkeypatch: pytest.MonkeyPatch) -> Iterator[Team]:
    """A team of three threads, in which no piece is ever overdue, and no time lost matters."""
    monkeypatch.setattr(team_module, "OVERDUE", 10**9)
    monkeypatch.setattr(team_module, "MAX_LOST_SECONDS", 10**9)
    set_thread_count(3)
    with team_of(CPU) as made:
        assert made is not None and made.size == 3
        yield made


def meet(count: int) -> threading.Barrier:
    """What lets threads go on when `count` of them are there."""
    return threading.Barrier(count, timeout=LONG)


def test_results_come_in_the_order_of_the_items(three: Team) -> None:
    def slow_at_first(item: int) -> int:
        time.sleep(0.02 if item < 3 else 0)
        return item * item

    assert three.map(slow_at_first, range(40)) == [item * item for item in range(40)]
    assert three.map(slow_at_first, []) == []


def test_all_threads_work_at_the_same_time(three: Team) -> None:
    barrier = meet(3)

    def together(item: int) -> int:
        barrier.wait()
        return threading.get_ident()

    found = three.map(together, range(3))
    assert len(set(found)) == 3 and threading.get_ident() in found


def test_no_more_pieces_are_under_way_than_allowed(three: Team) -> None:
    lock, under_way, most = threading.Lock(), 0, 0

    def counted(item: int) -> None:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        time.sleep(0.002)
        with lock:
            under_way -= 1

    three.map(counted, range(20), at_once=2)
    assert most == 2
    three.map(counted, range(20), at_once=1)


@pytest.mark.parametrize("bad", [0, 7])
def test_what_a_piece_raises_is_raised(three: Team, bad: int) -> None:
    barrier = meet(3)

    def fails(item: int) -> int:
        if item < 3:
            barrier.wait()  # so that each thread has one of these
        if item == bad:
            raise KeyError("this one")
        return item

    with pytest.raises(KeyError, match="this one"):
        three.map(fails, range(10))
    barrier.reset()
    assert three.map(lambda item: item, range(10)) == list(range(10)), "it goes on afterwards"


def test_out_of_memory_in_another_thread_is_a_limit(three: Team) -> None:
    caller = threading.get_ident()
    barrier = meet(3)

    def fails(item: int) -> None:
        barrier.wait()
        if threading.get_ident() != caller:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")

    with pytest.raises(LimitError, match="memory for this picture"), coding(CPU, "this picture"):
        three.map(fails, range(3))


def test_pieces_of_pieces_are_done_where_they_come_up(three: Team) -> None:
    barrier = meet(3)

    def outer(item: int) -> tuple[int, list[int]]:
        barrier.wait()
        here = team()
        assert here is not None and here.size == 1
        with team_of(CPU) as again:
            assert again is here
        return threading.get_ident(), here.map(lambda _: threading.get_ident(), range(4))

    for me, others in three.map(outer, range(3)):
        assert others == [me] * 4
    assert team() is three


@pytest.mark.parametrize("inference", [True, False])
@pytest.mark.parametrize("autocast", [True, False])
def test_each_thread_has_the_settings_of_the_one_that_asks(
    three: Team, inference: bool, autocast: bool
) -> None:
    barrier = meet(3)

    def settings(item: int) -> tuple[object, ...]:
        barrier.wait()
        product = torch.ones(2, 2) @ torch.ones(2, 2)
        return (
            torch.is_inference_mode_enabled(),
            torch.is_grad_enabled(),
            torch.get_num_threads(),
            product.dtype,
            product.is_inference(),
        )

    dtype = torch.bfloat16 if autocast else torch.float32
    with torch.inference_mode(inference), torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        found = three.map(settings, range(3))
    assert found == [(inference, not inference, 1, dtype, inference)] * 3
    with torch.no_grad():
        assert [x[1] for x in three.map(settings, range(3))] == [False] * 3
    assert [x[1] for x in three.map(settings, range(3))] == [True] * 3


def test_a_piece_that_another_thread_does_not_finish_is_done_again() -> None:
    """As where the core of that thread is busy with something else."""
    set_thread_count(2)
    caller, freed, runs = threading.get_ident(), threading.Event(), []
    begun = meet(2)

    def stuck_elsewhere(item: int) -> int:
        runs.append(item)
        if len(runs) <= 2:
            begun.wait()  # both threads have one
        if threading.get_ident() != caller:
            assert freed.wait(LONG)
        return item

    with team_of(CPU) as made:
        assert made is not None
        assert made.map(stuck_elsewhere, range(5)) == list(range(5))
        assert not freed.is_set() and len(runs) == 6 and len(set(runs)) == 5
        freed.set()


def test_jobs_that_lose_time_are_left_to_one_thread_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Pieces that wait take none of the core's time, so that one thread would be as fast."""
    monkeypatch.setattr(team_module, "OVERDUE", 10**9)
    set_thread_count(2)
    caller, both = threading.get_ident(), meet(2)

    def waits(item: int) -> None:
        both.wait()
        time.sleep(0.02)

    with team_of(CPU) as made:
        assert made is not None
        for rest in (8, 16, 32, 64, 64):
            made.map(waits, range(2))
            for _ in range(rest):
                assert made.map(lambda _: threading.get_ident(), range(2)) == [caller] * 2
        made.map(lambda _: both.wait(), range(2))  # and then both work again


def test_jobs_that_win_time_go_on_with_all_threads() -> None:
    set_thread_count(2)
    with team_of(CPU) as made:
        assert made is not None
        for lost in (0.002, -0.5, 0.002, 0.002, -0.001):
            made._learn(lost)
            assert not made._resting
        made._learn(0.0025)
        assert made._resting == 8


def test_one_thread_starts_none() -> None:
    set_thread_count(1)
    before = set(threading.enumerate())
    with team_of(CPU) as made:
        assert made is not None and made.size == 1 and set(threading.enumerate()) <= before
        assert made.map(lambda _: threading.get_ident(), range(3)) == [threading.get_ident()] * 3


def test_threads_end_with_their_team() -> None:
    set_thread_count(3)
    before = set(threading.enumerate())
    with pytest.raises(ZeroDivisionError), team_of(CPU):
        assert len(set(threading.enumerate()) - before) == 2
        assert torch.get_num_threads() == 1 and thread_count() == 3
        raise ZeroDivisionError
    assert set(threading.enumerate()) <= before
    assert torch.get_num_threads() == 3 and team() is None


def test_no_room_for_another_thread_leaves_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(threading.Thread):
        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    monkeypatch.setattr(team_module.threading, "Thread", Full)
    set_thread_count(3)
    with team_of(CPU) as made:
        assert made is not None and made.size == 1
        assert made.map(abs, [-1, 2]) == [1, 2]


def test_threads_of_the_caller_have_a_team_each() -> None:
    """torch's number of threads is what it was after the last of them, whichever that is."""
    set_thread_count(2)
    inside = meet(2)
    sizes: list[int] = []
    after: list[int] = []

    def work(first: bool) -> None:
        with team_of(CPU) as made:
            assert made is not None
            inside.wait()
            sizes.append(made.size)
            assert made.map(abs, [-1, -2, -3]) == [1, 2, 3]
            if first:
                left.wait(LONG)
        after.append(torch.get_num_threads())
        left.set()

    left = threading.Event()
    threads = [threading.Thread(target=work, args=(first,)) for first in (True, False)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sizes == [2, 2] and after == [2, 2]
    fresh: list[int] = []
    thread = threading.Thread(target=lambda: fresh.append(thread_count()))
    thread.start()
    thread.join()
    assert fresh == [2] and thread_count() == 2


def test_a_number_of_threads_set_meanwhile_stays() -> None:
    set_thread_count(3)
    with team_of(CPU):
        set_thread_count(2)
        assert torch.get_num_threads() == 1 and thread_count() == 2
    assert torch.get_num_threads() == 2


IN_A_TEAM = """
from bsqcodec.machine.team import team_of
from bsqcodec.machine.threads import set_thread_count
import threading
set_thread_count(3)
cpu = torch.device("cpu")

def doubled():
    with team_of(cpu) as made:
        return made.size, made.map(lambda x: (torch.ones(300, 300) * x).sum().item(), range(9))

expected = 3, [90000.0 * x for x in range(9)]
assert doubled() == expected

def work():
    assert doubled() == expected  # with new threads of its own
    assert torch.get_num_threads() == 1

in_child(work)
with team_of(cpu) as made:
    def inside():
        assert threading.active_count() == 1
        assert made.map(abs, [-1, -2]) == [1, 2]  # the other threads are not there
    in_child(inside)
    assert made.map(abs, [-1, -2]) == [1, 2]
assert torch.get_num_threads() == 3
"""


@pytest.mark.skipif(not hasattr(team_module.os, "fork"), reason="this system has no fork")
def test_a_forked_process_has_its_own() -> None:
    finish(FORK + IN_A_TEAM)


@pytest.mark.parametrize(("height", "width"), [(300, 1000), (560, 200)])
def test_any_number_of_threads_codes_the_same(golden: object, height: int, width: int) -> None:
    """The real sizes of pieces; with three threads the pieces of the prior are others."""
    picture = np.tile(scene(280, 200), (2, 5, 1))[:height, :width]
    found = set()
    for threads in (1, 2, 3, 2):
        codec = Codec(model_path(), device="cpu", threads=threads)
        encoded = codec.encode(picture, Quality(60), verify=True)
        pixels = codec.decode(encoded.data).picture.pixels
        coarse = codec.decode(encoded.data, levels=1).picture.pixels
        found.add((encoded.data, encoded.psnr, pixels.tobytes(), coarse.tobytes()))
        assert torch.get_num_threads() == threads
    assert len(found) == 1
