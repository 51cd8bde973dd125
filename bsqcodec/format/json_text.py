"""JSON from files that anybody may have written: parsed, and never deeper than a stack can take."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

MAX_DEPTH: Final = 64
"""Lists and objects within each other; what bsqcodec writes has four at most."""


def parse_json(text: str | bytes) -> Any:
    """Return what a JSON text says.

    Raises ValueError for a text that is no JSON, or that is nested deeper than MAX_DEPTH, which
    Python's parser and whatever walks the result would answer with a RecursionError.
    """
    too_deep = f"JSON that is nested deeper than {MAX_DEPTH}"
    try:
        found = json.loads(text)
    except RecursionError:
        raise ValueError(too_deep) from None
    level, depth = [found], 0
    while nests := [value for value in level if isinstance(value, (list, dict))]:
        depth += 1
        if depth > MAX_DEPTH:
            raise ValueError(too_deep)
        level = [part for nest in nests for part in _parts(nest)]
    return found


def _parts(nest: list[Any] | dict[str, Any]) -> Iterable[Any]:
    """What stands in a list or an object."""
    return nest.values() if isinstance(nest, dict) else nest
