"""Which notes are remarks and no warnings: nothing is lost, and the file got what it asked for."""

from __future__ import annotations

from enum import Enum
from typing import Final

MATRIX_ASSUMED: Final = "no colour matrix is named"
CROPPED: Final = "cropped to"
TURNED: Final = "turned or mirrored as the file's display matrix asks"
CLOCK_STARTS_OVER: Final = "the clock starts over"
"""How notes begin that say which matrix a video is taken to have, and what was done as it asks."""

LARGER: Final = "the result is larger than its source"
LOSSLESS_IS_SMALLER: Final = "lossless WebP would hold this picture"
"""How notes begin on results whose size may surprise."""


class Remark(Enum):
    """How often a remark is made: once a run, since it says what is usual, or for each file."""

    ONCE = "once"
    EACH = "each"


_REMARKS: Final = {
    MATRIX_ASSUMED: Remark.ONCE,
    CROPPED: Remark.EACH,
    TURNED: Remark.EACH,
    CLOCK_STARTS_OVER: Remark.EACH,
    LARGER: Remark.EACH,
    LOSSLESS_IS_SMALLER: Remark.EACH,
}


def remark_of(note: str) -> tuple[str, Remark] | None:
    """Return how a note that is a remark begins, and how often it is made; None for a warning."""
    for beginning, often in _REMARKS.items():
        if note.startswith(beginning):
            return beginning, often
    return None
