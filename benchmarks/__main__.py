"""`python -m benchmarks`: measure, draw and report; --help lists the commands."""

from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import click

from benchmarks import (
    crops,
    filling,
    machine_speed,
    plot,
    report,
    run,
    runtime,
    side_by_side,
    speed,
    tokenizer,
)
from benchmarks.datasets import CLIP_SETS, PICTURE_SETS, DatasetError
from benchmarks.datasets.sequences import MCL_JCV, UVG, Sequence1080, write_stand_in

PUBLISHED_SETS = ("kodak", "uvg", "uvg-360p", "mcl-jcv", "mcl-jcv-360p")


@click.group(invoke_without_command=True)
@click.pass_context
def main(context: click.Context) -> None:
    """Rate-distortion benchmarks of bsqcodec and its anchors.

    Without a command: measures every published data set that is found in BSQCODEC_DATA, the
    tokenizer and the crops, then draws and reports.
    """
    if context.invoked_subcommand is None:
        everything(context)


def everything(context: click.Context) -> None:
    """Run all commands on what data there is, and say what is left out."""
    for name in PUBLISHED_SETS:
        try:
            context.invoke(run.main, **defaults(run.main, dataset_name=name))
        except click.ClickException as error:
            click.echo(f"left out: {error.message}", err=True)
    rest: tuple[tuple[click.Command, dict[str, object]], ...] = (
        (tokenizer.main, {}),
        (tokenizer.main, {"family": "bsq"}),
        (filling.main, {}),
        (crops.main, {}),
        (plot.main, {}),
        (report.main, {}),
    )
    for command, changed in rest:
        try:
            context.invoke(command, **defaults(command, **changed))
        except click.ClickException as error:
            click.echo(f"left out: {error.message}", err=True)


def defaults(command: click.Command, **changed: object) -> dict[str, object]:
    """The values of a command's options when none is given, environment included."""
    with command.make_context(command.name, []) as context:
        return {**context.params, **changed}


@click.command("datasets")
@run.data_option
def datasets_command(data: Path | None) -> None:
    """List what the published data sets consist of, and which of them are found."""
    sequences: dict[str, tuple[Sequence1080, ...]] = {"uvg": UVG, "mcl-jcv": MCL_JCV}
    for name in PUBLISHED_SETS:
        try:
            open_set: Any = {**PICTURE_SETS, **CLIP_SETS}[name]
            click.echo(f"{name}: found, {len(open_set(data).items)} items")
        except DatasetError as error:
            click.echo(f"{name}: {error}")
        for sequence in sequences.get(name, ()):
            click.echo(f"  {sequence.file}, {sequence.frames} frames")


@click.command("stand-in")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--only", metavar="PATTERN", default="*", help="Only sequences with such names.")
@click.option(
    "--frames", type=click.IntRange(min=1), help="So many frames, for `run --allow-short`."
)
def stand_in_command(folder: Path, only: str, frames: int | None) -> None:
    """Write generated files in the place of UVG and MCL-JCV into FOLDER, to try the way out.

    They have the published names, geometry and lengths: 1.9 GB a sequence of 600 frames. What is
    measured on them means nothing for the sets.
    """
    folder.mkdir(parents=True, exist_ok=True)
    chosen = [sequence for sequence in (*UVG, *MCL_JCV) if fnmatch(sequence.name, only)]
    if not chosen:
        raise click.ClickException(f"no sequence of UVG or MCL-JCV is called {only}")
    for sequence in chosen:
        click.echo(write_stand_in(sequence, folder, frames))


for command in (
    run,
    plot,
    report,
    tokenizer,
    crops,
    speed,
    machine_speed,
    filling,
    runtime,
    side_by_side,
):
    main.add_command(command.main)
main.add_command(datasets_command)
main.add_command(stand_in_command)

if __name__ == "__main__":
    main()
