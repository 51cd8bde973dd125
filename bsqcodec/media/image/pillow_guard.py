"""Pillow's limits, warnings and exceptions, turned into those of bsqcodec."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image, UnidentifiedImageError

from bsqcodec.errors import BsqError, LimitError, MediaError, PixelLimitError, UnknownKindError
from bsqcodec.machine.memory import is_out_of_memory

# Pillow keeps its limit, and Python its warning filters, in variables of the process.
_lock = threading.RLock()


@contextmanager
def silent_pillow(max_pixels: int) -> Iterator[None]:
    """Silence Pillow's warnings, and have it refuse pictures far above `max_pixels`.

    One thread at a time.
    """
    with _lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, max_pixels
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


@contextmanager
def pillow_guard(name: str, max_pixels: int) -> Iterator[None]:
    """Run Pillow on data that may be hostile, in `silent_pillow`; messages start with `name`.

    Raises LimitError for a picture far above `max_pixels` and MediaError for whatever else Pillow
    finds wrong with it; errors of the system, such as a missing file, pass unchanged.
    """
    with silent_pillow(max_pixels):
        try:
            yield
        except BsqError:
            raise
        except Image.DecompressionBombError as error:
            raise PixelLimitError(f"{name}: over the limit of {max_pixels} pixels") from error
        except UnidentifiedImageError as error:
            raise UnknownKindError(f"{name}: not a picture of any known kind") from error
        except Exception as error:
            if is_out_of_memory(error):
                raise LimitError(f"{name}: there is not enough memory for this picture") from error
            # Damaged data leads Pillow's plugins into exceptions of any type.
            if isinstance(error, OSError) and error.errno is not None:
                raise
            reason = _one_line(error)
            raise MediaError(f"{name}: damaged or unsupported picture ({reason})") from error


def check_size(name: str, size: tuple[int, int], max_pixels: int) -> None:
    """Raise LimitError for a picture of more than `max_pixels`, MediaError for an empty one."""
    width, height = size
    if width * height > max_pixels:
        raise PixelLimitError(
            f"{name}: {width} x {height} = {width * height} pixels, over the limit of {max_pixels}"
        )
    if width < 1 or height < 1:
        raise MediaError(f"{name}: the picture is empty ({width} x {height})")


def _one_line(error: Exception) -> str:
    """The text of an exception on one line of bounded length, or its type where it has none."""
    text = " ".join(str(error).split())
    return text[:200] if text else type(error).__name__
