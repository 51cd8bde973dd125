"""A process that runs cases, of bounded memory: a line of JSON on standard output for each.

Its argument is the kind of the cases, "all" where it has none.
Standard input: lines "seed first count". It ends with standard input, or with the case that crashes
it; the runner sees to time.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from .material import Material
from .targets import run_case

MEMORY_MIB = 256
"""By how much a case may make the process grow."""

ADDRESSES_MIB = 4096
"""What cases may map in all, so that the machine is safe."""

_PAGE = os.sysconf("SC_PAGE_SIZE")


def resident_mib() -> float:
    """What the process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE / 2**20


def peak_mib() -> float:
    """The most that it has held so far (not Python's ru_maxrss, which begins with the parent's)."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


Run = Callable[[int, int], tuple[str, str]]
"""Runs a case of a seed; gives its target and outcome."""


def measured_case(run: Run, seed: int, number: int) -> dict[str, Any]:
    """What became of a case: target and outcome, or failure; seconds and MiB."""
    before, peak, started = resident_mib(), peak_mib(), time.perf_counter()
    result: dict[str, Any] = {"number": number}
    try:
        result["target"], result["outcome"] = run(seed, number)
    except BaseException:  # noqa: BLE001 - also a KeyboardInterrupt that nobody sent is a failure
        result["failure"] = traceback.format_exc()
    after = peak_mib()
    result["seconds"] = round(time.perf_counter() - started, 4)
    result["mib"] = round(after - before, 1) if after > peak else 0.0
    if result["mib"] > MEMORY_MIB and "failure" not in result:
        result["failure"] = f"it took {result['mib']:.0f} MiB, over {MEMORY_MIB}"
    return result


def limit_addresses() -> None:
    """Let the process map only so much more than it has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * _PAGE + ADDRESSES_MIB * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))


def serve(run: Run) -> None:
    """Run the cases that standard input names."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # a library's message must not get between the answers
    limit_addresses()
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        seed, first, count = map(int, line.split())
        for number in range(first, first + count):
            print(json.dumps(measured_case(run, seed, number)), file=answers, flush=True)


def main() -> None:
    """Serve with mutated files."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="bsqcodec-fuzz-") as folder:
        material = Material(Path(folder))
        material.warm_up()
        serve(partial(run_case, material, kind=(*sys.argv[1:], "all")[0]))


if __name__ == "__main__":
    main()
