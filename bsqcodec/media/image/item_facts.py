"""What the boxes of a HEIF or AVIF file say of its picture and Pillow does not:
ISO/IEC 23008-12."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, Final, TypeAlias

Box: TypeAlias = tuple[bytes, bytes]
"""Type and content."""

_MAX_META_BYTES: Final = 2**24
_MAX_BOXES: Final = 10_000
_MOVIE_FAMILY: Final = b"ftyp"


@dataclass(frozen=True)
class ItemFacts:
    """Facts of the primary item.

    code_points: primaries, transfer and matrix of ITU-T H.273, or None. has_icc: a profile counts
    instead. bits: of a sample. gain_map: the file holds one for HDR. auxiliary: URNs of what else
    belongs to the picture, such as a depth map; alpha is among them.
    """

    code_points: tuple[int, int, int] | None = None
    has_icc: bool = False
    bits: int = 8
    gain_map: bool = False
    auxiliary: tuple[str, ...] = ()


@dataclass
class _Meta:
    """The parts of a meta box that are needed."""

    primary: int = 0
    item_types: dict[int, bytes] = field(default_factory=dict)
    properties: list[Box] = field(default_factory=list)
    links: dict[int, list[int]] = field(default_factory=dict)
    parts: dict[int, list[int]] = field(default_factory=dict)


def read_item_facts(file: BinaryIO) -> ItemFacts | None:
    """Return what the boxes of a file say; None where it is not of this family or is damaged."""
    try:
        content = _meta_content(file)
        return None if content is None else _facts(_read_meta(content))
    except (IndexError, ValueError):
        return None


def _meta_content(file: BinaryIO) -> bytes | None:
    """The content of the meta box at the top of a file."""
    file.seek(0)
    for index in range(_MAX_BOXES):
        head = file.read(8)
        if len(head) < 8 or (index == 0 and head[4:] != _MOVIE_FAMILY):
            return None
        size = int.from_bytes(head[:4], "big") - 8
        if size == -7:
            size = int.from_bytes(file.read(8), "big") - 16
        if head[4:] == b"meta":
            return file.read(min(size, _MAX_META_BYTES) if size >= 0 else _MAX_META_BYTES)
        if size < 0:
            return None
        file.seek(size, 1)
    return None


def boxes(data: bytes, *, allow_cut: bool = False) -> Iterator[Box]:
    """Yield the boxes that fill some bytes, as ISO/IEC 14496-12 and 15444-1 have them.

    allow_cut: the last may go on behind the data. Raises ValueError where one is too long.
    """
    at = 0
    while at + 8 <= len(data):
        size, start = int.from_bytes(data[at : at + 4], "big"), at + 8
        if size == 1:
            size, start = int.from_bytes(data[at + 8 : at + 16], "big"), at + 16
        end = at + size if size else len(data)
        if end < start or (end > len(data) and not allow_cut):
            raise ValueError("a box is longer than what holds it")
        yield data[at + 4 : at + 8], data[start:end]
        at = end


def _read_meta(content: bytes) -> _Meta:
    meta = _Meta()
    for kind, data in boxes(content[4:]):
        if kind == b"pitm":
            meta.primary = int.from_bytes(data[4:6] if data[0] == 0 else data[4:8], "big")
        elif kind == b"iinf":
            for name, entry in boxes(data[6:] if data[0] == 0 else data[8:]):
                if name == b"infe" and entry[0] >= 2:
                    width = 2 if entry[0] == 2 else 4
                    number = int.from_bytes(entry[4 : 4 + width], "big")
                    meta.item_types[number] = entry[6 + width : 10 + width]
        elif kind == b"iprp":
            for name, inner in boxes(data):
                if name == b"ipco":
                    meta.properties = list(boxes(inner))
                elif name == b"ipma":
                    _read_links(inner, meta.links)
        elif kind == b"iref":
            width = 2 if data[0] == 0 else 4
            for name, inner in boxes(data[4:]):
                if name == b"dimg":
                    numbers = inner[:width], inner[width + 2 :]
                    item = int.from_bytes(numbers[0], "big")
                    meta.parts[item] = [
                        int.from_bytes(numbers[1][at : at + width], "big")
                        for at in range(0, len(numbers[1]), width)
                    ]
    return meta


def _read_links(data: bytes, links: dict[int, list[int]]) -> None:
    """The property numbers (from 1) of each item."""
    item_width, wide = (2 if data[0] == 0 else 4), data[3] & 1
    count, at = int.from_bytes(data[4:8], "big"), 8
    for _ in range(min(count, _MAX_BOXES)):
        item = int.from_bytes(data[at : at + item_width], "big")
        at += item_width
        number = data[at]
        at += 1
        found = links.setdefault(item, [])
        for _ in range(number):
            step = 2 if wide else 1
            value = int.from_bytes(data[at : at + step], "big")
            found.append(value & (0x7FFF if wide else 0x7F))
            at += step


def _facts(meta: _Meta) -> ItemFacts:
    numbers = meta.links.get(meta.primary, [])
    for part in meta.parts.get(meta.primary, [])[:1]:  # tiles of a grid, which are all alike
        numbers = [*numbers, *meta.links.get(part, [])]
    own = [meta.properties[n - 1] for n in numbers if 0 < n <= len(meta.properties)]
    code_points, has_icc = None, False
    bits = 8
    for kind, data in own:
        if kind == b"colr" and data[:4] == b"nclx" and code_points is None:
            code_points = tuple(int.from_bytes(data[at : at + 2], "big") for at in (4, 6, 8))
        elif kind == b"colr" and data[:4] in (b"prof", b"rICC"):
            has_icc = True
        elif kind == b"pixi":
            bits = max([bits, *data[5 : 5 + data[4]]])
        elif kind == b"av1C" and data[2] & 0x40:
            bits = max(bits, 12 if data[2] & 0x20 else 10)
        elif kind == b"hvcC":
            bits = max(bits, 8 + (data[17] & 7))
    auxiliary = tuple(
        data[4:].split(b"\0")[0].decode("latin-1")
        for kind, data in meta.properties
        if kind == b"auxC"
    )
    gain_map = b"tmap" in meta.item_types.values() or any("gainmap" in n.lower() for n in auxiliary)
    found = (code_points[0], code_points[1], code_points[2]) if code_points else None
    return ItemFacts(found, has_icc, bits, gain_map, auxiliary)
