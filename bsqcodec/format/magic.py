"""The first bytes of every .bsq file: what they are, and which kind of file they announce."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from bsqcodec.errors import FormatError, NotCodedError, TruncatedError, UnsupportedVersionError
from bsqcodec.format.byte_source import ByteReader, ByteSource, as_stream
from bsqcodec.format.rewind import Replay, is_seekable, seekable

MAGIC: Final = b"\x89BSQ\r\n\x1a\n"


class FileKind(IntEnum):
    """What a file holds; the value is the version byte, which follows the magic."""

    PICTURE = 1
    VIDEO = 2


_DECODERS: Final = {FileKind.PICTURE: "decode", FileKind.VIDEO: "decode_video"}
"""Functions of the package, by what they decode."""


def is_coded(first: bytes) -> bool:
    """Whether the first bytes of a file, 4 or more, are those of a .bsq file,
    be it damaged there."""
    return first[1:4] == MAGIC[1:4]


def read_kind(source: ByteSource) -> tuple[FileKind, ByteSource]:
    """Tell a picture from a video by the first 9 bytes, and give back a source of the whole file.

    That is `source` itself where it can seek, and stands where it stood before. Otherwise the
    9 bytes are read from it, and what is returned gives them again before the rest.

    Raises FormatError or TruncatedError when this is no .bsq file, and UnsupportedVersionError
    when it is of a kind not known here.
    """
    stream = as_stream(source)
    if is_seekable(stream):
        file = seekable(stream)
        start = file.tell()
        try:
            return FileKind(_version(ByteReader(file))), source
        finally:
            file.seek(start)
    replay = Replay(stream)
    version = _version(ByteReader(replay))
    replay.put_back(MAGIC + bytes([version]))
    return FileKind(version), replay


def read_version(reader: ByteReader, wanted: FileKind) -> bytes:
    """Read magic and version and return them; they must be those of the `wanted` kind of file.

    Raises FormatError or TruncatedError when this is no .bsq file, and UnsupportedVersionError
    when it is one of another version.
    """
    version = _version(reader)
    if version != wanted:
        raise UnsupportedVersionError(
            f"the file has format version {version}; that is a {FileKind(version).name.lower()},"
            f" and a {wanted.name.lower()} has version {wanted}"
            f" (bsqcodec.{_DECODERS[FileKind(version)]} decodes it)"
        )
    return MAGIC + bytes([version])


def _version(reader: ByteReader) -> int:
    """Read magic and version; raises as `read_kind` does."""
    magic = reader.up_to(len(MAGIC))
    if magic != MAGIC:
        if not magic:
            raise TruncatedError("the file is empty")
        if MAGIC.startswith(magic):
            raise TruncatedError(
                f"the file ends inside the header: it has {len(magic)} bytes in all"
            )
        if is_coded(magic):
            raise FormatError("the first bytes are damaged, as by a transfer in text mode")
        raise NotCodedError("this is not a .bsq file")
    (version,) = reader.exactly(1, "the header")
    if version not in tuple(FileKind):
        raise UnsupportedVersionError(
            f"the file has format version {version}; this bsqcodec reads version"
            f" {FileKind.PICTURE} (pictures) and {FileKind.VIDEO} (videos)"
        )
    return version
