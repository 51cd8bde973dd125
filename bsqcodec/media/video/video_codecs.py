"""Which encoder makes a decoded video, with which pixel format and options."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Final

import av
from av.codec.codec import UnknownCodecError

from bsqcodec.errors import OutputError
from bsqcodec.media.video.video_types import OutputOptions, VideoFormat

DEFAULT_CRF: Final = 6
"""By libx264 in yuv420p it kept 43 to 44 dB PSNR of RGB on two clips (12: 38 to 41 dB), by
libvpx-vp9 the same on two others."""

_DEFAULT_CODEC_OF: Final = {"webm": "libvpx-vp9"}
_DEFAULT_CODEC: Final = "libx264"
_DEFAULT_LOSSLESS: Final = {
    "mkv": "ffv1",
    "mp4": "libx264rgb",
    "mov": "libx264rgb",
    "webm": "libvpx-vp9",
}
_WEBM_CODECS: Final = ("libvpx-vp9", "libvpx", "libsvtav1")
"""Of VP8, VP9 and AV1, which alone WebM holds."""
_LOSSLESS: Final[dict[str, tuple[str, dict[str, str]]]] = {
    "ffv1": ("bgr0", {}),
    "libx264rgb": ("rgb24", {"qp": "0"}),
    "libx265": ("gbrp", {"x265-params": "lossless=1:log-level=error"}),
    "libvpx-vp9": ("gbrp", {"lossless": "1"}),
    "png": ("rgb24", {}),
    "qtrle": ("rgb24", {}),
}
"""Pixel format and options by which a codec gives RGB back exactly."""

_CRF_CODECS: Final = ("libx264", "libx264rgb", "libx265", "libvpx-vp9", "libvpx", "libsvtav1")
_EVEN_CODECS: Final = ("libx264", "libx265", "libsvtav1")
"""Encoders that refuse, or pad, odd sizes where chroma is subsampled."""
_DEFAULT_OPTIONS: Final = {
    "libx264": {"mbtree": "0"},
    "libx264rgb": {"mbtree": "0"},
    "libx265": {"x265-params": "log-level=error"},
    "libvpx-vp9": {"deadline": "good", "cpu-used": "4", "row-mt": "1"},
}
"""With x264's macroblock tree and several threads, the same frames gave other bytes at times."""
_SMALLEST_SIDE: Final = {"libx265": 16}
"""Below it x265 does not open, and corrupts memory on the way."""


@dataclass(frozen=True)
class EncoderChoice:
    """An encoder of FFmpeg's by name, its input's pixel format, and its options."""

    codec: str
    pix_fmt: str
    options: dict[str, str]


def choose_encoder(
    container: str, format: VideoFormat, options: OutputOptions, notes: list[str]
) -> EncoderChoice:
    """Return the encoder for a container ("mp4", "mov", "mkv", "webm" or "y4m").

    By default that is libx264 in yuv420p at DEFAULT_CRF, and libvpx-vp9 in webm.
    notes: gets a sentence where the default was changed for the video's sake.
    Raises OutputError for what does not go together.
    """
    if container == "y4m":
        return _plain(options)
    codec = _codec_of(container, options)
    formats = pixel_formats_of(codec)
    _check_webm(container, codec)
    smallest = _SMALLEST_SIDE.get(codec, 1)
    if min(format.width, format.height) < smallest:
        raise OutputError(
            f"{codec} needs {smallest} x {smallest} pixels at least, the video has"
            f" {format.width} x {format.height}"
        )
    if options.lossless:
        return _lossless(codec, options)
    chosen = dict(_DEFAULT_OPTIONS.get(codec, {}))
    if codec in _CRF_CODECS:
        chosen["crf"] = str(DEFAULT_CRF if options.crf is None else options.crf)
        if codec.startswith("libvpx"):
            chosen["b"] = "0"
    elif options.crf is not None:
        _check_crf(codec)
    pix_fmt = options.pix_fmt or _default_format(codec, formats, format, notes)
    if formats and pix_fmt not in formats:
        raise OutputError(f"{codec} cannot encode {pix_fmt}; it can {', '.join(sorted(formats))}")
    return EncoderChoice(codec, pix_fmt, chosen | dict(options.codec_options))


def check_codec(container: str, muxer: str, options: OutputOptions) -> None:
    """Raise OutputError where codec, crf, lossless and container do not go together.

    container: "mp4", "mov", "mkv", "webm" or "y4m"; muxer: its name in FFmpeg. What depends on the
    video, too, is left to `choose_encoder`.
    """
    if container == "y4m":
        _plain(options)
        return
    codec = _codec_of(container, options)
    pixel_formats_of(codec)
    _check_webm(container, codec)
    with av.open(io.BytesIO(), "w", format=muxer) as output:
        if codec not in output.supported_codecs:
            raise OutputError(f"{container} cannot hold {codec}")
    if options.lossless:
        _lossless(codec, options)
    elif options.crf is not None:
        _check_crf(codec)


def pixel_formats_of(codec: str) -> set[str]:
    """Pixel formats that an encoder of FFmpeg's takes.

    Raises OutputError if it is none of video.
    """
    try:
        formats = {f.name for f in av.Codec(codec, "w").video_formats or ()}
    except UnknownCodecError as error:
        raise OutputError(f"FFmpeg has no video encoder {codec}") from error
    if not formats and codec not in _LOSSLESS:
        raise OutputError(f"{codec} is no encoder of video")
    return formats


def _codec_of(container: str, options: OutputOptions) -> str:
    """The encoder that the options name, or else the container's default one."""
    if options.codec is not None:
        return options.codec
    default = _DEFAULT_CODEC_OF.get(container, _DEFAULT_CODEC)
    return _DEFAULT_LOSSLESS[container] if options.lossless else default


def _check_webm(container: str, codec: str) -> None:
    if container == "webm" and codec not in _WEBM_CODECS:
        raise OutputError(f"webm cannot hold {codec}; it holds {', '.join(_WEBM_CODECS)}")


def _check_crf(codec: str) -> None:
    if codec not in _CRF_CODECS:
        raise OutputError(f"{codec} has no crf; set its own options")


def _plain(options: OutputOptions) -> EncoderChoice:
    """The samples themselves, as y4m holds them."""
    if options.codec not in (None, "rawvideo") or options.crf is not None or options.lossless:
        raise OutputError("y4m holds plain samples: it takes neither a codec nor crf nor lossless")
    pix_fmt = options.pix_fmt or "yuv420p"
    if pix_fmt not in ("yuv420p", "yuv422p", "yuv444p"):
        raise OutputError(f"y4m is written as yuv420p, yuv422p or yuv444p, not {pix_fmt}")
    return EncoderChoice("rawvideo", pix_fmt, {})


def _lossless(codec: str, options: OutputOptions) -> EncoderChoice:
    if codec not in _LOSSLESS:
        raise OutputError(f"{codec} is not lossless for RGB; {', '.join(_LOSSLESS)} are")
    if options.crf is not None:
        raise OutputError("crf and lossless exclude each other")
    pix_fmt, chosen = _LOSSLESS[codec]
    if options.pix_fmt not in (None, pix_fmt):
        raise OutputError(f"lossless {codec} wants {pix_fmt}, not {options.pix_fmt}")
    return EncoderChoice(codec, pix_fmt, chosen | dict(options.codec_options))


def _default_format(codec: str, formats: set[str], format: VideoFormat, notes: list[str]) -> str:
    """4:2:0 where the codec has it and the size allows it, else the next best."""
    odd = format.width % 2 or format.height % 2
    if odd and codec in _EVEN_CODECS:
        if "yuv444p" not in formats:
            raise OutputError(
                f"{codec} wants even sizes, the video is {format.width} x {format.height}"
            )
        notes.append(
            f"{format.width} x {format.height} is odd: stored as 4:4:4, since {codec} wants even"
            " sizes for 4:2:0"
        )
        return "yuv444p"
    wanted = ("yuv420p", "yuv422p", "yuv422p10le", "yuv444p", "rgb24", "gbrp", "bgr0")
    return next((name for name in wanted if name in formats), next(iter(sorted(formats))))
