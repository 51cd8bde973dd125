"""The command as a whole: help, version, start-up, signals, pipes, terminals."""

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

import bsqcodec
from bsqcodec.cli.console import Console, describe_error, format_bytes
from bsqcodec.cli.main import main
from bsqcodec.errors import (
    BsqError,
    NotCodedError,
    PixelLimitError,
    UnknownKindError,
    UnsupportedVersionError,
    VerifyError,
)

from .conftest import Run

Output = pytest.CaptureFixture[str]


def test_version(capsys: Output) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"bsqcodec {bsqcodec.__version__}\n"


def test_help_lists_the_commands_in_their_order(capsys: Output) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert out.index("  encode ") < out.index("  decode ") < out.index("  info ")


@pytest.mark.parametrize("command", ["encode", "decode", "info"])
def test_every_command_has_help(command: str, capsys: Output) -> None:
    assert main([command, "--help"]) == 0
    assert f"Usage: bsqcodec {command} [OPTIONS] INPUT..." in capsys.readouterr().out


def test_no_command_shows_the_help(capsys: Output) -> None:
    assert main([]) == 2
    assert "Usage: bsqcodec" in capsys.readouterr().err


def test_unknown_command(capsys: Output) -> None:
    assert main(["transmogrify"]) == 2
    err = capsys.readouterr().err
    assert err == ("bsqcodec: error: No such command 'transmogrify' (see bsqcodec --help)\n")


def test_no_input(capsys: Output) -> None:
    assert main(["encode"]) == 2
    assert "Missing argument 'INPUT...'" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["encode", "--help"], ["info", "photo.bsq"]]
)
def test_nothing_heavy_is_imported_for_help_and_info(
    arguments: list[str], photo: Path, fake_codec: ModuleType
) -> None:
    assert main(["encode", "photo.png", "--quiet"]) == 0
    program = (
        "import sys; from bsqcodec.cli.main import main\n"
        f"status = main({arguments!r})\n"
        "heavy = {'torch', 'numpy', 'PIL', 'av', 'constriction', 'tqdm'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else status)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(Path(bsqcodec.__file__).parents[1])},
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_python_m_bsqcodec() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "bsqcodec", "--version"],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(Path(bsqcodec.__file__).parents[1])},
    )
    assert done.stdout == f"bsqcodec {bsqcodec.__version__}\n"


def test_the_whole_way_with_warnings_as_errors(photo: Path, run_process: Run) -> None:
    environment = {"PYTHONWARNINGS": "error"}
    assert run_process("encode", "photo.png", env=environment).returncode == 0
    done = run_process("decode", "photo.bsq", "-f", env=environment)
    assert (done.returncode, done.stderr.count(b"\n")) == (0, 1)


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["INT", "TERM"]
)
def test_signals_leave_nothing_behind(
    number: signal.Signals, status: int, photo: Path, run_process: Run
) -> None:
    environment = {"SIGNAL_DURING_ENCODE": str(int(number))}
    done = run_process("encode", "photo.png", env=environment)
    assert done.returncode == status
    assert b"Traceback" not in done.stderr
    assert os.listdir() == ["photo.png"]


def test_a_reader_that_goes_away_ends_the_run_quietly(photo: Path, run_process: Run) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = run_process(
        "encode", "photo.png", "-o", "-", "--quiet", stdout=writer, stderr=subprocess.PIPE
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")


def test_a_full_disk_is_one_line(photo: Path, run_process: Run) -> None:
    with open("/dev/full", "wb") as full:
        done = run_process("encode", "photo.png", "-o", "-", stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        b"bsqcodec: error: photo.png: standard output: No space left on device"
    )


def test_a_full_disk_under_a_report(photo: Path, run_process: Run) -> None:
    with open("/dev/full", "wb") as full:
        done = run_process("--help", stdout=full, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (
        1,
        b"bsqcodec: error: No space left on device\n",
    )


def test_no_binary_data_to_a_terminal(photo: Path, run_process: Run) -> None:
    terminal, child = pty.openpty()
    try:
        done = run_process("encode", "photo.png", "-o", "-", stdout=child, stderr=subprocess.PIPE)
        assert done.returncode == 2
        assert b"binary data would go to the terminal; use -o FILE" in done.stderr
        done = run_process("encode", "-", "-o", "x.bsq", stdin=child)
        assert done.returncode == 2
        assert b"standard input is a terminal" in done.stderr
    finally:
        os.close(terminal)
        os.close(child)


def test_progress_shows_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    with Console().progress("photo") as progress:
        assert progress is None
    monkeypatch.setattr("bsqcodec.cli.console._PROGRESS_DELAY_SECONDS", 0)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with Console(verbosity=-1).progress("photo") as progress:
        assert progress is None
    with Console().progress("photo") as progress:
        assert progress is not None
        for fraction in (0.25, 1.5):
            time.sleep(0.15)  # it is drawn ten times a second at most
            progress(fraction)
    err = capsys.readouterr().err
    assert "photo:  25%" in err and "photo: 100%" in err


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1 kB"),
        (12_345, "12.3 kB"),
        (999_499, "999 kB"),
        (999_600, "1 MB"),
        (45_600_000, "45.6 MB"),
        (10**15, "1e+03 TB"),
    ],
)
def test_format_bytes(count: int, text: str) -> None:
    assert format_bytes(count) == text


def test_errors_in_words() -> None:
    assert describe_error(FileNotFoundError(2, "No such file", "a.png")) == "a.png: No such file"
    assert describe_error(OSError(28, "No space left on device")) == "No space left on device"
    assert describe_error(MemoryError()) == "not enough memory"


def test_an_error_of_several_lines_becomes_one(capsys: Output) -> None:
    Console().failure("a.png", ValueError("first\nsecond"))
    assert capsys.readouterr().err == "bsqcodec: error: a.png: first second\n"


@pytest.mark.parametrize(
    ("error", "way"),
    [
        (NotCodedError("x"), "bsqcodec encode makes one"),
        (UnknownKindError("x"), "convert it to PNG"),
        (PixelLimitError("x"), "--max-pixels allows more"),
        (UnsupportedVersionError("x"), "pip install --upgrade bsqcodec"),
        (VerifyError("x"), "please report it"),
    ],
)
def test_errors_say_what_to_do(error: BsqError, way: str, capsys: Output) -> None:
    Console().failure("photo.png", error)
    assert capsys.readouterr().err.startswith("bsqcodec: error: photo.png: x; ")
    Console().failure("photo.png", error)
    assert way in capsys.readouterr().err


def test_a_coded_file_is_not_coded_again(
    photo: Path, fake_codec: ModuleType, capsys: Output
) -> None:
    assert main(["encode", "photo.png", "--quiet"]) == 0
    assert main(["encode", "photo.bsq", "-o", "again.bsq"]) == 1
    assert "photo.bsq: a .bsq file, which is coded already; decode it" in capsys.readouterr().err
