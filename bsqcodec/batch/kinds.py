"""The kinds of files that a batch codes: one table of suffixes, formats and functions.

A kind of file is added by one more entry in `KINDS`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from enum import Enum
from pathlib import Path
from typing import Final, TypeAlias

from bsqcodec.batch import pictures, videos
from bsqcodec.batch.batch_options import Options, Progress, Summary
from bsqcodec.batch.errors import PlanError
from bsqcodec.errors import BsqError
from bsqcodec.format.magic import FileKind, read_kind
from bsqcodec.media.suffixes import looks_like_its_suffix
from bsqcodec.options import EncodeOptions


class Direction(Enum):
    """Whether a batch writes .bsq files or reads them."""

    ENCODE = "encode"
    DECODE = "decode"


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
    decode_fields: those of `Options` and its `encoding` that decide the bytes of an output;
    optional_fields: those of them that decide nothing where they are None. ignored_fields: those of
    encoding that never do; all others decide where they differ from their defaults.
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
        """The one of `formats` that this kind can be decoded to, else its default one.

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
    decode_fields=("formats", "look"),
    optional_fields=("searched_step", "look"),
    ignored_fields=("gop", "audio", "verify", "max_pixels"),
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
    ignored_fields=("look", "pixel_checksum", "verify", "max_pixels"),
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
