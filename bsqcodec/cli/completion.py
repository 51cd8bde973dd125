"""`bsqcodec completion`: what a shell needs to complete commands, options and file names."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from bsqcodec.cli.console import Console
from bsqcodec.cli.option_groups import GroupedCommand

SHELLS = ("bash", "zsh", "fish")
_VARIABLE = "_BSQCODEC_COMPLETE"
"""The environment variable by which a shell asks for completions;
click derives it from the name."""


@click.command(cls=GroupedCommand)
@click.argument("shell", metavar="SHELL", type=click.Choice(SHELLS))
@click.pass_obj
def completion(console: Console, shell: str) -> None:
    """Print the script by which a shell completes commands, options and file names.

    SHELL is bash (4.4 or newer), zsh or fish. Once for all:

    \b
    bash  bsqcodec completion bash > ~/.local/share/bash-completion/completions/bsqcodec
    zsh   bsqcodec completion zsh > DIR/_bsqcodec, with a DIR that is in $fpath
    fish  bsqcodec completion fish > ~/.config/fish/completions/bsqcodec.fish
    """
    root = click.get_current_context().find_root()
    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"there is no completion for {shell}")
    script = found(root.command, {}, root.info_name or "", _VARIABLE).source()
    console.answer((_registered(script) if shell == "zsh" else script).rstrip())


def _registered(script: str) -> str:
    """A script for zsh that names its function to zsh as soon as it is loaded from $fpath.

    Click's does so only when zsh calls the loaded file once more, which then completes nothing.
    """
    first, rest = script.split("\n", 1)  # zsh wants #compdef in the first line
    return f"{first}\ncompdef _bsqcodec_completion bsqcodec\n{rest}"
