"""Pieces of work on all threads: in order, at the same time, and what fails is named."""

import threading
from collections.abc import Iterator

import pytest
import torch

from bsqcodec.machine.many import map_each
from bsqcodec.machine.team import team_of
from bsqcodec.machine.threads import set_thread_count

LONG = 60


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    set_thread_count(2)
    yield
    torch.set_num_threads(before)


def test_items_are_worked_on_at_the_same_time_and_each_alone() -> None:
    here = threading.Barrier(2, timeout=LONG)
    sizes = []

    def work(item: int) -> int:
        here.wait()
        with team_of(torch.device("cpu")) as team:
            sizes.append((team.size if team else 0, torch.get_num_threads()))
        return item * item

    assert map_each(work, range(6)) == [0, 1, 4, 9, 16, 25]
    assert sizes == [(1, 1)] * 6
    assert torch.get_num_threads() == 2


def test_a_single_item_has_a_team() -> None:
    def size(item: int) -> int:
        with team_of(torch.device("cpu")) as team:
            return team.size if team else 0

    assert map_each(size, [0]) == [2]
    assert map_each(size, []) == []


@pytest.mark.parametrize("count", [1, 9])
def test_what_fails_is_named(count: int) -> None:
    def work(item: int) -> int:
        if item == count - 1:
            raise ValueError("broken")
        return item

    with pytest.raises(ValueError, match="broken") as caught:
        map_each(work, range(count))
    assert caught.value.__notes__ == [f"this is about item {count - 1} of {count}, counted from 0"]
