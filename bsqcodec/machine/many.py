"""Many pieces of work that have nothing to do with each other, such as pictures, on all threads.

One piece a thread waits for nothing, whereas a team's threads wait for each other at every step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from bsqcodec.machine.team import work_alone
from bsqcodec.machine.threads import operations_on_one_thread, thread_count

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_each(function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Return what a function makes of each item, in their order; each is done on one thread.

    With fewer items than threads they are done one after the other, by a team each. Raises what the
    function does for the first item that fails, with a note on which that is; then not all of the
    others are begun.
    """
    numbered = list(enumerate(items))

    def noted(numbered_item: tuple[int, Item]) -> Result:
        number, item = numbered_item
        try:
            return function(item)
        except Exception as error:
            error.add_note(f"this is about item {number} of {len(numbered)}, counted from 0")
            raise

    threads = thread_count()
    if threads == 1 or len(numbered) < threads:
        return [noted(item) for item in numbered]
    return _on_threads(noted, numbered, threads)


def _on_threads(
    function: Callable[[Item], Result], items: Sequence[Item], threads: int
) -> list[Result]:
    with (
        operations_on_one_thread(),
        ThreadPoolExecutor(threads, "bsqcodec", initializer=work_alone) as pool,
    ):
        return list(pool.map(function, items))
