"""What is done again and what is not: journal, changed sources and options, strangers' files.

Files are "coded" by a stand-in, so that each coding can be counted.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bsqcodec.batch import kinds
from bsqcodec.batch.batch_options import Options, Progress, Summary
from bsqcodec.batch.errors import BatchError
from bsqcodec.batch.executor import Event
from bsqcodec.batch.job import Status, preview, run_batch
from bsqcodec.batch.journal import NAME, Journal
from bsqcodec.batch.kinds import PICTURE
from bsqcodec.batch.plan import make_plan
from bsqcodec.batch.resume import Action
from bsqcodec.batch.work import Job
from bsqcodec.errors import MediaError, OutputExistsError

from ..batch_tools import Inline, Watch, options, temporary_files, tree


class Coding:
    """Stands in for a codec: turns the bytes round. Counts, and fails where it is told to."""

    def __init__(self) -> None:
        self.count = 0
        self.failures: dict[str, Exception] = {}

    def __call__(
        self, source: Path, destination: Path, options: Options, progress: Progress
    ) -> Summary:
        self.count += 1
        progress(0.5, 1)
        destination.write_bytes(source.read_bytes()[::-1])
        if source.name in self.failures:
            raise self.failures[source.name]
        return Summary(frames=1, pixels=100)


@pytest.fixture
def coding(monkeypatch: pytest.MonkeyPatch) -> Coding:
    """Pictures are coded by this from now on."""
    coding = Coding()
    fake = replace(PICTURE, encode=coding, check=lambda *_: "it is a stranger's")
    monkeypatch.setitem(kinds.KIND_OF_NAME, "picture", fake)
    return coding


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with three files below in/."""
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "b.png", "sub/c.png"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(f"contents of {name}".encode())
    return tmp_path


EXPECTED = {
    f"{name}.bsq": f"contents of {name}".encode()[::-1] for name in ("a.png", "b.png", "sub/c.png")
}


def run(source: str = "in", **changes: Any) -> Watch:
    """A batch from in/ to out/ in this process."""
    flags = {name: changes.pop(name) for name in ("resume", "force") if name in changes}
    watch = Watch()
    run_batch(make_plan([source], Path("out")), options(**changes), Inline(), watch, **flags)
    return watch


def entries(destination: str) -> int:
    return len(Journal(Path("out"), locked=False).entries(destination))


# The usual course ---------------------------------------------------------------------------------


def test_what_is_done_is_not_done_again(folder: Path, coding: Coding) -> None:
    watch = run()
    assert watch.names(Status.DONE) == ["a.png", "b.png", "sub/c.png"]
    assert tree(folder / "out") == EXPECTED and temporary_files(folder) == []
    assert watch.advances[0][1].frames == 0.5
    watch = run()
    assert watch.names(Status.SKIPPED) == ["a.png", "b.png", "sub/c.png"]
    assert (watch.begun, coding.count) == ([], 3)
    assert run(resume=False).names(Status.DONE) == ["a.png", "b.png", "sub/c.png"]
    assert coding.count == 6 and tree(folder / "out") == EXPECTED


def test_large_files_come_first(folder: Path, coding: Coding) -> None:
    Path("in/b.png").write_bytes(bytes(1000))
    assert run().begun == ["b.png", "sub/c.png", "a.png"]


def test_a_changed_source_is_done_again(folder: Path, coding: Coding) -> None:
    run()
    Path("in/a.png").write_bytes(b"something else")
    os.utime("in/b.png", (1, 1))  # touched, but the same
    assert run().names(Status.DONE) == ["a.png"]
    assert Path("out/a.png.bsq").read_bytes() == b"something else"[::-1]


def test_a_source_that_moved_is_not_done_again(folder: Path, coding: Coding) -> None:
    run()
    os.rename("in", "elsewhere")
    assert run("elsewhere").names(Status.SKIPPED) == ["a.png", "b.png", "sub/c.png"]


def test_other_options_do_it_again(folder: Path, coding: Coding) -> None:
    run()
    assert run(effort=0).begun != []
    assert run(effort=0).begun == []
    assert run(effort=0, verify=True).begun != []
    assert run(effort=0, verify=True).begun == []
    assert run(effort=0).begun == []


def test_a_lost_output_is_done_again(folder: Path, coding: Coding) -> None:
    run()
    os.unlink("out/b.png.bsq")
    assert run().names(Status.DONE) == ["b.png"]
    assert tree(folder / "out") == EXPECTED


# Files of others ----------------------------------------------------------------------------------


def test_a_file_that_no_batch_wrote_is_kept(folder: Path, coding: Coding) -> None:
    Path("out").mkdir()
    Path("out/a.png.bsq").write_bytes(b"precious")
    watch = run()
    assert watch.names(Status.FAILED) == ["a.png"]
    assert str(watch.results["a.png"].error).endswith(
        "out/a.png.bsq: exists already; it is a stranger's (overwrite with -f)"
    )
    assert Path("out/a.png.bsq").read_bytes() == b"precious"
    assert run(force=True).names(Status.DONE) == ["a.png"]
    assert tree(folder / "out") == EXPECTED


def test_an_output_that_was_changed_is_kept(folder: Path, coding: Coding) -> None:
    run()
    Path("out/a.png.bsq").write_bytes(EXPECTED["a.png.bsq"][:-1])
    watch = run()
    assert watch.names(Status.FAILED) == ["a.png"]
    assert "has changed since it was written" in str(watch.results["a.png"].error)
    assert run(force=True).names(Status.DONE) == ["a.png"]
    assert tree(folder / "out") == EXPECTED


def test_an_output_of_another_source_is_kept(folder: Path, coding: Coding) -> None:
    run()
    Path("more").mkdir()
    Path("more/a.png").write_bytes(b"another picture")
    watch = run("more")
    assert watch.names(Status.FAILED) == ["a.png"]
    assert f"was made from {folder}/in/a.png" in str(watch.results["a.png"].error)
    assert tree(folder / "out") == EXPECTED
    assert run("more", force=True).names(Status.DONE) == ["a.png"]


def test_a_folder_in_the_place_of_an_output(folder: Path, coding: Coding) -> None:
    Path("out/a.png.bsq").mkdir(parents=True)
    watch = run(force=True)
    assert watch.names(Status.FAILED) == ["a.png"] and len(watch.names(Status.DONE)) == 2


def test_a_file_that_appears_meanwhile_is_kept(folder: Path, coding: Coding) -> None:
    class Late(Inline):
        def run(self, jobs: Sequence[Job]) -> Generator[Event, None, None]:
            for event in super().run(jobs):
                Path("out/a.png.bsq").write_bytes(b"precious")
                yield event

    watch = Watch()
    run_batch(make_plan(["in/a.png"], Path("out")), options(), Late(), watch)
    assert isinstance(watch.results["a.png"].error, OutputExistsError)
    assert tree(folder / "out") == {"a.png.bsq": b"precious"}
    assert temporary_files(folder) == []


# Failures -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [MediaError("bad"), RuntimeError("odd"), MemoryError()])
def test_a_failure_does_not_stop_the_others(folder: Path, coding: Coding, error: Exception) -> None:
    coding.failures = {"b.png": error}
    watch = run()
    assert watch.names(Status.FAILED) == ["b.png"]
    assert watch.names(Status.DONE) == ["a.png", "sub/c.png"]
    assert Path(__file__).name in watch.results["b.png"].trace
    assert temporary_files(folder) == []
    coding.failures.clear()
    assert run().names(Status.DONE) == ["b.png"]
    assert tree(folder / "out") == EXPECTED


def test_a_full_disk_stops_the_batch(folder: Path, coding: Coding) -> None:
    coding.failures = {"a.png": OSError(errno.ENOSPC, "No space left on device", "x")}
    watch = run()
    assert (watch.names(Status.DONE), coding.count) == (["sub/c.png"], 2)
    assert (watch.names(Status.FAILED), watch.names(Status.LEFT)) == (["a.png"], ["b.png"])
    assert watch.results["b.png"].error is watch.results["a.png"].error
    assert temporary_files(folder) == []


def test_a_journal_that_cannot_be_written_stops_the_batch(
    folder: Path, coding: Coding, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Journal, "append", full)
    watch = run()
    assert (len(watch.names(Status.FAILED)), len(watch.names(Status.LEFT))) == (1, 2)
    assert tree(folder / "out") == {} and temporary_files(folder) == []


def test_a_source_that_changes_while_it_is_read(
    folder: Path, coding: Coding, monkeypatch: pytest.MonkeyPatch
) -> None:
    def changing(source: Path, *arguments: Any) -> Summary:
        summary = coding(source, *arguments)
        source.write_bytes(b"other")
        return summary

    fake = replace(PICTURE, encode=changing)
    monkeypatch.setitem(kinds.KIND_OF_NAME, "picture", fake)
    watch = run("in/a.png")
    assert str(watch.results["a.png"].error).endswith("in/a.png: changed while it was read")
    assert tree(folder / "out") == {}


# The journal --------------------------------------------------------------------------------------


def test_one_batch_at_a_time(folder: Path, coding: Coding) -> None:
    with (
        closing(Journal(Path("out"), locked=True)),
        pytest.raises(BatchError, match="another batch is writing to"),
    ):
        run()
    assert len(run().names(Status.DONE)) == 3


def test_a_line_that_was_cut_is_as_if_it_were_not_there(folder: Path, coding: Coding) -> None:
    run()
    journal = Path("out", NAME)
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:-1]) + lines[-1][:50])
    assert len(run().names(Status.SKIPPED)) == 2
    os.unlink("out/b.png.bsq")
    os.unlink("out/a.png.bsq")
    assert run().names(Status.DONE) == ["a.png", "b.png"]
    assert entries("a.png.bsq") == 2  # the line after the cut one can be read


@pytest.mark.parametrize("line", [b"[" * 100_000, b'{"destination":' * 100_000, b"\xff\xfe"])
def test_a_line_of_something_else_is_as_if_it_were_not_there(
    folder: Path, coding: Coding, line: bytes
) -> None:
    run()
    with Path("out", NAME).open("ab") as journal:
        journal.write(line + b"\n")
    assert len(run().names(Status.SKIPPED)) == 3


def test_a_journal_of_a_newer_version(folder: Path, coding: Coding) -> None:
    Path("out").mkdir()
    Path("out", NAME).write_text(json.dumps({"journal": "bsqcodec batch", "version": 2}) + "\n")
    with pytest.raises(BatchError, match="was written by a newer bsqcodec"):
        run()


def test_a_preview_changes_nothing(folder: Path, coding: Coding) -> None:
    plan = make_plan(["in"], Path("out"))
    assert {d.action for _, d in preview(plan, options())} == {Action.CODE}
    assert not Path("out").exists()
    run()
    os.unlink("out/b.png.bsq")
    Path("out/a.png.bsq").write_bytes(b"changed")
    before = tree(folder)
    found = {task.name: decision.action for task, decision in preview(plan, options())}
    assert found == {"a.png": Action.REFUSE, "b.png": Action.CODE, "sub/c.png": Action.SKIP}
    assert tree(folder) == before


def test_an_interrupt_while_a_file_is_recorded(
    folder: Path, coding: Coding, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record is written but not yet synced: the file gets its name all the same."""
    fsync = os.fsync

    def interrupted(file: int) -> None:
        fsync(file)
        if b"a.png.bsq" in Path("out", NAME).read_bytes():
            monkeypatch.setattr(os, "fsync", fsync)
            raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run("in/a.png")
    assert tree(folder / "out") == {"a.png.bsq": EXPECTED["a.png.bsq"]}
    assert run("in/a.png").names(Status.SKIPPED) == ["a.png"]
    assert (coding.count, entries("a.png.bsq"), temporary_files(folder)) == (1, 1, [])


# Ends without warning -----------------------------------------------------------------------------


class Killed(BaseException):
    """The process is gone: from here on no call to the system does anything."""


class Death:
    """Lets the first so many calls to the system through, and then none; a write is cut in half."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, calls: int, after: bool) -> None:
        self.left = calls
        self._after = after
        for name in ("open", "write", "fsync", "link", "replace", "unlink", "mkdir"):
            monkeypatch.setattr(os, name, self._mortal(name, getattr(os, name)))

    def _mortal(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def act(*arguments: Any, **named: Any) -> Any:
            self.left -= 1
            if self.left > 0:
                return call(*arguments, **named)
            if self.left == 0 and name == "write":
                call(arguments[0], arguments[1][: len(arguments[1]) // 2])
            elif self.left == 0 and self._after:
                call(*arguments, **named)
            raise Killed

        return act


@pytest.mark.parametrize("again", [False, True], ids=["first-run", "changed-sources"])
def test_death_at_any_call(
    folder: Path, coding: Coding, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    """A run that ends at any call, before or after it, then one that goes on: as if undisturbed.

    What was recorded before the end is not coded after it.
    """
    survived = 0
    for calls in range(1, 200):
        for after in (False, True):
            for path in sorted(Path("out").rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()
            if again:
                for path in Path("in").rglob("*.png"):
                    path.write_bytes(b"as it was")
                run()
                for name in ("a.png", "b.png", "sub/c.png"):
                    Path("in", name).write_text(f"contents of {name}")
            lines = entries("a.png.bsq") + entries("b.png.bsq") + entries("sub/c.png.bsq")
            with monkeypatch.context() as patch:
                death = Death(patch, calls, after)
                try:
                    run()
                except Killed:
                    pass
                ended = death.left <= 0
            recorded = (
                entries("a.png.bsq") + entries("b.png.bsq") + entries("sub/c.png.bsq") - lines
            )
            for name, data in tree(folder / "out").items():
                assert data in (EXPECTED[name], b"as it was"[::-1]), (calls, after)
            coding.count = 0
            watch = run()
            assert watch.names(Status.FAILED) == [], (calls, after)
            assert coding.count == 3 - recorded, (calls, after)
            assert tree(folder / "out") == EXPECTED, (calls, after)
            assert temporary_files(folder) == [], (calls, after)
            survived += not ended
        if survived:
            break
    assert calls > 20 and survived == 2
