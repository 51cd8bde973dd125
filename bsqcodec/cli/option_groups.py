"""Options in groups: what the help, the page of commands and the man pages list together.

A new option of a command is named in `GROUPS`; `tests/cli/test_option_groups.py` says where one is
missing.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import click

Row: TypeAlias = tuple[str, str]
"""An option as its help shows it, and what it does."""

GROUPS: Final = {
    "Rate": ("quality", "qualities", "bpp", "size", "psnr", "bitrate"),
    "Quality": (
        "rivals",
        "effort",
        "tune",
        "look",
        "pixel_checksum",
        "model",
        "levels",
        "bits",
        "verify",
    ),
    "Video": (
        *("as_video", "start", "duration", "gop", "audio", "frame_size", "fps", "pix_fmt"),
        *("encoder", "crf", "lossless"),
    ),
    "Drawing": ("drawn_size", "source", "mask", "seed", "steps", "temperature"),
    "Part": ("crop",),
    "Damage": ("partial", "no_fill"),
    "Batch": ("direction", "hidden", "resume", "dry_run"),
    "Output": (
        *(
            "thumbnail",
            "viewer",
            "output",
            "page",
            "naming",
            "format_name",
            "formats",
            "strip",
            "force",
        ),
        *("as_json", "log", "quiet", "verbose", "version", "help"),
    ),
    "Machine": (
        "workers",
        "scheduler",
        "device",
        "threads",
        "weights",
        "lpips",
        "max_pixels",
        "max_memory",
    ),
}
"""Names of parameters by the title of their group, in the order of the help."""

OTHERS: Final = "Other options"


class GroupedCommand(click.Command):
    """A command whose help lists its options in groups."""

    def get_help_option_names(self, ctx: click.Context) -> list[str]:
        return ["-h", "--help"]  # whatever context asks first, since click keeps the answer

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, rows in grouped_rows(ctx):
            with formatter.section(title):
                formatter.write_dl(rows)


def group_of(parameter: click.Parameter) -> str:
    """Return the title of a parameter's group."""
    name = "help" if "--help" in parameter.opts else parameter.name  # which click makes up
    return next((title for title, names in GROUPS.items() if name in names), OTHERS)


def grouped_rows(context: click.Context) -> list[tuple[str, list[Row]]]:
    """Return the options of the command of a context, by the titles of their groups."""
    rows: dict[str, list[Row]] = {title: [] for title in (*GROUPS, OTHERS)}
    for parameter in context.command.get_params(context):
        row = parameter.get_help_record(context)
        if row is not None and isinstance(parameter, click.Option):
            rows[group_of(parameter)].append(row)
    return [(title, some) for title, some in rows.items() if some]
