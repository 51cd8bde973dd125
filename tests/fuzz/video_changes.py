"""Changes to videos under checksums that are right: what the deeper parsers get to see."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from random import Random

from bsqcodec.format.varint import encode_varint
from bsqcodec.format.video_chunks import VideoChunkKind
from bsqcodec.format.video_metadata import pack_metadata

from ..hostile import noise_for
from ..injuries import injured
from .video_parts import (
    GopParts,
    VideoChunkParts,
    VideoFileParts,
    gop_parts_of,
    head_numbers,
    ratio,
    set_gop,
)

Change = Callable[[VideoFileParts, Random], None]

BIG = 2**31 - 1
MAX_FRAMES = 8
"""Of a group that is made; more would only take longer."""

STEPS = (0, 1, -1, 40, -40, 2**31, -(2**31), 2**40, 2**62 - 1, -(2**62), 2**63 - 1, -(2**63))
TEXTS = (
    *("", "title", "a" * 3000, "line\nline", "\0", "a\0b", "\u202e\U0001f600", "%s%n", "=;#\\"),
    *("encoder", "major_brand", "creation_time", "2024-13-45", "language", "timecode", "1e999"),
)


def change_geometry(parts: VideoFileParts, rng: Random) -> None:
    """Another width or height: near, tiny, thin, huge, or malformed."""
    sides = (1, 2, 15, 16, 17, 63, 64, rng.randrange(1, 70), rng.randrange(1, 70))
    if rng.randrange(6) == 0:
        sides = (0, 300, 2000, 4000, 10**4, 10**6, 4_000_000, 250_000_000, BIG)
    if rng.randrange(20) == 0:
        parts.numbers[rng.randrange(2)] = rng.choice((b"\xff\xff\xff\xff\xff", b"\x80\x00"))
        return
    for index in {rng.randrange(2), rng.randrange(2)}:
        parts.numbers[index] = encode_varint(rng.choice(sides))


def change_ratios(parts: VideoFileParts, rng: Random) -> None:
    """Another time base, frame rate or shape of a pixel, as extreme as can be spelled."""
    values: tuple[Fraction | tuple[int, int], ...] = (
        *(Fraction(1, 25), Fraction(1, 1000), Fraction(1, 90000), Fraction(1001, 30000)),
        *(Fraction(BIG), Fraction(1, BIG), Fraction(BIG, BIG - 1), Fraction(7, 3), Fraction(1)),
        *((0, 1), (1, 0), (0, 0), (2, 4), (BIG, BIG)),
    )
    index = rng.choice((2, 4, 6))
    parts.numbers[index : index + 2] = ratio(rng.choice(values))


def change_codes(parts: VideoFileParts, rng: Random) -> None:
    """Other flags, colour, or weights."""
    if rng.randrange(8) == 0:
        models = bytearray(parts.models)
        models[rng.randrange(16)] ^= 1 << rng.randrange(8)
        parts.models = bytes(models)
        return
    codes = bytearray(parts.codes)
    index = rng.randrange(4)
    known = ((0, 1), (1, 5, 6, 9), range(20), range(20))[index]
    codes[index] = rng.choice((*known, rng.randrange(256)))
    parts.codes = bytes(codes)


def change_times(parts: VideoFileParts, rng: Random) -> None:
    """Other pts: equal, backward, far apart; runs that are malformed now and then."""
    chunk, gop = _a_gop(parts, rng)
    kind = rng.randrange(4)
    if kind == 0:
        chunk.first_pts = rng.choice((*STEPS, rng.randrange(-100, 100)))
    elif kind == 1:
        gop.runs = _runs(len(gop.frames), rng)
    elif kind == 2 and gop.runs:
        index = rng.randrange(len(gop.runs))
        gop.runs[index] = gop.runs[index][0], rng.choice(STEPS)
    else:
        gop.runs.append((rng.choice((0, 1, 2, BIG)), rng.choice(STEPS)))
    set_gop(chunk, gop)


def change_frames(parts: VideoFileParts, rng: Random) -> None:
    """Frames of a group doubled, dropped, swapped, of another type, or from another group."""
    chunk, gop = _a_gop(parts, rng)
    other = _a_gop(parts, rng)[1]
    frames = gop.frames
    i, j = rng.randrange(len(frames)), rng.randrange(len(frames))
    kind = rng.randrange(6)
    if kind == 0:
        frames[i], frames[j] = frames[j], frames[i]
    elif kind == 1 and len(frames) < MAX_FRAMES:
        frames.insert(j, frames[i])
    elif kind == 2 and len(frames) > 1:
        del frames[i]
    elif kind == 3:
        frames[i] = rng.choice((0, 1, 1, 1, 2, 255)), frames[i][1]
    elif kind == 4:
        frames[i] = frames[i][0], rng.choice(other.frames)[1]
    else:  # frames that are the one before them, again
        step = frames[-1][1][:1] or b"\x80"
        frames += [(1, step + b"\0")] * rng.randrange(MAX_FRAMES + 1 - min(len(frames), MAX_FRAMES))
    gop.runs = [(len(frames) - 1, 1)] if len(frames) > 1 else []
    set_gop(chunk, gop)


def change_bits(parts: VideoFileParts, rng: Random) -> None:
    """Other bits in a frame: its step, its planes, the words of its range coder,
    or the checksum."""
    chunk, gop = _a_gop(parts, rng)
    index = rng.choice((0, len(gop.frames) - 1, rng.randrange(len(gop.frames))))
    kind, data = gop.frames[index]
    start = 4 if index == 0 else 0  # behind the group's CRC-32
    head = start + (1 if index == 0 else 2)
    way = rng.randrange(5)
    if way == 0:
        data = data[:start] + bytes([rng.randrange(256)]) + data[start + 1 :]
    elif way == 1 and index:
        planes = rng.choice((0, 1, 4, 10, 11, 127)) + rng.choice((0, 128))
        data = data[:1] + bytes([planes]) + data[2:]
    elif way == 2:  # zeros are never damaged: all bits of all tokens are decoded
        data = data[:head] + bytes(4 * rng.randrange(3))
    elif way == 3:
        data = data[:head] + noise_for(data[head:], rng)
    else:
        data = noise_for(data, rng)
    gop.frames[index] = kind, data
    set_gop(chunk, gop)


def change_tables(parts: VideoFileParts, rng: Random) -> None:
    """Noise anywhere in the payload of a group, or a head that counts other frames than it has."""
    chunk = rng.choice(parts.gops())
    if rng.randrange(3) == 0:
        chunk.frames = rng.choice((0, 1, chunk.frames + 1, 1024, 1025, BIG))
    else:
        chunk.payload = noise_for(chunk.payload, rng)


def change_chunks(parts: VideoFileParts, rng: Random) -> None:
    """Chunks swapped, doubled, dropped or of another kind."""
    i, j = rng.randrange(len(parts.chunks)), rng.randrange(len(parts.chunks))
    kind = rng.randrange(5)
    if kind == 0:
        parts.chunks[i], parts.chunks[j] = parts.chunks[j], parts.chunks[i]
    elif kind == 1:
        parts.chunks.insert(j, VideoChunkParts(**vars(parts.chunks[i])))
    elif kind == 2 and len(parts.chunks) > 1:
        del parts.chunks[i]
    elif kind == 3:
        parts.chunks[i].kind = bytes([rng.choice(b"mGsiZqQz0\xff")])
    else:
        new = VideoChunkParts(
            rng.choice((b"q", b"s", b"m", b"Q")), rng.randbytes(rng.randrange(40))
        )
        parts.chunks.insert(j, new)


def change_metadata(parts: VideoFileParts, rng: Random) -> None:
    """Other texts, which an output container has to take."""
    texts = {rng.choice(TEXTS) or "k": rng.choice(TEXTS) for _ in range(rng.randrange(4))}
    payload = pack_metadata(texts)
    if rng.randrange(4) == 0:
        payload = noise_for(payload, rng)
    if parts.chunks and parts.chunks[0].kind == VideoChunkKind.METADATA:
        parts.chunks[0].payload = payload
    else:
        parts.chunks.insert(0, VideoChunkParts(VideoChunkKind.METADATA, payload))


def change_side(parts: VideoFileParts, rng: Random) -> None:
    """Damage in the side stream, or bytes of one where there are none."""
    sides = [chunk for chunk in parts.chunks if chunk.kind == VideoChunkKind.SIDE]
    if not sides:
        parts.chunks.insert(0, VideoChunkParts(VideoChunkKind.SIDE, rng.randbytes(50)))
        return
    chunk = rng.choice(sides)
    chunk.payload = injured([chunk.payload or b"\0"], rng)


def change_end(parts: VideoFileParts, rng: Random) -> None:
    """Another index, duration, digest or trailer, or something behind the end."""
    kind = rng.randrange(5)
    if kind == 0:
        parts.index = False
        for chunk in parts.chunks:
            if chunk.kind == VideoChunkKind.INDEX:
                chunk.payload = noise_for(chunk.payload, rng)
    elif kind == 1:
        for chunk in parts.chunks:
            if chunk.kind == VideoChunkKind.END:
                duration = rng.choice((0, 1, 2**31, 2**63 - 1, 2**63, 2**64 - 1))
                chunk.payload = encode_varint(duration, 2**64 - 1) + bytes(4)
    elif kind == 2:
        parts.digest = False
    elif kind == 3:
        parts.trailer = False
    else:
        parts.tail = rng.randbytes(rng.randrange(1, 30))


def change_heads(parts: VideoFileParts, rng: Random) -> None:
    """A number in the head of a chunk that is not what it should be."""
    number = rng.randrange(len(parts.chunks))
    chunk = parts.chunks[number]
    frame = sum(before.frames for before in parts.chunks[:number])
    numbers = head_numbers(number, frame, len(chunk.payload), chunk)
    index = rng.randrange(len(numbers))
    values = (0, 1, 2, 10**5, 10**8, BIG)
    numbers[index] = rng.choice((*map(encode_varint, values), b"\xff" * 5, b"\x84\x00"))
    chunk.numbers = numbers


CHANGES: tuple[Change, ...] = (
    *(change_bits,) * 5,
    *(change_frames,) * 3,
    *(change_times,) * 2,
    *(change_geometry, change_ratios, change_codes, change_tables, change_chunks),
    *(change_metadata, change_side, change_end, change_heads),
)


def changed_video(parts: VideoFileParts, rng: Random) -> VideoFileParts:
    """A copy with one to three changes; now and then one without any."""
    result = parts.copy()
    for _ in range(rng.choice((0, 1, 1, 1, 1, 2, 3))):
        if not result.gops():
            break
        try:
            rng.choice(CHANGES)(result, rng)
        except _NoGop:
            continue
    return result


class _NoGop(Exception):
    """A group cannot be taken apart any more, after an earlier change."""


def _a_gop(parts: VideoFileParts, rng: Random) -> tuple[VideoChunkParts, GopParts]:
    """One of the groups, and its parts."""
    chunk = rng.choice(parts.gops())
    try:
        gop = gop_parts_of(chunk)
    except Exception as error:
        raise _NoGop from error
    if not gop.frames or len(gop.frames) != chunk.frames:
        raise _NoGop
    return chunk, gop


def _runs(count: int, rng: Random) -> list[tuple[int, int]]:
    """Times of so many frames, by any steps."""
    runs: list[tuple[int, int]] = []
    left = count - 1
    while left > 0:
        run = rng.randrange(1, left + 1)
        step = rng.choice(STEPS)
        if not runs or runs[-1][1] != step:
            runs.append((run, step))
            left -= run
    return runs
