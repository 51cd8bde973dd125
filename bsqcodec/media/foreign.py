"""Files that are no finished pictures: recognised by their first bytes,
and what to do with them."""

from __future__ import annotations

import io
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Literal

from bsqcodec.errors import MediaError

RAW_SUFFIXES: Final = frozenset((
    ".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".gpr", ".iiq", ".k25",
    ".kdc", ".mef", ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".ptx", ".raf", ".raw", ".rw2",
    ".rwl", ".sr2", ".srf", ".srw", ".x3f",
))  # fmt: skip
"""Of files that cameras write without developing them."""

FOREIGN_SUFFIXES: Final = RAW_SUFFIXES | frozenset((
    ".ai", ".djvu", ".emf", ".eps", ".exr", ".hdr", ".kra", ".ora", ".pdf", ".ps", ".psb", ".svg",
    ".svgz", ".wmf", ".xcf",
))  # fmt: skip
"""Of files that look like pictures to people, and must become one first."""

HEAD_BYTES: Final = 2**16
"""How much of a file's beginning is enough for `foreign_kind`."""

_MAX_TIFF_FOLDERS: Final = 32
_MAX_TIFF_ENTRIES: Final = 1000
_SUB_FOLDERS, _PHOTOMETRIC, _DNG_VERSION = 0x014A, 0x0106, 0xC612
_SENSOR_DATA: Final = (32803, 34892)
"""Photometric interpretations: a colour filter array, and linear raw data."""
_TIFF_STARTS: Final = (b"II*\0", b"MM\0*")


@dataclass(frozen=True)
class ForeignKind:
    """A kind of file. name: with its article. advice: what makes a picture of it."""

    name: str
    advice: str

    @property
    def sentence(self) -> str:
        """What to tell a user."""
        return f"{self.name}, not a finished picture: {self.advice}"


_DEVELOP: Final = (
    "develop it first, for example with darktable or RawTherapee, and encode the TIFF, PNG or JPEG"
    " that it exports"
)
_RAW: Final = ForeignKind("the raw data of a camera", _DEVELOP)
_SVG: Final = ForeignKind(
    "an SVG drawing",
    "render it first at the size that you want, for example with"
    " rsvg-convert -w 1920 -o drawing.png drawing.svg",
)
_PDF: Final = ForeignKind(
    "a PDF document",
    "render its pages first, for example with pdftoppm -r 300 -png document.pdf page",
)
_POSTSCRIPT: Final = ForeignKind(
    "PostScript",
    "render it first, for example with gs -dSAFER -o page.png -sDEVICE=png16m -r300 document.ps",
)
_LAYERS: Final = ForeignKind(
    "the working file of a paint program", "export it as PNG or TIFF there, and encode that"
)
_METAFILE: Final = ForeignKind(
    "a Windows metafile", "render it first, for example with inkscape --export-type=png"
)
_LIGHT: Final = ForeignKind(
    "a picture of linear light (HDR)",
    "map its tones first, for example with ImageMagick or darktable, and encode the PNG or TIFF",
)
_DJVU: Final = ForeignKind(
    "a DjVu document", "render its pages first, for example with ddjvu -format=tiff"
)
_STARTS: Final = (
    (rb"II\x2a\0.{4}CR", _RAW),  # Canon CR2
    (rb"II\x1a\0\0\0HEAP", _RAW),  # Canon CRW
    (rb"II(RO|RS|U\0)|MMOR", _RAW),  # Olympus ORF, Panasonic RW2
    (rb"FUJIFILMCCD-RAW|FOVb|\0MRM", _RAW),  # Fujifilm RAF, Sigma X3F, Minolta MRW
    (rb".{4}ftypcrx ", _RAW),  # Canon CR3
    (rb"(II\x2a\0|MM\0\x2a).{4}(IIII|MMMM)", _RAW),  # Phase One IIQ
    (rb"%!PS|\xc5\xd0\xd3\xc6", _POSTSCRIPT),
    (rb"gimp xcf|8BPS\0\x02", _LAYERS),
    (rb"PK\x03\x04.{26}mimetype(image/openraster|application/x-krita)", _LAYERS),
    (rb"\xd7\xcd\xc6\x9a|\x01\0\0\0.{36} EMF", _METAFILE),
    (rb"\x76\x2f\x31\x01|#\?(RADIANCE|RGBE)", _LIGHT),
    (rb"AT&TFORM", _DJVU),
)
_STARTS_COMPILED: Final = tuple((re.compile(text, re.DOTALL), kind) for text, kind in _STARTS)
_SVG_ROOT: Final = re.compile(r"<(?:[\w.-]{1,64}:)?svg[\s>/]", re.IGNORECASE)
_GZIP: Final = b"\x1f\x8b"


def foreign_kind(head: bytes, suffix: str = "", file: BinaryIO | None = None) -> ForeignKind | None:
    """Return the kind of a file that must become a picture first, or None for any other.

    head: its first HEAD_BYTES, or all of a shorter one. suffix: of its name, in any case; it
    tells raw files, which often begin with a small TIFF, from pictures. file: the whole of it,
    where that can be read anywhere, as the directories of a TIFF may be.
    """
    for pattern, kind in _STARTS_COMPILED:
        if pattern.match(head):
            return kind
    if head.startswith(_TIFF_STARTS):
        is_raw = suffix.lower() in RAW_SUFFIXES or _holds_sensor_data(file or io.BytesIO(head))
        return _RAW if is_raw else None
    if head[:1] not in (b"\x89", b"\xff") and b"%PDF-" in head[:1024]:
        return _PDF
    return _SVG if _is_svg(head) else None


def refuse_foreign(file: BinaryIO, name: str) -> None:
    """Raise MediaError, which says what to do, for a file that must become a picture first.

    file: can seek; it is left at its start. name: a path, or what it is called in messages.
    """
    file.seek(0)
    try:
        kind = foreign_kind(file.read(HEAD_BYTES), Path(name).suffix, file)
    finally:
        file.seek(0)
    if kind is not None:
        raise MediaError(f"{name}: {kind.sentence}")


def _is_svg(head: bytes) -> bool:
    """Whether text, packed by gzip perhaps, has an SVG element first."""
    if head.startswith(_GZIP):
        try:
            head = zlib.decompressobj(31).decompress(head, HEAD_BYTES)
        except zlib.error:
            return False
    for start, encoding in ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
        if head.startswith(start):
            return _has_svg_root(head[2:].decode(encoding, "replace"))
    text = head.removeprefix(b"\xef\xbb\xbf")
    return text.lstrip()[:1] == b"<" and _has_svg_root(text.decode("latin-1"))


def _has_svg_root(text: str) -> bool:
    """Whether the first element of an XML document is svg, its prolog aside."""
    at = 0
    while True:
        while at < len(text) and text[at].isspace():
            at += 1
        end = ""
        if text.startswith("<?", at):
            end = "?>"
        elif text.startswith("<!--", at):
            end = "-->"
        elif text.startswith("<!", at):
            close, bracket = text.find(">", at), text.find("[", at)
            end = "]>" if 0 <= bracket < close else ">"
        if not end:
            return _SVG_ROOT.match(text, at) is not None
        found = text.find(end, at)
        if found < 0:
            return False
        at = found + len(end)


def _holds_sensor_data(file: BinaryIO) -> bool:
    """Whether a TIFF's directories name raw data or a version of DNG."""

    def read(at: int, size: int) -> bytes:
        file.seek(at)
        return file.read(size).ljust(size, b"\0")

    head = read(0, 8)
    order: Literal["little", "big"] = "little" if head[:2] == b"II" else "big"

    def number(data: bytes) -> int:
        return int.from_bytes(data, order)

    waiting, seen = [number(head[4:])], set[int]()
    while waiting and len(seen) < _MAX_TIFF_FOLDERS:
        start = waiting.pop()
        if start in seen or start < 8:
            continue
        seen.add(start)
        count = min(number(read(start, 2)), _MAX_TIFF_ENTRIES)
        entries = read(start + 2, 12 * count + 4)
        for at in range(0, 12 * count, 12):
            tag, kind = number(entries[at : at + 2]), number(entries[at + 2 : at + 4])
            value = entries[at + 8 : at + 12]
            if tag == _DNG_VERSION:
                return True
            if tag == _PHOTOMETRIC and number(value[:2] if kind == 3 else value) in _SENSOR_DATA:
                return True
            if tag == _SUB_FOLDERS:
                number_of = min(number(entries[at + 4 : at + 8]), 8)
                places = value if number_of == 1 else read(number(value), 4 * number_of)
                waiting += [number(places[i : i + 4]) for i in range(0, 4 * number_of, 4)]
        waiting.append(number(entries[-4:]))
    return False
