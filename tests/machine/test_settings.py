"""What a caller has set in torch matters to nothing that is coded or decoded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from bsqcodec.image.codec import Codec
from bsqcodec.targets import Psnr, Quality, Size
from bsqcodec.video.codec import VideoCodec

from ..golden_files import model_path, scene
from ..video.scenes import ListReader, clip, coded
from .dtypes import recorded_dtypes

PICTURE = scene(60, 90)
FRAMES = clip(4, 48, 80)
TYPES = [torch.float64, torch.float16, torch.bfloat16]

Pixels = npt.NDArray[np.uint8]


def coded_pictures() -> list[bytes]:
    """Pictures coded in each way, by a codec that is loaded for it."""
    codec = Codec(model_path(), device="cpu")
    efforts = [codec.encode(PICTURE, Quality(30), effort=effort) for effort in (0, 1, 2)]
    others = [codec.encode(PICTURE, target, verify=True) for target in (Psnr(18), Size(3000))]
    assert all(encoded.psnr > 0 for encoded in others)
    return [encoded.data for encoded in (*efforts, *others)]


def coded_videos(weights: Path) -> list[bytes]:
    """Videos coded in each way, by a codec that is loaded for it."""
    codec = VideoCodec(weights, device="cpu", worker_processes=False)
    return [coded(codec, ListReader(FRAMES), effort=effort) for effort in (1, 2)]


def decoded_pictures(files: list[bytes]) -> list[Pixels]:
    codec = Codec(model_path(), device="cpu")
    return [codec.decode(file).picture.pixels for file in files]


def decoded_videos(files: list[bytes], weights: Path) -> list[Pixels]:
    codec = VideoCodec(weights, device="cpu", worker_processes=False)
    return [frame.pixels for file in files for frame in codec.decode(file).frames()]


@pytest.fixture(params=TYPES, ids=str)
def default_dtype(request: pytest.FixtureRequest) -> Iterator[torch.dtype]:
    """A function that makes another type torch's default, until the test ends."""
    yield request.param
    torch.set_default_dtype(torch.float32)


def test_torchs_default_type_matters_to_no_picture(
    golden: Path, default_dtype: torch.dtype
) -> None:
    files = coded_pictures()
    pixels = decoded_pictures(files)
    torch.set_default_dtype(default_dtype)
    assert coded_pictures() == files
    assert all(map(np.array_equal, decoded_pictures(files), pixels))


def test_torchs_default_type_matters_to_no_video(
    video_weights: Path, default_dtype: torch.dtype
) -> None:
    files = coded_videos(video_weights)
    pixels = decoded_videos(files, video_weights)
    torch.set_default_dtype(default_dtype)
    assert coded_videos(video_weights) == files
    assert all(map(np.array_equal, decoded_videos(files, video_weights), pixels))


def test_no_operation_takes_torchs_default_type(
    golden: Path, video_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only that computes with doubles which asks for them: the loading of weights, and the exact
    rendering of pictures and frames."""
    found = []
    for dtype in (torch.float32, torch.float64):
        codec = Codec(model_path(), device="cpu")
        video_codec = VideoCodec(video_weights, device="cpu", worker_processes=False)
        torch.set_default_dtype(dtype)
        try:
            with recorded_dtypes() as pictures:
                for effort in (0, 1, 2):
                    data = codec.encode(PICTURE, Quality(30), effort=effort).data
                    codec.decode(data)
            with recorded_dtypes() as videos:
                for effort in (1, 2):
                    video = coded(video_codec, ListReader(FRAMES), effort=effort)
                    list(video_codec.decode(video).frames())
        finally:
            torch.set_default_dtype(torch.float32)
        assert torch.float32 in pictures and torch.float32 in videos
        found.append([kinds.get(torch.float64, set()) for kinds in (pictures, videos)])
    for by_default, changed in zip(*found, strict=True):
        assert changed - by_default <= {"aten.zeros.default"}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_callers_autocast_matters_to_nothing(
    golden: Path, video_weights: Path, dtype: torch.dtype
) -> None:
    pictures, videos = coded_pictures(), coded_videos(video_weights)
    pixels = [*decoded_pictures(pictures), *decoded_videos(videos, video_weights)]
    with torch.autocast("cpu", dtype):
        assert coded_pictures() == pictures
        assert coded_videos(video_weights) == videos
        again = [*decoded_pictures(pictures), *decoded_videos(videos, video_weights)]
    assert all(map(np.array_equal, again, pixels))


def test_a_caller_keeps_its_autocast_between_frames(video_weights: Path) -> None:
    codec = VideoCodec(video_weights, device="cpu", worker_processes=False)
    (file, _) = coded_videos(video_weights)
    with torch.autocast("cpu", torch.bfloat16):
        for _ in codec.decode(file).frames():
            assert torch.is_autocast_enabled("cpu")
    for _ in codec.decode(file).frames():
        assert not torch.is_autocast_enabled("cpu")
