"""Options in groups: none is forgotten, and the help shows them so."""

import click
import pytest

from bsqcodec.cli.main import cli, main
from bsqcodec.cli.option_groups import GROUPS, OTHERS, GroupedCommand, group_of, grouped_rows


@pytest.mark.parametrize("name", cli.commands)
def test_every_option_of_every_command_has_a_group(name: str) -> None:
    command = cli.commands[name]
    assert isinstance(command, GroupedCommand)
    with command.make_context(name, [], resilient_parsing=True) as context:
        shown = [p for p in command.get_params(context) if isinstance(p, click.Option)]
        without = [p.opts for p in shown if not p.hidden and group_of(p) == OTHERS]
        assert without == []
        assert sum(len(rows) for _, rows in grouped_rows(context)) == len(shown)


def test_every_name_in_a_group_is_that_of_an_option() -> None:
    used = {p.name for command in (cli, *cli.commands.values()) for p in command.params}
    assert {name for names in GROUPS.values() for name in names} <= used | {"help"}


def test_the_help_has_them_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["encode", "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    titles = [line for line in lines if line.endswith(":") and line[:1].strip()]
    assert titles == ["Rate:", "Quality:", "Video:", "Damage:", "Output:", "Machine:"]
    rate, quality = lines.index("Rate:"), lines.index("Quality:")
    assert any("--bitrate BITS" in line for line in lines[rate:quality])
