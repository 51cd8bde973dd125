"""Videos in a batch: from file to file, by a codec that is loaded when the first of them comes."""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bsqcodec.batch.batch_options import Options, Progress, Summary
from bsqcodec.batch.digests import check_weights
from bsqcodec.machine.first_import import import_torch
from bsqcodec.media.files import open_named
from bsqcodec.media.formats import PICTURE_FORMAT_NAMES, VIDEO_CONTAINER_NAMES
from bsqcodec.media.suffixes import VIDEO_SUFFIXES

if TYPE_CHECKING:
    from bsqcodec.video.codec import VideoCodec

SUFFIXES: Final = tuple(sorted(VIDEO_SUFFIXES - {".yuv"}))
"""Of files that are taken for videos; not .yuv, whose frames have a size that no file tells."""

FORMATS: Final = tuple(name for name in VIDEO_CONTAINER_NAMES if name not in PICTURE_FORMAT_NAMES)
"""Names of what is written, which are suffixes too; those of pictures mean pictures in a batch."""


def encode(source: Path, destination: Path, options: Options, progress: Progress) -> Summary:
    """Code a video file as a .bsq file. Raises as `encode_video_file` does."""
    from bsqcodec.media.size_notes import larger_note
    from bsqcodec.video.encode_file import VideoInput, encode_video_file

    video = VideoInput(source, options.encoding)
    total = video.check()  # before the weights are loaded
    codec = _codec(options)
    with open_named(destination, destination) as file:
        coded = encode_video_file(
            codec,
            video,
            file,
            options.encoding,
            progress=lambda frames: progress(frames, total),
        )
    larger = larger_note(coded.size, source.stat().st_size)
    return Summary(
        frames=coded.frames,
        pixels=coded.frames * coded.width * coded.height,
        bpp=coded.bpp,
        psnr_db=coded.psnr if math.isfinite(coded.psnr) else None,
        notes=(*coded.notes, *coded.problems, *([larger] if larger else [])),
    )


def decode(source: Path, destination: Path, options: Options, progress: Progress) -> Summary:
    """Decode a .bsq file to a video file. Raises as `decode_video_file` does."""
    from bsqcodec.format.video_file_reader import VideoFileReader
    from bsqcodec.media.video.video_files import OutputOptions
    from bsqcodec.video.decode_file import decode_video_file

    with open(source, "rb") as file, open_named(destination, destination) as output:
        index = VideoFileReader(file, max_pixels=options.decoding.max_pixels).index
        total = index.frame_count if index else None
        file.seek(0)
        stored = decode_video_file(
            _codec(options),
            file,
            output,
            OutputOptions(container=destination.suffix[1:]),
            options.decoding,
            progress=lambda frames: progress(frames, total),
        )
    pixels = stored.frames * stored.format.width * stored.format.height
    bits = 8 * source.stat().st_size
    return Summary(frames=stored.frames, pixels=pixels, bpp=bits / pixels, notes=stored.notes)


def check(source: Path, coded: Path, options: Options) -> str | None:
    """Say that `coded` may be anything: its length of groups, for one, does not follow from it."""
    return "a video's file does not tell how it was coded"


def _codec(options: Options) -> VideoCodec:
    weights = options.weights, options.model, options.video_weights_sha256
    return _load(*weights, options.device, options.threads)


@lru_cache(maxsize=1)
def _load(
    weights: str | None, model: str, sha256: str | None, device: str, threads: int | None
) -> VideoCodec:
    """The codec of this process. Raises WeightsError where its weights have another SHA-256."""
    import_torch()
    from bsqcodec.video.codec import VideoCodec
    from bsqcodec.video.video_model import default_video_weights

    if sha256 is not None:
        check_weights(default_video_weights(model) if weights is None else Path(weights), sha256)
    return VideoCodec(weights, device=device, threads=threads, model=model)
