"""The command that reports: one HTML page that holds every table and figure."""

import base64
import html
from collections.abc import Sequence
from pathlib import Path

import click

from benchmarks import figures, published, tables, tokenizer
from benchmarks.contact_sheet import sheets
from benchmarks.crops import Crops
from benchmarks.markup import Block, Heading, Paragraph, Table
from benchmarks.plot import load, load_crops, names_option
from benchmarks.results import DEFINITIONS, RdResult
from benchmarks.run import results_option

OUT = Path(__file__).parent / "report.html"
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 84em; padding: 0 1em; }
h1, h2 { border-bottom: 1px solid #ccc; } img { max-width: 100%; display: block; margin: 1em 0; }
.numbers, .words { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; margin: .5em 0; }
td, th { border: 1px solid #ddd; padding: .2em .5em; text-align: left; vertical-align: top; }
.numbers td:not(:first-child), .numbers th:not(:first-child) { text-align: right; }
td:first-child { white-space: nowrap; } p + .numbers { margin-top: -.8em; }
code { background: #f3f3f3; }
"""
SHEETS = """\
Each picture was coded as a whole: by bsqcodec to at most the rate of the row, by the others to at
most what bsqcodec's file came to, or to the smallest file that they can write where that is larger
(least). The numbers are those of the whole picture."""


def embedded(svg: bytes, alternative: str) -> str:
    """A drawing inside the page."""
    source = f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"
    return f'<img alt="{html.escape(alternative)}" src="{source}">'


def dataset_section(results: Sequence[RdResult]) -> list[str]:
    """Figures, where published points come from, then all tables of one data set."""
    name = results[0].dataset["name"]
    # The first two blocks are the title, and how the Markdown page was written.
    _, _, *blocks = tables.document(results)
    parts = []
    for part, figure in figures.all_figures(results).items():
        parts.append(embedded(figures.render(figure, "svg"), f"{name}: {part}"))
    sources = [[entry.legend(name), entry.source] for entry in published.published_for(name)]
    if sources:
        parts += [
            Heading(2, "Published points").html(),
            Table(["point", "source"], sources, words=True).html(),
        ]
    return [*parts, *(block.html() for block in blocks)]


def crops_section(found: Sequence[Crops]) -> list[str]:
    """The contact sheets, and what made the crops."""
    parts = [Paragraph(SHEETS).html()]
    parts += [embedded(sheet.svg(), f"crops of {sheet.name}") for sheet in sheets(found)]
    for crops in found:
        made = (
            f"{crops.dataset}: made {crops.date} at commit {crops.commit} with `{crops.command}`."
        )
        parts.append(Paragraph(made).html())
    return parts


def page(
    found: dict[str, list[RdResult]], crops: Sequence[Crops], tokenizer_blocks: Sequence[Block]
) -> str:
    """The whole page: data sets of pictures, of clips, the crops, the tokenizer;
    those there are."""
    head: list[Block] = [
        Heading(1, "bsqcodec benchmarks"),
        Paragraph(
            "Every number and figure comes from result files written by "
            "`python -m benchmarks`; every rate is that of a file written and read back."
        ),
    ]
    ordered = sorted(found.values(), key=lambda results: results[0].dataset["kind"] != "pictures")
    sections = {tables.title(results): dataset_section(results) for results in ordered}
    if crops:
        sections["Crops at equal bpp"] = crops_section(crops)
    if tokenizer_blocks:
        blocks = [block.html() for block in tokenizer_blocks]
        sections["The tokenizer without entropy coding"] = blocks
    definitions = Table(["what", "how it is measured"], list(DEFINITIONS.items()), words=True)
    sections["Definitions"] = [definitions.html()]
    parts = [block.html() for block in head]
    links = [
        f'<li><a href="#s{number}">{html.escape(title)}</a></li>'
        for number, title in enumerate(sections)
    ]
    parts.append(f"<ul>{''.join(links)}</ul>")
    for number, (title, content) in enumerate(sections.items()):
        parts += [f'<h1 id="s{number}">{html.escape(title)}</h1>', *content]
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>bsqcodec benchmarks</title><style>{STYLE}</style></head>\n"
        f"<body>\n{body}\n</body></html>\n"
    )


@click.command("report")
@names_option
@results_option
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=OUT,
    help="The page  [default: benchmarks/report.html]",
)
def main(names: tuple[str, ...], folder: Path, out: Path) -> None:
    """Write one self-contained HTML page with all tables, figures and contact sheets."""
    found, crops = load(folder, names), load_crops(folder, names)
    text = page(found, crops, tokenizer.blocks(folder))
    out.write_text(text, encoding="utf-8")
    click.echo(out)
