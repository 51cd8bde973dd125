"""What a result file says about where it comes from: versions, machine, commit, command."""

import datetime
import os
import platform
import shlex
import subprocess
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path, PurePath
from typing import Any

LIBRARIES = ("pillow", "numpy", "torch", "pytorch-msssim")


def versions(extra: Iterable[str] = ()) -> dict[str, str]:
    """Versions of Python and of the libraries that measure, and of the `extra` distributions."""
    found = {"python": platform.python_version()}
    for name in (*LIBRARIES, *extra):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def machine() -> dict[str, Any]:
    """The processor and the number of its cores that this process may use."""
    usable = getattr(os, "sched_getaffinity", None)
    cores = len(usable(0)) if usable else os.cpu_count()
    return {"cpu": cpu_model(), "cores": cores, "system": platform.system()}


def cpu_model() -> str:
    """The processor's name with its family and model numbers, as names alone may say little."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    found: dict[str, str] = {}
    for line in lines:
        key, _, value = line.partition(":")
        found.setdefault(key.strip(), value.strip())
    if "model name" not in found:
        return platform.processor() or platform.machine()
    numbers = f"family {found.get('cpu family', '?')} model {found.get('model', '?')}"
    return f"{found['model name']} ({numbers})"


def commit(folder: Path = Path(__file__).parent) -> str:
    """The commit that `folder` is checked out at, "-changed" if files differ; or "unknown"."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "HEAD")[:12] + ("-changed" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def today() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d")


def portable_command(module: str, arguments: Sequence[str]) -> str:
    """The command line, with absolute paths cut down to their last part."""
    shown = []
    for argument in arguments:
        option, equals, value = argument.rpartition("=")
        if PurePath(value).is_absolute():
            value = PurePath(value).name
        shown.append(option + equals + value)
    return shlex.join(["python", "-m", module, *shown])
