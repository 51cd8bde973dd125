"""EXIF data as a TIFF structure: read, and changed in place, so that nothing else in it moves.

Offsets in maker notes count from the start of the structure. What grows is appended, therefore,
and what was there stays where it is. Exif 3.0 and TIFF 6.0 tell what the tags mean.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Final

import numpy as np
from PIL import ExifTags, Image

from bsqcodec.media.image.orientation import is_swapped, oriented, turned_point

_BYTES_OF_KIND: Final = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8,
                         13: 4}  # fmt: skip
_BYTE, _SHORT, _LONG, _RATIONAL, _ASCII = 1, 3, 4, 5, 2
_INTEGERS: Final = {_BYTE: "B", _SHORT: "H", _LONG: "I"}
_ENTRY_BYTES: Final = 12

_ORIENTATION: Final = int(ExifTags.Base.Orientation)
_X_RESOLUTION: Final = int(ExifTags.Base.XResolution)
_Y_RESOLUTION: Final = int(ExifTags.Base.YResolution)
_RESOLUTION_UNIT: Final = int(ExifTags.Base.ResolutionUnit)
_RESOLUTION: Final = (_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT)
_INCH, _CENTIMETRE = 2, 3
_MAX_LONG: Final = 2**32 - 1
_CM_OF_INCH: Final = Fraction(254, 100)
_FOLDERS: Final = {int(ExifTags.IFD.Exif): (int(ExifTags.IFD.Interop),)}
_SWAPPED_PAIRS: Final = (
    (int(ExifTags.Base.ImageWidth), int(ExifTags.Base.ImageLength)),
    (_X_RESOLUTION, _Y_RESOLUTION),
    (0xA002, 0xA003),  # PixelXDimension, PixelYDimension
    (0xA20E, 0xA20F),  # FocalPlaneXResolution, FocalPlaneYResolution
    (0x1001, 0x1002),  # RelatedImageWidth, RelatedImageLength
)
_PLACES: Final = (0x9214, 0xA214)
"""SubjectArea and SubjectLocation: a point in pixels, and a size or diameter perhaps."""
_THUMBNAIL_OFFSET: Final = 0x0201
_THUMBNAIL_BYTES: Final = 0x0202
_MAX_THUMBNAIL_PIXELS: Final = 2**22
_THUMBNAIL_QUALITY: Final = 85


@dataclass(frozen=True)
class _Entry:
    """One tag. at: where its 12 bytes stand. value_at: where its value does."""

    at: int
    tag: int
    kind: int
    count: int
    value_at: int


@dataclass(frozen=True)
class _Folder:
    """An image file directory: its entries, and where the offset of the next one stands."""

    entries: dict[int, _Entry]
    next_at: int


class _Block:
    """A TIFF structure that is being changed. Its methods raise ValueError where it is damaged."""

    def __init__(self, exif: bytes) -> None:
        if exif[:4] not in (b"II*\x00", b"MM\x00*"):
            raise ValueError("no TIFF structure")
        self.data = bytearray(exif)
        self.order = "<" if exif[:2] == b"II" else ">"

    def number(self, letter: str, at: int) -> int:
        """The integer at a place."""
        try:
            return int(struct.unpack_from(self.order + letter, self.data, at)[0])
        except struct.error as error:
            raise ValueError("the TIFF structure ends early") from error

    def set_number(self, letter: str, at: int, value: int) -> None:
        """Overwrite the integer at a place."""
        struct.pack_into(self.order + letter, self.data, at, value)

    def folder(self, start: int) -> _Folder:
        """The directory that begins at `start`; of a tag that comes twice the first counts."""
        count = self.number("H", start)
        next_at = start + 2 + count * _ENTRY_BYTES
        if start < 8 or next_at > len(self.data):
            raise ValueError("a directory of the TIFF structure ends early")
        entries: dict[int, _Entry] = {}
        for at in range(start + 2, next_at, _ENTRY_BYTES):
            tag, kind = self.number("H", at), self.number("H", at + 2)
            count = self.number("I", at + 4)
            size = _BYTES_OF_KIND.get(kind, 1) * count
            value_at = at + 8 if size <= 4 else self.number("I", at + 8)
            if value_at + size <= len(self.data):
                entries.setdefault(tag, _Entry(at, tag, kind, count, value_at))
        return _Folder(entries, next_at)

    def first(self) -> _Folder:
        """The directory of the picture itself."""
        return self.folder(self.number("I", 4))

    def below(self, folder: _Folder) -> Iterator[_Folder]:
        """The Exif directory that a directory points to, and the interoperability one below it."""
        for tag, inner in _FOLDERS.items():
            found = self._child(folder, tag)
            if found is not None:
                yield found
                for name in inner:
                    deeper = self._child(found, name)
                    if deeper is not None:
                        yield deeper

    def integer(self, folder: _Folder, tag: int) -> int | None:
        """The value of a tag that holds one unsigned integer; None where there is none."""
        entry = folder.entries.get(tag)
        if entry is None or entry.kind not in _INTEGERS or entry.count != 1:
            return None
        return self.number(_INTEGERS[entry.kind], entry.value_at)

    def fractions(self, folder: _Folder, tag: int) -> list[Fraction]:
        """The values of a tag of unsigned fractions; none where it is missing or divides by 0."""
        entry = folder.entries.get(tag)
        if entry is None or entry.kind != _RATIONAL:
            return []
        pairs = [
            (self.number("I", at), self.number("I", at + 4))
            for at in range(entry.value_at, entry.value_at + 8 * entry.count, 8)
        ]
        return [Fraction(a, b) for a, b in pairs] if all(b for _, b in pairs) else []

    def text(self, folder: _Folder, tag: int) -> bytes:
        """The value of a tag of text, without what follows its end."""
        entry = folder.entries.get(tag)
        if entry is None or entry.kind != _ASCII:
            return b""
        return bytes(self.data[entry.value_at : entry.value_at + entry.count]).split(b"\0")[0]

    def append(self, data: bytes) -> int:
        """Add bytes at the end, at an even place; return it."""
        self.data += b"\0" * (len(self.data) % 2)
        place = len(self.data)
        self.data += data
        return place

    def _child(self, folder: _Folder, tag: int) -> _Folder | None:
        start = self.integer(folder, tag)
        if start is None:
            return None
        try:
            return self.folder(start)
        except ValueError:
            return None


def orientation_of(exif: bytes) -> int:
    """Return the orientation 1..8 that EXIF data names; 1 where it is damaged or names none."""
    try:
        block = _Block(exif)
        value = block.integer(block.first(), _ORIENTATION)
    except ValueError:
        return 1
    return value if value is not None and 1 <= value <= 8 else 1


def turned_exif(exif: bytes, orientation: int, size: tuple[int, int]) -> bytes:
    """Return EXIF data of a picture that has been turned upright from an orientation of 1..8.

    size: width and height as stored, before turning. The orientation becomes 1; widths and heights
    are swapped where the picture's were, positions moved, and the thumbnail is turned, or dropped
    where it cannot be read. Damaged data comes back as it is.
    """
    try:
        block = _Block(exif)
        first = block.first()
    except ValueError:
        return exif
    folders = [first, *block.below(first)]
    for folder in folders:
        _turn_folder(block, folder, orientation, size)
    if orientation != 1:
        _turn_thumbnail(block, first, orientation)
    return bytes(block.data)


def resolution(exif: bytes | None) -> tuple[Fraction, Fraction] | None:
    """Return the pixels an inch across and down that EXIF data names, or None."""
    if exif is None:
        return None
    try:
        block = _Block(exif)
        first = block.first()
        across, down = (block.fractions(first, tag) for tag in (_X_RESOLUTION, _Y_RESOLUTION))
        unit = block.integer(first, _RESOLUTION_UNIT)
    except ValueError:
        return None
    if len(across) != 1 or len(down) != 1 or unit not in (None, _INCH, _CENTIMETRE):
        return None
    factor = _CM_OF_INCH if unit == _CENTIMETRE else 1
    found = across[0] * factor, down[0] * factor
    return found if min(found) > 0 else None


def with_resolution(exif: bytes | None, across: Fraction, down: Fraction) -> bytes:
    """Return EXIF data that names these pixels an inch, and all else as before.

    exif: None makes data that says nothing else. Damaged data comes back as it is.
    """
    is_new = exif is None
    if exif is None:
        exif = struct.pack("<2sHIHI", b"II", 42, 8, 0, 0)
    elif resolution(exif) == (across, down):
        return exif
    try:
        block = _Block(exif)
        start = block.number("I", 4)
        first = block.folder(start)
    except ValueError:
        return exif
    kept = [
        bytes(block.data[at : at + _ENTRY_BYTES])
        for at in range(start + 2, first.next_at, _ENTRY_BYTES)
        if block.number("H", at) not in _RESOLUTION
    ]
    next_bytes = bytes(block.data[first.next_at : first.next_at + 4]).ljust(4, b"\0")
    if is_new:
        del block.data[start:]
    values = [_rational(block.order, value) for value in dict.fromkeys((across, down))]
    places = [block.append(value) for value in values]
    for tag, place in zip(_RESOLUTION, (places[0], places[-1]), strict=False):
        kept.append(struct.pack(block.order + "HHII", tag, _RATIONAL, 1, place))
    kept.append(struct.pack(block.order + "HHIHH", _RESOLUTION_UNIT, _SHORT, 1, _INCH, 0))
    kept.sort(key=lambda entry: struct.unpack_from(block.order + "H", entry)[0])
    head = struct.pack(block.order + "H", len(kept))
    block.set_number("I", 4, block.append(head + b"".join(kept) + next_bytes))
    return bytes(block.data)


def is_only_resolution(exif: bytes) -> bool:
    """Return whether EXIF data names a resolution and nothing else."""
    try:
        block = _Block(exif)
        first = block.first()
        follows = block.number("I", first.next_at)
    except ValueError:
        return False
    return resolution(exif) is not None and set(first.entries) <= set(_RESOLUTION) and not follows


def _turn_folder(block: _Block, folder: _Folder, orientation: int, size: tuple[int, int]) -> None:
    """Change what a directory says of the picture's orientation, sizes and positions."""
    entries = folder.entries
    if block.integer(folder, _ORIENTATION) is not None:
        entry = entries[_ORIENTATION]
        block.set_number(_INTEGERS[entry.kind], entry.value_at, 1)
    for tag in _PLACES:
        entry = entries.get(tag, _Entry(0, tag, 0, 0, 0))
        if entry.kind == _SHORT and 2 <= entry.count <= 4:
            _turn_place(block, entry, orientation, size)
    if not is_swapped(orientation):
        return
    for pair in _SWAPPED_PAIRS:
        if pair[0] in entries and pair[1] in entries:
            # all of an entry but its tag: values, or the offsets of values
            one, other = (slice(entries[tag].at + 2, entries[tag].at + 12) for tag in pair)
            block.data[one], block.data[other] = block.data[other], block.data[one]


def _turn_place(block: _Block, entry: _Entry, orientation: int, size: tuple[int, int]) -> None:
    """Move the point of SubjectArea or SubjectLocation; swap the sides of a rectangle."""
    values = [block.number("H", entry.value_at + 2 * i) for i in range(entry.count)]
    if not (values[0] < size[0] and values[1] < size[1]):
        return
    values[:2] = turned_point((values[0], values[1]), orientation, size)
    if len(values) == 4 and is_swapped(orientation):
        values[2:] = values[:1:-1]
    for i, value in enumerate(values):
        block.set_number("H", entry.value_at + 2 * i, value)


def _turn_thumbnail(block: _Block, first: _Folder, orientation: int) -> None:
    """Turn the thumbnail of the second directory, or drop that where it cannot be done."""
    try:
        start = block.number("I", first.next_at)
        if not start:
            return
        second = block.folder(start)
        offset = block.integer(second, _THUMBNAIL_OFFSET)
        count = block.integer(second, _THUMBNAIL_BYTES)
        if offset is None or count is None or offset + count > len(block.data):
            raise ValueError("no JPEG thumbnail, or not all of it")
        turned, size = _turned_jpeg(bytes(block.data[offset : offset + count]), orientation)
        _turn_folder(block, second, orientation, size)
        if len(turned) > count:
            offset = block.append(turned)
        else:
            block.data[offset : offset + count] = turned.ljust(count, b"\0")
        for tag, value in ((_THUMBNAIL_OFFSET, offset), (_THUMBNAIL_BYTES, len(turned))):
            entry = second.entries[tag]
            block.set_number(_INTEGERS[entry.kind], entry.value_at, value)
    except (ValueError, struct.error):
        block.set_number("I", first.next_at, 0)


def _turned_jpeg(data: bytes, orientation: int) -> tuple[bytes, tuple[int, int]]:
    """A JPEG turned, and its size before; ValueError for what is none or is too large."""
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
            size = image.size
            if size[0] * size[1] > _MAX_THUMBNAIL_PIXELS or image.mode not in ("L", "RGB"):
                raise ValueError("the thumbnail is too large, or in other colours than grey or RGB")
            turned = Image.fromarray(oriented(np.array(image), orientation))
    except Exception as error:  # damaged data leads Pillow into exceptions of any type
        raise ValueError("the thumbnail is damaged") from error
    file = io.BytesIO()
    turned.save(file, "JPEG", quality=_THUMBNAIL_QUALITY)
    return file.getvalue(), size


def _rational(order: str, value: Fraction) -> bytes:
    value = value.limit_denominator(min(10_000, _MAX_LONG // max(1, ceil(value))))
    return struct.pack(order + "II", value.numerator, value.denominator)


@dataclass(frozen=True)
class ExifColour:
    """What EXIF data says of colour. space: 1 sRGB, 2 Adobe RGB, 65535 neither; None where absent.

    interoperability: "R03" for Adobe RGB by DCF. chromaticities: of white, red, green and blue, x
    and y each, or none. gamma: the exponent of the samples' curve.
    """

    space: int | None
    interoperability: bytes
    chromaticities: tuple[float, ...]
    gamma: float | None


def colour_of_exif(exif: bytes) -> ExifColour | None:
    """Return what EXIF data says of colour; None where it is damaged."""
    try:
        block = _Block(exif)
        first = block.first()
        folders = [first, *block.below(first)]
        spaces = [block.integer(folder, int(ExifTags.Base.ColorSpace)) for folder in folders]
        white = block.fractions(first, int(ExifTags.Base.WhitePoint))
        colours = block.fractions(first, int(ExifTags.Base.PrimaryChromaticities))
        gammas = [block.fractions(folder, int(ExifTags.Base.Gamma)) for folder in folders]
        index = [block.text(folder, int(ExifTags.Interop.InteropIndex)) for folder in folders[1:]]
    except ValueError:
        return None
    numbers = tuple(float(value) for value in (*white, *colours))
    gamma = next((float(values[0]) for values in gammas if values and values[0] > 0), None)
    return ExifColour(
        next((space for space in spaces if space is not None), None),
        next((text for text in index if text), b""),
        numbers if (len(white), len(colours)) == (2, 6) else (),
        gamma,
    )
