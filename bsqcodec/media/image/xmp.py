"""XMP packets: claims about what a picture no longer has are cut out,
the rest stays byte for byte."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from xml.parsers import expat

_RDF: Final = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_TIFF: Final = "http://ns.adobe.com/tiff/1.0/"
_EXIF: Final = "http://ns.adobe.com/exif/1.0/"
_XMP: Final = "http://ns.adobe.com/xap/1.0/"
_NOTE: Final = "http://ns.adobe.com/xmp/note/"
_CAMERA: Final = "http://ns.google.com/photos/1.0/camera/"
_CONTAINER: Final = "http://ns.google.com/photos/1.0/container/"
_GAIN_MAP: Final = "http://ns.adobe.com/hdr-gain-map/1.0/"
_APPLE_GAIN_MAP: Final = "http://ns.apple.com/HDRGainMap/1.0/"

_APPLE_TONE_MAP: Final = "http://ns.apple.com/HDRToneMap/1.0/"
GAIN_MAP_SPACES: Final = (_GAIN_MAP, _APPLE_GAIN_MAP, _APPLE_TONE_MAP)
"""Namespaces of what XMP says of gain maps, or in them."""

_ALL: Final = re.compile("")
_CLAIMS: Final = {
    "gain map": dict.fromkeys(GAIN_MAP_SPACES, _ALL),
    "motion photo": {_CAMERA: re.compile("Motion|MicroVideo")},
    "other pictures or data": {
        _CONTAINER: _ALL,
        "http://ns.google.com/photos/1.0/container/item/": _ALL,
        "http://ns.google.com/photos/1.0/depthmap/": _ALL,
        "http://ns.google.com/photos/1.0/image/": _ALL,
        "http://ns.google.com/photos/1.0/audio/": _ALL,
        _NOTE: re.compile("HasExtendedXMP$"),
    },
}
"""Namespaces, and names in them, that speak of what stands beside the picture in its file."""

_CLAIMED_SPACES: Final = frozenset(name for names in _CLAIMS.values() for name in names)

_ITEM_KINDS: Final = {b"GainMap": "gain map", b"MotionPhoto": "motion photo"}
"""What `Item:Semantic` of a container's directory says."""

_SWAPPED: Final = (
    (f"{_TIFF} ImageWidth", f"{_TIFF} ImageLength"),
    (f"{_TIFF} XResolution", f"{_TIFF} YResolution"),
    (f"{_EXIF} PixelXDimension", f"{_EXIF} PixelYDimension"),
    (f"{_EXIF} FocalPlaneXResolution", f"{_EXIF} FocalPlaneYResolution"),
)
_ORIENTATION: Final = f"{_TIFF} Orientation"
_THUMBNAILS: Final = {_XMP: re.compile("Thumbnails$")}
_DECLARATION: Final = re.compile(rb"\sxmlns:([\w.-]+)\s*=\s*[\"']([^\"']*)[\"']")
_LOOSE_ORIENTATION: Final = re.compile(rb"(tiff:Orientation(?:\s*=\s*[\"']|>))[2-8](?=[\"'<])")
_ATTRIBUTE: Final = re.compile(rb"(?<=\s)([^\s=/>\"']+)\s*=\s*(\"[^\"]*\"|'[^']*')")


@dataclass
class _Property:
    """A property of the packet: where all of it stands, and where its plain value does."""

    name: str
    start: int
    end: int
    value_start: int
    value_end: int


def drop_claims(xmp: bytes) -> tuple[bytes | None, set[str]]:
    """Return the packet without claims about gain maps, motion photos and other appended data.

    Also returns what was claimed: "gain map", "motion photo", "other pictures or data". A packet
    that claims something but cannot be taken apart is dropped: None.
    """
    if not any(name.encode() in xmp for name in _CLAIMED_SPACES):
        return xmp, set()
    try:
        found = _parse(xmp)
    except (expat.ExpatError, ValueError):
        return None, {"other pictures or data"}
    kinds: set[str] = set()
    cuts: list[_Property] = []
    for each in found:
        kind = _claim(each.name)
        if kind is None:
            continue
        cuts.append(each)
        piece = xmp[each.start : each.end]
        inner = {known for text, known in _ITEM_KINDS.items() if text in piece}
        kinds |= inner or {kind}
    if kinds & {"gain map", "motion photo"}:
        kinds.discard("other pictures or data")
    return _without(xmp, cuts), kinds


def turned_xmp(xmp: bytes, orientation: int) -> bytes:
    """Return the packet of a picture that was turned upright from an orientation of 2..8.

    The orientation becomes 1, widths and heights are swapped where the picture's were, and
    thumbnails are left out. Of a packet that cannot be taken apart the orientation alone is set.
    """
    try:
        found = _parse(xmp)
    except (expat.ExpatError, ValueError):
        return _LOOSE_ORIENTATION.sub(rb"\g<1>1", xmp)
    by_name = {each.name: each for each in reversed(found)}
    changes: dict[tuple[int, int], bytes] = {}
    if (each := by_name.get(_ORIENTATION)) is not None:
        changes[each.value_start, each.value_end] = b"1"
    if orientation >= 5:
        for names in _SWAPPED:
            one, other = (by_name.get(name) for name in names)
            if one is not None and other is not None:
                changes[one.value_start, one.value_end] = _value(xmp, other)
                changes[other.value_start, other.value_end] = _value(xmp, one)
    thumbnails = [each for each in found if _matches(each.name, _THUMBNAILS)]
    for each in thumbnails:
        changes[each.start, each.end] = b""
    return _changed(xmp, changes)


def _claim(name: str) -> str | None:
    """What a property of this name claims."""
    return next((kind for kind, names in _CLAIMS.items() if _matches(name, names)), None)


def _matches(name: str, names: dict[str, re.Pattern[str]]) -> bool:
    space, _, local = name.rpartition(" ")
    return space in names and names[space].match(local) is not None


def _parse(xmp: bytes) -> list[_Property]:
    """Find the properties: elements and attributes, with their places.

    Raises ExpatError for what is no well-formed XML, ValueError for a document type or an
    encoding whose places expat counts otherwise.
    """
    xmp = xmp.rstrip(b"\0")
    if xmp[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in xmp:
        raise ValueError("not UTF-8")
    properties: list[_Property] = []
    parser = expat.ParserCreate(namespace_separator=" ")
    prefixes: list[tuple[str, str]] = []
    open_elements: list[tuple[str, int, int]] = []

    def started(name: str, attributes: dict[str, str]) -> None:
        at = parser.CurrentByteIndex
        end = _tag_end(xmp, at)
        open_elements.append((name, at, end))
        spaces = dict(prefixes)
        for match in _ATTRIBUTE.finditer(xmp, at, end):
            prefix, _, local = match[1].decode().partition(":")
            if local and prefix in spaces:
                full = f"{spaces[prefix]} {local}"
                value = match.start(2) + 1, match.end(2) - 1
                start = match.start()
                while xmp[start - 1 : start].isspace():
                    start -= 1
                properties.append(_Property(full, start, match.end(), *value))

    def ended(name: str) -> None:
        at = parser.CurrentByteIndex
        _, start, inner = open_elements.pop()
        is_empty = xmp[inner - 2 : inner] == b"/>"
        end = inner if is_empty else _tag_end(xmp, at)
        properties.append(_Property(name, start, end, inner, inner if is_empty else at))

    def bound(prefix: str | None, uri: str | None) -> None:
        prefixes.append((prefix or "", uri or ""))

    def refused(*_: object) -> None:
        raise ValueError("a document type")

    parser.StartElementHandler = started
    parser.EndElementHandler = ended
    parser.StartNamespaceDeclHandler = bound
    parser.StartDoctypeDeclHandler = refused
    parser.Parse(xmp, True)
    properties.sort(key=lambda each: each.start)
    return properties


def _tag_end(xmp: bytes, start: int) -> int:
    """Where the tag that starts here ends: behind its ">", those in quotes aside."""
    match = re.compile(rb"<[^>\"']*(?:\"[^\"]*\"[^>\"']*|'[^']*'[^>\"']*)*>").match(xmp, start)
    if match is None:
        raise ValueError("a tag without an end")
    return match.end()


def _value(xmp: bytes, each: _Property) -> bytes:
    return xmp[each.value_start : each.value_end]


def _without(xmp: bytes, cuts: list[_Property]) -> bytes | None:
    """The packet without these properties; None where no property is left in it."""
    rest = _changed(xmp, {(each.start, each.end): b"" for each in cuts})
    for prefix, uri in set(re.findall(_DECLARATION, rest)):
        if uri.decode() in _CLAIMED_SPACES and prefix + b":" not in rest:
            declared = rb"\sxmlns:" + re.escape(prefix) + rb"\s*=\s*(\"[^\"]*\"|'[^']*')"
            rest = re.sub(declared, b"", rest)
    left = [each.name for each in _parse(rest)]
    frames = {f"{_RDF} RDF", f"{_RDF} Description", f"{_RDF} about", "adobe:ns:meta/ xmpmeta"}
    return rest if set(left) - frames - {"adobe:ns:meta/ xmptk"} else None


def _changed(data: bytes, changes: dict[tuple[int, int], bytes]) -> bytes:
    """The data with pieces (start, end) replaced; of pieces within pieces the outer one counts."""
    parts: list[bytes] = []
    at = 0
    for (start, end), new in sorted(changes.items(), key=lambda item: (item[0][0], -item[0][1])):
        if start < at:
            continue
        parts += [data[at:start], new]
        at = end
    return b"".join([*parts, data[at:]])
