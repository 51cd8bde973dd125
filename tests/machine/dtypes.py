"""What types of numbers torch computes with inside a context."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter


class _Recorder(TorchDispatchMode):
    """Keeps the floating types of all that operations of this thread return, by operation."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: dict[torch.dtype, set[str]] = {}

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        for part in tree_iter(result):
            if isinstance(part, torch.Tensor) and part.is_floating_point() and not part.is_meta:
                self.seen.setdefault(part.dtype, set()).add(str(function))
        return result


@contextmanager
def recorded_dtypes() -> Iterator[dict[torch.dtype, set[str]]]:
    """A dictionary that fills with the operations of this thread,
    by the floating type they give."""
    with _Recorder() as recorder:
        yield recorder.seen
