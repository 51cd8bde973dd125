"""The kinds of files that a batch codes: one table of suffixes, formats and functions.

A kind of file is added by one more entry in `KINDS`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from enum import Enum
from pathlib import Path
from typing import Final, TypeAlias

from bsqcodec.batch import pictures, videos
from bsqcodec.batch.errors import PlanError
from bsqcodec.encoder.target_search import step_of_quality
from bsqcodec.errors import BsqError
from bsqcodec.format.magic import FileKind, read_kind
from bsqcodec.media.suffixes import looks_like_its_suffix
from bsqcodec.options import MAX_EFFORT, DecodeOptions, EncodeOptions
from bsqcodec.targets import DEFAULT_TARGET, Quality, Target


class Direction(Enum):
    """Whether a batch writes .bsq files or reads them."""

    ENCODE = "encode"
    DECODE = "decode"


@dataclass(frozen=True)
class Options:
    """How the files of a batch are coded. A kind of file takes what has a meaning for it.

    weights: a file, None for the default ones, of pictures and of videos; weights_sha256,
    video_weights_sha256: of those files, in hexadecimal, when encoding (workers check that theirs
    are the same); model_id: of the weights of pictures where their file's name tells it. formats:
    to decode to, one for each kind at most. first_frame: take that of animations which are to be
    pictures. threads: of the CPU, for one worker.
    """

    encoding: EncodeOptions = field(default_factory=EncodeOptions)
    decoding: DecodeOptions = field(default_factory=DecodeOptions)
    first_frame: bool = False
    formats: tuple[str, ...] = ()
    weights: str | None = None
    weights_sha256: str | None = None
    video_weights_sha256: str | None = None
    model_id: str | None = None
    device: str = "auto"
    threads: int | None = None

    @property
    def searched_step(self) -> int | None:
        """Step index of a picture that is searched for a quality; None with other aims or efforts.

        Once it was the step of other efforts, and the records of such files stay as they are.
        """
        if isinstance(self.target, Quality) and self.encoding.effort == MAX_EFFORT:
            return step_of_quality(self.target.value, searched=True)
        return None

    @property
    def target(self) -> Target:
        """What an encoder aims at."""
        return self.encoding.target or DEFAULT_TARGET

    def value(self, name: str) -> object:
        """The value of a field of these options, or of those of encoding, by its name."""
        return getattr(self if hasattr(self, name) else self.encoding, name)


@dataclass(frozen=True)
class Summary:
    """What a coding function tells of a file it coded.

    pixels: of all frames together. bpp: bits of the .bsq file for each of them. psnr_db: None
    where it is not known, or infinite.
    """

    frames: int
    pixels: int
    bpp: float | None = None
    psnr_db: float | None = None
    notes: tuple[str, ...] = ()


Progress: TypeAlias = Callable[[float, float | None], None]
"""Is told how many frames are done (a part of one counts as such), and of how many if known."""

CodeFile: TypeAlias = Callable[[Path, Path, Options, Progress], Summary]
"""Codes a file (first path) to a file (second path, which does not exist yet).

The second is a temporary name with the suffix of the format to write; it is removed when the
function raises, and takes the output's name once it is whole and recorded.
"""

Check: TypeAlias = Callable[[Path, Path, Options], "str | None"]
"""Given a source and a .bsq file of unknown origin, says why the second does not look like what
encoding the first would give, or None if it does. Raises BsqError or OSError like a decoder."""


@dataclass(frozen=True)
class Kind:
    """A kind of file. The first of `formats`, names for --format, is what it is decoded to.

    suffixes: of files to encode, in lower case. file_kind: of its .bsq files. encode_fields,
    decode_fields: those of `Options` and its `encoding` that decide the bytes of an output; optional_fields: those of
    them that decide nothing where they are None. ignored_fields: those of encoding that never do;
    all others decide where they differ from their defaults.
    """

    name: str
    suffixes: tuple[str, ...]
    formats: tuple[str, ...]
    file_kind: FileKind
    encode: CodeFile
    decode: CodeFile
    check: Check
    encode_fields: tuple[str, ...]
    decode_fields: tuple[str, ...]
    optional_fields: tuple[str, ...] = ()
    ignored_fields: tuple[str, ...] = ("verify", "max_pixels")

    def code(self, direction: Direction) -> CodeFile:
        """The function that codes a file in this direction."""
        return self.encode if direction is Direction.ENCODE else self.decode

    def format(self, formats: Sequence[str]) -> str:
        """The one of `formats` that this kind can be decoded to, else its usual one.

        Raises PlanError where there are two.
        """
        fitting = [name for name in formats if name in self.formats]
        if len(fitting) > 1:
            raise PlanError(f"a {self.name} cannot be decoded to {' and '.join(fitting)} at once")
        return fitting[0] if fitting else self.formats[0]

    def digest(self, direction: Direction, options: Options) -> str:
        """16 hexadecimal digits that differ where the options make another file."""
        names = self.encode_fields if direction is Direction.ENCODE else self.decode_fields
        values = {name: options.value(name) for name in names}
        if direction is Direction.ENCODE:
            for field in fields(EncodeOptions):
                value = getattr(options.encoding, field.name)
                if field.name not in (*names, *self.ignored_fields) and value != field.default:
                    values[field.name] = value
        for name in self.optional_fields:
            if name in values and values[name] is None:
                del values[name]
        if "formats" in values:
            values["formats"] = self.format(options.formats)
        text = repr((self.name, direction.value, sorted(values.items())))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


PICTURE: Final = Kind(
    name="picture",
    suffixes=pictures.SUFFIXES,
    formats=pictures.FORMATS,
    file_kind=FileKind.PICTURE,
    encode=pictures.encode,
    decode=pictures.decode,
    check=pictures.check,
    encode_fields=("target", "effort", "tune", "strip", "weights_sha256", "searched_step"),
    decode_fields=("formats",),
    optional_fields=("searched_step",),
    ignored_fields=("gop", "verify", "max_pixels"),
)
VIDEO: Final = Kind(
    name="video",
    suffixes=videos.SUFFIXES,
    formats=videos.FORMATS,
    file_kind=FileKind.VIDEO,
    encode=videos.encode,
    decode=videos.decode,
    check=videos.check,
    encode_fields=("target", "gop", "effort", "tune", "strip", "video_weights_sha256"),
    decode_fields=("formats",),
)
KINDS: Final = (PICTURE, VIDEO)
KIND_OF_NAME: Final = {kind.name: kind for kind in KINDS}
FORMATS: Final = tuple(name for kind in KINDS for name in kind.formats)


def kind_to_encode(path: Path) -> Kind | None:
    """The kind of a file that is to be encoded, by its suffix; None for an unknown one.

    Some suffixes are of other files too: those are looked into.
    """
    suffix = path.suffix.lower()
    kind = next((kind for kind in KINDS if suffix in kind.suffixes), None)
    return kind if looks_like_its_suffix(path) else None


def kind_to_decode(path: Path) -> Kind:
    """The kind of a .bsq file, by its first bytes.

    Of a file that cannot be read or is none it is the first one, whose decoder says what is wrong.
    """
    try:
        with open(path, "rb") as file:
            found, _ = read_kind(file)
    except (BsqError, OSError):
        return KINDS[0]
    return next((kind for kind in KINDS if kind.file_kind is found), KINDS[0])
