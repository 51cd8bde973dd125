"""A batch from its beginning to its end: what is done already, who does the rest, what came out."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from bsqcodec.batch.batch_options import Options
from bsqcodec.batch.errors import BatchError
from bsqcodec.batch.executor import Advance, Executor
from bsqcodec.batch.journal import Journal
from bsqcodec.batch.plan import Plan, Task
from bsqcodec.batch.publish import publish, settle
from bsqcodec.batch.resume import Action, Decision, decide, find_leftovers
from bsqcodec.batch.work import Coded, Failure, Job, Outcome
from bsqcodec.errors import BsqError, OutputExistsError


class Status(Enum):
    """What became of a file. SKIPPED: it was done before. LEFT: the batch ended before its turn."""

    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"
    LEFT = "left"


@dataclass(frozen=True)
class Result:
    """What became of a task.

    coded: of one that is done. error: of one that failed, and why the batch ended for one that is
    left (None where it was interrupted). trace: of the error, in the worker. seconds: of work.
    """

    task: Task
    status: Status
    coded: Coded | None = None
    error: BsqError | OSError | MemoryError | None = None
    trace: str = ""
    seconds: float = 0.0


class Watcher(Protocol):
    """Takes the events of a batch; every task is finished once, whatever happens."""

    def check(self, done: int, total: int) -> None:
        """So many of the tasks have been looked at, to see whether they are done already."""
        ...

    def begin(self, tasks: Sequence[Task]) -> None:
        """These will now be coded."""
        ...

    def advance(self, task: Task, advance: Advance) -> None:
        """A task goes on."""
        ...

    def finish(self, result: Result) -> None:
        """A task is over."""
        ...


def preview(
    plan: Plan, options: Options, *, resume: bool = True, force: bool = False
) -> list[tuple[Task, Decision]]:
    """Tell what `run_batch` would do with each task, and change nothing.

    Raises BatchError for a journal of a newer version, OSError for one that cannot be read.
    """
    journal = Journal(plan.output, locked=False)
    waiting = find_leftovers(plan.output, journal, force=force).waiting
    decisions = []
    for task in plan.tasks:
        path = waiting.get(task.destination, plan.output / task.destination)
        entries = journal.entries(task.destination)
        decision = decide(task, path, entries, options, resume=resume, force=force)
        decisions.append((task, decision))
    return decisions


def run_batch(
    plan: Plan,
    options: Options,
    executor: Executor,
    watcher: Watcher,
    *,
    resume: bool = True,
    force: bool = False,
) -> None:
    """Do what a plan says, and report to the watcher.

    resume: leave out what is done. force: replace files that no batch wrote, that have changed
    since, or that come from another source. A file that fails does not stop the others; a full
    disk does. An interrupt ends it at once, with all that is done recorded.

    Raises BatchError where another batch is writing to the same folder, OSError where the folder
    cannot be written to.
    """
    with closing(Journal(plan.output, locked=True)) as journal:
        settle(plan.output, journal, force=force)
        work = _Work(plan, options, journal, watcher)
        try:
            work.choose(resume=resume, force=force)
            work.run(executor)
        finally:
            work.leave_the_rest()
            with suppress(OSError):
                journal.reload()
                settle(plan.output, journal, force=force)


class _Work:
    """One run: the tasks that are not finished, and what made it end early."""

    def __init__(self, plan: Plan, options: Options, journal: Journal, watcher: Watcher) -> None:
        self._plan = plan
        self._options = options
        self._journal = journal
        self._watcher = watcher
        self._open = {task.destination: task for task in plan.tasks}
        self._chosen: list[tuple[Task, Decision]] = []
        self._ended_by: BsqError | OSError | MemoryError | None = None

    def choose(self, *, resume: bool, force: bool) -> None:
        """Finish the tasks that are done already, or must not be done, and keep the others."""
        for number, task in enumerate(self._plan.tasks):
            self._watcher.check(number, len(self._plan.tasks))
            path = self._plan.output / task.destination
            entries = self._journal.entries(task.destination)
            decision = decide(task, path, entries, self._options, resume=resume, force=force)
            if decision.action is Action.CODE:
                self._chosen.append((task, decision))
            elif decision.action is Action.REFUSE:
                self._finish(Result(task, Status.FAILED, error=decision.error))
            else:
                if decision.entry is not None:
                    self._journal.append(decision.entry)
                self._finish(Result(task, Status.SKIPPED))
        self._chosen.sort(key=lambda pair: -pair[0].source_bytes)  # so that none is late at the end

    def run(self, executor: Executor) -> None:
        """Have the tasks done that are to be done."""
        self._watcher.begin([task for task, _ in self._chosen])
        output, journal_id = str(self._plan.output), self._journal.id
        jobs = [Job(task, output, journal_id, self._options) for task, _ in self._chosen]
        try:
            with closing(executor.run(jobs)) as events:
                for index, news in events:
                    if isinstance(news, Advance):
                        self._watcher.advance(jobs[index].task, news)
                        continue
                    self._close(jobs[index], news, replace=self._chosen[index][1].replace)
                    if self._ended_by is not None:
                        return
            if self._open:
                raise BatchError("the workers ended without a result")
        except BatchError as error:
            self._ended_by = error

    def leave_the_rest(self) -> None:
        """Finish the tasks that are not going to be done."""
        for task in list(self._open.values()):
            self._finish(Result(task, Status.LEFT, error=self._ended_by))

    def _close(self, job: Job, outcome: Outcome, *, replace: bool) -> None:
        """Publish what was coded, and finish the task."""
        task = job.task
        if isinstance(outcome, Failure):
            if outcome.ends_batch:
                self._ended_by = outcome.error
            self._finish(
                Result(
                    task,
                    Status.FAILED,
                    error=outcome.error,
                    trace=outcome.trace,
                    seconds=outcome.seconds,
                )
            )
            return
        try:
            publish(job, outcome, self._journal, replace=replace)
        except OutputExistsError as error:
            self._finish(Result(task, Status.FAILED, error=error, seconds=outcome.seconds))
        except OSError as error:
            self._ended_by = error
            self._finish(Result(task, Status.FAILED, error=error, seconds=outcome.seconds))
        else:
            self._finish(Result(task, Status.DONE, coded=outcome, seconds=outcome.seconds))

    def _finish(self, result: Result) -> None:
        del self._open[result.task.destination]
        self._watcher.finish(result)
