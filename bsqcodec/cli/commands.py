"""The commands: their names, what the help says of each, and loading the one that is used.

A command is a module of its name in this folder, with a function of that name.
"""

from __future__ import annotations

import importlib
from collections.abc import MutableMapping
from typing import Final, cast

import click

COMMANDS: Final = {
    "encode": "Code pictures and videos as .bsq files.",
    "decode": "Decode .bsq files to pictures and videos.",
    "info": "Tell what is in .bsq files.",
    "verify": "Check .bsq files by all of their checksums, and write nothing.",
    "batch": "Code all the files of folders, and mirror their tree.",
    "compare": "Measure how far B is from A, two pictures or two videos of one size.",
    "sweep": (
        "Show what each quality costs and how good it looks, beside other codecs at equal size."
    ),
    "view": "Show a picture or play a video, or write a thumbnail of it.",
    "tokens": "Write the tokens of pictures: one code of so many bits for each patch.",
    "generate": "Draw a picture, or what is missing in one, with the model of the BSQ family.",
    "completion": "Print the script by which a shell completes commands, options and file names.",
}
"""The first sentences of the commands' own help, so that listing them loads none."""


class LazyCommands(click.Group):
    """A group of `COMMANDS`, in their order."""

    @property
    def commands(self) -> MutableMapping[str, click.Command]:
        """All commands; this loads them."""
        return {name: _load(name) for name in COMMANDS}

    @commands.setter
    def commands(self, commands: MutableMapping[str, click.Command]) -> None:
        """A group's constructor sets them; there are no others than `COMMANDS`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return _load(cmd_name) if cmd_name in COMMANDS else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _load(name: str) -> click.Command:
    return cast(click.Command, getattr(importlib.import_module(f"bsqcodec.cli.{name}"), name))
