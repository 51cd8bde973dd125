"""The header of a .bsq video: geometry, colour, timing, and the weights that coded it."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field
from fractions import Fraction
from math import gcd
from typing import Final

from bsqcodec.errors import FormatError, PixelLimitError, UnsupportedVersionError
from bsqcodec.format.byte_source import CRC, ByteReader
from bsqcodec.format.image_container import DEFAULT_MAX_PIXELS, MAX_SIDE, MODEL_ID_BYTES
from bsqcodec.format.magic import MAGIC, FileKind, read_version
from bsqcodec.format.memory_limit import check_memory, check_padded, video_memory
from bsqcodec.format.varint import MAX_VARINT, encode_varint

_FIXED_FIELDS: Final = struct.Struct(f"<{MODEL_ID_BYTES}s{MODEL_ID_BYTES}s4B")
_FULL_RANGE: Final = 1


@dataclass(frozen=True)
class ColourCodes:
    """How the source's YUV samples mean colours, as code points of ITU-T H.273, each 0..255.

    matrix: MatrixCoefficients, such as 1 (BT.709), 5 or 6 (BT.601), 9 (BT.2020).
    full_range: whether samples use all values, 0..255 for 8 bits, or the limited range.
    primaries: ColourPrimaries. transfer: TransferCharacteristics. 2 means "unspecified".
    Raises ValueError for a code point out of range.
    """

    matrix: int = 1
    full_range: bool = False
    primaries: int = 1
    transfer: int = 1

    def __post_init__(self) -> None:
        for name in ("matrix", "primaries", "transfer"):
            if not 0 <= getattr(self, name) <= 255:
                raise ValueError(f"the {name} {getattr(self, name)} is outside 0..255")


@dataclass(frozen=True)
class VideoHeader:
    """What a decoder must know before the first frame. Raises ValueError for an impossible field.

    image_model_id, video_model_id: the 8 bytes that name the weights of I and of other frames.
    width, height: pixels of a frame as displayed, 1..2**31-1.
    time_base: seconds in one unit of pts. frame_rate: nominal frames a second, None if unknown.
    sample_aspect_ratio: width of a pixel over its height, as displayed.
    Numerators and denominators are 1..2**31-1.
    """

    image_model_id: bytes
    video_model_id: bytes
    width: int
    height: int
    time_base: Fraction
    frame_rate: Fraction | None = None
    sample_aspect_ratio: Fraction = Fraction(1)
    colour: ColourCodes = field(default_factory=ColourCodes)

    def __post_init__(self) -> None:
        for name in ("image_model_id", "video_model_id"):
            size = len(getattr(self, name))
            if size != MODEL_ID_BYTES:
                raise ValueError(f"the {name} has {size} bytes, not {MODEL_ID_BYTES}")
        for name in ("width", "height"):
            if not 1 <= getattr(self, name) <= MAX_SIDE:
                raise ValueError(f"the {name} {getattr(self, name)} is outside 1..{MAX_SIDE}")
        for name in ("time_base", "frame_rate", "sample_aspect_ratio"):
            ratio = getattr(self, name)
            if ratio is None and name == "frame_rate":
                continue
            if not (1 <= ratio.numerator <= MAX_VARINT and ratio.denominator <= MAX_VARINT):
                raise ValueError(f"the {name} {ratio} is not a ratio of 1..{MAX_VARINT}")

    @property
    def pixels(self) -> int:
        """Pixels of one frame: width times height."""
        return self.width * self.height

    def max_gop_bytes(self, frames: int) -> int:
        """The most bytes that the chunk of a GOP may hold: 8 a pixel of whole 16x16 tokens."""
        tokens = (-(-self.width // 16)) * (-(-self.height // 16))
        return min(65536 + frames * (64 + 8 * 256 * tokens), MAX_VARINT)


def pack_header(header: VideoHeader) -> tuple[bytes, int]:
    """Return the header's bytes, its checksum included, and the CRC-32 with which chunks go on."""
    colour = header.colour
    fields = _FIXED_FIELDS.pack(
        header.image_model_id,
        header.video_model_id,
        _FULL_RANGE * colour.full_range,
        colour.matrix,
        colour.primaries,
        colour.transfer,
    )
    ratios = (header.time_base, header.frame_rate or Fraction(0), header.sample_aspect_ratio)
    numbers = [header.width, header.height]
    for ratio in ratios:
        numbers += [ratio.numerator, ratio.denominator]
    data = MAGIC + bytes([FileKind.VIDEO]) + fields + b"".join(map(encode_varint, numbers))
    crc = zlib.crc32(data)
    return data + CRC.pack(crc), crc


def read_header(
    reader: ByteReader, max_pixels: int = DEFAULT_MAX_PIXELS, max_memory: int | None = None
) -> tuple[VideoHeader, int]:
    """Read and check the header; return it and the CRC-32 with which chunks go on.

    max_memory: bytes that decoding the video may take, None where that does not matter.

    Raises TruncatedError, ChecksumError or FormatError when it is cut, damaged or of no .bsq
    file; UnsupportedVersionError when it is of a picture or needs a newer decoder; LimitError
    when a frame has more than `max_pixels` pixels; MemoryLimitError when decoding may take more
    than `max_memory`.
    """
    what = "the header"
    data = read_version(reader, FileKind.VIDEO)
    fields = reader.exactly(_FIXED_FIELDS.size, what)
    data += fields
    numbers = []
    for _ in range(8):
        number, raw = reader.varint(what)
        numbers.append(number)
        data += raw
    crc = zlib.crc32(data)
    reader.check_crc(crc, what)
    image_model_id, video_model_id, flags, matrix, primaries, transfer = _FIXED_FIELDS.unpack(
        fields
    )
    if flags & ~_FULL_RANGE:
        raise UnsupportedVersionError(
            f"the file needs a newer bsqcodec: its flags {flags:02x} are unknown here"
        )
    try:
        header = VideoHeader(
            image_model_id,
            video_model_id,
            width=numbers[0],
            height=numbers[1],
            time_base=_ratio(numbers[2], numbers[3]),
            frame_rate=_ratio(numbers[4], numbers[5]) or None,
            sample_aspect_ratio=_ratio(numbers[6], numbers[7]),
            colour=ColourCodes(matrix, bool(flags & _FULL_RANGE), primaries, transfer),
        )
    except ValueError as error:
        raise FormatError(f"the header is malformed: {error}") from error
    if header.pixels > max_pixels:
        raise PixelLimitError(
            f"the frames are {header.width} x {header.height} = {header.pixels} pixels,"
            f" over the limit of {max_pixels}"
        )
    if max_memory is not None:
        width, height = header.width, header.height
        check_padded("a frame", width, height, max_pixels)
        check_memory("frames", width, height, video_memory(width, height), max_memory)
    return header, crc


def _ratio(numerator: int, denominator: int) -> Fraction:
    """The ratio of two integers; raises ValueError unless it is in lowest terms."""
    if gcd(numerator, denominator) != 1 or denominator == 0:
        raise ValueError(f"the ratio {numerator}/{denominator} is not in lowest terms")
    return Fraction(numerator, denominator)
