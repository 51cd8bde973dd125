"""The first import of torch in a process of our own."""

from __future__ import annotations

import gc
import sys

from bsqcodec.machine.memory import check_address_space


def import_torch() -> None:
    """Import torch, if this process has not yet, and keep the garbage collector from what it makes.

    These are some hundred thousand objects that stay. The collector would look through them many
    times while they are made, and at the end of the process, which takes a third of the import's
    time. It is for processes that do nothing but code: all objects that exist are exempted.
    Raises LimitError if there is too little memory for torch.
    """
    check_address_space()
    if "torch" in sys.modules:
        return
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        import torch  # noqa: F401
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()
