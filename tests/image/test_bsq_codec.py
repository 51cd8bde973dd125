"""Pictures through the BSQ family: files, levels, damage, filling in, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bsqcodec.errors import ChecksumError, FormatError, TargetError, TruncatedError
from bsqcodec.format.image_container import ChunkKind, pack, unpack
from bsqcodec.image.codec import Codec
from bsqcodec.media.crop import Crop
from bsqcodec.media.image.picture import Picture
from bsqcodec.models.bsq import coding, network
from bsqcodec.models.bsq.picture_model import UNKNOWN_GREY, BsqModel
from bsqcodec.targets import BitsPerPixel, Psnr, Quality, Size, Target

from ..tiny_models import save_bsq_weights

SIZES = [(1, 1), (64, 64), (70, 130), (300, 40)]


@pytest.fixture(scope="module")
def bsq_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_bsq_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def codec(bsq_weights: Path) -> Codec:
    return Codec(bsq_weights, device="cpu")


def scene(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    planes = (x * 3 % 256, (x + y) * 2 % 256, y % 256)
    return np.stack(planes, -1).astype(np.uint8)


def model_of(codec: Codec) -> BsqModel:
    assert isinstance(codec.model, BsqModel)
    return codec.model


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_a_picture_of_any_size_comes_back(codec: Codec, height: int, width: int) -> None:
    picture = scene(height, width)
    encoded = codec.encode(picture, verify=True)
    assert (encoded.height, encoded.width) == (height, width)
    assert encoded.quality is None and encoded.levels == 3
    decoded = codec.decode(encoded.data)
    assert decoded.picture.pixels.shape == picture.shape
    assert not decoded.truncated and decoded.levels_decoded == 3 and not decoded.filled_rows
    model = model_of(codec)
    bits = coding.bits_of_picture(model.weights.tokenizer, picture)
    signs = np.where(bits, 1, -1).astype(np.int8)
    expected = coding.picture_of_signs(model.weights.tokenizer, signs, height, width)
    assert np.array_equal(decoded.picture.pixels, expected)
    again = codec.encode(picture)
    assert again.data == encoded.data


def test_grey_and_transparent_pictures_keep_what_they_have(codec: Codec) -> None:
    pixels = scene(40, 50)
    alpha = np.arange(2000, dtype=np.uint8).reshape(40, 50)
    picture = Picture(pixels[..., 0], alpha, icc=None, exif=b"Exif\0\0", xmp=None, notes=[])
    decoded = codec.decode(codec.encode(picture).data).picture
    assert decoded.is_grey and decoded.alpha is not None
    assert np.array_equal(decoded.alpha, alpha) and decoded.exif == picture.exif


def test_the_code_is_the_one_of_the_paper(codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    """`binary_spherical_quantize` itself is in the coding path."""
    picture = scene(64, 64)
    before = codec.encode(picture).data
    quantize = network.binary_spherical_quantize
    monkeypatch.setattr(network, "binary_spherical_quantize", lambda v: quantize(-v))
    after = codec.encode(picture).data
    assert after != before
    monkeypatch.undo()
    model = model_of(codec)
    first, second = unpack(before), unpack(after)
    a, b = (model.read(c.level_payloads(), c.header).values for c in (first, second))
    assert np.array_equal(a, -b) and a.any()


@pytest.mark.parametrize("target", [Quality(50), BitsPerPixel(1.0), Size(10**6), Psnr(20.0)])
def test_a_target_is_refused(codec: Codec, target: Target) -> None:
    with pytest.raises(TargetError, match="18 bits on each 8 x 8 pixels"):
        codec.encode(scene(8, 8), target)


def test_efforts_and_tunes_that_are_not_there_are_refused(codec: Codec) -> None:
    assert codec.encode(scene(8, 8), effort=0).data == codec.encode(scene(8, 8), effort=1).data
    with pytest.raises(TargetError, match="no effort 2"):
        codec.encode(scene(8, 8), effort=2)
    with pytest.raises(TargetError, match="cannot be tuned"):
        codec.encode(scene(8, 8), tune="psnr")


def test_a_codec_of_the_other_family_finds_the_weights(
    codec: Codec, bsq_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BSQCODEC_WEIGHTS", str(bsq_weights.parent))
    data = codec.encode(scene(20, 30)).data
    decoded = Codec(device="cpu").decode(data)
    assert np.array_equal(decoded.picture.pixels, codec.decode(data).picture.pixels)


# Levels and damage --------------------------------------------------------------------------------


def level_places(data: bytes) -> list[tuple[int, int]]:
    """(first byte, end) of the payload of each level."""
    return [
        (data.index(payload), data.index(payload) + len(payload))
        for payload in unpack(data).level_payloads()
    ]


@pytest.mark.parametrize("levels", [1, 2])
def test_fewer_levels_are_a_guess_at_the_others(codec: Codec, levels: int) -> None:
    data = codec.encode(scene(70, 70)).data
    whole = unpack(data)
    model = model_of(codec)
    symbols = model.read(whole.level_payloads()[:levels], whole.header)
    assert symbols.levels == levels and not symbols.damaged_rows
    filled = model.filled(symbols, whole.header)
    known = symbols.values != 0
    assert filled.expected is not None and np.array_equal(filled.values, symbols.values)
    assert np.array_equal(filled.expected[known], symbols.values[known])
    inside = model.grid(70, 70).inside
    assert (filled.expected[inside] != 0).mean() > 0.99 and not filled.expected[~inside].any()
    decoded = codec.decode(data, levels=levels)
    assert decoded.levels_decoded == levels
    assert np.array_equal(decoded.picture.pixels, model.render(filled, whole.header))
    plain = codec.decode(data, levels=levels, fill=False)
    assert np.array_equal(plain.picture.pixels, model.render(symbols, whole.header))
    assert not np.array_equal(plain.picture.pixels, decoded.picture.pixels)


@pytest.fixture
def many_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slices of one row of windows: 64 rows of pixels."""
    monkeypatch.setattr(coding, "SLICE_ROWS", 8)


@pytest.mark.usefixtures("many_slices")
@pytest.mark.parametrize("level", [0, 1, 2])
def test_damage_to_a_slice_costs_its_rows(codec: Codec, level: int) -> None:
    data = codec.encode(scene(320, 64)).data
    expected = codec.decode(data).picture.pixels
    first, end = level_places(data)[level]
    broken = bytearray(data)
    broken[(first + end + 25) // 2] ^= 1  # in the middle of what follows a table of five slices
    with pytest.raises(ChecksumError):
        codec.decode(bytes(broken))
    decoded = codec.decode(bytes(broken), partial=True)
    assert decoded.truncated and decoded.levels_decoded == level
    assert decoded.filled_rows == (range(128, 192),)
    crop = codec.decode(bytes(broken), partial=True, crop=Crop(3, 150, 40, 100))
    assert crop.filled_rows == (range(42),)
    difference = crop.picture.pixels.astype(int) - decoded.picture.pixels[150:250, 3:43]
    assert np.abs(difference).max() <= 1
    below = codec.decode(bytes(broken), partial=True, crop=Crop(3, 192, 40, 100))
    assert below.truncated and not below.filled_rows
    plain = codec.decode(bytes(broken), partial=True, fill=False)
    assert not plain.filled_rows
    for found in (decoded.picture.pixels, plain.picture.pixels):
        wrong = (found != expected).any((1, 2))
        assert wrong[128:192].all()
        # the decoder's attention lets the next row of windows see it, and its convolutions 16 rows
        # more
        assert not wrong[:48].any() and not wrong[272:].any()
    grey = plain.picture.pixels[128:192]
    assert bool((grey == UNKNOWN_GREY).all()) == (level == 0)


@pytest.mark.usefixtures("many_slices")
def test_all_of_a_damaged_file_is_used(codec: Codec) -> None:
    """Another slice in each level, and alpha behind them."""
    data = codec.encode(scene(192, 64)).data
    broken = bytearray(data)
    for level, (first, end) in enumerate(level_places(data)):
        broken[(first + 16, (first + end) // 2 + 7, end - 1)[level]] ^= 4
    container = unpack(bytes(broken), allow_truncated=True)
    assert not container.chunks and len(container.damaged) == 3
    model = model_of(codec)
    damaged = [chunk.payload for chunk in container.damaged if chunk.kind == ChunkKind.LEVEL]
    symbols = model.read([], container.header, None, damaged)
    assert symbols.levels == 0 and symbols.damaged_rows == (range(16),)
    known = (symbols.values != 0).any((1,)).sum(1).tolist()
    assert known == [0] * 8 + [6] * 8 + [12] * 8


@pytest.mark.usefixtures("many_slices")
def test_a_cut_file_keeps_the_slices_before_the_cut(codec: Codec) -> None:
    data = codec.encode(scene(192, 64)).data
    first, end = level_places(data)[1]
    decoded = codec.decode(data[: (first + end) // 2], partial=True)
    assert decoded.levels_decoded == 1 and decoded.filled_rows == (range(64, 192),)
    with pytest.raises(TruncatedError):
        codec.decode(data[: level_places(data)[0][0]], partial=True)


def test_a_file_of_another_shape_is_refused(codec: Codec) -> None:
    container = unpack(codec.encode(scene(8, 8)).data)
    assert container.symbols_crc is not None
    fewer = replace(container.header, levels=2)
    data = pack(fewer, container.chunks[:2], container.symbols_crc)
    with pytest.raises(FormatError, match="has 2 levels, its weights make 3"):
        codec.decode(data)
    data = pack(replace(container.header, step=7), container.chunks, container.symbols_crc)
    with pytest.raises(FormatError, match="has a step of 7, its weights have 0"):
        codec.decode(data)
    data = pack(container.header, container.chunks, container.symbols_crc ^ 1)
    with pytest.raises(FormatError, match="do not match the file's checksum"):
        codec.decode(data)


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_change_nothing(codec: Codec, bsq_weights: Path, threads: int) -> None:
    picture = scene(300, 200)
    before = torch.get_num_threads()
    try:
        first = Codec(bsq_weights, device="cpu", threads=1)
        one = first.encode(picture).data
        pixels = first.decode(one, levels=2).picture.pixels
        second = Codec(bsq_weights, device="cpu", threads=threads)
        assert second.encode(picture).data == one
        assert np.array_equal(second.decode(one, levels=2).picture.pixels, pixels)
    finally:
        torch.set_num_threads(before)
