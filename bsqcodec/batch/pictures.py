"""Pictures in a batch: from file to file, by a codec that stays loaded as long as the process."""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from bsqcodec.batch.batch_options import Options, Progress, Summary
from bsqcodec.batch.digests import check_weights
from bsqcodec.errors import AnimationError
from bsqcodec.machine.first_import import import_torch
from bsqcodec.media.files import open_named
from bsqcodec.media.formats import PICTURE_FORMAT_NAMES
from bsqcodec.media.suffixes import PICTURE_SUFFIXES

if TYPE_CHECKING:
    from bsqcodec.format.image_container import Container
    from bsqcodec.image.codec import Codec
    from bsqcodec.image.encode_picture import Encoded
    from bsqcodec.media.image.picture import Picture

SUFFIXES: Final = tuple(sorted(PICTURE_SUFFIXES))
"""Of files that are taken for pictures. Of GIF only still ones can be coded; others fail."""

FORMATS: Final = PICTURE_FORMAT_NAMES
"""Names of what is written, which are suffixes too."""


def encode(source: Path, destination: Path, options: Options, progress: Progress) -> Summary:
    """Code a picture file as a .bsq file. Raises as `bsqcodec.encode` does, and OSError."""
    from bsqcodec.media.size_notes import size_notes

    picture = read_source(source, options.encoding.max_pixels, first_frame=options.first_frame)
    encoded = _codec(options).encode_with(
        picture, options.encoding, progress=lambda fraction: progress(fraction, 1)
    )
    with open_named(destination, destination) as file:
        file.write(encoded.data)
    sizes = size_notes(
        picture, len(encoded.data), source.stat().st_size, strip=options.encoding.strip
    )
    return Summary(
        frames=1,
        pixels=encoded.width * encoded.height,
        bpp=encoded.bpp,
        psnr_db=_known_psnr(encoded, options),
        notes=tuple(dict.fromkeys([*picture.notes, *encoded.notes, *sizes])),
    )


def read_source(
    source: str | Path | BinaryIO, max_pixels: int, *, first_frame: bool = False
) -> Picture:
    """Read a picture to code; what is raised for an animation names the options of the commands."""
    from bsqcodec.media.image.image_reader import read_picture

    try:
        return read_picture(source, max_pixels=max_pixels, first_frame=first_frame)
    except AnimationError as error:
        way_out = "--video codes all of it, --picture its first frame"
        raise AnimationError(f"{error}; {way_out}") from error


def decode(source: Path, destination: Path, options: Options, progress: Progress) -> Summary:
    """Decode a .bsq file to a picture file. Raises as `bsqcodec.decode` does, and OSError."""
    from bsqcodec.media.image.image_writer import write_picture

    with open(source, "rb") as file:
        decoded = _codec(options).decode_with(
            file, options.decoding, progress=lambda fraction: progress(fraction, 1)
        )
    notes = [*decoded.notes, *write_picture(decoded.picture, destination)]
    pixels = decoded.picture.width * decoded.picture.height
    bits = 8 * source.stat().st_size
    return Summary(frames=1, pixels=pixels, bpp=bits / pixels, notes=tuple(notes))


def check(source: Path, coded: Path, options: Options) -> str | None:
    """Say why `coded` is not what encoding `source` would give, as far as the file tells; or None.

    Looks at all that can be had without coding: the checksums, weights, step (which for most
    qualities is another one with effort 2), size, metadata and alpha of the file, and which of both
    is newer. Raises FormatError and its children, LimitError, MediaError and OSError for files that
    cannot be read.
    """
    from bsqcodec.encoder.effort import is_optimised
    from bsqcodec.encoder.target_search import step_among, step_of_quality
    from bsqcodec.format.image_container import unpack
    from bsqcodec.targets import Quality

    with open(coded, "rb") as file:
        container = unpack(file, max_pixels=options.encoding.max_pixels)
    header = container.header
    if header.model_id.hex() != options.model_id:
        return "it was made with other weights"
    if not isinstance(options.target, Quality):
        return "it does not tell what rate or distortion was asked for"
    optimised = is_optimised(options.encoding.effort, header.width * header.height)
    quality, steps = options.target.value, options.few_steps
    if header.step != (
        step_among(steps, quality) if steps else step_of_quality(quality, optimised)
    ):
        return "it is of another quality or effort"
    if coded.stat().st_mtime_ns < source.stat().st_mtime_ns:
        return "its source is newer"
    picture = read_source(source, options.encoding.max_pixels, first_frame=options.first_frame)
    if (header.width, header.height) != (picture.width, picture.height):
        return "its picture has another size"
    return _other_sides(container, picture, strip=options.encoding.strip)


def _other_sides(container: Container, picture: Picture, *, strip: bool) -> str | None:
    """Why colour, metadata or alpha of a .bsq file are not those of a picture; None if they are."""
    import numpy as np

    from bsqcodec.format.image_container import ChunkKind, Colour
    from bsqcodec.media.image.alpha import unpack_alpha

    header = container.header
    if (header.colour == Colour.GRAY) != picture.is_grey:
        return "its picture has other colours"
    kept = (None, None, None) if strip else (picture.icc, picture.exif, picture.xmp)
    for kind, metadata in zip((ChunkKind.ICC, ChunkKind.EXIF, ChunkKind.XMP), kept, strict=True):
        if container.find(kind) != (metadata or None):
            return "it has other metadata"
    packed = container.find(ChunkKind.ALPHA)
    if packed is None or picture.alpha is None:
        same = packed is None and picture.alpha is None
    else:
        alpha = unpack_alpha(packed, header.width, header.height)
        same = np.array_equal(alpha, picture.alpha)
    return None if same else "it has other transparency"


def _known_psnr(encoded: Encoded, options: Options) -> float | None:
    """dB where it is known anyway, and finite: measuring takes the decoder's networks."""
    from bsqcodec.targets import Psnr

    known = isinstance(options.target, Psnr) and math.isfinite(encoded.psnr)
    return encoded.psnr if known else None


def _codec(options: Options) -> Codec:
    return _load(
        options.weights, options.weights_sha256, options.device, options.threads, options.model
    )


@lru_cache(maxsize=1)
def _load(
    weights: str | None, sha256: str | None, device: str, threads: int | None, model: str
) -> Codec:
    """The codec of this process. Raises WeightsError where its weights have another SHA-256."""
    import_torch()
    from bsqcodec.image.codec import Codec
    from bsqcodec.models.families import default_weights

    if sha256 is not None:
        check_weights(default_weights(model) if weights is None else Path(weights), sha256)
    return Codec(weights, device=device, threads=threads, model=model)
