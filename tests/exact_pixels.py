"""Prints the SHA-256 of what exact decoders make of made-up integers, for other processes.

Usage: python exact_pixels.py WEIGHTS...; the output has a line for each file of weights, of a
picture's samples or of a group's frames.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import numpy as np
import torch

from bsqcodec.models import video_weight_files, weight_files
from bsqcodec.models.token_grid import TokenGrid
from bsqcodec.models.transform.exact_decoder import ExactDecoder, ExactRendering
from bsqcodec.models.transform.strips import render
from bsqcodec.models.transform.tokenizer import Tokenizer
from bsqcodec.models.video_weight_files import VideoWeights
from bsqcodec.video.decoding_loop import DecodingLoop, Pixels

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


def vectors(grid: TokenGrid, seed: int) -> torch.Tensor:
    """Motion vectors [rows, columns, 2] of quarters of tokens, some of them beyond the frame."""
    down, right, part = np.ogrid[: 2 * grid.rows, : 2 * grid.columns, :2]
    noise = (down * 7919 + right * 104729 + part * 1299709 + seed * 31) * 2654435761
    return torch.from_numpy(((noise >> 18) % 129 - 64).astype(np.int64))


def group(weights: VideoWeights, count: int = 4) -> list[Pixels]:
    """An intra frame and inter frames, each predicted from the one before."""
    grid = TokenGrid(HEIGHT, WIDTH)
    loop = DecodingLoop(weights.image.tokenizer, weights.inter_network, grid, torch.device("cpu"))
    n = integers(weights.image.tokenizer.config.channels, *grid.padded_shape)
    frames = [loop.intra_frame(n, STEP)]
    for number in range(1, count):
        prediction = loop.predict(vectors(grid, number))
        change = torch.roll(n, number, 0) // (4 + number)
        frames.append(loop.inter_frame(prediction, change, STEP + 8 * number))
    return frames


def digest_of_frames(weights: VideoWeights) -> str:
    return hashlib.sha256(b"".join(frame.tobytes() for frame in group(weights))).hexdigest()


if __name__ == "__main__":
    cpu = torch.device("cpu")
    for path in map(Path, sys.argv[1:]):
        if path.stem.startswith(video_weight_files.KIND):
            print(digest_of_frames(video_weight_files.load(path, cpu, dtype=torch.float32)))
        else:
            print(digest(weight_files.load(path, cpu).tokenizer))
