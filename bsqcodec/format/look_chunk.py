"""The look chunk of a picture's file: which decoder its encoder had in mind.

    payload = 8 bytes that name the decoder's weights, then the look's name, 1 to 32 bytes of ASCII

docs/BITSTREAM.md specifies it.
"""

from __future__ import annotations

import string
from dataclasses import dataclass
from typing import Final

from bsqcodec.errors import FormatError

ID_BYTES: Final = 8
MAX_NAME_BYTES: Final = 32

_LETTERS: Final = frozenset(string.ascii_lowercase + string.digits + "-")


@dataclass(frozen=True)
class Look:
    """A decoder other than that of a file's weights, for the same symbols.

    name: for people, 1 to 32 lower-case letters, digits and hyphens. id: the 8 bytes that name the
    decoder's weights. Raises ValueError for an impossible field.
    """

    name: str
    id: bytes

    def __post_init__(self) -> None:
        if not 1 <= len(self.name) <= MAX_NAME_BYTES or not set(self.name) <= _LETTERS:
            raise ValueError(f"{self.name!r} is not the name of a look")
        if len(self.id) != ID_BYTES:
            raise ValueError(f"the id of a look has {len(self.id)} bytes, not {ID_BYTES}")


def pack_look(look: Look) -> bytes:
    """The payload of the chunk that names a look."""
    return look.id + look.name.encode("ascii")


def unpack_look(payload: bytes) -> Look:
    """The look that a payload names. Raises FormatError for one that no encoder writes."""
    try:
        return Look(payload[ID_BYTES:].decode("ascii"), payload[:ID_BYTES])
    except ValueError as error:  # also of bytes that are not ASCII
        raise FormatError("the look chunk is malformed") from error
