"""A rectangle of pixels that is wanted of a picture, or of all frames of a video."""

from __future__ import annotations

import re
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Self, TypeAlias

from bsqcodec.errors import CropError

if TYPE_CHECKING:
    from bsqcodec.media.image.picture import Samples


@dataclass(frozen=True)
class Crop:
    """Columns left to left + width and rows top to top + height, in pixels from the upper left.

    Raises ValueError for a rectangle without pixels or with negative places.
    """

    left: int
    top: int
    width: int
    height: int

    def __post_init__(self) -> None:
        if min(self.left, self.top) < 0 or min(self.width, self.height) < 1:
            raise ValueError(f"a crop of {self} has no pixels inside a picture")

    @classmethod
    def parse(cls, text: str) -> Self:
        """The crop that a text such as "100,50,512x512" stands for. Raises ValueError."""
        match = re.fullmatch(r"(\d{1,9}),(\d{1,9}),([1-9]\d{0,8})[xX]([1-9]\d{0,8})", text)
        if match is None:
            raise ValueError(f"{text!r} is not a crop X,Y,WxH such as 100,50,512x512")
        return cls(*(int(number) for number in match.groups()))

    @classmethod
    def of(cls, value: CropLike | None) -> Self | None:
        """The crop that Python gives as itself, a text, or (left, top, width,
        height); None as it is.

        Raises ValueError, TypeError for something else.
        """
        if value is None or isinstance(value, cls):
            return value
        if isinstance(value, str):
            return cls.parse(value)
        numbers = list(value) if isinstance(value, (tuple, list)) else []
        if len(numbers) != 4 or not all(isinstance(number, Integral) for number in numbers):
            raise TypeError(
                f"a crop is four whole numbers (left, top, width, height), not {value!r}"
            )
        return cls(*map(int, numbers))

    def __str__(self) -> str:
        return f"{self.left},{self.top},{self.width}x{self.height}"

    @property
    def right(self) -> int:
        """The first column behind it."""
        return self.left + self.width

    @property
    def bottom(self) -> int:
        """The first row below it."""
        return self.top + self.height

    def check(self, width: int, height: int) -> None:
        """Raise CropError where it is not inside a picture of this size."""
        if self.right > width or self.bottom > height:
            raise CropError(
                f"the crop {self} is not inside the picture, which has {width}x{height} pixels"
            )

    def cut(self, samples: Samples) -> Samples:
        """The part of samples [H, W, ...], as a view."""
        return samples[self.top : self.bottom, self.left : self.right]


CropLike: TypeAlias = Crop | tuple[int, int, int, int] | str
"""What Python gives as a crop; see `Crop.of`."""
