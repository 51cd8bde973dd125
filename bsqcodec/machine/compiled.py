"""Loops over arrays that numba compiles for this processor, where it is installed.

They do what tensor operations elsewhere do, sample by sample the same, in fewer passes over memory.
Importing numba takes a quarter of a second, so it is left until it saves more than that.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any, TypeVar, cast

ENVIRONMENT = "BSQCODEC_COMPILED"
"""Environment variable: "0" does without compiled loops, "1" has them from the beginning."""

MIN_TOKENS = 4000
"""Tokens, about a megapixel, from which on loading numba pays."""

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass
class _Work:
    """tokens: how many have been worked on."""

    tokens: int = 0


_work = _Work()


@cache
def is_installed() -> bool:
    """Return whether numba can be imported, and the environment variable permits it."""
    return os.environ.get(ENVIRONMENT, "") != "0" and find_spec("numba") is not None


def count_tokens(tokens: int) -> None:
    """Count tokens of a picture or frame that loops are about to work on."""
    _work.tokens += tokens


def loops_pay() -> bool:
    """Return whether compiled loops are to be used: if there is enough work, or numba is loaded."""
    if not is_installed():
        return False
    if "numba" in sys.modules or os.environ.get(ENVIRONMENT) == "1" or _work.tokens >= MIN_TOKENS:
        return _can_be_loaded()
    return False


@cache
def _can_be_loaded() -> bool:
    """Return whether numba loads. It may be broken, or there may be no memory for it."""
    try:
        import numba  # noqa: F401
    except (ImportError, OSError, MemoryError):
        return False
    return True


def short_products() -> Any:
    """Return `bsqcodec.machine.integer_products` where compiled loops and its products pay, or
    None."""
    return _short_products() if loops_pay() else None


@cache
def _short_products() -> Any:
    from bsqcodec.machine import integer_products

    return integer_products if integer_products.pay() else None


def compiled(function: Function) -> Function:
    """Have numba compile a function when it is first called; it runs without Python's lock.

    The machine code is kept beside the source or in the user's cache, if either can be written.
    """
    import numba

    made: Callable[..., Any]
    try:
        made = numba.njit(nogil=True, error_model="numpy", cache=True)(function)
    except RuntimeError:  # there is no folder that can be written
        made = numba.njit(nogil=True, error_model="numpy")(function)
    return cast(Function, made)
