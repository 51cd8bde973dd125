"""Files of tokens: the codes of a picture as integers, for other programs to read and write.

Two formats hold the same things: `.safetensors`, with the facts about the codes as JSON under
"bsqcodec" in its metadata, and `.npz`, NumPy's archive of arrays, with one array a fact. Both have
an array "codes" int64 [h, w]. A code's first bit is its highest.
"""

from __future__ import annotations

import io
import json
import math
import re
import struct
import zipfile
import zlib
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load as load_safetensors
from safetensors.numpy import save as save_safetensors

from bsqcodec.errors import FormatError, PixelLimitError
from bsqcodec.format.json_text import parse_json
from bsqcodec.format.plain_text import one_line

FORMAT_NAME: Final = "bsqcodec tokens"
FORMAT_VERSION: Final = 1
MAX_BITS: Final = 62
MAX_SIDE: Final = 2**31 - 1
_CODES: Final = "codes"
_METADATA: Final = "bsqcodec"
_MAX_REASON: Final = 200
_MAX_FACT_BYTES: Final = 4096
_ARRAY_HEAD: Final = re.compile(
    rb"\{\s*'descr'\s*:\s*'(?P<descr>[<>|=]?[biufUS]\d{0,4})'\s*,"
    rb"\s*'fortran_order'\s*:\s*(?P<fortran>True|False)\s*,"
    rb"\s*'shape'\s*:\s*\((?P<shape>[0-9, ]*)\)\s*,?\s*\}\s*"
)
"""What NumPy writes before the numbers of an array, of plain types only."""


_WRONG: Final = (
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    SafetensorError,
    TypeError,
    ValueError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
"""What archives, arrays and JSON that are damaged lead their readers into."""


class TokenFormat(StrEnum):
    """Formats of files of tokens; the value is the suffix without its dot."""

    SAFETENSORS = "safetensors"
    NPZ = "npz"


@dataclass(frozen=True, eq=False)
class Tokens:
    """The codes of a picture.

    codes: int64 [h, w], each 0 .. 2^bits - 1; h and w are the picture's height and width in
    patches, rounded up. bits: of a code, 1..62. patch: side of a token in pixels. model: the 16
    hexadecimal digits that name the weights. width, height: of the picture, in pixels. gray:
    whether the picture is grey. Raises ValueError for anything else.
    """

    codes: npt.NDArray[np.int64]
    bits: int
    patch: int
    model: str
    width: int
    height: int
    gray: bool = False
    notes: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        for name, high in (
            ("bits", MAX_BITS),
            ("patch", 4096),
            ("width", MAX_SIDE),
            ("height", MAX_SIDE),
        ):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= high:
                raise ValueError(f"{name} is {value!r:.40}, not a whole number from 1 to {high}")
        if not isinstance(self.gray, bool):
            raise ValueError(f"gray is {self.gray!r:.40}, neither true nor false")  # noqa: TRY004
        if not isinstance(self.model, str) or len(self.model) != 16:
            raise ValueError(f"the model is {self.model!r:.40}, not 16 hexadecimal digits")
        bytes.fromhex(self.model)
        shape = (-(-self.height // self.patch), -(-self.width // self.patch))
        if self.codes.shape != shape:
            raise ValueError(
                f"{self.width} x {self.height} pixels have {shape[1]} x {shape[0]} tokens of"
                f" {self.patch} x {self.patch}, but the codes have the shape {self.codes.shape}"
            )
        if self.codes.dtype.kind not in "iu":
            raise ValueError(f"the codes are of the type {self.codes.dtype}, not whole numbers")
        low, top = int(self.codes.min()), int(self.codes.max())
        if low < 0 or top >= 2**self.bits:
            wrong = low if low < 0 else top
            raise ValueError(f"a code is {wrong}, outside 0..{2**self.bits - 1} ({self.bits} bits)")
        object.__setattr__(self, "codes", self.codes.astype(np.int64))

    def facts(self) -> dict[str, Any]:
        """Return everything but the codes, ready for JSON."""
        return {
            "format": FORMAT_NAME,
            "version": FORMAT_VERSION,
            "bits": self.bits,
            "patch": self.patch,
            "model": self.model,
            "width": self.width,
            "height": self.height,
            "gray": self.gray,
        }


def bits_of_codes(codes: npt.NDArray[np.integer[Any]], bits: int) -> npt.NDArray[np.bool_]:
    """Return the bits [..., bits] of codes [...], the highest first."""
    shifts = np.arange(bits - 1, -1, -1)
    return (codes[..., None].astype(np.int64) >> shifts & 1).astype(bool)


def codes_of_bits(bits: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Return the codes [...] of bits [..., L], the inverse of `bits_of_codes`."""
    shifts = np.arange(bits.shape[-1] - 1, -1, -1)
    return (bits.astype(np.int64) << shifts).sum(-1)


def token_format(data: bytes) -> TokenFormat | None:
    """Return the format of a file of tokens by its first bytes (16 suffice), None for other files.

    A safetensors file begins with the length of its JSON header, and that with a brace.
    """
    if data[:4] == b"PK\x03\x04":
        return TokenFormat.NPZ
    if data[8:9] == b"{" and data[4:8] == b"\0\0\0\0":
        return TokenFormat.SAFETENSORS
    return None


def pack_tokens(tokens: Tokens, format: TokenFormat) -> bytes:
    """Return the bytes of a file of tokens."""
    facts = tokens.facts()
    if format is TokenFormat.SAFETENSORS:
        return save_safetensors({_CODES: tokens.codes}, {_METADATA: json.dumps(facts)})
    file = io.BytesIO()
    np.savez_compressed(file, codes=tokens.codes, **facts)
    return file.getvalue()


def unpack_tokens(data: bytes, *, max_pixels: int) -> Tokens:
    """Return the tokens in the bytes of a file.

    Raises FormatError where they are no file of tokens or do not fit together, LimitError for a
    picture of more than `max_pixels` pixels.
    """
    format = token_format(data)
    if format is None:
        raise FormatError("the data is no file of tokens")
    try:
        read = _read_safetensors if format is TokenFormat.SAFETENSORS else _read_npz
        facts, codes = read(data, max_pixels)
        if facts.pop("format") != FORMAT_NAME:
            raise ValueError("it is a file of something else")
        version = facts.pop("version")
        if version != FORMAT_VERSION:
            raise ValueError(f"its version {version!r:.40} is not {FORMAT_VERSION}")
        names = ("bits", "patch", "model", "width", "height", "gray")
        return Tokens(codes, **{name: facts[name] for name in names})
    except _WRONG as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        reason = one_line(reason, _MAX_REASON)
        raise FormatError(f"the file of tokens cannot be used: {reason}") from error


def _check_pixels(width: object, height: object, max_pixels: int) -> None:
    if not isinstance(width, int) or not isinstance(height, int):
        raise TypeError(f"{width!r:.40} x {height!r:.40} is no size of a picture")
    if width * height > max_pixels:
        raise PixelLimitError(
            f"the picture is {width} x {height} = {width * height} pixels,"
            f" over the limit of {max_pixels}"
        )


def _read_safetensors(data: bytes, max_pixels: int) -> tuple[dict[str, Any], npt.NDArray[Any]]:
    length = int.from_bytes(data[:8], "little")
    header = parse_json(data[8 : 8 + length])
    facts = parse_json(header["__metadata__"][_METADATA])
    _check_pixels(facts["width"], facts["height"], max_pixels)
    return facts, load_safetensors(data)[_CODES]


def _read_npz(data: bytes, max_pixels: int) -> tuple[dict[str, Any], npt.NDArray[Any]]:
    """Facts and codes of an archive, whose members are small until their sizes are known."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = [name for name in archive.namelist() if name != f"{_CODES}.npy"]
        facts = {
            name.removesuffix(".npy"): _array(archive, name, _MAX_FACT_BYTES).item()
            for name in names
        }
        _check_pixels(facts["width"], facts["height"], max_pixels)
        most = 8 * facts["width"] * facts["height"] + _MAX_FACT_BYTES
        return facts, _array(archive, f"{_CODES}.npy", most)


def _array(archive: zipfile.ZipFile, name: str, most: int) -> npt.NDArray[Any]:
    """Return a member of an archive of at most so many bytes; it must be as long as its array.

    Not by NumPy's reader: it allocates what the head of an array claims before it looks for the
    rest, and parses the head as Python.
    """
    info = archive.getinfo(name)
    if info.file_size > most:
        raise ValueError(f"{name!r:.40} is too large")
    data = archive.read(info)
    length_size = {b"\x01\0": 2, b"\x02\0": 4, b"\x03\0": 4}.get(data[6:8])
    if data[:6] != b"\x93NUMPY" or length_size is None:
        raise ValueError(f"{name!r:.40} is no array of a known version")
    start = 8 + length_size
    end = start + int.from_bytes(data[8:start], "little")
    head = _ARRAY_HEAD.fullmatch(data[start:end])
    if head is None:
        raise ValueError(f"{name!r:.40} has a head that is not understood")
    dtype = np.dtype(head["descr"].decode())
    shape = tuple(int(side) for side in head["shape"].split(b",") if side.strip())
    claimed, there = math.prod(shape) * dtype.itemsize, len(data) - end
    if claimed != there:
        raise ValueError(f"{name!r:.40} has {there} bytes, not an array {dtype} {shape}")
    array = np.frombuffer(data, dtype, offset=end)
    return array.reshape(shape, order="F" if head["fortran"] == b"True" else "C")
