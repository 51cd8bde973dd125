"""Text from files on one line of a terminal:
without what would move its cursor or turn it around."""

from __future__ import annotations

import unicodedata
from typing import Final

_BIDIRECTIONAL: Final = frozenset(
    map(chr, (0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)))
)
"""Marks that have a terminal show what follows in another order."""
_CONTROLS: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Unicode's categories of control characters, lone surrogates,
and breaks of lines and paragraphs."""


def one_line(text: str, longest: int | None = None) -> str:
    """Return a text with spaces for its line breaks and tabs, U+FFFD for what controls a terminal.

    longest: characters of it, of which the last is then an ellipsis.
    """
    line = "".join(map(_shown, " ".join(text.replace("\t", " ").splitlines())))
    if longest is not None and len(line) > longest:
        line = line[: longest - 1] + "\u2026"
    return line


def _shown(character: str) -> str:
    """The character, or what stands for it."""
    if character in _BIDIRECTIONAL or unicodedata.category(character) in _CONTROLS:
        return "\ufffd"
    return character
