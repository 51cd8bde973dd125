"""Small files that claim to be huge or thin: one line says so, before memory is taken for them."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

CASES = Path(__file__).parents[1] / "cases"
FRAMES = {"vthin250m": "1 x 250000000", "vthin4m": "1 x 4000000", "v256m": "16000 x 16000"}
PICTURES = {"h256m": "16000 x 16000", "hthin4m": "1 x 4000000"}
MIB = 2**20
REFUSED_MIB = 200
"""What Python and the libraries that look at a header take; the weights alone are as large."""


COMMAND = """
import sys
from bsqcodec.cli.main import main
status = main(sys.argv[1:])
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(peak.split()[1])
sys.exit(status)
"""
"""The command line; then the largest resident memory of its process in KiB, on standard output."""

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="the system does not tell a process's peak so"
)


@dataclass(frozen=True)
class Ran:
    """How a command ended: its status, its standard error, and its largest resident memory."""

    status: int
    err: str
    peak_mib: float


def run(*arguments: str, address_space: int | None = None) -> Ran:
    """Run the command in a process of its own, of at most so many bytes of addresses."""

    def limited() -> None:
        if address_space is not None:
            resource.setrlimit(resource.RLIMIT_AS, (address_space, address_space))

    done = subprocess.run(
        [sys.executable, "-c", COMMAND, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        preexec_fn=limited,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        timeout=300,
        check=False,
    )
    return Ran(done.returncode, done.stderr, int(done.stdout.splitlines()[-1]) / 1024)


@pytest.mark.parametrize("options", [(), ("--partial",)], ids=["strict", "partial"])
@pytest.mark.parametrize("name", [*FRAMES, *PICTURES])
def test_a_file_that_claims_to_be_huge(name: str, options: tuple[str, ...], tmp_path: Path) -> None:
    out = tmp_path / ("out.mkv" if name in FRAMES else "out.png")
    done = run("decode", *options, str(CASES / f"{name}.bsq"), "-o", str(out))
    assert done.status == 1
    assert done.err.count("\n") == 1 and done.err.startswith("bsqcodec: error: ")
    assert (FRAMES | PICTURES)[name] in done.err
    assert re.search(
        r"may take [\d.]+ GB of memory, over the limit of [\d.]+ GB; --max-memory allows more$"
        r"|is padded to 32000000000 pixels, over the limit of 512000000$",
        done.err,
        re.MULTILINE,
    )
    assert not out.exists()
    assert done.peak_mib < REFUSED_MIB


@pytest.mark.parametrize("name", ["v256m", "h256m"])
def test_in_a_process_that_can_have_little(name: str, tmp_path: Path) -> None:
    """The limit is what the process can have, if that is less than the default one."""
    out = tmp_path / ("out.mkv" if name in FRAMES else "out.png")
    source = str(CASES / f"{name}.bsq")
    done = run("decode", source, "-o", str(out), address_space=3000 * MIB)
    assert done.status == 1 and done.err.count("\n") == 1
    found = re.search(r"over the limit of ([\d.]+) GB; --max-memory", done.err)
    assert found is not None and float(found[1]) < 4.2
    assert done.peak_mib < REFUSED_MIB


@pytest.mark.parametrize("name", [*FRAMES, *PICTURES])
def test_what_such_a_file_says_is_told(name: str) -> None:
    """Nothing is decoded for that, so it takes no memory either."""
    done = run("info", str(CASES / f"{name}.bsq"))
    assert done.status == 0 and done.err == ""
    assert done.peak_mib < REFUSED_MIB


def test_a_smaller_limit_can_be_asked_for(tmp_path: Path) -> None:
    """Of 16 x 16 pixels, for which libraries and weights are nearly all."""
    source = str(CASES / "pts_equal.bsq")
    done = run("decode", source, "-o", str(tmp_path / "out.mkv"), "--max-memory", "900M")
    assert done.status == 1 and done.err.count("\n") == 1
    assert "decoding frames of 16 x 16 pixels may take 1.01 GB of memory" in done.err
    assert "over the limit of 0.9 GB; --max-memory allows more" in done.err
    done = run("decode", source, "-o", str(tmp_path / "out.mkv"), "--max-memory", "1.1G")
    assert done.status == 0
    assert done.peak_mib * MIB < 1_100_000_000


@pytest.mark.parametrize("name", ["vthin4m", "hthin4m"])
def test_a_limit_that_is_larger_than_what_there_is(name: str, tmp_path: Path) -> None:
    """Whoever allows more than the process can have gets one line as well."""
    out = tmp_path / ("out.mkv" if name in FRAMES else "out.png")
    arguments = ["decode", str(CASES / f"{name}.bsq"), "-o", str(out), "--threads", "1"]
    done = run(*arguments, "--max-memory", "1000G", address_space=4096 * MIB)
    assert done.status == 1 and done.err.count("\n") == 1
    assert "there is not enough memory for this" in done.err
    assert not out.exists()
