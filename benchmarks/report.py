"""The command that reports: one HTML page that holds every table and figure."""

import base64
import html
from collections.abc import Sequence
from pathlib import Path

import click

from benchmarks import figures, published, tables, tokenizer
from benchmarks.markup import Block, Heading, Paragraph, Table
from benchmarks.plot import FIGURES, load
from benchmarks.results import DEFINITIONS, RdResult
from benchmarks.run import results_option

OUT = Path(__file__).parent / "report.html"
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 76em; padding: 0 1em; }
h1, h2 { border-bottom: 1px solid #ccc; } img { max-width: 100%; display: block; margin: 1em 0; }
.table { overflow-x: auto; } table { border-collapse: collapse; font-size: 13px; margin: .5em 0; }
td, th { border: 1px solid #ddd; padding: .2em .6em; text-align: right; white-space: nowrap; }
td:first-child, th:first-child { text-align: left; } code { background: #f3f3f3; }
"""
MIME = {".jpg": "image/jpeg", ".png": "image/png"}


def embedded(data: bytes, mime: str, alternative: str) -> str:
    """A picture inside the page."""
    source = f"data:{mime};base64,{base64.b64encode(data).decode()}"
    return f'<img alt="{html.escape(alternative)}" src="{source}">'


def dataset_section(results: Sequence[RdResult]) -> str:
    """Figures, where published points come from, then all tables of one data set."""
    name = results[0].dataset["name"]
    title, *rest = tables.document(results)
    parts = [title.html()]
    for part, figure in figures.all_figures(results).items():
        drawn = figures.render(figure, "svg")
        parts.append(embedded(drawn, "image/svg+xml", f"{name}: {part}"))
    sources = [[entry.legend(name), entry.source] for entry in published.published_for(name)]
    if sources:
        parts += [Heading(2, "Published points").html(), Table(["point", "source"], sources).html()]
    # The second block says how the Markdown page was written.
    parts += [block.html() for block in rest[1:]]
    return "\n".join(parts)


def page(found: dict[str, list[RdResult]], folder: Path, sheets: Sequence[Path]) -> str:
    """The whole page. folder: of the result files. sheets: pictures to show as they are."""
    head: list[Block] = [
        Paragraph(
            "Every number and figure comes from result files written by "
            "`python -m benchmarks`; every rate is that of a file written and read back."
        ),
        Table(["what", "how it is measured"], list(DEFINITIONS.items())),
    ]
    parts = [block.html() for block in head]
    parts += [dataset_section(results) for results in found.values()]
    if (folder / tokenizer.FILE).is_file():
        parts.append(Heading(1, "The tokenizer without entropy coding").html())
        parts += [block.html() for block in tokenizer.blocks(folder / tokenizer.FILE)]
    if sheets:
        parts.append(Heading(1, "Crops at equal bpp").html())
        parts += [embedded(sheet.read_bytes(), MIME[sheet.suffix], sheet.stem) for sheet in sheets]
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>bsqcodec benchmarks</title><style>{STYLE}</style></head>\n"
        f"<body>\n{body}\n</body></html>\n"
    )


@click.command("report")
@click.option("--dataset", "names", multiple=True, help="Name of a data set  [default: all]")
@results_option
@click.option(
    "--figures",
    "sheets",
    type=click.Path(path_type=Path),
    default=FIGURES,
    show_default=True,
    help="Folder whose contact_*.jpg and .png are shown as well.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=OUT,
    help="The page  [default: benchmarks/report.html]",
)
def main(names: tuple[str, ...], folder: Path, sheets: Path, out: Path) -> None:
    """Write one self-contained HTML page with all tables and figures."""
    found = load(folder, names)
    pictures = sorted(path for path in sheets.glob("contact_*") if path.suffix in MIME)
    out.write_text(page(found, folder, pictures), encoding="utf-8")
    click.echo(out)
