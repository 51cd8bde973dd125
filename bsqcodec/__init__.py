"""bsqcodec: pictures in, small .bsq files out, and back, by a learned codec.

    >>> import bsqcodec, numpy
    >>> image = numpy.full((48, 64, 3), 200, "uint8")    # or a PIL image, or a file
    >>> data = bsqcodec.encode(image, quality=50)        # bytes
    >>> bsqcodec.decode(data)                            # bytes or a file in, PIL image out
    <PIL.Image.Image image mode=RGB size=64x48 at 0x...>

Importing the package imports nothing heavy; each name below loads its module on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bsqcodec.api import decode, describe, encode
    from bsqcodec.codec import Codec, Decoded, Encoded
    from bsqcodec.errors import (
        BsqError,
        ChecksumError,
        FormatError,
        LimitError,
        MediaError,
        OutputExistsError,
        TargetError,
        TruncatedError,
        UnsupportedVersionError,
        VerifyError,
        WeightsError,
    )
    from bsqcodec.media.picture import Picture
    from bsqcodec.rate import BitsPerPixel, Psnr, Quality, Size

__version__ = "0.1.0"

__all__ = [
    "BitsPerPixel",
    "BsqError",
    "ChecksumError",
    "Codec",
    "Decoded",
    "Encoded",
    "FormatError",
    "LimitError",
    "MediaError",
    "OutputExistsError",
    "Picture",
    "Psnr",
    "Quality",
    "Size",
    "TargetError",
    "TruncatedError",
    "UnsupportedVersionError",
    "VerifyError",
    "WeightsError",
    "decode",
    "describe",
    "encode",
]

_HOMES = {
    "api": ("decode", "describe", "encode"),
    "codec": ("Codec", "Decoded", "Encoded"),
    "media.picture": ("Picture",),
    "rate": ("BitsPerPixel", "Psnr", "Quality", "Size"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Load a public name from its module (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME_OF.get(name, 'errors')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
