"""Prints the SHA-256 of what the exact decoder makes of made-up integers, for other processes.

Usage: python exact_pixels.py WEIGHTS...; the output has a line for each file of weights.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import numpy as np
import torch

from bsqcodec.models import weight_files
from bsqcodec.models.transform.exact_decoder import ExactDecoder, ExactRendering
from bsqcodec.models.transform.strips import render
from bsqcodec.models.transform.tokenizer import Tokenizer

HEIGHT, WIDTH, STEP = 200, 420, 150


def integers(channels: int, rows: int = 16, columns: int = 32) -> torch.Tensor:
    """[rows, columns, channels], large in the first channels and mostly 0 in the last."""
    row, column, channel = np.ogrid[:rows, :columns, :channels]
    noise = (row * 7919 + column * 104729 + channel * 1299709 + row * column * 31) * 2654435761
    size = 300 // (1 + channel) + 2
    return torch.from_numpy(((noise >> 16) % (2 * size + 1) - size).astype(np.int16))


def digest(tokenizer: Tokenizer) -> str:
    rendering = ExactRendering(ExactDecoder(tokenizer), STEP, missing_planes=1)
    pixels = render(rendering, integers(tokenizer.config.channels), HEIGHT, WIDTH)
    return hashlib.sha256(pixels.tobytes()).hexdigest()


if __name__ == "__main__":
    for path in sys.argv[1:]:
        print(digest(weight_files.load(Path(path), torch.device("cpu")).tokenizer))
