"""What a .bsq picture says about itself, read without its model and without decoding a pixel."""

from typing import Any

from bsqcodec.errors import FormatError
from bsqcodec.format.byte_source import ByteReader, ByteSource
from bsqcodec.format.image_container import (
    DEFAULT_MAX_PIXELS,
    VERSION,
    ChunkKind,
    Container,
    chunk_name,
    packed_size,
    unpack,
)
from bsqcodec.format.look_chunk import unpack_look

_ALPHA_MODES = {0: "constant", 1: "lossless"}


def describe_picture(source: ByteSource, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> dict[str, Any]:
    """Return the facts about a file, ready for JSON; a stream is read to its end.

    A file that is cut or damaged after its header is described as far as it is sound: then
    `truncated` or `problem` is set, and `unread_bytes` counts what lies behind the fault.

    Keys: format_version; model_id (hex); look (the decoder that it was made for: name and id, or
    None for the model's own); width, height (pixels); colour ("gray", "rgb"); step;
    first_level; levels (promised by the header), levels_present; file_bytes; bpp (bits of the
    file per pixel); overhead_bytes (header, checksums, chunk heads and END); chunks (a list of
    kind, name and bytes of payload); icc_bytes, exif_bytes, xmp_bytes (None where absent);
    alpha (None, or mode and bytes); symbols_crc (hex or None); truncated; problem (words or
    None); unread_bytes.

    Raises as `bsqcodec.format.image_container.unpack` for a damaged header, for a picture of more
    than `max_pixels` pixels, and for a file that needs a newer bsqcodec.
    """
    reader = ByteReader(source)
    container = unpack(Counted(reader), max_pixels=max_pixels, allow_truncated=True)
    reader.drain()
    header = container.header
    sizes = [len(chunk.payload) for chunk in container.chunks]
    sound_bytes = packed_size(header, sizes, end=not container.truncated)
    return {
        "format_version": VERSION,
        "model_id": header.model_id.hex(),
        "look": _look(container.find(ChunkKind.LOOK)),
        "width": header.width,
        "height": header.height,
        "colour": header.colour.name.lower(),
        "step": header.step,
        "first_level": header.first_level,
        "levels": header.levels,
        "levels_present": len(container.level_payloads()),
        "file_bytes": reader.consumed,
        "bpp": 8 * reader.consumed / header.pixels,
        "overhead_bytes": sound_bytes - sum(sizes),
        "chunks": _chunk_list(container),
        "icc_bytes": _size(container.find(ChunkKind.ICC)),
        "exif_bytes": _size(container.find(ChunkKind.EXIF)),
        "xmp_bytes": _size(container.find(ChunkKind.XMP)),
        "alpha": _alpha(container.find(ChunkKind.ALPHA)),
        "symbols_crc": None if container.symbols_crc is None else f"{container.symbols_crc:08x}",
        "truncated": container.truncated,
        "problem": container.problem,
        "unread_bytes": reader.consumed - sound_bytes,
    }


def format_picture_lines(facts: dict[str, Any]) -> str:
    """Return what `describe_picture` found as lines for people, without a newline at the end."""
    levels = f"{facts['levels']} from level {facts['first_level']}"
    if facts["levels_present"] < facts["levels"]:
        levels += f", {facts['levels_present']} present"
    rows = [
        ("format", f"bsq version {facts['format_version']}"),
        ("model", facts["model_id"]),
        *([("look", f"{look['name']} ({look['id']})")] if (look := facts["look"]) else []),
        ("size", f"{facts['width']} x {facts['height']} pixels, {facts['colour']}"),
        ("step", str(facts["step"])),
        ("levels", levels),
        ("file", f"{facts['file_bytes']} bytes, {facts['bpp']:.4f} bpp"),
        ("overhead", f"{facts['overhead_bytes']} bytes"),
    ]
    rows += [(f"  {chunk['name']}", f"{chunk['bytes']} bytes") for chunk in facts["chunks"]]
    metadata = [name for name in ("icc", "exif", "xmp") if facts[f"{name}_bytes"] is not None]
    rows.append(("metadata", ", ".join(metadata).upper() or "none"))
    alpha = facts["alpha"]
    rows.append(("alpha", f"{alpha['mode']}, {alpha['bytes']} bytes" if alpha else "none"))
    if facts["problem"] is not None:
        state = "incomplete" if facts["truncated"] else "whole"
        rows.append(
            ("problem", f"{facts['problem']} ({state}, {facts['unread_bytes']} bytes unread)")
        )
    width = max(len(name) for name, _ in rows) + 2
    return "\n".join(f"{name:<{width}}{text}" for name, text in rows)


class Counted:
    """A stream over a ByteReader that somebody else holds on to, so as to count and drain it."""

    def __init__(self, reader: ByteReader) -> None:
        self._reader = reader

    def read(self, size: int, /) -> bytes:
        return self._reader.up_to(size)


def _chunk_list(container: Container) -> list[dict[str, Any]]:
    """Kind, name and payload bytes of each chunk but END."""
    rows = []
    level = container.header.first_level
    for chunk in container.chunks:
        name = chunk_name(chunk.kind, level)
        rows.append({"kind": chunk.kind.decode(), "name": name, "bytes": len(chunk.payload)})
        level += chunk.kind == ChunkKind.LEVEL
    return rows


def _look(payload: bytes | None) -> dict[str, str] | None:
    """Name and id (hex) of the look that a chunk names."""
    if payload is None:
        return None
    try:
        look = unpack_look(payload)
    except FormatError as error:
        return {"name": str(error), "id": payload.hex()[:16]}
    return {"name": look.name, "id": look.id.hex()}


def _alpha(payload: bytes | None) -> dict[str, Any] | None:
    """Mode (its first byte, in words) and size of the alpha chunk."""
    if payload is None:
        return None
    mode = _ALPHA_MODES.get(payload[0], f"mode {payload[0]}") if payload else "empty"
    return {"mode": mode, "bytes": len(payload)}


def _size(payload: bytes | None) -> int | None:
    return None if payload is None else len(payload)
