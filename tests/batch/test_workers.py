"""Worker processes, here and behind a real dask scheduler: results, deaths, wrong machines."""

from __future__ import annotations

import multiprocessing
import sys
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

import bsqcodec
from bsqcodec import Codec, Quality
from bsqcodec.batch import cluster as cluster_module
from bsqcodec.batch.cluster import Cluster
from bsqcodec.batch.errors import BatchError
from bsqcodec.batch.executor import Advance
from bsqcodec.batch.job import Result, Status, run_batch
from bsqcodec.batch.journal import Journal
from bsqcodec.batch.plan import make_plan
from bsqcodec.batch.pool import ProcessPool
from bsqcodec.batch.work import Coded, Failure, Job, attempt
from bsqcodec.machine import dask_scheduler
from bsqcodec.media.image.image_reader import read_picture

from ..batch_tools import Inline, Watch, options, save_picture, temporary_files, tree
from ..dask_processes import Dask, wait_until
from ..golden_files import model_path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with four pictures below in/ and one that is none."""
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(("a.png", "b.png", "sub/c.png", "sub/d.png")):
        save_picture(tmp_path / "in" / name, number)
    (tmp_path / "in" / "bad.png").write_text("no picture")
    return tmp_path


def jobs(folder: Path, output: str = "out", **changes: object) -> list[Job]:
    """A job for each file below in/, in the order of their names, with the tiny weights."""
    chosen = options(**{"weights": str(model_path()), "device": "cpu", "threads": 1, **changes})
    plan = make_plan(["in"], Path(output))
    with closing(Journal(plan.output, locked=True)) as journal:
        return [Job(task, str(plan.output), journal.id, chosen) for task in plan.tasks]


# Processes of this machine ------------------------------------------------------------------------


def test_processes_code_what_the_codec_codes(folder: Path, codec: Codec) -> None:
    news: dict[int, list[object]] = {}
    with closing(ProcessPool(1).run(work := jobs(folder))) as events:
        for index, what in events:
            news.setdefault(index, []).append(what)
    assert len(news) == 5 and multiprocessing.active_children() == []
    for index, job in enumerate(work):
        *advances, outcome = news[index]
        assert all(isinstance(advance, Advance) for advance in advances)
        if job.task.name == "bad.png":
            assert isinstance(outcome, Failure) and "not a picture" in str(outcome.error)
            continue
        assert advances and isinstance(outcome, Coded)
        temporary = (folder / "out" / job.task.destination).with_name(outcome.temporary)
        expected = codec.encode(read_picture(job.task.source), Quality(50))
        assert temporary.read_bytes() == expected.data
        assert outcome.bytes == len(expected.data)
        assert (outcome.summary.bpp, outcome.summary.frames) == (expected.bpp, 1)
        assert outcome.summary.pixels == expected.width * expected.height


def test_a_worker_that_dies_costs_its_file_only(folder: Path) -> None:
    outcomes: dict[int, object] = {}
    with closing(ProcessPool(1).run(work := jobs(folder)[:3])) as events:
        for index, what in events:
            if isinstance(what, Advance) and index == 0:
                (worker,) = multiprocessing.active_children()
                worker.kill()
            elif not isinstance(what, Advance):
                outcomes[index] = what
    assert isinstance(outcomes[0], Failure) and isinstance(outcomes[1], Coded)
    assert str(outcomes[0].error) == (
        "the worker process died (killed by SIGKILL); is there too little memory? fewer"
        " --workers take less"
    )
    assert work[2].task.name == "bad.png" and isinstance(outcomes[2], Failure)


def test_workers_that_cannot_begin(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bsqcodec.batch.pool._serve", sys.exit)
    with pytest.raises(BatchError, match="a worker process ended before it had begun"):
        list(ProcessPool(1).run(jobs(folder)))


def test_other_weights_than_those_of_the_batch(folder: Path) -> None:
    outcome = attempt(jobs(folder, weights_sha256="0" * 64)[0], lambda *_: None)
    assert isinstance(outcome, Failure)
    assert str(outcome.error).endswith("holds other weights than the batch was started with")


def test_too_few_workers() -> None:
    with pytest.raises(ValueError, match="0 workers are too few"):
        ProcessPool(0)


# A cluster ----------------------------------------------------------------------------------------


class KillAfterFirst(Watch):
    """Kills one of the processes once a file is done."""

    def __init__(self, dask: Dask, name: str) -> None:
        super().__init__()
        self._dask, self._name = dask, name

    def finish(self, result: Result) -> None:
        super().finish(result)
        if result.status is Status.DONE and self._name in self._dask.processes:
            self._dask.kill(self._name)


def has_run_two_functions(log: Path) -> bool:
    """Whether a worker's log says so, which the worker writes a little later."""
    return log.read_text().count("Run out-of-band function") == 2


def test_a_cluster(folder: Path, dask: Dask, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = options(weights=str(model_path()), device="cpu")
    here, there = make_plan(["in"], Path("here")), make_plan(["in"], Path("there"))
    run_batch(here, chosen, Inline(), Watch())

    watch = Watch()  # the whole way: the same files, the same journal
    run_batch(there, chosen, Cluster(dask.address), watch)
    assert watch.names(Status.FAILED) == ["bad.png"]
    assert "not a picture" in str(watch.results["bad.png"].error)
    assert tree(folder / "there") == tree(folder / "here") != {}
    assert {name for name, _ in watch.advances} == set(watch.names(Status.DONE))
    again = Watch()
    run_batch(there, chosen, Inline(), again)
    assert again.begun == ["bad.png"]
    for name in ("first", "second"):
        log = dask.folder / f"{name}.log"
        wait_until(partial(has_run_two_functions, log))

    watch = KillAfterFirst(dask, "second")  # a worker dies: another one does its files
    run_batch(make_plan(["in"], Path("killed")), chosen, Cluster(dask.address), watch)
    assert len(watch.names(Status.DONE)) == 4
    assert tree(folder / "killed") == tree(folder / "here")

    package = dask.folder / "other" / "bsqcodec"  # a worker of another version
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("__version__ = '0.0.9'\n")
    dask.start_worker("other", package.parent)
    watch = Watch()
    run_batch(make_plan(["in"], Path("other")), chosen, Cluster(dask.address), watch)
    assert len(watch.names(Status.LEFT)) == 5
    assert f"has bsqcodec 0.0.9, not {bsqcodec.__version__}" in str(watch.results["a.png"].error)
    dask.kill("other")

    for module in (cluster_module, dask_scheduler):
        monkeypatch.setattr(module, "CONNECT_SECONDS", 1)
    watch = KillAfterFirst(dask, "scheduler")
    plan = make_plan(["in"], Path("lost"))
    run_batch(plan, chosen, Cluster(dask.address), watch)
    left = watch.names(Status.LEFT) + watch.names(Status.FAILED)
    assert len(watch.names(Status.DONE)) + len(left) == 5 and len(left) >= 1
    run_batch(plan, chosen, Inline(), Watch())
    assert tree(folder / "lost") == tree(folder / "here") and temporary_files(folder) == []

    with pytest.raises(BatchError, match=f"no scheduler answers at {dask.address}"):
        list(Cluster(dask.address).run(jobs(folder)))


class FakeClient:
    """A client whose workers give this answer."""

    def __init__(self, answer: object) -> None:
        self._answer = answer

    def run(self, function: object, *arguments: object) -> dict[str, object]:
        return {"tcp://there:1": self._answer}


def test_workers_that_do_not_see_the_folder(folder: Path) -> None:
    with pytest.raises(BatchError, match="the worker tcp://there:1 does not see the folder"):
        cluster_module._check_folder(cast(Any, FakeClient("")), jobs(folder)[0])


def test_a_worker_looks_at_the_journal(folder: Path) -> None:
    job = jobs(folder)[0]
    journal = Journal(Path("out"), locked=False)
    assert job.journal_id in cluster_module._first_line(str(journal.path))
    assert cluster_module._first_line("absent") == ""


def test_a_job_of_another_version(folder: Path) -> None:
    outcome = attempt(replace(jobs(folder)[0], version="9.9"), lambda *_: None)
    assert isinstance(outcome, Failure)
    assert str(outcome.error) == f"a worker has bsqcodec {bsqcodec.__version__}, not 9.9"


def test_a_cluster_without_the_package(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(BatchError, match=r"pip install 'bsqcodec\[cluster\]'"):
        list(Cluster("tcp://127.0.0.1:1").run(jobs(folder)))
