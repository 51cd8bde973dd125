"""Which notes are no warnings: they say what is usual, and saying it once is enough."""

from __future__ import annotations

from typing import Final

MATRIX_ASSUMED: Final = "no colour matrix is named"
"""How a note begins that says which matrix a video is taken to have."""

_REMARKS: Final = (MATRIX_ASSUMED,)


def remark_of(note: str) -> str | None:
    """Return the kind of remark that a note is, for telling it once; None for a warning."""
    return next((remark for remark in _REMARKS if note.startswith(remark)), None)
