"""What the benchmarks ask of a codec, and the way through Pillow that the still anchors share."""

import io
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
import PIL
from PIL import Image, features

from benchmarks.colour import Frame, Pixels
from benchmarks.datasets.clips import Clip

Options = dict[str, str | int | float | bool]


class StillCodec(Protocol):
    """A codec with one knob. A larger setting gives a larger file and a better picture."""

    name: str  # short, also part of file names
    label: str  # for legends and tables
    suffix: str  # of the files written, with the dot
    setting_name: str  # what the knob is called
    settings: tuple[float, ...]  # the default grid, coarse to fine
    setting_range: tuple[float, float]  # coarsest and finest setting that make sense
    whole_settings: bool  # the knob takes integers only

    def options(self) -> Options:
        """Everything but the knob that decides what a file holds."""

    def versions(self) -> dict[str, str]:
        """Versions of the software that writes and reads the files."""

    def encode(self, image: Image.Image, setting: float) -> bytes:
        """Code an RGB picture as one whole file."""

    def decode(self, data: bytes) -> Pixels:
        """Decode a whole file to uint8 RGB [H, W, 3]."""


class VideoCodec(Protocol):
    """A video codec with one knob."""

    @property
    def name(self) -> str:
        """Short, also part of file names."""

    @property
    def label(self) -> str:
        """For legends and tables."""

    @property
    def suffix(self) -> str:
        """Of the files written, with the dot."""

    @property
    def setting_name(self) -> str:
        """What the knob is called."""

    @property
    def settings(self) -> tuple[float, ...]:
        """The default grid, coarse to fine."""

    def options(self) -> Options:
        """Everything but the knob that decides what a file holds."""

    def versions(self) -> dict[str, str]:
        """Versions of the software that writes and reads the files."""

    def encode(self, clip: Clip, frames: Iterable[Frame], setting: float, target: Path) -> None:
        """Code `frames`, those of `clip`, as one file."""

    def decode(self, path: Path) -> Iterator[Frame]:
        """Decode a file frame by frame, each uint8 [3 H / 2, W] (I420)."""


def save(image: Image.Image, format: str, options: Mapping[str, object]) -> bytes:
    """Code `image` with Pillow's writer for `format`."""
    buffer = io.BytesIO()
    image.save(buffer, format=format, **options)
    return buffer.getvalue()


def load(data: bytes) -> Pixels:
    """Decode any file that Pillow reads to uint8 RGB [H, W, 3]."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def library_version(feature: str) -> str:
    """Version of a library inside Pillow, by Pillow's name for it."""
    return str(features.version(feature) or "unknown")


def pillow_version() -> str:
    return PIL.__version__


def bpp_of(data: bytes, image: Image.Image) -> float:
    """Bits per pixel of a whole file."""
    return 8 * len(data) / (image.width * image.height)


def encode_near(codec: StillCodec, image: Image.Image, bpp: float) -> tuple[float, bytes]:
    """Find the finest setting whose file is at most `bpp` bits per pixel, by bisection.

    Returns (setting, file). Where even the coarsest setting is larger, that one is returned, so
    look at the file's own size before calling it equal.
    """
    coarsest, finest = codec.setting_range
    best_setting, best = coarsest, codec.encode(image, coarsest)
    if codec.whole_settings:
        low, high, step = int(coarsest), int(finest), 1.0
    else:
        low, high, step = 0, 4095, (finest - coarsest) / 4095
    # Invariant: `low` was tried (and is the best so far), everything above `high` is too large.
    while low < high:
        middle = (low + high + 1) // 2
        setting = float(middle) if codec.whole_settings else coarsest + middle * step
        data = codec.encode(image, setting)
        if bpp_of(data, image) <= bpp:
            low, best_setting, best = middle, setting, data
        else:
            high = middle - 1
    return best_setting, best
