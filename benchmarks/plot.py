"""The command that draws: figures, contact sheets and tables, from result files alone."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import click

from benchmarks import contact_sheet, figures, markup, pages, tables
from benchmarks.crops import PREFIX, Crops
from benchmarks.results import RdResult, dataset_names, load_results
from benchmarks.run import results_option

FIGURES = Path("docs/figures")


def load(folder: Path, names: Sequence[str]) -> dict[str, list[RdResult]]:
    """The finished results by data set. Raises click.ClickException if there are none."""
    try:
        found = {name: load_results(folder, name) for name in names or dataset_names(folder)}
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    for name, results in found.items():
        if names and not results:
            raise click.ClickException(f"no finished {name}_*.json in {folder}")
    found = {name: results for name, results in found.items() if results}
    if not found:
        raise click.ClickException(f"no finished result files in {folder}")
    return found


def load_crops(folder: Path, names: Sequence[str]) -> list[Crops]:
    """The crops of these data sets, or of all. Raises click.ClickException."""
    try:
        found = [Crops.load(path) for path in sorted(folder.glob(f"{PREFIX}*.json"))]
        return [crops for crops in found if not names or crops.dataset in names]
    except ValueError as error:
        raise click.ClickException(str(error)) from error


def names_option(command: Callable[..., None]) -> Callable[..., None]:
    """Adds --dataset, as `names`."""
    return click.option(
        "--dataset", "names", multiple=True, help="Name of a data set  [default: all]"
    )(command)


@click.command("plot")
@names_option
@results_option
@click.option(
    "--figures",
    "target",
    type=click.Path(path_type=Path),
    default=FIGURES,
    show_default=True,
    help="Folder for the figures.",
)
@click.option(
    "--page",
    "page_paths",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Also a page whose sections <!-- NAME --> are replaced by new tables; may be repeated.",
)
def main(names: tuple[str, ...], folder: Path, target: Path, page_paths: tuple[Path, ...]) -> None:
    """Write FIGURES/DATASET_*.png and .svg, contact_PICTURE.png and .svg, RESULTS/TABLES*.md."""
    found, cut = load(folder, names), load_crops(folder, names)
    for name, results in found.items():
        for part, figure in figures.all_figures(results).items():
            for suffix in (".png", ".svg"):
                path = target / f"{name}_{part}{suffix}"
                figures.save(figure, path)
                click.echo(path)
        path = folder / tables.tables_name(name)
        path.write_text(tables.document_text(results), encoding="utf-8")
        click.echo(path)
    for sheet in contact_sheet.sheets(cut):
        for path in sheet.save(target):
            click.echo(path)
    texts = pages.sections(found, folder)
    for path in page_paths:
        path.write_text(replaced(path, texts), encoding="utf-8")
        click.echo(path)


def replaced(path: Path, texts: Mapping[str, str]) -> str:
    """A page with its sections made new. Raises click.ClickException if it has none of them."""
    page = path.read_text(encoding="utf-8")
    known = [name for name in texts if markup.has_section(page, name)]
    if not known:
        raise click.ClickException(f"{path}: no section <!-- {next(iter(texts))} -->")
    for name in known:
        try:
            page = markup.with_section(page, name, texts[name])
        except ValueError as error:
            raise click.ClickException(f"{path}: {error}") from error
    return page
