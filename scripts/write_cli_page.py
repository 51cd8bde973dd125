"""Write docs/CLI.md from the commands themselves: python scripts/write_cli_page.py

tests/test_cli_page.py checks that the page is current.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import click

from bsqcodec.cli.main import cli
from bsqcodec.cli.option_groups import grouped_rows

PAGE = Path(__file__).parents[1] / "docs" / "CLI.md"
WIDTH = 104  # characters of a line of prose
HEAD = """\
# The commands

Written by `python scripts/write_cli_page.py` from the commands' own help; do not edit.

[PICTURES.md](PICTURES.md), [VIDEO.md](VIDEO.md) and [BATCH.md](BATCH.md) say more about what the
commands do. Exit status: 0 if all went well; 1 for bad data, a target that cannot be met, or a file
that cannot be read or written; 2 for wrong usage; 130 if interrupted. Each error is one line on
standard error. A wheel installs the same as man pages (`man bsqcodec-encode`).
"""


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, *_sections(cli, "bsqcodec", None)])


def _sections(command: click.Command, path: str, parent: click.Context | None) -> Iterator[str]:
    """A command and, for a group, each of its commands in the order of its help."""
    name = path.split()[-1]
    with command.make_context(name, [], parent=parent, resilient_parsing=True) as context:
        usage = " ".join([path, *command.collect_usage_pieces(context)])
        yield f"## {path}\n\n    {usage}\n\n{_prose(command.help or '')}\n{_options(context)}"
        if isinstance(command, click.Group):
            for child_name in command.list_commands(context):
                child = command.get_command(context, child_name)
                if child is not None and not child.hidden:
                    yield from _sections(child, f"{path} {child_name}", context)


def _prose(text: str) -> str:
    """A command's help as Markdown; paragraphs that begin with \\b are kept as they are."""
    parts = []
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        lines = paragraph.splitlines()
        if lines[0].strip() == "\b":
            parts.append("\n".join(f"    {line.strip()}" for line in lines[1:]))
        else:
            parts.append(textwrap.fill(" ".join(line.strip() for line in lines), WIDTH))
    return "\n\n".join(parts) + "\n"


def _options(context: click.Context) -> str:
    """A table of the options of a command, in groups."""
    rows = ["| option | |", "|---|---|"]
    for title, some in grouped_rows(context):
        rows.append(f"| **{title}** | |")
        for row in some:
            names, text = (part.replace("  [", " [").replace("|", "\\|") for part in row)
            rows.append(f"| `{names}` | {text.replace('<', '&lt;')} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
