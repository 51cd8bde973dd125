"""FFV1 has checksums that FFmpeg does not act on: damage inside frames is told by them."""

from __future__ import annotations

import io
import re

import av
import pytest

from bsqcodec.errors import DamagedVideoError
from bsqcodec.media.video.ffv1 import SliceChecks, has_sound_slices

from ..clips import make_clip
from .test_ffmpeg_reader import Read


def packets(clip: bytes) -> list[tuple[int, bytes]]:
    """Place and bytes of each coded frame."""
    with av.open(io.BytesIO(clip), "r") as container:
        return [(p.pos or 0, bytes(p)) for p in container.demux(video=0) if p.size]


@pytest.mark.parametrize("slices", ["4", "6", "9"])
@pytest.mark.parametrize("size", [(64, 48), (176, 144)])
def test_every_flipped_bit_is_seen(slices: str, size: tuple[int, int]) -> None:
    width, height = size
    options = {"level": "3", "slices": slices}
    for _, frame in packets(make_clip(width=width, height=height, options=options)):
        assert has_sound_slices(frame)
        for place in range(0, len(frame), max(1, len(frame) // 50)):
            flipped = bytearray(frame)
            flipped[place] ^= 1 << place % 8
            assert not has_sound_slices(bytes(flipped))
        assert not has_sound_slices(frame[:-1])
        assert not has_sound_slices(frame[1:])
    assert not has_sound_slices(b"")


@pytest.mark.parametrize("options", [{"level": "1"}, {"level": "3", "slicecrc": "0"}])
def test_streams_without_checksums_are_taken_as_they_are(options: dict[str, str]) -> None:
    clip = make_clip(options=options)
    checks = SliceChecks()
    for _, frame in packets(clip):
        assert not has_sound_slices(frame)
        assert not checks.is_damaged(frame)
    assert Read(clip).problems == []


def test_damage_inside_a_frame_is_told() -> None:
    clip = bytearray(make_clip(options={"level": "3"}))
    whole = Read(bytes(clip))
    assert whole.problems == []
    place, frame = packets(bytes(clip))[4]
    begin = bytes(clip).index(frame, place)
    clip[begin + len(frame) // 3] ^= 0x10
    with pytest.raises(DamagedVideoError, match="damaged after 4 frames.*checksum") as caught:
        Read(bytes(clip))
    assert caught.value.frames == 4
    read = Read(bytes(clip), allow_damage=True)
    assert len(read.frames) == len(whole.frames)
    assert [re.sub(r"\(.*", "", text) for text in read.problems] == ["damage after 4 frames "]
