"""The surroundings in which codecs work: none of the caller's settings changes what they do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from bsqcodec.machine.memory import memory_guard
from bsqcodec.machine.precision import without_autocast


@contextmanager
def coding(device: torch.device, what: str) -> Iterator[None]:
    """Shut the caller's autocast out, and raise a LimitError when memory runs out for `what`.

    Leave it before a generator yields: its settings are of the whole thread.
    """
    with memory_guard(what), without_autocast(device):
        yield
