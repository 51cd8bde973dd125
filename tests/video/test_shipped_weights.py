"""The weights that ship: the same bytes however they are computed,
and every group decodes alone."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from bsqcodec.format.video_file_reader import VideoFileReader
from bsqcodec.models.prior import integer_blocks
from bsqcodec.video.codec import VideoCodec

from .scenes import ListReader, Pixels, clip, coded, psnr

FRAMES, GOP, HEIGHT, WIDTH = 5, 2, 24, 72
RATE = 25


@pytest.fixture(scope="module")
def shipped() -> Iterator[VideoCodec]:
    """The codec as it is installed, with one thread of the CPU."""
    before = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("BSQCODEC_WEIGHTS", raising=False)
        yield VideoCodec(device="cpu", threads=1)
    torch.set_num_threads(before)


def stream(codec: VideoCodec) -> bytes:
    """A short clip that moves, coded in groups of 2, 2 and 1 frames."""
    return coded(codec, ListReader(clip(FRAMES, HEIGHT, WIDTH)), gop=GOP)


@pytest.fixture(scope="module")
def data(shipped: VideoCodec) -> bytes:
    return stream(shipped)


@pytest.fixture(scope="module")
def whole(shipped: VideoCodec, data: bytes) -> list[Pixels]:
    """All frames, decoded from the first on."""
    return [frame.pixels for frame in shipped.decode(data).frames()]


def test_the_clip_is_worth_a_test(data: bytes, whole: list[Pixels]) -> None:
    """It has groups with frames of both kinds, and looks like what was coded."""
    index = VideoFileReader(data).index
    assert index is not None and [entry.frames for entry in index] == [2, 2, 1]
    originals = clip(FRAMES, HEIGHT, WIDTH)
    assert min(psnr(a, b) for a, b in zip(whole, originals, strict=True)) > 30


@pytest.mark.parametrize("windows", [1, 10**6], ids=["chunked", "whole"])
def test_chunks_change_no_byte(
    shipped: VideoCodec, data: bytes, windows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(integer_blocks, "CHUNK", windows)
    assert stream(shipped) == data
    shipped.verify(io.BytesIO(data), FRAMES)


def two_threads(path: str) -> None:
    """What a process of its own does: code the clip again, and decode what one thread coded."""
    codec = VideoCodec(device="cpu", threads=2)
    data = Path(path).read_bytes()
    codec.verify(io.BytesIO(data), FRAMES)
    assert stream(codec) == data
    frames = np.stack([frame.pixels for frame in codec.decode(data).frames()])
    np.save(f"{path}.npy", frames)


def test_two_threads_change_no_byte(data: bytes, whole: list[Pixels], tmp_path: Path) -> None:
    (tmp_path / "clip.bsq").write_bytes(data)
    environment = {name: text for name, text in os.environ.items() if name != "BSQCODEC_WEIGHTS"}
    environment |= {"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "PASSIVE"}
    root = Path(__file__).parents[2]
    code = f"from tests.video.{Path(__file__).stem} import two_threads; two_threads('clip.bsq')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    found = np.load(tmp_path / "clip.bsq.npy")
    assert np.abs(found.astype(int) - np.stack(whole)).max() <= 1


@pytest.mark.parametrize("group", range(3))
def test_decoding_from_any_group_gives_the_same_frames(
    shipped: VideoCodec, data: bytes, whole: list[Pixels], group: int
) -> None:
    first = group * GOP
    found = shipped.decode(data, start=first / RATE)
    pixels = [frame.pixels for frame in found.frames()]
    assert len(pixels) == FRAMES - first
    assert all(np.array_equal(a, b) for a, b in zip(pixels, whole[first:], strict=True))
