"""What a video says about itself in words: pairs of a key and a value."""

from __future__ import annotations

from collections.abc import Mapping

from bsqcodec.errors import FormatError
from bsqcodec.format.varint import decode_varint, encode_varint


def pack_metadata(metadata: Mapping[str, str]) -> bytes:
    """Return the payload of the metadata chunk, the pairs in their order.

    Raises ValueError for an empty key, and for text that is no valid Unicode.
    """
    if "" in metadata:
        raise ValueError("a key of the metadata is empty")
    texts = [text.encode() for pair in metadata.items() for text in pair]
    return b"".join(encode_varint(len(text)) + text for text in texts)


def unpack_metadata(payload: bytes) -> dict[str, str]:
    """Take apart the payload of the metadata chunk; raises FormatError when it is malformed."""
    texts = []
    place = 0
    try:
        while place < len(payload):
            size, place = decode_varint(payload, place)
            if size > len(payload) - place:
                raise FormatError(f"{size} bytes of text where {len(payload) - place} are left")
            texts.append(payload[place : place + size].decode())
            place += size
    except (FormatError, UnicodeDecodeError) as error:
        raise FormatError(f"the metadata chunk is malformed: {error}") from error
    keys, values = texts[::2], texts[1::2]
    if len(keys) != len(values) or "" in keys or len(set(keys)) < len(keys):
        raise FormatError("the metadata has an empty key, one without a value, or one twice")
    return dict(zip(keys, values, strict=True))
