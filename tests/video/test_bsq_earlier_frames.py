"""Videos whose frames add to the pictures of later ones: groups, seeking, damage, what stays."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from bsqcodec.encoder.psnr import psnr_of_error
from bsqcodec.errors import FormatError
from bsqcodec.format.video_file_reader import VideoFileReader
from bsqcodec.format.video_gop import Gop
from bsqcodec.image.codec import Codec
from bsqcodec.models.bsq.picture_model import BsqModel
from bsqcodec.targets import Target
from bsqcodec.video.bsq_group_decoder import BsqGroupDecoder
from bsqcodec.video.codec import VideoCodec
from bsqcodec.video.video_model import BsqVideoModel

from ..tiny_models import save_bsq_weights
from .scenes import ListReader, clip

SIZE = (70, 90)
GOP = 4


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> VideoCodec:
    path = save_bsq_weights(tmp_path_factory.mktemp("earlier"), (6, 12, 18), earlier_frames=2)
    return VideoCodec(path, device="cpu")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> VideoCodec:
    """The same weights without the network for earlier frames."""
    path = save_bsq_weights(tmp_path_factory.mktemp("plain"), (6, 12, 18))
    return VideoCodec(path, device="cpu")


@pytest.fixture(scope="module")
def frames() -> list[np.ndarray]:
    """Two groups of four that move; the last frame of the second is the one before it."""
    moved = clip(7, *SIZE)
    return [*moved, moved[-1]]


@pytest.fixture(scope="module")
def data(codec: VideoCodec, frames: list[np.ndarray]) -> bytes:
    return coded(codec, frames)


def coded(codec: VideoCodec, frames: list[np.ndarray], target: Target | None = None) -> bytes:
    sink = io.BytesIO()
    codec.encode(ListReader(frames), sink, target, gop=GOP)
    return sink.getvalue()


def shown(
    codec: VideoCodec, data: bytes, start: float = 0.0, duration: float | None = None
) -> list[np.ndarray]:
    video = codec.decode(io.BytesIO(data), start=start, duration=duration)
    return [frame.pixels for frame in video.frames()]


def groups_of(data: bytes) -> list[Gop]:
    parts = VideoFileReader(io.BytesIO(data), max_pixels=10**6).chunks()
    return [part for part in parts if isinstance(part, Gop)]


def model_of(codec: VideoCodec) -> BsqModel:
    assert isinstance(codec.model, BsqVideoModel)
    return codec.model.model


def test_first_frames_and_pictures_are_those_of_weights_without_the_network(
    codec: VideoCodec, plain: VideoCodec, frames: list[np.ndarray], data: bytes
) -> None:
    """The codes of all frames are, too; and a still frame is the one before it again."""
    mine, alone = shown(codec, data), shown(plain, coded(plain, frames))
    same = [np.array_equal(a, b) for a, b in zip(mine, alone, strict=True)]
    assert same == [True, False, False, False, True, False, False, False]
    assert np.array_equal(mine[6], mine[7])
    payloads = [[gop.frames for gop in groups_of(each)] for each in (data, coded(plain, frames))]
    assert payloads[0] == payloads[1]
    pictures = [Codec(each.model.path, device="cpu") for each in (codec, plain)]
    for each in pictures:
        decoded = each.decode(each.encode(frames[1]).data).picture.pixels
        assert np.array_equal(decoded, alone[1])


def test_a_frame_is_shown_given_the_two_before_it_in_its_group(
    codec: VideoCodec, frames: list[np.ndarray], data: bytes
) -> None:
    """Not given later ones, nor those of another group."""
    whole = shown(codec, data)
    assert all(
        np.array_equal(a, b)
        for a, b in zip(shown(codec, coded(codec, frames[:3])), whole[:3], strict=True)
    )
    assert np.array_equal(shown(codec, coded(codec, frames[4:]))[2], whole[6])
    (gop,) = groups_of(coded(codec, frames[:GOP]))
    renderer = model_of(codec).frame_renderer()
    symbols = [symbols for symbols, _ in BsqGroupDecoder(model_of(codec), *SIZE, gop).symbols()]
    last = [renderer.render(each.values, *SIZE) for each in symbols[1:]][-1]
    assert np.array_equal(last, whole[3])


def test_a_part_is_what_the_whole_video_shows(codec: VideoCodec, data: bytes) -> None:
    """Also where it begins within a group."""
    whole = shown(codec, data)
    for first, count in ((2, 1), (3, 3), (6, 2)):
        part = shown(codec, data, start=first / 25, duration=count / 25)
        assert len(part) == count
        assert all(np.array_equal(a, b) for a, b in zip(part, whole[first:], strict=False))


def test_a_lost_group_changes_no_other(codec: VideoCodec, data: bytes) -> None:
    whole = shown(codec, data)
    lost = groups_of(data)[0].frames[1]
    broken = bytearray(data)
    broken[data.index(lost) + len(lost) // 2] ^= 1
    with pytest.raises(FormatError):
        shown(codec, bytes(broken))
    video = codec.decode(io.BytesIO(bytes(broken)), partial=True)
    found = [frame.pixels for frame in video.frames()]
    assert len(found) == 4 and [missing.first_frame for missing in video.missing] == [0]
    assert all(np.array_equal(a, b) for a, b in zip(found, whole[4:], strict=True))


def test_the_encoder_measures_what_is_shown(codec: VideoCodec, frames: list[np.ndarray]) -> None:
    sink = io.BytesIO()
    made = codec.encode(ListReader(frames), sink, gop=GOP)
    decoded = shown(codec, sink.getvalue())
    errors = [
        np.mean((a.astype(np.float32) - b) ** 2) for a, b in zip(frames, decoded, strict=True)
    ]
    assert made.psnr == pytest.approx(psnr_of_error(float(np.mean(errors))), abs=1e-4)
    codec.verify(io.BytesIO(sink.getvalue()), len(frames))


def test_a_file_of_weights_keeps_the_network(codec: VideoCodec, tmp_path: Path) -> None:
    config = model_of(codec).weights.tokenizer.config
    assert (config.earlier_frames, config.earlier_convs) == (2, 1)
    old = model_of(VideoCodec(save_bsq_weights(tmp_path), device="cpu")).weights.tokenizer
    assert old.earlier is None and old.config.earlier_frames == 0
