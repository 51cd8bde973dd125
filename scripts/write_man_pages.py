"""Write docs/man/*.1 from the commands themselves: python scripts/write_man_pages.py

tests/test_man_pages.py checks that the pages are current. A wheel installs them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click

from bsqcodec import __version__
from bsqcodec.cli.main import cli
from bsqcodec.cli.option_groups import grouped_rows

FOLDER = Path(__file__).parents[1] / "docs" / "man"
EXIT_STATUS = {
    "0": "all went well",
    "1": "bad data, a target that cannot be met, or a file that cannot be read or written",
    "2": "wrong usage",
    "130": "interrupted",
}


def pages() -> dict[str, str]:
    """The pages by the names of their files."""
    return dict(_pages(cli, "bsqcodec", None))


def _pages(
    command: click.Command, path: str, parent: click.Context | None
) -> Iterator[tuple[str, str]]:
    name = path.split()[-1]
    with command.make_context(name, [], parent=parent, resilient_parsing=True) as context:
        title = path.replace(" ", "-")
        yield f"{title}.1", "\n".join([*_page(context, path, title), ""])
        for child_name, child in _children(context):
            yield from _pages(child, f"{path} {child_name}", context)


def _children(context: click.Context) -> list[tuple[str, click.Command]]:
    """The commands of a group, in the order of its help."""
    if not isinstance(context.command, click.Group):
        return []
    names = context.command.list_commands(context)
    found = ((name, context.command.get_command(context, name)) for name in names)
    return [(name, child) for name, child in found if child is not None and not child.hidden]


def _page(context: click.Context, path: str, title: str) -> Iterator[str]:
    """The lines of the page of a command."""
    command = context.command
    yield f'.TH {_escaped(title.upper())} 1 "" "bsqcodec {__version__}" "bsqcodec"'
    yield ".SH NAME"
    yield f"{_escaped(title)} \\- {_line(command.get_short_help_str(200).rstrip('.'))}"
    yield ".SH SYNOPSIS"
    pieces = _escaped(" ".join(command.collect_usage_pieces(context)))
    yield f"\\fB{_escaped(path)}\\fR {pieces}"
    yield ".SH DESCRIPTION"
    yield from _prose(command.help or "")
    children = _children(context)
    if children:
        yield ".SH COMMANDS"
    for name, child in children:
        yield from (".TP", f"\\fB{_escaped(f'{title}-{name}')}\\fR(1)")
        yield _line(child.get_short_help_str(200))
    yield ".SH OPTIONS"
    for group, rows in grouped_rows(context):
        yield f".SS {_escaped(group)}"
        for names, text in rows:
            yield from (".TP", f"\\fB{_escaped(names)}\\fR", _line(text))
    yield ".SH EXIT STATUS"
    for status, text in EXIT_STATUS.items():
        yield from (".TP", status, _line(text))
    if context.parent is not None:
        yield from (".SH SEE ALSO", "\\fBbsqcodec\\fR(1)")


def _prose(text: str) -> Iterator[str]:
    """A command's help; paragraphs that begin with \\b keep their lines."""
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        lines = [line.strip() for line in paragraph.splitlines()]
        yield ".PP"
        if lines[0] == "\b":
            yield from (".nf", *map(_line, lines[1:]), ".fi")
        else:
            yield _line(" ".join(lines))


def _line(text: str) -> str:
    """A line of text, which roff does not take for a request."""
    escaped = _escaped(text)
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


def _escaped(text: str) -> str:
    return text.replace("\\", "\\e").replace("-", "\\-")


if __name__ == "__main__":
    made = pages()
    FOLDER.mkdir(exist_ok=True)
    for file in FOLDER.glob("*.1"):
        if file.name not in made:
            file.unlink()
    for name, page in made.items():
        (FOLDER / name).write_text(page, encoding="utf-8")
        print(FOLDER / name)
