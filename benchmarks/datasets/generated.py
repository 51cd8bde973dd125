"""Pictures and clips made here, for tests and for machines without test data."""

from collections.abc import Iterator, Sequence
from fractions import Fraction

import av
import numpy as np
from PIL import Image

from benchmarks.colour import Frame
from benchmarks.datasets.clips import Clip, as_i420


def generated_picture(width: int, height: int, seed: int = 0) -> Image.Image:
    """A soft random RGB picture with structure at many scales."""
    generator = np.random.default_rng(seed)
    total = np.zeros((height, width, 3), np.float32)
    for scale in (256, 64, 16, 4):
        rows, columns = -(-height // scale) + 1, -(-width // scale) + 1
        for channel in range(3):
            noise = generator.normal(0, scale**0.5 * 2.5, (rows, columns)).astype(np.float32)
            layer = Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)
            total[..., channel] += np.asarray(layer)
    return Image.fromarray(np.clip(total + 128, 0, 255).astype(np.uint8))


def generated_clip(width: int, height: int, frames: int, seed: int = 0) -> Clip:
    """A camera that pans over a generated picture, two pixels a frame; 25 frames a second."""
    scene = np.asarray(generated_picture(width + 2 * frames, height, seed))

    def read() -> Iterator[Frame]:
        for index in range(frames):
            view = np.ascontiguousarray(scene[:, 2 * index : 2 * index + width])
            yield as_i420(av.VideoFrame.from_ndarray(view, format="rgb24"))

    return Clip(f"pan{seed}", width, height, frames, Fraction(25), read)


def mosaic(pictures: Sequence[Image.Image], width: int, height: int) -> Image.Image:
    """One picture of any size, tiled from `pictures` row by row and cut off at its borders.

    Upright pictures are turned, so that equal cameras give equal tiles.
    """
    tiles = [
        tile if tile.width >= tile.height else tile.transpose(Image.Transpose.ROTATE_90)
        for tile in pictures
    ]
    step_x, step_y = min(tile.width for tile in tiles), min(tile.height for tile in tiles)
    canvas = Image.new("RGB", (width, height))
    places = ((x, y) for y in range(0, height, step_y) for x in range(0, width, step_x))
    for index, place in enumerate(places):
        canvas.paste(tiles[index % len(tiles)].crop((0, 0, step_x, step_y)), place)
    return canvas
