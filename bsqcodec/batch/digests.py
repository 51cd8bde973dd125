"""SHA-256 of files, in hexadecimal, and a check of weights by it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from bsqcodec.errors import WeightsError

_PIECE_BYTES: Final = 2**20


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's contents. Raises OSError."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(_PIECE_BYTES):
            digest.update(piece)
    return digest.hexdigest()


def check_weights(path: Path, sha256: str) -> None:
    """Raise WeightsError where a file is not there or has another SHA-256; OSError as `open`."""
    if not path.is_file() or sha256_of(path) != sha256:
        raise WeightsError(f"{path} holds other weights than the batch was started with")
