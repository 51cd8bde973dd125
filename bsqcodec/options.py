"""How pictures and videos are encoded and decoded: one object for each, made once and handed down.

The command line and the Python functions make them, and everything below takes them whole. What is
possible is checked here and nowhere else. A new option of encoding is a field of `EncodeOptions`
and, for Python, a name in `PictureKeywords` or `VideoKeywords` (see CONTRIBUTING.md). `for_picture`
and `for_video` make the objects of what Python takes by name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Self, TypeAlias, TypedDict, Unpack, get_args

from bsqcodec.format.image_container import DEFAULT_MAX_PIXELS
from bsqcodec.format.video_chunks import MAX_GOP_FRAMES
from bsqcodec.media.crop import Crop, CropLike
from bsqcodec.media.side.audio_choice import AudioChoice
from bsqcodec.media.video.part import check_seconds
from bsqcodec.targets import Bitrate, Target

Tune: TypeAlias = Literal["psnr", "ms-ssim", "lpips"]

TUNES: tuple[Tune, ...] = get_args(Tune)

Look: TypeAlias = Literal["balanced", "natural"]

LOOKS: tuple[Look, ...] = get_args(Look)
"""Names of decoders of one file: that of the weights themselves, one for looking at."""

OWN_LOOK: Look = "balanced"
"""The look of the weights that a file names, for which no other file is needed."""

LOOK_OF_TUNE: dict[Tune, Look] = {"lpips": "natural"}
"""The look that goes with a measure, where none is named."""

MAX_EFFORT = 2
"""The effort that optimises integers; see `bsqcodec.encoder.rdo`."""


REDUCTIONS = (1, 2, 4, 8, 16)
"""How many times smaller a picture can be decoded."""


class CommonKeywords(TypedDict, total=False):
    """Options of encoding pictures and videos that Python takes by name; see `EncodeOptions`."""

    strip: bool
    verify: bool
    effort: int
    tune: Tune | None
    max_pixels: int


class PictureKeywords(CommonKeywords, total=False):
    """Options of encoding a picture that Python takes by name; see `EncodeOptions`."""

    look: Look | None
    pixel_checksum: bool


class VideoKeywords(CommonKeywords, total=False):
    """Options of encoding a video that Python takes by name; see `EncodeOptions`."""

    gop: int | None
    audio: str


class DecodeKeywords(TypedDict, total=False):
    """Options of decoding pictures and videos that Python takes by name; see `DecodeOptions`."""

    partial: bool
    crop: CropLike | None
    look: Look | None
    max_pixels: int
    max_memory: int | None


class PictureDecodeKeywords(DecodeKeywords, total=False):
    """Options of decoding a picture that Python takes by name; see `DecodeOptions`."""

    levels: int | None
    fill: bool
    reduction: int


class VideoDecodeKeywords(DecodeKeywords, total=False):
    """Options of decoding a video that Python takes by name; see `DecodeOptions`."""

    start: float | None
    duration: float | None


@dataclass(frozen=True)
class EncodeOptions:
    """How pictures and videos are encoded. Raises ValueError for what cannot be.

    target: None for the default of the weights' family, which is a quality. effort: 0 rounds
    whatever it costs, 1 weighs rate against what is seen, 2 optimises integers, slowly. tune: the
    measure that this is for, None for a mix. look: the decoder that a picture is made for, and
    shown by unless who decodes it says otherwise; None for the one that goes with `tune`.
    pixel_checksum: write a checksum of a picture's samples, which decoding compares. gop:
    frames of a video's groups at most, None for about a second. audio: what becomes of a video's
    sound: "copy", "opus", "opus:64k" or "none". strip: leave metadata out. verify: decode the
    result and compare. max_pixels: of a picture or frame that is read.
    """

    target: Target | None = None
    effort: int = 1
    tune: Tune | None = None
    look: Look | None = None
    pixel_checksum: bool = False
    gop: int | None = None
    audio: str = "copy"
    strip: bool = False
    verify: bool = False
    max_pixels: int = DEFAULT_MAX_PIXELS

    def __post_init__(self) -> None:
        if self.effort not in range(MAX_EFFORT + 1):
            raise ValueError(f"effort {self.effort} is not one of 0 to {MAX_EFFORT}")
        if self.tune is not None and self.tune not in TUNES:
            raise ValueError(f"{self.tune!r} is not one of {', '.join(TUNES)}")
        _check_look(self.look)
        if self.gop is not None and not 1 <= self.gop <= MAX_GOP_FRAMES:
            raise ValueError(f"a group of {self.gop} frames is outside 1..{MAX_GOP_FRAMES}")
        AudioChoice.parse(self.audio)

    @property
    def audio_choice(self) -> AudioChoice:
        """What becomes of a video's sound."""
        return AudioChoice.parse(self.audio)

    @classmethod
    def for_picture(cls, target: Target | None, **keywords: Unpack[PictureKeywords]) -> Self:
        """The options of a picture, as Python takes them by name.

        Raises TypeError for a name that is none of them, and for a bitrate.
        """
        _check_names(keywords, PictureKeywords, "encoding a picture")
        if isinstance(target, Bitrate):
            raise TypeError("a bitrate is of videos, and this is a picture")
        return cls(target, **keywords)

    @classmethod
    def for_video(cls, target: Target | None, **keywords: Unpack[VideoKeywords]) -> Self:
        """The options of a video, as Python takes them by name.

        Raises TypeError for a name that is none of them.
        """
        _check_names(keywords, VideoKeywords, "encoding a video")
        return cls(target, **keywords)


@dataclass(frozen=True)
class DecodeOptions:
    """How pictures and videos are decoded. Raises ValueError for what cannot be.

    levels: decode only the first so many of a picture, for a coarser one. partial: take a cut or
    damaged file as far as it goes. fill: where a picture's weights can, have them guess what damage
    took. reduction: one of REDUCTIONS; a picture that is so many times smaller each way is rendered
    from the levels that it needs. start, duration: the part of a video, in seconds from its first
    frame on, None for all. crop: the only pixels wanted, of a picture in its whole size or of each
    frame. look: the decoder that shows it, None for the one that a picture's file names.
    max_pixels: of a picture or frame. max_memory: bytes that decoding may
    take, None for 10 GB or what this process can have, if that is less.
    """

    levels: int | None = None
    partial: bool = False
    fill: bool = True
    reduction: int = 1
    start: float | None = None
    duration: float | None = None
    crop: Crop | None = None
    look: Look | None = None
    max_pixels: int = DEFAULT_MAX_PIXELS
    max_memory: int | None = None

    def __post_init__(self) -> None:
        if self.levels is not None and self.levels < 1:
            raise ValueError(f"{self.levels} levels cannot be decoded")
        if self.reduction not in REDUCTIONS:
            raise ValueError(f"a reduction of {self.reduction} is not one of {REDUCTIONS}")
        if self.reduction > 1 and self.crop is not None:
            raise ValueError("a crop is of the picture's whole size; leave the reduction out")
        _check_look(self.look)
        check_seconds(self.start, self.duration)

    @classmethod
    def for_picture(cls, **keywords: Unpack[PictureDecodeKeywords]) -> Self:
        """The options of a picture, as Python takes them by name.

        Raises TypeError for a name that is none of them, and what `Crop.of` does.
        """
        _check_names(keywords, PictureDecodeKeywords, "decoding a picture")
        keywords["crop"] = Crop.of(keywords.get("crop"))
        return cls(**keywords)  # type: ignore[arg-type]  # the crop is a Crop now

    @classmethod
    def for_video(cls, **keywords: Unpack[VideoDecodeKeywords]) -> Self:
        """The options of a video, as Python takes them by name.

        Raises TypeError for a name that is none of them, and what `Crop.of` does.
        """
        _check_names(keywords, VideoDecodeKeywords, "decoding a video")
        keywords["crop"] = Crop.of(keywords.get("crop"))
        return cls(**keywords)  # type: ignore[arg-type]  # the crop is a Crop now

    @property
    def takes_all(self) -> bool:
        """Whether no part of a video is left out."""
        return self.start is None and self.duration is None


def _check_look(look: str | None) -> None:
    if look is not None and look not in LOOKS:
        raise ValueError(f"{look!r} is not one of {', '.join(LOOKS)}")


def _check_names(given: Iterable[str], keywords: type, what: str) -> None:
    """Raise TypeError for a name that the keywords, a TypedDict, do not have."""
    known = keywords.__annotations__
    for name in given:
        if name not in known:
            raise TypeError(f"{name!r} is not an option of {what}: {', '.join(known)}")
