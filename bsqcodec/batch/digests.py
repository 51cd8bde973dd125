"""SHA-256 of files, in hexadecimal."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

_PIECE_BYTES: Final = 2**20


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's contents. Raises OSError."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(_PIECE_BYTES):
            digest.update(piece)
    return digest.hexdigest()
