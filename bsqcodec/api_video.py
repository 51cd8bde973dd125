"""Videos in three functions; for many of them use `VideoCodec`, which loads the weights once.

>>> from PIL import Image
>>> for number in range(4):
...     Image.new("RGB", (48, 32), (50 * number, 90, 90)).save(f"frame{number}.png")
>>> coded = encode_video("frame%d.png", "clip.bsq", quality=30)     # or "clip.mp4"
>>> coded.frames, coded.size < 5000
(4, True)
>>> stored = decode_video("clip.bsq", "clip.mkv")     # or .mp4, .mov, .y4m, a folder of PNG files
>>> stored.frames, stored.missing
(4, ())
>>> [frame.shape for frame in video_frames("clip.bsq", start=0.1)]  # uint8, RGB
[(32, 48, 3)]
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sized
from contextlib import closing, contextmanager
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Unpack

from bsqcodec.api import check_source, choose_target
from bsqcodec.format.byte_source import SupportsRead, as_stream
from bsqcodec.options import DecodeOptions, EncodeOptions, VideoDecodeKeywords, VideoKeywords

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    from bsqcodec.media.image.picture import Samples
    from bsqcodec.media.video.video_files import OutputOptions, RawVideo
    from bsqcodec.video.codec import VideoCodec
    from bsqcodec.video.decode_file import StoredVideo
    from bsqcodec.video.encode_file import CodedVideo
    from bsqcodec.video.encode_frames import EncodedVideo


def encode_video(
    source: str | Path | BinaryIO,
    destination: str | Path | BinaryIO,
    quality: float | None = None,
    bpp: float | None = None,
    bitrate: float | str | None = None,
    size: int | str | None = None,
    psnr: float | None = None,
    *,
    partial: bool = False,
    overwrite: bool = False,
    raw: RawVideo | None = None,
    frame_rate: Fraction | float | None = None,
    start: float | None = None,
    duration: float | None = None,
    weights: str | Path | None = None,
    model: str = "transform",
    device: str = "auto",
    threads: int | None = None,
    scheduler: str | None = None,
    **options: Unpack[VideoKeywords],
) -> CodedVideo:
    """Code a video as a .bsq file, with its sound and subtitles; tell what came of it.

    source: a file, a stream, a name pattern such as frame%05d.png or frame*.png, or a folder of
    pictures. destination: a stream, or a file, whose name ends with .bsq and which appears whole or
    not at all.
    At most one of quality (0..100, 50 by default), bpp (bits per pixel), bitrate (bits a second,
    or text such as "500k"), size (bytes, or text such as "20M") and psnr (dB, of each group of
    pictures) says how small or how good; ValueError for more than one. bpp and bitrate are of the
    frames, on average; size is of the whole file, which gets at most 3 % smaller, and needs a
    source that can be read more than once.
    options: gop, frames of a group at most, by default a second of them. audio: "copy" keeps sound
    as it is, "opus" and "opus:64k" convert it, "none" leaves it out. strip: leave the file's texts,
    such as its title, out. verify: decode the result and compare. effort: 2 searches (slowly) for
    what costs less and looks better, 0 and 1 do not. tune: "psnr" chooses integers by that alone,
    in place of a mix with MS-SSIM; "ms-ssim" changes nothing, since frames that others are
    predicted from serve it best with the mix. partial: pass over damage of the source.
    overwrite: replace the destination. raw: what a file of bare samples does not say. frame_rate:
    of numbered pictures. start, duration: in seconds, of the part that is wanted, which begins at
    time 0; sound and subtitles are cut with the frames. max_pixels: of one frame. weights: a file;
    model: the family of the weights to use without one, "transform" or "bsq". scheduler: the
    address of a dask.distributed scheduler, whose workers code the groups of frames.
    Raises ValueError for another effort, tune or gop, or a part that begins or lasts less than 0
    seconds, TypeError for arguments of other types, MediaError, LimitError, TargetError,
    WeightsError, ClusterError, VerifyError, OutputError for a destination of another name,
    OutputExistsError or OSError. What is wrong with the destination is raised before any work is
    done.
    """
    from bsqcodec.media.video.part import Part
    from bsqcodec.video.encode_file import VideoInput, encode_video_file

    target = choose_target(quality, bpp, size, psnr, bitrate)
    chosen = EncodeOptions.for_video(target, **options)
    check_source(source)
    _check_coded_output(destination, overwrite, source)
    video = VideoInput(
        source,
        chosen,
        raw=raw,
        frame_rate=_frame_rate(frame_rate),
        allow_damage=partial,
        part=Part.of(start, duration),
    )
    video.check()
    codec = _codec(weights, device, threads, model, scheduler)
    with _output(destination, overwrite) as file:
        return encode_video_file(codec, video, file, chosen)


def encode_frames(
    frames: Iterable[Image.Image | NDArray[Any]],
    destination: str | Path | BinaryIO,
    quality: float | None = None,
    bpp: float | None = None,
    bitrate: float | str | None = None,
    psnr: float | None = None,
    *,
    frame_rate: Fraction | float | None = None,
    overwrite: bool = False,
    weights: str | Path | None = None,
    model: str = "transform",
    device: str = "auto",
    threads: int | None = None,
    scheduler: str | None = None,
    **options: Unpack[VideoKeywords],
) -> EncodedVideo:
    """Code frames, Pillow images or arrays [H, W] or [H, W, C], as a .bsq video as they come.

    frames: any iterable, such as a generator; all of one size. frame_rate: frames a second, 25 by
    default. All else, and what is raised, as of `encode_video`.
    """
    from bsqcodec.media.files import temporary_file
    from bsqcodec.media.image.image_reader import picture_from
    from bsqcodec.media.video.frame_sequence import PicturesReader
    from bsqcodec.video.encode_file import publish
    from bsqcodec.video.encode_frames import encode_reader

    target = choose_target(quality, bpp, psnr=psnr, bitrate=bitrate)
    chosen = EncodeOptions.for_video(target, **options)
    _check_coded_output(destination, overwrite)
    pictures = (
        (f"frame {number}", picture_from(frame, max_pixels=chosen.max_pixels))
        for number, frame in enumerate(frames)
    )
    count = len(frames) if isinstance(frames, Sized) else None
    reader = PicturesReader(pictures, _frame_rate(frame_rate), count)
    codec = _codec(weights, device, threads, model, scheduler)
    with _output(destination, overwrite) as file:
        if not chosen.verify:
            return encode_reader(codec, reader, file, chosen)
        with temporary_file() as made:
            encoded = encode_reader(codec, reader, made, chosen)
            publish(codec, encoded.frames, made, file, verify=True)
        return encoded


def decode_video(
    source: str | Path | bytes | BinaryIO,
    destination: str | Path | BinaryIO,
    *,
    options: OutputOptions | None = None,
    overwrite: bool = False,
    weights: str | Path | None = None,
    device: str = "auto",
    threads: int | None = None,
    **decoding: Unpack[VideoDecodeKeywords],
) -> StoredVideo:
    """Decode a .bsq video to a file (.mp4, .mkv, .mov, .y4m), a stream or numbered pictures.

    destination: appears whole or not at all; for pictures a folder, with the container "png" in
    `options`, or a name pattern such as out%05d.png. options: container, codec, crf, lossless ...
    start, duration: in seconds, of the part that is wanted; sound is cut with the pictures.
    crop: (left, top, width, height) of the pixels that are wanted of each frame. look: "balanced"
    or "natural", the decoder that shows them.
    partial: pass over damage, which `missing` of the result lists. overwrite: replace what is
    there. max_memory: bytes that decoding may take, by default 10 GB or what this process can have,
    if that is less. Raises FormatError or one of its children, LimitError, WeightsError, SeekError
    for a part without frames, CropError, ValueError for a part that begins or lasts less than 0
    seconds, OutputError for a destination and options that do not go together, OutputExistsError or
    OSError. What is wrong with the destination is raised before any work is done.
    """
    from bsqcodec.media.files import check_other_file
    from bsqcodec.media.video.video_files import OutputOptions, check_video_output
    from bsqcodec.video.decode_file import decode_video_file

    check_source(source)
    _check_destination(destination)
    chosen = DecodeOptions.for_video(**decoding)
    options = replace(options or OutputOptions(), overwrite=overwrite)
    if isinstance(destination, (str, Path)):
        check_other_file(source, destination)
    check_video_output(destination, options, force=overwrite)
    codec = _codec(weights, device, threads)
    target = Path(destination) if isinstance(destination, str) else destination
    with _opened(source) as stream:
        return decode_video_file(codec, stream, target, options, chosen)


def video_frames(
    source: str | Path | bytes | BinaryIO,
    *,
    weights: str | Path | None = None,
    device: str = "auto",
    threads: int | None = None,
    **decoding: Unpack[VideoDecodeKeywords],
) -> Iterator[Samples]:
    """Yield the frames of a .bsq video, uint8 [H, W, 3] RGB, as they are decoded.

    start, duration, crop, look, partial, max_memory: as of `decode_video`, whose errors are raised
    as the frames come.
    """
    codec = _codec(weights, device, threads)
    with _opened(source) as stream:
        decoded = codec.decode_with(stream, DecodeOptions.for_video(**decoding))
        with closing(decoded.frames()) as frames:
            for frame in frames:
                yield frame.pixels


def _check_destination(destination: object) -> None:
    """Raise TypeError for what is neither a path nor a stream to write to."""
    if not isinstance(destination, (str, Path)) and not hasattr(destination, "write"):
        raise TypeError(f"the destination is a path or a stream to write to, not {destination!r}")


def _check_coded_output(
    destination: str | Path | BinaryIO, overwrite: bool, source: object = None
) -> None:
    """Raise what forbids a .bsq file there that is made of a source, before any work is done."""
    from bsqcodec.media.files import check_coded_name, check_other_file, check_output

    _check_destination(destination)
    if isinstance(destination, (str, Path)):
        check_other_file(source, destination)
        check_coded_name(destination)
        check_output(destination, force=overwrite)


@contextmanager
def _output(destination: str | Path | BinaryIO, overwrite: bool) -> Iterator[BinaryIO]:
    """A file that appears whole or not at all, or the stream that was given."""
    from bsqcodec.media.files import atomic_output

    if isinstance(destination, (str, Path)):
        with atomic_output(Path(destination), force=overwrite) as file:
            yield file
    else:
        yield destination


def _frame_rate(rate: object) -> Fraction | None:
    """Frames a second as a fraction; of a number such as 29.97 the nearest short one."""
    if rate is None:
        return None
    if isinstance(rate, bool) or not isinstance(rate, Real):
        raise TypeError(
            f"a frame rate is a number such as 25 or Fraction(30000, 1001), not {rate!r}"
        )
    if not (math.isfinite(rate) and float(rate) > 0):
        raise ValueError(f"a frame rate of {rate} is not above 0")
    return rate if isinstance(rate, Fraction) else Fraction(float(rate)).limit_denominator(1001)


@contextmanager
def _opened(source: str | Path | bytes | BinaryIO) -> Iterator[SupportsRead]:
    """A stream over a file, which is closed again, over bytes, or the stream that was given."""
    if isinstance(source, (str, Path)):
        with open(source, "rb") as file:
            yield file
    else:
        yield as_stream(source)


@lru_cache(maxsize=1)
def _codec(
    weights: str | Path | None,
    device: str,
    threads: int | None,
    model: str = "transform",
    scheduler: str | None = None,
) -> VideoCodec:
    """The codec that was used last, as long as it is asked for with the same arguments."""
    from bsqcodec.video.codec import VideoCodec

    return VideoCodec(weights, device=device, threads=threads, model=model, scheduler=scheduler)
