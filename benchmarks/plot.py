"""Draw rate-distortion curves and write the tables, from result files alone."""

from collections.abc import Sequence
from pathlib import Path

import click
from matplotlib.figure import Figure

from benchmarks import tables
from benchmarks.results import RESULTS, RdResult, load_results

FIGURES = Path("docs/figures")
AXES = {"psnr": "PSNR (dB, RGB)", "ms_ssim_db": "MS-SSIM (dB)"}
FILE_PARTS = {"psnr": "psnr", "ms_ssim_db": "ms_ssim"}
MAX_BPP = 1.25
# Colours that people with any colour vision can tell apart (Okabe and Ito), and a marker each.
STYLES = {
    "bsqcodec": ("#D55E00", "o"),
    "jpeg": ("#777777", "s"),
    "jpeg2000": ("#0072B2", "^"),
    "webp": ("#009E73", "D"),
    "avif": ("#CC79A7", "v"),
}


def draw(results: Sequence[RdResult], metric: str, path: Path) -> None:
    """One figure: a curve per codec, `metric` (an attribute of Mean) over bpp."""
    figure = Figure(figsize=(7.0, 5.0), layout="constrained")
    axes = figure.subplots()
    for result in tables.ours_first(results):
        points = [point for point in tables.curve(result, metric) if point[0] <= MAX_BPP]
        if not points:
            continue
        rates, qualities = zip(*points, strict=True)
        colour, marker = STYLES.get(result.codec, ("black", "x"))
        ours = result.codec == tables.OURS
        axes.plot(
            rates,
            qualities,
            color=colour,
            marker=marker,
            markersize=5,
            linewidth=2.4 if ours else 1.3,
            zorder=3 if ours else 2,
            label=result.label,
        )
    dataset = results[0].dataset
    axes.set_title(f"{dataset['name'].capitalize()}, mean of {dataset['pictures']} pictures")
    axes.set_xlabel("bits per pixel (whole files)")
    axes.set_ylabel(AXES[metric])
    axes.set_xlim(0, MAX_BPP)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without the version of matplotlib inside, the same numbers give the same file.
    figure.savefig(path, dpi=130, metadata={"Software": None})


@click.command()
@click.option("--dataset", default="kodak", show_default=True, help="Name of the data set.")
@click.option(
    "--results",
    "folder",
    type=click.Path(path_type=Path),
    default=RESULTS,
    help="Folder of the result files  [default: benchmarks/results]",
)
@click.option(
    "--figures",
    type=click.Path(path_type=Path),
    default=FIGURES,
    show_default=True,
    help="Folder for the figures.",
)
@click.option(
    "--tables",
    "tables_path",
    type=click.Path(path_type=Path),
    help="Markdown file for the tables  [default: TABLES.md beside the results]",
)
@click.option(
    "--readme",
    "page_path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Also a page whose section <!-- DATASET --> is to be replaced by the main tables.",
)
def main(
    dataset: str, folder: Path, figures: Path, tables_path: Path | None, page_path: Path | None
) -> None:
    """Write FIGURES/DATASET_psnr.png, FIGURES/DATASET_ms_ssim.png and the tables."""
    try:
        results = load_results(folder, dataset)
        if not results:
            raise click.ClickException(f"no finished {dataset}_*.json in {folder}")
        page = tables.document(results)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    for metric, part in FILE_PARTS.items():
        path = figures / f"{dataset}_{part}.png"
        draw(results, metric, path)
        click.echo(path)
    if tables_path is None:
        tables_path = folder / ("TABLES.md" if dataset == "kodak" else f"TABLES_{dataset}.md")
    tables_path.write_text(page, encoding="utf-8")
    click.echo(tables_path)
    if page_path is not None:
        text = page_path.read_text(encoding="utf-8")
        try:
            text = tables.with_section(text, dataset, tables.summary(results))
        except ValueError as error:
            raise click.ClickException(f"{page_path}: {error}") from error
        page_path.write_text(text, encoding="utf-8")
        click.echo(page_path)


if __name__ == "__main__":
    main()
