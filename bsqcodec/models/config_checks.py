"""Ranges of the numbers in a model's configuration, which may come from an untrusted file."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Final

MAX_COUNT: Final = 2**14
"""Of any number: channels, widths, hidden units."""

MAX_LAYERS: Final = 256
"""Of numbers of blocks and convolutions, each of which takes time to make."""

_MIN_COUNTS: Final = {
    "patch": 4,
    "channels": 1,
    "width": 1,
    "heads": 1,
    "hidden": 1,
    "knots": 2,
    "bits": 1,
}


def check_counts(config: Any) -> None:
    """Check that the integers among a dataclass's fields are integers, and within their ranges.

    Raises ValueError.
    """
    for field in fields(config):
        if field.type not in (int, "int"):
            continue
        value = getattr(config, field.name)
        least = _MIN_COUNTS.get(field.name, 0)
        most = MAX_LAYERS if field.name.endswith(("blocks", "convs")) else MAX_COUNT
        if type(value) is not int or not least <= value <= most:
            raise ValueError(f"{field.name} is {value!r:.40}, not an integer of {least}..{most}")
