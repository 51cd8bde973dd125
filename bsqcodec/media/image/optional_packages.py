"""Packages for HEIF and JPEG XL, which need not be there: which are, and what to install."""

from __future__ import annotations

import importlib.util
from typing import Final

from bsqcodec.errors import MediaError

HEIF: Final = "HEIF"
JXL: Final = "JXL"
_PACKAGES: Final = {HEIF: "pillow_heif", JXL: "pillow_jxl"}
_EXTRAS: Final = {HEIF: "heif", JXL: "jxl"}
_TITLES: Final = {HEIF: "HEIC/HEIF", JXL: "JPEG XL"}


def is_available(format: str) -> bool:
    """Return whether what a format needs is installed; true of all but HEIF and JXL."""
    return format not in _PACKAGES or importlib.util.find_spec(_PACKAGES[format]) is not None


def missing_extra(format: str) -> str:
    """Return the sentence that says what to install for HEIF or JXL."""
    extra = _EXTRAS[format]
    return f"{_TITLES[format]} needs the extra {extra!r}: pip install 'bsqcodec[{extra}]'"


def require(format: str) -> None:
    """Raise MediaError, which names the extra, where the package for a format is missing."""
    if not is_available(format):
        raise MediaError(missing_extra(format))
