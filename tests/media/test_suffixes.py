"""Files whose suffix is ambiguous are told apart by their contents."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bsqcodec.media.suffixes import (
    PICTURE_SUFFIXES,
    VIDEO_SUFFIXES,
    is_transport_stream,
    looks_like_its_suffix,
)

from .clips import make_clip


def test_no_suffix_is_of_both_kinds() -> None:
    assert not VIDEO_SUFFIXES & PICTURE_SUFFIXES


@pytest.mark.parametrize("options", [{}, {"mpegts_m2ts_mode": "1"}], ids=["ts", "m2ts"])
def test_transport_streams(options: dict[str, str]) -> None:
    clip = make_clip("mpegts", "mpeg2video", muxer=options)
    for start in (0, 1, 100, 187):
        assert is_transport_stream(clip[start:][:8192])
    assert is_transport_stream(clip[: 4 * 192])
    packets = [clip[i : i + 188] + bytes(16) for i in range(0, 188 * 8, 188)]
    assert options or is_transport_stream(b"".join(packets))


@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"G",
        b"G" + bytes(187) + b"G",
        b"import { Grid } from './Grid';\nconst G: Grid = 1;\n" * 50,
        b"x" * 8000,
        np.random.default_rng(1).bytes(8192),
    ],
    ids=["empty", "letter", "two", "code", "text", "noise"],
)
def test_other_contents(start: bytes) -> None:
    assert not is_transport_stream(start)


def test_files_that_cannot_be_read_are_what_they_are_called(tmp_path: Path) -> None:
    assert looks_like_its_suffix(tmp_path / "absent.ts")
    (tmp_path / "empty.TS").touch()
    assert not looks_like_its_suffix(tmp_path / "empty.TS")
    (tmp_path / "empty.mp4").touch()
    assert looks_like_its_suffix(tmp_path / "empty.mp4")
