"""The commands are loaded when they are used, and listed as they say themselves."""

import subprocess
import sys
from pathlib import Path

import pytest

import bsqcodec
from bsqcodec.cli.commands import COMMANDS
from bsqcodec.cli.main import cli


def test_the_list_says_what_the_commands_do() -> None:
    said = {name: command.get_short_help_str(1000) for name, command in cli.commands.items()}
    assert said == COMMANDS


@pytest.mark.parametrize(
    ("arguments", "loaded"),
    [(["--help"], set()), (["info", "--help"], {"info"}), (["--version"], set())],
)
def test_no_other_command_is_loaded(arguments: list[str], loaded: set[str]) -> None:
    program = (
        "import sys; from bsqcodec.cli.main import main\n"
        f"main({arguments!r})\n"
        "print(*(name for name in sys.modules if name.startswith('bsqcodec.cli.')))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(Path(bsqcodec.__file__).parents[1])},
    )
    modules = {name.rpartition(".")[2] for name in done.stdout.splitlines()[-1].split()}
    assert modules & set(COMMANDS) == loaded
