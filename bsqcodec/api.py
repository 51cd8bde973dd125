"""The codec in three functions; for many pictures use `Codec`, which loads the weights once.

>>> from PIL import Image
>>> photo = Image.linear_gradient("L")                # 256 x 256, grey
>>> data = encode(photo, size="2k", verify=True)      # or quality=, bpp=, psnr=
>>> len(data) <= 2000
True
>>> decode(data).mode
'L'
>>> decode(data[:-20], partial=True).size             # a cut file
(256, 256)
>>> facts = describe(data)
>>> facts["width"], facts["colour"], facts["truncated"]
(256, 'gray', False)
"""

from __future__ import annotations

from contextlib import nullcontext
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias, Unpack

from bsqcodec.format.image_container import DEFAULT_MAX_PIXELS
from bsqcodec.options import (
    DecodeOptions,
    EncodeOptions,
    PictureDecodeKeywords,
    PictureKeywords,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    from bsqcodec.image.codec import Codec
    from bsqcodec.media.image.picture import Picture
    from bsqcodec.targets import Target

    File: TypeAlias = str | Path | bytes | BinaryIO
    PictureLike: TypeAlias = Image.Image | NDArray[Any] | Picture | File

MAX_PIXELS = DEFAULT_MAX_PIXELS
"""Pictures of more pixels than this are refused unless the caller says otherwise."""


def encode(
    image: PictureLike,
    quality: float | None = None,
    bpp: float | None = None,
    size: int | str | None = None,
    psnr: float | None = None,
    *,
    weights: str | Path | None = None,
    model: str = "transform",
    device: str = "auto",
    threads: int | None = None,
    **options: Unpack[PictureKeywords],
) -> bytes:
    """Return a picture as the bytes of a .bsq file.

    image: a Pillow image, an array [H, W] or [H, W, C], a Picture, or a picture file as a path,
    as bytes or as a stream.
    At most one of quality (0..100, 50 by default), bpp (bits per pixel), size (bytes, or text
    such as "20k") and psnr (dB) says how small or how good; ValueError for more than one.
    weights: a file; model: the family of weights to use without one, "transform" or "bsq", which
    has as many qualities as its weights have depths of codes; where that is one, it takes no
    target.
    options: strip=True leaves ICC, EXIF and XMP out; verify=True decodes the result and compares;
    effort=0, 1 or 2, see `Codec.encode`; tune="psnr" or "ms-ssim", the measure that effort 2
    searches by, in place of a mix of both; "psnr" has effort 1 choose integers by it too;
    look="balanced" or "natural", the decoder that the file is made for;
    pixel_checksum=True writes a checksum of the samples, which decoding compares; max_pixels
    refuses larger pictures.
    Raises ValueError for another effort, tune or device or a target that is none, TypeError for
    arguments of other types, MediaError, LimitError, TargetError, WeightsError, VerifyError or
    OSError.
    """
    if isinstance(quality, (str, Path)):
        raise TypeError(
            f"quality is a number from 0 to 100, not {str(quality)!r}; encode returns the bytes of"
            " the .bsq file and writes none: pathlib.Path(name).write_bytes does"
        )
    target = choose_target(quality, bpp, size, psnr)
    chosen = EncodeOptions.for_picture(target, **options)
    picture = _read(image, chosen.max_pixels)
    codec = _codec(weights, device, threads, model)
    return codec.encode_with(picture, chosen).data


def decode(
    data: File,
    *others: object,
    weights: str | Path | None = None,
    device: str = "auto",
    threads: int | None = None,
    **options: Unpack[PictureDecodeKeywords],
) -> Image.Image:
    """Return the picture in a .bsq file (path, bytes or stream) as L, LA, RGB or RGBA.

    options: levels, to decode only so many, for a coarser picture. reduction: 2, 4, 8 or 16 for a
    picture that is so many times smaller, fast. partial: take a cut or damaged file as far as it
    goes. fill: have weights of the family bsq fill in what is missing.
    crop: (left, top, width, height) of the pixels that are wanted; rendering takes time for these
    alone. look: "balanced" or "natural", the decoder that shows it, by default the one
    that the file names. max_memory: bytes that decoding may take, by default 10 GB or what this
    process can have, if that is less. Raises FormatError or one of its children, LimitError,
    WeightsError, CropError, OSError, ValueError for fewer levels than 1, or TypeError for `others`,
    of which there are none.
    """
    from bsqcodec.media.image.picture import to_pil

    if others:
        raise TypeError(
            "decode takes one file, and options by name; it returns a Pillow image and writes none:"
            " decode(data).save(name) does"
        )
    check_source(data)
    chosen = DecodeOptions.for_picture(**options)
    codec = _codec(weights, device, threads)
    with open(data, "rb") if isinstance(data, (str, Path)) else nullcontext(data) as source:
        decoded = codec.decode_with(source, chosen)
    return to_pil(decoded.picture)


def describe(data: File, *, max_pixels: int = MAX_PIXELS) -> dict[str, Any]:
    """Return what a .bsq file (path, bytes or stream) says about itself; no weights are needed.

    The keys are those of `bsqcodec.image.describe_picture.describe_picture` for a picture, and of
    `bsqcodec.video.describe_video.describe_video` for a video. Raises FormatError or LimitError.
    """
    from bsqcodec.format.magic import FileKind, read_kind
    from bsqcodec.image.describe_picture import describe_picture
    from bsqcodec.video.describe_video import describe_video

    if isinstance(data, (str, Path)):
        with open(data, "rb") as file:
            return describe(file, max_pixels=max_pixels)
    kind, source = read_kind(data)
    if kind is FileKind.VIDEO:
        return describe_video(source, max_pixels=max_pixels)
    return describe_picture(source, max_pixels=max_pixels)


def _whole(size: Any) -> int:
    """A float that is a whole number as such; anything else as it is."""
    return int(size) if isinstance(size, float) and size.is_integer() else size


def check_source(data: object) -> None:
    """Raise TypeError for what is neither a path nor bytes nor a stream to read from."""
    if not isinstance(data, (str, Path, bytes, bytearray, memoryview)) and not hasattr(
        data, "read"
    ):
        raise TypeError(f"a file is given as a path, bytes or a stream, not as {_type_of(data)}")


def _type_of(value: object) -> str:
    return f"{type(value).__name__} ({str(value)[:40]!r})"


def choose_target(
    quality: float | None = None,
    bpp: float | None = None,
    size: int | str | None = None,
    psnr: float | None = None,
    bitrate: float | str | None = None,
) -> Target | None:
    """Return the one target that is given, None for none. Raises ValueError for more than one.

    bitrate: of videos only, bits a second, or text such as "500k".
    """
    from bsqcodec.targets import (
        Bitrate,
        BitsPerPixel,
        Psnr,
        Quality,
        Size,
        parse_bitrate,
        parse_size,
    )

    if sum(value is not None for value in (quality, bpp, size, psnr, bitrate)) > 1:
        raise ValueError("give only one of quality, bpp, size and psnr, or bitrate for a video")
    if bitrate is not None:
        return Bitrate(parse_bitrate(bitrate) if isinstance(bitrate, str) else bitrate)
    if bpp is not None:
        return BitsPerPixel(bpp)
    if size is not None:
        return Size(parse_size(size) if isinstance(size, str) else _whole(size))
    if psnr is not None:
        return Psnr(psnr)
    return None if quality is None else Quality(quality)


@lru_cache(maxsize=1)
def _codec(
    weights: str | Path | None, device: str, threads: int | None, model: str = "transform"
) -> Codec:
    """The codec that was used last, as long as it is asked for with the same arguments."""
    from bsqcodec.image.codec import Codec

    return Codec(weights, device=device, threads=threads, model=model)


def _read(image: PictureLike, max_pixels: int) -> Picture:
    """The picture in whatever form it was given."""
    import numpy as np
    from PIL import Image

    from bsqcodec.errors import AnimationError, MediaError
    from bsqcodec.media.image.image_reader import picture_from, read_picture
    from bsqcodec.media.image.picture import Picture

    if isinstance(image, (Image.Image, np.ndarray, Picture)):
        return picture_from(image, max_pixels=max_pixels)
    check_source(image)
    try:
        return read_picture(image, max_pixels=max_pixels)
    except AnimationError as error:
        raise AnimationError(f"{error}; encode_video codes all of it") from error
    except MediaError as error:
        if isinstance(image, (str, Path)) and _is_video(image):
            raise MediaError(f"{error}; encode_video codes videos") from error
        raise


def _is_video(path: str | Path) -> bool:
    from bsqcodec.media.video.video_files import is_video

    return is_video(path)
