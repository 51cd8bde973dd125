"""docs/CLI.md is what the commands say of themselves."""

import runpy
from pathlib import Path
from typing import Any

import click
import pytest

from bsqcodec.cli.main import cli

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    """The names that scripts/write_cli_page.py defines."""
    return runpy.run_path(str(ROOT / "scripts" / "write_cli_page.py"))


def test_the_page_is_current(script: dict[str, Any]) -> None:
    written = (ROOT / "docs" / "CLI.md").read_text(encoding="utf-8")
    assert written == script["page"](), "run python scripts/write_cli_page.py"


def test_every_command_and_option_is_on_the_page(script: dict[str, Any]) -> None:
    page = script["page"]()
    for name, command in cli.commands.items():
        _, _, rest = page.partition(f"\n## bsqcodec {name}\n")
        section = rest.partition("\n## ")[0]
        for parameter in command.params:
            if isinstance(parameter, click.Option) and not parameter.hidden:
                assert all(option in section for option in parameter.opts), (name, parameter)
