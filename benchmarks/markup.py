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
    """First column left, all others right."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        lines = ["| " + " | ".join(self.header) + " |", "|---" + "|--:" * (len(self.header) - 1)]
        lines[-1] += "|"
        lines += ["| " + " | ".join(row) + " |" for row in self.rows]
        return "\n".join(lines) + "\n"

    def html(self) -> str:
        head = "".join(f"<th>{html.escape(cell)}</th>" for cell in self.header)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>\n"
            for row in self.rows
        )
        return f'<div class="table"><table><tr>{head}</tr>\n{body}</table></div>'


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
