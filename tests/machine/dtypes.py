"""What types of numbers torch computes with inside a context."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from bsqcodec.video.group_workers import GroupWorkers


class _Recorder(TorchDispatchMode):
    """Keeps the floating types of all that operations of a thread return, by operation."""

    def __init__(self, seen: dict[torch.dtype, set[str]]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen = seen

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
    """A dictionary that fills with the operations of this thread, and of those that code groups of
    videos here, by the floating type they give."""
    seen: dict[torch.dtype, set[str]] = {}
    code_here = GroupWorkers._code_here

    def recorded(workers: GroupWorkers) -> None:
        with _Recorder(seen):
            code_here(workers)

    with _Recorder(seen), pytest.MonkeyPatch.context() as patch:
        patch.setattr(GroupWorkers, "_code_here", recorded)
        yield seen
