"""Pages made of headings, paragraphs and tables, written as Markdown or as HTML."""

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class Heading:
    level: int
    text: str

    def markdown(self) -> str:
        return f"{'#' * self.level} {self.text}\n"

    def html(self) -> str:
        return f"<h{self.level}>{html.escape(self.text)}</h{self.level}>"


@dataclass(frozen=True)
class Paragraph:
    """Text whose only markup is `code`."""

    text: str

    def markdown(self) -> str:
        return f"{self.text}\n"

    def html(self) -> str:
        escaped = re.sub(r"`([^`]*)`", r"<code>\1</code>", html.escape(self.text))
        return f"<p>{escaped}</p>"


@dataclass(frozen=True)
class Table:
    """First column left, all others right unless they hold words."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: bool = False

    def markdown(self) -> str:
        mark = "|---" if self.words else "|--:"
        lines = ["| " + " | ".join(self.header) + " |", "|---" + mark * (len(self.header) - 1)]
        lines[-1] += "|"
        lines += ["| " + " | ".join(row) + " |" for row in self.rows]
        return "\n".join(lines) + "\n"

    def html(self) -> str:
        head = "".join(f"<th>{_cell(cell)}</th>" for cell in self.header)
        body = "".join(
            "<tr>" + "".join(f"<td>{_cell(cell)}</td>" for cell in row) + "</tr>\n"
            for row in self.rows
        )
        kind = "words" if self.words else "numbers"
        return f'<div class="{kind}"><table><tr>{head}</tr>\n{body}</table></div>'


def _cell(text: str) -> str:
    """Text of a cell that may be broken, but not between a number and its percent sign."""
    return html.escape(text).replace(" %", "&nbsp;%")


Block: TypeAlias = Heading | Paragraph | Table


def markdown(blocks: Sequence[Block]) -> str:
    return "\n".join(block.markdown() for block in blocks)


def with_section(page: str, name: str, text: str) -> str:
    """A Markdown page with the text between <!-- name --> and <!-- /name --> replaced.

    Raises ValueError if the page has no such section.
    """
    before, start, rest = page.partition(f"<!-- {name} -->\n")
    _, end, after = rest.partition(f"<!-- /{name} -->")
    if not (start and end):
        raise ValueError(f"the page has no section between <!-- {name} --> and <!-- /{name} -->")
    return f"{before}{start}{text}{end}{after}"


def has_section(page: str, name: str) -> bool:
    return f"<!-- {name} -->\n" in page
