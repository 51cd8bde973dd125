"""A group of pictures as bytes: the times of its frames, and a payload for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import groupby

from bsqcodec.errors import FormatError, TruncatedError, UnsupportedVersionError
from bsqcodec.format.varint import (
    MAX_VARINT,
    decode_signed,
    decode_varint,
    encode_signed,
    encode_varint,
)
from bsqcodec.format.video_chunks import MAX_GOP_FRAMES, MAX_PTS, ChunkHead


class FrameType(IntEnum):
    """How a frame is coded; the value stands before its payload."""

    I = 0
    P = 1


@dataclass(frozen=True)
class Gop:
    """Frames that decode without any others. Raises ValueError for impossible values.

    first_frame: number of the first in the video, from 0. pts: when each is shown, in units of
    the header's time base, -MAX_PTS..MAX_PTS. frames: 1..MAX_GOP_FRAMES payloads, any of which
    may be empty. types: of each frame, the first of which is I; by default the others are P.
    """

    first_frame: int
    pts: tuple[int, ...]
    frames: tuple[bytes, ...]
    types: tuple[FrameType, ...] = ()

    def __post_init__(self) -> None:
        count = len(self.frames)
        if not 1 <= count <= MAX_GOP_FRAMES:
            raise ValueError(f"a GOP has {count} frames, not 1 to {MAX_GOP_FRAMES}")
        if not self.types:
            object.__setattr__(self, "types", (FrameType.I,) + (FrameType.P,) * (count - 1))
        if not len(self.pts) == len(self.types) == count:
            raise ValueError(f"{count} frames have {len(self.pts)} pts and {len(self.types)} types")
        if self.types[0] != FrameType.I:
            raise ValueError("a GOP begins with another frame than I")
        if not 0 <= self.first_frame <= MAX_VARINT - count:
            raise ValueError(f"frame number {self.first_frame} is outside 0..{MAX_VARINT - count}")
        for pts in self.pts:
            if abs(pts) > MAX_PTS:
                raise ValueError(f"the pts {pts} is outside {-MAX_PTS}..{MAX_PTS}")


def pack_gop(gop: Gop) -> bytes:
    """Return the payload of a GOP chunk; the chunk's head has what is missing here."""
    parts = []
    for step, run in groupby(b - a for a, b in zip(gop.pts, gop.pts[1:], strict=False)):
        parts.append(encode_varint(len(list(run))) + encode_signed(step))
    for kind, payload in zip(gop.types, gop.frames, strict=True):
        parts.append(bytes([kind]) + encode_varint(len(payload)))
    return b"".join(parts) + b"".join(gop.frames)


def unpack_gop(head: ChunkHead, payload: bytes) -> Gop:
    """Take apart the payload of a GOP chunk.

    Raises FormatError when it breaks the format's rules, UnsupportedVersionError when a frame
    is of an unknown type.
    """
    try:
        pts, place = _unpack_pts(head, payload)
        kinds, sizes, place = _unpack_table(head.frames, payload, place)
        if place + sum(sizes) != len(payload):
            raise FormatError(
                f"its frames take {sum(sizes)} bytes, but {len(payload) - place} are there"
            )
        frames = []
        for size in sizes:
            frames.append(payload[place : place + size])
            place += size
        return Gop(head.first_frame, pts, tuple(frames), _known(kinds))
    except UnsupportedVersionError:
        raise
    except (FormatError, ValueError) as error:
        raise FormatError(f"{head.name} is malformed: {error}") from error


def _unpack_pts(head: ChunkHead, payload: bytes) -> tuple[tuple[int, ...], int]:
    """The pts of all frames, and where they end in the payload."""
    pts = [head.first_pts]
    place = 0
    previous: int | None = None
    while len(pts) < head.frames:
        count, place = decode_varint(payload, place)
        step, place = decode_signed(payload, place)
        if not 1 <= count <= head.frames - len(pts):
            raise FormatError(f"{count} frames in a run where {head.frames - len(pts)} are left")
        if step == previous:
            raise FormatError("two runs of pts have the same step")
        previous = step
        pts += [pts[-1] + step * (i + 1) for i in range(count)]
    return tuple(pts), place


def _unpack_table(count: int, payload: bytes, place: int) -> tuple[bytes, list[int], int]:
    """Types and sizes of all frames, and where their table ends in the payload."""
    kinds = bytearray()
    sizes = []
    for _ in range(count):
        if place == len(payload):
            raise TruncatedError("its table of frames is cut")
        kinds.append(payload[place])
        size, place = decode_varint(payload, place + 1)
        sizes.append(size)
    return bytes(kinds), sizes, place


def _known(kinds: Sequence[int]) -> tuple[FrameType, ...]:
    """The types of frames by their values; raises UnsupportedVersionError for one not known."""
    for kind in kinds:
        if kind not in tuple(FrameType):
            raise UnsupportedVersionError(
                f"the file needs a newer bsqcodec: its frames of type {kind} are unknown here"
            )
    return tuple(FrameType(kind) for kind in kinds)
