"""Output appears whole or not at all, and never in the place of something unexpected."""

import gc
import io
import os
import stat
from pathlib import Path

import pytest

from bsqcodec.errors import OutputExistsError
from bsqcodec.media import files
from bsqcodec.media.files import (
    atomic_folder,
    atomic_output,
    check_output,
    first_bytes,
    open_input,
    open_output,
    replace_suffix,
)

from ..pipes import slow_input


def test_output_is_there_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "out.bsq"
    with atomic_output(path, force=False) as file:
        file.write(b"half")
        file.flush()
        assert not path.exists()
        file.write(b" and half")
    assert path.read_bytes() == b"half and half"
    assert os.listdir(tmp_path) == ["out.bsq"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("existing", [True, False])
def test_a_failure_leaves_nothing_behind(
    error: type[BaseException], existing: bool, tmp_path: Path
) -> None:
    path = tmp_path / "out.bsq"
    if existing:
        path.write_bytes(b"old")
    with pytest.raises(error), atomic_output(path, force=True) as file:
        file.write(b"new")
        raise error
    assert os.listdir(tmp_path) == (["out.bsq"] if existing else [])
    assert not existing or path.read_bytes() == b"old"


def test_without_force_an_existing_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "out.bsq"
    path.write_bytes(b"old")
    with pytest.raises(OutputExistsError, match="exists already"):
        check_output(path, force=False)
    with pytest.raises(OutputExistsError), atomic_output(path, force=False):
        raise AssertionError("the body must not run")
    assert path.read_bytes() == b"old"
    with atomic_output(path, force=True) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_appears_meanwhile_stays(
    links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not links:
        monkeypatch.setattr(files.os, "link", no_links)
    path = tmp_path / "out.bsq"
    with pytest.raises(OutputExistsError), atomic_output(path, force=False) as file:
        file.write(b"mine")
        path.write_bytes(b"theirs")
    assert path.read_bytes() == b"theirs"
    assert os.listdir(tmp_path) == ["out.bsq"]


def no_links(*_: object) -> None:
    raise PermissionError("this file system has no hard links")


def test_a_file_system_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files.os, "link", no_links)
    with atomic_output(tmp_path / "out.bsq", force=False) as file:
        file.write(b"data")
    assert (tmp_path / "out.bsq").read_bytes() == b"data"
    assert os.listdir(tmp_path) == ["out.bsq"]


def test_mode_bits_follow_the_umask_or_the_file_that_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "out.bsq"
    previous = os.umask(0o027)
    try:
        with atomic_output(path, force=False) as file:
            file.write(b"1")
    finally:
        os.umask(previous)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    path.chmod(0o600)
    with atomic_output(path, force=True) as file:
        file.write(b"2")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_symbolic_link_is_followed(tmp_path: Path) -> None:
    target, link = tmp_path / "target.bsq", tmp_path / "link.bsq"
    target.write_bytes(b"old")
    link.symlink_to(target)
    with atomic_output(link, force=True) as file:
        file.write(b"new")
    assert link.is_symlink() and target.read_bytes() == b"new"


def test_a_pipe_is_written_to_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with atomic_output(pipe, force=False) as file:
            file.write(b"data")
        assert os.read(reader, 10) == b"data"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_folder_is_no_output(tmp_path: Path) -> None:
    with pytest.raises(OutputExistsError, match="a folder"):
        check_output(tmp_path, force=True)


def test_errors_name_the_output_not_the_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "none" / "out.bsq"
    with pytest.raises(FileNotFoundError) as caught, atomic_output(path, force=False):
        raise AssertionError("the body must not run")
    assert caught.value.filename == str(path)


class Stream:
    """A stand-in for sys.stdin or sys.stdout."""

    def __init__(self, data: bytes = b"") -> None:
        self.buffer = io.BytesIO(data)


def test_standard_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", Stream(b"in"))
    monkeypatch.setattr("sys.stdout", out := Stream())
    with open_input("-") as source, open_output("-", force=False) as target:
        target.write(source.read())
    assert out.buffer.getvalue() == b"in"


@pytest.mark.parametrize("count", [1, 16, 20, 100])
def test_first_bytes_of_a_slow_pipe(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as are asked for, or all there are, however the pipe cuts them; none is lost."""
    data = bytes(range(20))
    monkeypatch.setattr("sys.stdin", slow_input(data))
    assert first_bytes("-", count) == data[:count]
    assert first_bytes("-", 3) == data[:3]
    gc.collect()  # nothing closes the pipe that was replaced
    with open_input("-") as source:
        assert not source.seekable()
        assert source.read(2) == data[:2]
        assert source.read() == data[2:]


def test_first_bytes_of_a_file_as_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It can still seek, as a video that is read twice needs."""
    (tmp_path / "in").write_bytes(b"0123456789")
    with (tmp_path / "in").open("rb") as file:
        file.seek(2)
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(file))
        assert first_bytes("-", 4) == b"2345"
        with open_input("-") as source:
            assert source.seekable() and source.read() == b"23456789"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("photo.png", "photo.bsq"),
        ("photo.JPEG", "photo.bsq"),
        ("photo.jp2", "photo.bsq"),
        ("photo", "photo.bsq"),
        ("trip.2024", "trip.2024.bsq"),
        ("my.holiday", "my.holiday.bsq"),
        (".hidden", ".hidden.bsq"),
        ("a.b/photo", "a.b/photo.bsq"),
    ],
)
def test_replace_suffix(name: str, expected: str) -> None:
    assert replace_suffix(Path(name), ".bsq") == Path(expected)


# Folders ------------------------------------------------------------------------------------------


def write_numbers(path: Path, count: int = 3) -> None:
    """Files as a writer of numbered pictures makes them."""
    for number in range(count):
        name = path.with_name(path.name % number) if "%" in path.name else path / f"{number}"
        name.write_text(f"new {number}")


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "frames", force=False) as folder:
        write_numbers(folder)
        assert not (tmp_path / "frames").exists()
    assert [p.name for p in sorted((tmp_path / "frames").iterdir())] == ["0", "1", "2"]
    assert os.listdir(tmp_path) == ["frames"]


@pytest.mark.parametrize("name", ["frames", "frames/x%d.png"])
def test_a_folder_does_not_appear_in_part(tmp_path: Path, name: str) -> None:
    (tmp_path / "frames").mkdir()
    with pytest.raises(ZeroDivisionError), atomic_folder(tmp_path / name, force=False) as folder:
        write_numbers(folder)
        raise ZeroDivisionError
    assert os.listdir(tmp_path / "frames") == []
    assert os.listdir(tmp_path) == ["frames"]


def test_a_pattern_within_a_folder(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("stays")
    with atomic_folder(tmp_path / "x%d.png", force=False) as pattern:
        assert pattern.name == "x%d.png"
        write_numbers(pattern)
    assert sorted(os.listdir(tmp_path)) == ["other", "x0.png", "x1.png", "x2.png"]


def test_files_of_a_folder_are_replaced_only_by_force(tmp_path: Path) -> None:
    (tmp_path / "x1.png").write_text("old")
    with (
        pytest.raises(OutputExistsError, match=r"x1\.png: exists already"),
        atomic_folder(tmp_path / "x%d.png", force=False) as pattern,
    ):
        write_numbers(pattern)
    assert os.listdir(tmp_path) == ["x1.png"]
    with pytest.raises(OutputExistsError), atomic_folder(tmp_path, force=False):
        pytest.fail("the folder is not empty")
    with pytest.raises(OutputExistsError), atomic_folder(tmp_path / "x1.png", force=True):
        pytest.fail("it is a file")
    with atomic_folder(tmp_path / "x%d.png", force=True) as pattern:
        write_numbers(pattern)
    assert (tmp_path / "x1.png").read_text() == "new 1"
