"""Alpha comes back exactly, is small when trivial, and damage to it is a FormatError."""

import io

import numpy as np
import pytest
from PIL import Image

from bsqcodec.errors import FormatError
from bsqcodec.media.image.alpha import pack_alpha, unpack_alpha

RANDOM = np.random.default_rng(4)


def disc(side: int) -> np.ndarray:
    """A disc of 255 on 0."""
    y, x = np.ogrid[:side, :side]
    inside = (x - side / 2) ** 2 + (y - side / 2) ** 2 < side**2 / 5
    return np.where(inside, np.uint8(255), np.uint8(0))


def png(image: Image.Image, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", **options)
    return b"\x01" + file.getvalue()


@pytest.mark.parametrize(
    "alpha",
    [
        RANDOM.integers(0, 256, (13, 17), np.uint8),
        RANDOM.integers(0, 2, (9, 11), np.uint8) * np.uint8(255),
        RANDOM.integers(0, 2, (9, 11), np.uint8),
        np.array([[0, 1]], np.uint8),
        np.array([[0], [255]], np.uint8),
        disc(64)[::2, ::3],
    ],
    ids=["noise", "two values", "0 and 1", "1x2", "2x1", "strided"],
)
def test_alpha_comes_back(alpha: np.ndarray) -> None:
    back = unpack_alpha(pack_alpha(alpha), alpha.shape[1], alpha.shape[0])
    np.testing.assert_array_equal(back, alpha)
    assert back.dtype == np.uint8 and back.flags.writeable


@pytest.mark.parametrize("value", [0, 77, 255])
def test_constant_alpha_takes_two_bytes(value: int) -> None:
    packed = pack_alpha(np.full((100, 200), value, np.uint8))
    assert packed == bytes([0, value])
    np.testing.assert_array_equal(unpack_alpha(packed, 3, 2), np.full((2, 3), value))


def test_a_cut_out_shape_is_small() -> None:
    assert len(pack_alpha(disc(512))) < 2000


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "malformed"),
        (b"\x00", "malformed"),
        (b"\x02\x00", "malformed"),
        (b"\x00\x00\x00", "data follows a constant"),
        (b"\x01no png", "damaged"),
        (png(Image.new("L", (4, 4))), "4 x 4 pixels of mode L, not 5 x 4"),
        (png(Image.new("RGB", (5, 4))), "mode RGB"),
        (png(Image.new("L", (30_000, 30_000))), "damaged"),
        (
            png(Image.new("L", (5, 4)), save_all=True, append_images=[Image.new("L", (5, 4), 1)]),
            "animated",
        ),
    ],
)
def test_other_data_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message) as caught:
        unpack_alpha(data, 5, 4)
    assert "\n" not in str(caught.value)


def test_damage_gives_alpha_of_the_right_size_or_a_format_error() -> None:
    packed = pack_alpha(RANDOM.integers(0, 256, (8, 8), np.uint8))
    for at in range(len(packed)):
        for damaged in (packed[:at], packed[:at] + bytes([packed[at] ^ 0x55]) + packed[at + 1 :]):
            try:
                assert unpack_alpha(damaged, 8, 8).shape == (8, 8)
            except FormatError:
                continue
            assert at >= 1
