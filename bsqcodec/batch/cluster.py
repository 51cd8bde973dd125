"""Workers on other machines, by way of a running dask.distributed scheduler and a shared folder.

A dask worker process codes one file at a time, whatever number of threads it has; start one for
every few cores. All machines must see inputs and output under the same paths.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Final

from bsqcodec.batch.errors import BatchError
from bsqcodec.batch.executor import Advance, Event
from bsqcodec.batch.journal import NAME
from bsqcodec.batch.work import Failure, Job, Outcome, attempt, throttled
from bsqcodec.errors import ClusterError
from bsqcodec.machine.dask_scheduler import CONNECT_SECONDS, check_versions, connect

if TYPE_CHECKING:
    from distributed import Client, Future

_LOOK_SECONDS: Final = 1.0
_JOBS_A_WORKER: Final = 2
"""Jobs handed out to a worker process: one in work, and the next, so that it need not wait."""

_one_at_a_time = threading.Lock()


class Cluster:
    """Does jobs on the workers of a dask.distributed scheduler, given by its address."""

    def __init__(self, address: str) -> None:
        self._address = address

    def run(self, jobs: Sequence[Job]) -> Generator[Event, None, None]:
        """Do the jobs; see `Executor`. A job whose worker dies is tried on others by dask.

        Raises BatchError where there is no scheduler or no worker, where a worker has another
        bsqcodec or none, or does not see the output folder, and where the scheduler goes away.
        """
        if not jobs:
            return
        try:
            client = connect(self._address)
        except ClusterError as error:
            raise BatchError(str(error)) from error
        try:
            check_versions(client)
            _check_folder(client, jobs[0])
            yield from _Session(client, jobs).events()
        except BatchError:
            raise
        except ClusterError as error:
            raise BatchError(str(error)) from error
        except Exception as error:  # whatever dask makes of a lost scheduler
            raise BatchError(f"the scheduler at {self._address} is gone") from error
        finally:
            with suppress(Exception):  # whatever a lost scheduler makes of it
                client.close(timeout=CONNECT_SECONDS)


class _Session:
    """Hands jobs out, a few for each worker, and gathers what comes back into one queue."""

    def __init__(self, client: Client, jobs: Sequence[Job]) -> None:
        self._client = client
        self._jobs = jobs
        self._queue: SimpleQueue[tuple[int, Advance | Future[Any]]] = SimpleQueue()
        self._futures: dict[int, Future[Any]] = {}
        self._topic = f"bsqcodec-{jobs[0].journal_id}"

    def events(self) -> Generator[Event, None, None]:
        """What becomes of the jobs; what is not done at the end is cancelled."""
        self._client.subscribe_topic(self._topic, self._hear)
        waiting = iter(range(len(self._jobs)))
        try:
            while True:
                self._hand_out(waiting)
                if not self._futures:
                    return
                try:
                    index, news = self._queue.get(timeout=_LOOK_SECONDS)
                except Empty:
                    self._check_scheduler()
                    continue
                if index not in self._futures:
                    continue
                if isinstance(news, Advance):
                    yield index, news
                else:
                    del self._futures[index]
                    yield index, self._outcome(news)
        finally:
            if self._futures:
                with suppress(Exception):
                    self._client.cancel(list(self._futures.values()), force=True)

    def _hand_out(self, waiting: Iterator[int]) -> None:
        """Submit jobs until each worker has enough."""
        lack = _JOBS_A_WORKER * max(1, len(self._client.nthreads())) - len(self._futures)
        for index in islice(waiting, max(0, lack)):
            future = self._client.submit(
                code_remotely, self._jobs[index], index, self._topic, pure=False
            )
            self._futures[index] = future
            future.add_done_callback(lambda done, index=index: self._queue.put((index, done)))

    def _hear(self, event: tuple[float, tuple[int, float, float | None]]) -> None:
        """Take what a worker says about its progress."""
        index, done, total = event[1]
        self._queue.put((index, Advance(done, total)))

    def _check_scheduler(self) -> None:
        if self._client.status != "running":
            raise BatchError("the scheduler is gone")

    def _outcome(self, future: Future[Any]) -> Outcome:
        """The outcome that a worker gave, or why it could not."""
        self._check_scheduler()
        try:
            outcome: Outcome = future.result(timeout=CONNECT_SECONDS)
        except ModuleNotFoundError as error:
            return Failure(BatchError(f"a worker has no module {error.name}"))
        except Exception as error:  # noqa: BLE001 -- dask's, such as KilledWorker
            return Failure(BatchError(f"the cluster lost it: {type(error).__name__}: {error}"))
        return outcome


def code_remotely(job: Job, index: int, topic: str) -> Outcome:
    """What a dask worker does: one job at a time in its process, with all of its threads."""
    from distributed import get_worker

    worker = get_worker()
    if job.options.threads is None:
        threads = worker.state.nthreads
        job = replace(job, options=replace(job.options, threads=threads))
    report = throttled(lambda done, total: worker.log_event(topic, (index, done, total)))
    with _one_at_a_time:
        return attempt(job, report)


def _check_folder(client: Client, job: Job) -> None:
    """Refuse workers that do not see the output. Those that join later are found out by a job."""
    journals: dict[str, str] = client.run(_first_line, str(Path(job.output) / NAME))
    for address, first in sorted(journals.items()):
        if job.journal_id not in first:
            raise BatchError(
                f"the worker {address} does not see the folder {job.output}; all machines need the"
                " same folders"
            )


def _first_line(path: str) -> str:
    """The first line of a file; empty where it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.readline()
    except OSError:
        return ""
