"""Mutated files against the whole decoder; see "Fuzzing" in docs/ROBUSTNESS.md.

python -m tests.fuzz --cases 2000               # a minute or so
python -m tests.fuzz --case 1234                # one of them again, here, with its traceback
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

import click

from .material import Material
from .runner import WORKER, Report, run_cases
from .targets import KINDS, chosen, run_case


@click.command()
@click.option("--cases", default=2000, show_default=True, help="How many.")
@click.option("--seed", default=1, show_default=True)
@click.option("--first", default=0, show_default=True, help="Number of the first one.")
@click.option("--case", "single", type=int, help="Run only this one, in this process.")
@click.option(
    "--kind", type=click.Choice(KINDS), default="all", help="bsq: of the family bsq alone."
)
@click.option("--report", type=click.Path(path_type=Path), help="JSON file to write.")
def main(
    cases: int, seed: int, first: int, single: int | None, kind: str, report: Path | None
) -> None:
    """Run cases and sum up what became of them. The status is 1 where one failed."""
    if single is not None:
        with tempfile.TemporaryDirectory() as folder:
            material = Material(Path(folder))
            target, rng = chosen(seed, single, kind)
            data = target.make(material, rng)
            click.echo(f"{target.name}: {len(data)} bytes, {data[:60].hex()}")
            click.echo(run_case(material, seed, single, kind))
        return
    told = time.monotonic()

    def tell(so_far: Report) -> None:
        nonlocal told
        if time.monotonic() - told > 30 or so_far.cases == cases:
            told = time.monotonic()
            click.echo(
                f"{so_far.cases} cases, {len(so_far.failures)} failures, {so_far.seconds:.0f} s",
                err=True,
            )
            if report is not None:
                report.write_text(json.dumps(so_far.to_json(), indent=1) + "\n")

    found = run_cases(seed, first, cases, command=(*WORKER, kind), progress=tell)
    for name, outcomes in sorted(found.outcomes.items()):
        counts = ", ".join(f"{count} {what}" for what, count in outcomes.most_common())
        click.echo(f"{name}: {counts}")
    for failure in found.failures:
        click.echo(f"case {failure.number}: {failure.what}")
    click.echo(
        f"{found.cases} cases, {len(found.failures)} failures, {found.seconds:.0f} s;"
        f" slowest {found.slowest[0]:.2f} s (case {found.slowest[1]}),"
        f" largest {found.largest_mib[0]:.0f} MiB (case {found.largest_mib[1]})"
    )
    sys.exit(bool(found.failures))


if __name__ == "__main__":
    main()
