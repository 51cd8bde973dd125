"""Files that a batch leaves out although they look like pictures or videos, and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from bsqcodec.media.foreign import FOREIGN_SUFFIXES, foreign_kind
from bsqcodec.media.foreign import HEAD_BYTES as FOREIGN_HEAD_BYTES
from bsqcodec.media.image.optional_packages import HEIF, JXL, is_available, missing_extra
from bsqcodec.media.recognise import HEAD_BYTES, picture_kind, video_kind

_SUFFIXES_OF_PACKAGES: Final = {".heic": HEIF, ".heif": HEIF, ".hif": HEIF, ".jxl": JXL}
_BARE_SUFFIXES: Final = (".yuv",)
_OTHER_SUFFIXES: Final = frozenset((
    ".blp", ".braw", ".cin", ".cineon", ".cur", ".dcm", ".dicom", ".divx", ".dpx", ".fits", ".fli",
    ".flc", ".ithmb", ".jng", ".jpegxl", ".jxr", ".livp", ".mng", ".mpo", ".pam", ".pfm", ".pic",
    ".pict", ".pct", ".r3d", ".ras", ".swf", ".tgs", ".wbmp", ".wdp", ".xbm", ".xpm",
))  # fmt: skip
"""Of pictures and videos that are rare, or that nothing here reads."""
_SOUND_SUFFIXES: Final = frozenset((
    ".aac", ".flac", ".m4a", ".m4b", ".mka", ".mp3", ".oga", ".ogg", ".opus", ".spx", ".wav",
    ".weba", ".wma",
))  # fmt: skip
"""Of sound in containers that hold videos, too."""


def missing_package(path: Path) -> str | None:
    """Return the sentence that says what to install for a picture's suffix, None for nothing."""
    format = _SUFFIXES_OF_PACKAGES.get(path.suffix.lower())
    return None if format is None or is_available(format) else missing_extra(format)


def likeness(path: Path) -> str | None:
    """Return what a file of unknown suffix is after all, and what to do, in a sentence; or None.

    The suffix and the first bytes tell. A file that cannot be read has its suffix alone.
    """
    suffix = path.suffix.lower()
    if suffix in _BARE_SUFFIXES:
        return "bare samples do not tell their size: `bsqcodec encode --frame-size` takes them"
    if suffix in _SOUND_SUFFIXES or not path.is_file():
        return None
    try:
        with open(path, "rb") as file:
            head = file.read(max(HEAD_BYTES, FOREIGN_HEAD_BYTES))
            foreign = foreign_kind(head, suffix, file) if head else None
    except OSError:
        head, foreign = b"", None
    if foreign is not None:
        return foreign.sentence
    found = picture_kind(head) or video_kind(head[:HEAD_BYTES])
    if found is not None:
        return f"{found} by its contents: give it the suffix of that, or use `bsqcodec encode`"
    if suffix in FOREIGN_SUFFIXES | _OTHER_SUFFIXES:
        return f"a picture or video by its suffix {suffix}, of a kind that is not read"
    return None
