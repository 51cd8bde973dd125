"""bsqcodec: pictures and videos in, small .bsq files out, and back, by a learned codec.

    >>> import bsqcodec, numpy
    >>> image = numpy.full((48, 64, 3), 200, "uint8")    # or a PIL image, or a file
    >>> data = bsqcodec.encode(image, quality=50)        # bytes
    >>> bsqcodec.decode(data)                            # bytes or a file in, PIL image out
    <PIL.Image.Image image mode=RGB size=64x48 at 0x...>

For videos there are `encode_video`, `decode_video` and `video_frames` (see `bsqcodec.api_video`).

Importing the package imports nothing heavy; each name below loads its module on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bsqcodec.api import decode, describe, encode
    from bsqcodec.api_video import decode_video, encode_frames, encode_video, video_frames
    from bsqcodec.errors import (
        AnimationError,
        BsqError,
        ChecksumError,
        ClusterError,
        CropError,
        DamagedVideoError,
        FormatError,
        LimitError,
        MachineError,
        MediaError,
        OutputError,
        OutputExistsError,
        SeekError,
        TargetError,
        TruncatedError,
        UnsupportedVersionError,
        VerifyError,
        WeightsError,
    )
    from bsqcodec.format.token_file import Tokens
    from bsqcodec.image.codec import Codec, Decoded
    from bsqcodec.image.encode_picture import Encoded
    from bsqcodec.media.crop import Crop
    from bsqcodec.media.image.picture import Picture
    from bsqcodec.models.bsq.generation import Drawing
    from bsqcodec.pillow import register_pillow_opener
    from bsqcodec.targets import Bitrate, BitsPerPixel, Psnr, Quality, Size
    from bsqcodec.video.codec import VideoCodec
    from bsqcodec.video.encode_frames import EncodedVideo

__version__ = "0.1.0"

__all__ = [
    "AnimationError",
    "Bitrate",
    "BitsPerPixel",
    "BsqError",
    "ChecksumError",
    "ClusterError",
    "Codec",
    "Crop",
    "CropError",
    "DamagedVideoError",
    "Decoded",
    "Drawing",
    "Encoded",
    "EncodedVideo",
    "FormatError",
    "LimitError",
    "MachineError",
    "MediaError",
    "OutputError",
    "OutputExistsError",
    "Picture",
    "Psnr",
    "Quality",
    "SeekError",
    "Size",
    "TargetError",
    "Tokens",
    "TruncatedError",
    "UnsupportedVersionError",
    "VerifyError",
    "VideoCodec",
    "WeightsError",
    "decode",
    "decode_video",
    "describe",
    "encode",
    "encode_frames",
    "encode_video",
    "register_pillow_opener",
    "video_frames",
]

_HOMES = {
    "api": ("decode", "describe", "encode"),
    "api_video": ("decode_video", "encode_frames", "encode_video", "video_frames"),
    "targets": ("Bitrate", "BitsPerPixel", "Psnr", "Quality", "Size"),
    "format.token_file": ("Tokens",),
    "image.codec": ("Codec", "Decoded"),
    "image.encode_picture": ("Encoded",),
    "media.crop": ("Crop",),
    "media.image.picture": ("Picture",),
    "models.bsq.generation": ("Drawing",),
    "pillow": ("register_pillow_opener",),
    "video.codec": ("VideoCodec",),
    "video.encode_frames": ("EncodedVideo",),
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
