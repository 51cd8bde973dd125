"""The codec end to end with the tiny model: pictures of every kind, targets, levels, damage."""

from __future__ import annotations

import doctest
import importlib
import io
import math
import pickle
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image

from bsqcodec import api
from bsqcodec.encoder.target_search import COARSEST, FINEST, LAST_STEP, TOLERANCE, step_of_quality
from bsqcodec.errors import (
    CropError,
    FormatError,
    LimitError,
    TargetError,
    TruncatedError,
    VerifyError,
    WeightsError,
)
from bsqcodec.format.image_container import Chunk, ChunkKind, Colour, pack, packed_size, unpack
from bsqcodec.image import encode_picture
from bsqcodec.image.codec import Codec
from bsqcodec.image.encode_picture import Encoded
from bsqcodec.media.crop import Crop
from bsqcodec.media.image.picture import Picture
from bsqcodec.models.prior.walk_coders import EncodingCoder
from bsqcodec.models.transform.picture_model import TransformModel
from bsqcodec.targets import BitsPerPixel, Psnr, Quality, Size

from ..golden_files import fake_icc, scene

SIZES = [(1, 1), (1, 4000), (4000, 1), (31, 17), (17, 31), (129, 127), (128, 128), (16, 257)]


def psnr(decoded: npt.NDArray[np.uint8], original: npt.NDArray[np.uint8]) -> float:
    """In dB, by the definition."""
    error = np.mean((decoded.astype(np.float64) - original) ** 2)
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


@pytest.fixture(scope="module")
def photo() -> npt.NDArray[np.uint8]:
    """A picture large enough that sizes can be chosen finely."""
    return scene(384, 512)


@pytest.fixture(scope="module")
def coded(codec: Codec, photo: npt.NDArray[np.uint8]) -> Encoded:
    return codec.encode(photo, Quality(60))


@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_pictures_of_every_size(codec: Codec, height: int, width: int, grey: bool) -> None:
    pixels = scene(height, width)[..., 1] if grey else scene(height, width)
    encoded = codec.encode(pixels, Quality(70), verify=True)
    decoded = codec.decode(encoded.data)
    assert decoded.picture.pixels.shape == pixels.shape
    assert decoded.picture.pixels.dtype == np.uint8
    assert decoded.picture.alpha is None
    assert (decoded.header.height, decoded.header.width) == (height, width)
    assert decoded.header.colour == (Colour.GRAY if grey else Colour.RGB)
    assert decoded.levels_decoded == encoded.levels == decoded.header.levels
    assert not decoded.truncated
    assert psnr(decoded.picture.pixels, pixels) > 15  # eight channels say little of a detail
    assert encoded.psnr == pytest.approx(psnr(decoded.picture.pixels, pixels), abs=1e-3)
    assert (encoded.height, encoded.width) == (height, width)
    assert encoded.bpp == 8 * len(encoded.data) / (height * width)


@pytest.mark.parametrize("quality", [0, 25, 50, 75, 100])
def test_the_size_is_that_of_the_ideal_code(
    codec: Codec, photo: npt.NDArray[np.uint8], quality: float
) -> None:
    encoded = codec.encode(photo, Quality(quality))
    container = unpack(encoded.data)
    payloads = sum(len(payload) for payload in container.level_payloads())
    assert encoded.ideal_bits / 8 <= payloads <= 1.005 * encoded.ideal_bits / 8 + 8 * encoded.levels
    assert len(encoded.data) == packed_size(
        container.header, [len(payload) for payload in container.level_payloads()]
    )
    assert len(encoded.data) - payloads < 40 + 7 * encoded.levels


def test_quality_sets_step_and_size(codec: Codec, photo: npt.NDArray[np.uint8]) -> None:
    made = [codec.encode(photo, Quality(quality)) for quality in (0, 20, 40, 60, 80, 100)]
    assert [encoded.step for encoded in made] == [
        step_of_quality(quality) for quality in (0, 20, 40, 60, 80, 100)
    ]
    assert [unpack(encoded.data).header.step for encoded in made] == [e.step for e in made]
    sizes = [len(encoded.data) for encoded in made]
    assert sizes == sorted(set(sizes))
    assert made[-2].psnr > made[0].psnr + 1


def test_effort_buys_bits(codec: Codec, photo: npt.NDArray[np.uint8]) -> None:
    careless, careful = (codec.encode(photo, Quality(20), effort=effort) for effort in (0, 1))
    assert len(careful.data) < 0.995 * len(careless.data)
    assert careful.psnr > careless.psnr - 0.5


def test_quality_50_is_the_default(codec: Codec, photo: npt.NDArray[np.uint8]) -> None:
    assert codec.encode(photo).data == codec.encode(photo, Quality(50)).data


@pytest.mark.parametrize("form", ["array", "Pillow", "Picture"])
def test_alpha_comes_back_exactly(codec: Codec, form: str) -> None:
    samples = np.dstack([scene(40, 50), np.add.outer(np.arange(40), np.arange(50) * 5) % 256])
    samples = samples.astype(np.uint8)
    picture: object = samples
    if form == "Pillow":
        picture = Image.fromarray(samples)
    elif form == "Picture":
        picture = Picture(samples[..., :3].copy(), samples[..., 3].copy())
    decoded = codec.decode(codec.encode(picture, Quality(10), verify=True).data).picture  # type: ignore[arg-type]
    np.testing.assert_array_equal(decoded.alpha, samples[..., 3])
    assert decoded.pixels.shape == (40, 50, 3)


def test_grey_with_alpha_stays_grey(codec: Codec) -> None:
    samples = scene(9, 21)[..., :2].copy()
    decoded = codec.decode(codec.encode(samples).data).picture
    assert decoded.pixels.shape == (9, 21)
    np.testing.assert_array_equal(decoded.alpha, samples[..., 1])


@pytest.mark.parametrize("value", [0, 77, 255])
def test_constant_alpha_costs_next_to_nothing(codec: Codec, value: int) -> None:
    pixels = scene(200, 300)
    plain = codec.encode(pixels).data
    with_alpha = codec.encode(Picture(pixels, np.full((200, 300), value, np.uint8))).data
    assert len(with_alpha) == len(plain) + 8
    assert np.all(codec.decode(with_alpha).picture.alpha == value)


def test_metadata_is_kept_or_stripped(codec: Codec) -> None:
    exif = Image.Exif().tobytes().removeprefix(b"Exif\0\0")
    picture = Picture(scene(20, 20), icc=fake_icc(), exif=exif, xmp=b"<x/>", notes=["a note"])
    encoded = codec.encode(picture)
    kept = codec.decode(encoded.data).picture
    assert (kept.icc, kept.exif, kept.xmp) == (fake_icc(), exif, b"<x/>")
    assert encoded.notes == ("a note",)
    stripped = codec.encode(picture, strip=True).data
    assert stripped == codec.encode(picture.pixels).data
    bare = codec.decode(stripped).picture
    assert (bare.icc, bare.exif, bare.xmp) == (None, None, None)


def test_strip_leaves_alpha(codec: Codec) -> None:
    picture = Picture(scene(20, 20), np.full((20, 20), 9, np.uint8), icc=fake_icc())
    decoded = codec.decode(codec.encode(picture, strip=True).data).picture
    assert decoded.alpha is not None and decoded.icc is None


# Levels, cuts -------------------------------------------------------------------------------------


def test_fewer_levels_are_coarser(
    codec: Codec, photo: npt.NDArray[np.uint8], coded: Encoded
) -> None:
    found = []
    for count in range(1, coded.levels + 1):
        decoded = codec.decode(coded.data, levels=count)
        assert decoded.levels_decoded == count
        assert not decoded.truncated
        found.append(psnr(decoded.picture.pixels, photo))
    assert np.diff(found).min() > -0.3  # a level may not help a tiny model with random networks
    assert found[-1] > found[0] + 3
    assert len(set(found)) == coded.levels


def test_more_levels_than_there_are_is_all_of_them(codec: Codec, coded: Encoded) -> None:
    decoded = codec.decode(coded.data, levels=coded.levels + 9)
    assert decoded.levels_decoded == coded.levels
    np.testing.assert_array_equal(decoded.picture.pixels, codec.decode(coded.data).picture.pixels)


@pytest.mark.parametrize("levels", [0, -1])
def test_no_levels_is_a_mistake_of_the_caller(codec: Codec, coded: Encoded, levels: int) -> None:
    with pytest.raises(ValueError, match="levels cannot be decoded"):
        codec.decode(coded.data, levels=levels)


def ends_of_chunks(data: bytes) -> list[int]:
    """Length of the file up to the end of each level chunk."""
    container = unpack(data)
    sizes = [len(payload) for payload in container.level_payloads()]
    return [
        packed_size(container.header, sizes[: count + 1], end=False) for count in range(len(sizes))
    ]


def test_a_cut_file_decodes_as_far_as_it_goes(codec: Codec, coded: Encoded) -> None:
    ends = ends_of_chunks(coded.data)
    for count, end in enumerate(ends, 1):
        for length in (end, end + 1, end + 9):
            cut = coded.data[:length]
            with pytest.raises(TruncatedError):
                codec.decode(cut)
            decoded = codec.decode(io.BytesIO(cut), partial=True)
            assert decoded.truncated
            assert decoded.levels_decoded == count
            whole = codec.decode(coded.data, levels=count)
            np.testing.assert_array_equal(decoded.picture.pixels, whole.picture.pixels)


def test_partial_takes_whole_files_and_limits_levels(codec: Codec, coded: Encoded) -> None:
    decoded = codec.decode(coded.data, partial=True)
    assert (decoded.truncated, decoded.levels_decoded) == (False, coded.levels)
    cut = coded.data[: ends_of_chunks(coded.data)[2]]
    assert codec.decode(cut, partial=True, levels=2).levels_decoded == 2
    assert codec.decode(cut, partial=True, levels=9).levels_decoded == 3


def test_a_damaged_level_ends_a_partial_decode(codec: Codec, coded: Encoded) -> None:
    data = bytearray(coded.data)
    data[ends_of_chunks(coded.data)[0] + 6] ^= 1
    with pytest.raises(FormatError, match="level 1 chunk is damaged"):
        codec.decode(bytes(data))
    decoded = codec.decode(bytes(data), partial=True)
    assert (decoded.truncated, decoded.levels_decoded) == (True, 1)


def test_a_cut_header_is_an_error_even_when_partial(codec: Codec, coded: Encoded) -> None:
    with pytest.raises(TruncatedError, match="header"):
        codec.decode(coded.data[:20], partial=True)


def test_a_picture_too_thin_to_be_decoded_is_not_coded(codec: Codec) -> None:
    with pytest.raises(
        LimitError, match="4200000 x 1 pixels may take 65.4 GB of memory, over the limit of 10 GB"
    ):
        codec.encode(np.zeros((1, 4_200_000), np.uint8))


@pytest.mark.parametrize("name", ["mps", "nonsense", "cuda:x"])
def test_other_devices_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not a device"):
        Codec(device=name)


def test_a_size_out_of_reach_is_noted(codec: Codec) -> None:
    encoded = codec.encode(scene(20, 20), Size(1_000_000))
    assert "smaller than asked for" in encoded.notes[-1]


def test_a_file_cut_in_its_first_level_is_an_error(codec: Codec, coded: Encoded) -> None:
    with pytest.raises(TruncatedError, match="first level"):
        codec.decode(coded.data[: ends_of_chunks(coded.data)[0] - 1], partial=True)


# Verification, limits, progress -------------------------------------------------------------------


def test_verify_notices_what_does_not_decode(codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    payloads = EncodingCoder.payloads

    def broken(coder: EncodingCoder) -> list[bytes]:
        result = payloads(coder)
        return [*result[:-1], b""]

    monkeypatch.setattr(EncodingCoder, "payloads", broken)
    encoded = codec.encode(scene(60, 60))
    with pytest.raises(FormatError, match="checksum"):
        codec.decode(encoded.data)
    with pytest.raises(VerifyError, match="nothing was written"):
        codec.encode(scene(60, 60), verify=True)


def test_max_pixels(codec: Codec) -> None:
    data = codec.encode(scene(20, 30)).data
    assert codec.decode(data, max_pixels=600).picture.width == 30
    with pytest.raises(LimitError, match="30 x 20 = 600 pixels, over the limit of 599"):
        codec.decode(data, max_pixels=599)
    with pytest.raises(LimitError):
        codec.decode(data, max_pixels=599, partial=True)


def test_progress_goes_from_0_to_1(codec: Codec, coded: Encoded) -> None:
    for work in (
        lambda tell: codec.encode(scene(20, 20), progress=tell),
        lambda tell: codec.decode(coded.data, progress=tell),
    ):
        told: list[float] = []
        work(told.append)
        assert told == sorted(told)
        assert len(told) > 3 and told[0] > 0 and told[-1] == 1


def test_an_unknown_model_is_named(codec: Codec, coded: Encoded) -> None:
    container = unpack(coded.data)
    stranger = coded.data.replace(container.header.model_id, b"stranger", 1)
    with pytest.raises(FormatError, match="header is damaged"):
        codec.decode(stranger)
    with pytest.raises(WeightsError, match=b"stranger".hex()):
        codec.decode(repacked(coded.data, model_id=b"stranger"))


def repacked(data: bytes, **changes: object) -> bytes:
    """The file with other header fields, its checksums right."""
    container = unpack(data)
    assert container.symbols_crc is not None
    header = replace(container.header, **changes)  # type: ignore[arg-type]
    return pack(header, container.chunks, container.symbols_crc)


def test_levels_that_the_model_does_not_make(codec: Codec, coded: Encoded) -> None:
    with pytest.raises(FormatError, match="levels"):
        codec.decode(repacked(coded.data, step=coded.step - 100))
    with pytest.raises(FormatError, match="levels"):
        codec.decode(repacked(coded.data, first_level=1))


def test_a_wrong_checksum_of_symbols(codec: Codec, coded: Encoded) -> None:
    container = unpack(coded.data)
    assert container.symbols_crc is not None
    data = pack(container.header, container.chunks, container.symbols_crc ^ 1)
    with pytest.raises(FormatError, match="checksum"):
        codec.decode(data)
    assert codec.decode(data, levels=coded.levels - 1).levels_decoded == coded.levels - 1


def test_unknown_optional_chunks_are_skipped(codec: Codec, coded: Encoded) -> None:
    container = unpack(coded.data)
    assert container.symbols_crc is not None
    chunks = [Chunk(b"q", b"whatever"), *container.chunks]
    data = pack(container.header, chunks, container.symbols_crc)
    np.testing.assert_array_equal(
        codec.decode(data).picture.pixels, codec.decode(coded.data).picture.pixels
    )
    assert unpack(data).find(ChunkKind.ICC) is None


# Targets ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1500, 2200, 3000, 4100, 5300, 6800])
def test_a_size_is_met_from_below(codec: Codec, photo: npt.NDArray[np.uint8], limit: int) -> None:
    encoded = codec.encode(photo, Size(limit), verify=True)
    assert (1 - TOLERANCE) * limit <= len(encoded.data) <= limit


@pytest.mark.parametrize("bpp", [0.07, 0.15, 0.25])
def test_bits_per_pixel_are_met_from_below(
    codec: Codec, photo: npt.NDArray[np.uint8], bpp: float
) -> None:
    encoded = codec.encode(photo, BitsPerPixel(bpp))
    assert (1 - TOLERANCE) * bpp <= encoded.bpp <= bpp


def test_sizes_count_everything(codec: Codec, photo: npt.NDArray[np.uint8]) -> None:
    picture = Picture(photo, np.full(photo.shape[:2], 3, np.uint8), icc=fake_icc())
    encoded = codec.encode(picture, Size(3000))
    assert 0.98 * 3000 <= len(encoded.data) <= 3000
    assert unpack(encoded.data).find(ChunkKind.ICC) == fake_icc()


def test_more_bytes_than_the_finest_step_needs(codec: Codec, photo: npt.NDArray[np.uint8]) -> None:
    finest = codec.encode(photo, Quality(100))
    assert codec.encode(photo, Size(10**7)).data == finest.data


@pytest.mark.parametrize("short_of", [0, 3, 100])
def test_a_size_below_the_coarsest_step_needs_more_thrift(
    codec: Codec, photo: npt.NDArray[np.uint8], short_of: int
) -> None:
    limit = len(codec.encode(photo, Quality(0)).data) - short_of
    encoded = codec.encode(photo, Size(limit))
    assert COARSEST <= encoded.step <= LAST_STEP
    assert (1 - TOLERANCE) * limit <= len(encoded.data) <= limit


@pytest.mark.parametrize("target", [Size(200), BitsPerPixel(0.001)])
def test_a_size_out_of_reach(
    codec: Codec, photo: npt.NDArray[np.uint8], target: Size | BitsPerPixel
) -> None:
    with pytest.raises(TargetError, match="the smallest file this picture gives is"):
        codec.encode(photo, target)


def test_the_psnr_is_measured_when_asked_for(
    codec: Codec, photo: npt.NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, and not before: it takes the decoder's networks."""
    figures = [31.0]
    monkeypatch.setattr(encode_picture, "measure_psnr", lambda *_: figures.pop())
    encoded = codec.encode(photo, BitsPerPixel(0.5))
    assert "psnr" not in repr(encoded) and figures == [31.0]
    assert encoded.psnr == encoded.psnr == 31.0 and figures == []


def test_a_psnr_survives_pickling(codec: Codec, photo: npt.NDArray[np.uint8]) -> None:
    """As a number: neither the codec's weights nor the picture go with it."""
    encoded = codec.encode(photo, BitsPerPixel(0.5))
    data = pickle.dumps(encoded)
    assert len(data) < len(encoded.data) + 2000
    assert pickle.loads(data).psnr == encoded.psnr


def test_no_memory_for_a_psnr(
    codec: Codec, photo: npt.NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise torch.OutOfMemoryError("none left")

    encoded = codec.encode(photo)
    monkeypatch.setattr(TransformModel, "render", fail)
    with pytest.raises(LimitError, match="not enough memory"):
        _ = encoded.psnr


@pytest.mark.parametrize("db", [22.6, 23.0, 23.4])
def test_a_psnr_is_met_by_the_coarsest_step_that_does(
    codec: Codec, photo: npt.NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch, db: float
) -> None:
    encoded = codec.encode(photo, Psnr(db))
    assert psnr(codec.decode(encoded.data).picture.pixels, photo) >= db
    monkeypatch.setattr(encode_picture, "measure_psnr", None)  # it was measured already
    assert db <= encoded.psnr < db + 0.5
    assert FINEST < encoded.step < LAST_STEP


def test_a_psnr_out_of_reach(codec: Codec, photo: npt.NDArray[np.uint8]) -> None:
    with pytest.raises(TargetError, match="60 dB is out of reach"):
        codec.encode(photo, Psnr(60))


# Documentation ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("tiny_weights")
@pytest.mark.parametrize("name", ["bsqcodec", "bsqcodec.api", "bsqcodec.image.codec"])
def test_the_examples_in_docstrings(name: str) -> None:
    api._codec.cache_clear()
    try:
        result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    finally:
        api._codec.cache_clear()
    assert result.attempted >= 3
    assert result.failed == 0


def test_a_reduced_picture_shows_the_same_from_fewer_levels(codec: Codec) -> None:
    samples = np.dstack([scene(150, 201), np.add.outer(np.arange(150), np.arange(201)) // 2])
    data = codec.encode(samples.astype(np.uint8), Quality(90)).data
    whole = codec.decode(data)
    reduced = codec.decode(data, reduction=8)
    assert reduced.levels_decoded == whole.levels_decoded - 1
    assert reduced.picture.pixels.shape == (19, 26, 3)
    means = np.asarray(Image.fromarray(whole.picture.pixels).reduce(8))
    assert psnr(reduced.picture.pixels[:-1, :-1], means[:-1, :-1]) > 30
    assert whole.picture.alpha is not None
    np.testing.assert_array_equal(
        reduced.picture.alpha, np.asarray(Image.fromarray(whole.picture.alpha).reduce(8))
    )
    assert codec.decode(data, reduction=8, levels=1).levels_decoded == 1


def test_a_crop_of_grey_with_alpha(codec: Codec) -> None:
    samples = scene(180, 300)[..., :2].copy()
    data = codec.encode(samples).data
    whole, found = (codec.decode(data, crop=crop) for crop in (None, Crop(140, 17, 120, 90)))
    assert (found.header.width, found.header.height) == (300, 180)
    difference = found.picture.pixels.astype(int) - whole.picture.pixels[17:107, 140:260]
    assert np.abs(difference).max() <= 1
    np.testing.assert_array_equal(found.picture.alpha, samples[17:107, 140:260, 1])
    assert 0 < found.render_seconds < found.seconds
    with pytest.raises(ValueError, match="crop"):
        codec.decode(data, crop=Crop(0, 0, 16, 16), reduction=2)


@pytest.mark.parametrize("crop", [Crop(299, 0, 2, 1), Crop(0, 180, 1, 1)])
def test_a_crop_outside_is_refused_before_tokens_are_decoded(
    codec: Codec, crop: Crop, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = codec.encode(scene(180, 300)).data
    monkeypatch.setattr(TransformModel, "read", None)
    with pytest.raises(CropError, match="not inside the picture, which has 300x180 pixels"):
        codec.decode(data, crop=crop)
