"""Pictures of 16 bits: the right samples, grey with alpha, and colour keys compared at 16 bits."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image, TiffImagePlugin

from bsqcodec.errors import MediaError
from bsqcodec.media.image.image_reader import picture_from, read_picture

CASES = Path(__file__).parents[2] / "cases"
NOTE = "16-bit samples were reduced to 8 bits"
RANDOM = np.random.default_rng(7)
ORDERS = pytest.mark.parametrize("order", ["<", ">"])


def wide(*shape: int) -> np.ndarray:
    return RANDOM.integers(0, 65536, shape, np.uint16)


def reduced(samples: np.ndarray) -> np.ndarray:
    """The nearest of 8 bits."""
    return np.rint(samples.astype(float) / 257).astype(np.uint8)


def tiff(samples: np.ndarray, **options: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, samples, **options)
    return file.getvalue()


def test_white_is_zero_in_16_bits() -> None:
    picture = read_picture(CASES / "wiz16.tif")
    assert (picture.pixels[:, 0] == 0).all() and (picture.pixels[:, -1] == 255).all()
    assert (np.diff(picture.pixels.astype(int), axis=1) >= 0).all()
    assert picture.notes == [NOTE]


@ORDERS
@pytest.mark.parametrize("photometric", ["miniswhite", "minisblack"])
@pytest.mark.parametrize("packing", [None, "zlib", "tiles"])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_grey_tiff_of_any_packing(
    order: str, photometric: str, packing: str | None, kind: Any
) -> None:
    ramp = np.linspace(0, 1, 48 * 32).reshape(32, 48)
    most = {np.uint8: 255, np.uint16: 65535, np.float32: 1}[kind]
    stored = (ramp * most).astype(kind)
    options = {"tile": (16, 16)} if packing == "tiles" else {"compression": packing}
    data = tiff(stored, photometric=photometric, byteorder=order, **options)
    picture = read_picture(data)
    expected = 255 * (1 - ramp if photometric == "miniswhite" else ramp)
    np.testing.assert_allclose(picture.pixels, expected, atol=1.01)


@ORDERS
@pytest.mark.parametrize("packing", [None, "zlib"])
@pytest.mark.parametrize("extra", ["unassalpha", "assocalpha"])
@pytest.mark.parametrize("channels", [2, 4])
def test_tiff_with_alpha_of_16_bits(
    order: str, packing: str | None, extra: str, channels: int
) -> None:
    samples = wide(9, 7, channels)
    samples[..., -1] |= 0x8000
    stored = samples.copy()
    if extra == "assocalpha":
        alpha = samples[..., -1:].astype(np.uint64)
        stored[..., :-1] = samples[..., :-1].astype(np.uint64) * alpha // 65535
    data = tiff(
        stored,
        photometric="minisblack" if channels == 2 else "rgb",
        extrasamples=[extra],
        planarconfig="contig",
        byteorder=order,
        compression=packing,
    )
    picture = read_picture(data)
    assert picture.is_grey == (channels == 2) and picture.alpha is not None
    np.testing.assert_array_equal(picture.alpha, reduced(samples[..., -1]))
    colours = picture.pixels if picture.pixels.ndim == 3 else picture.pixels[..., None]
    tolerance = 0 if extra == "unassalpha" else 1
    np.testing.assert_allclose(colours.astype(int), reduced(samples[..., :-1]), atol=tolerance)
    assert picture.notes == [NOTE]


@ORDERS
@pytest.mark.parametrize("packing", [None, "zlib"])
@pytest.mark.parametrize("planes", ["contig", "separate"])
def test_rgb_tiff_of_16_bits(order: str, packing: str | None, planes: str) -> None:
    samples = wide(9, 7, 3)
    stored = samples if planes == "contig" else samples.transpose(2, 0, 1)
    data = tiff(
        stored, photometric="rgb", planarconfig=planes, byteorder=order, compression=packing
    )
    picture = read_picture(data)
    tolerance = 0 if planes == "contig" else 1  # of planes Pillow gives the upper 8 bits
    np.testing.assert_allclose(picture.pixels.astype(int), reduced(samples), atol=tolerance)
    assert picture.notes == [NOTE]


@ORDERS
def test_cmyk_tiff_of_16_bits(order: str) -> None:
    inks = np.zeros((3, 4, 4), np.uint16)
    inks[..., 1:3] = 65535
    picture = read_picture(tiff(inks, photometric="separated", byteorder=order))
    np.testing.assert_array_equal(picture.pixels[0, 0], [255, 0, 0])
    assert NOTE in picture.notes


def test_grey_with_alpha_in_planes_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    data = tiff(
        wide(2, 9, 7),
        photometric="minisblack",
        extrasamples=["unassalpha"],
        planarconfig="separate",
    )
    with pytest.raises(MediaError, match="separate planes"):
        read_picture(data)
    assert capfd.readouterr().err == ""


def test_12_bits_reach_white() -> None:
    """Two samples in three bytes; tifffile packs no 12 bits without a further package."""
    row = bytes([0x00, 0x0F, 0xFF, 0x80, 0x0F, 0xFF])  # 000 FFF 800 FFF
    tags = [(256, 4), (257, 1), (258, 12), (259, 1), (262, 1), (273, 122), (277, 1), (278, 1),
            (279, len(row))]  # fmt: skip
    head = struct.pack("<2sHIH", b"II", 42, 8, len(tags))
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    data = (head + entries + bytes(4)).ljust(122, b"\0") + row
    picture = read_picture(data)
    np.testing.assert_array_equal(picture.pixels, [[0, 255, 128, 255]])
    assert picture.notes == [NOTE]


def test_pillows_own_table_is_left_as_it_was() -> None:
    before = dict(TiffImagePlugin.OPEN_INFO)
    read_picture(CASES / "wiz16.tif")
    assert before == TiffImagePlugin.OPEN_INFO


def test_grey_with_alpha_stays_grey() -> None:
    picture = read_picture(CASES / "la16.png")
    assert picture.is_grey and picture.alpha is not None
    assert picture.notes == [NOTE]


@pytest.mark.parametrize(("colour", "channels"), [(4, 2), (2, 3), (6, 4)])
@pytest.mark.parametrize("way", ["bytes", "path", "image"])
def test_png_of_16_bits(
    colour: int, channels: int, way: str, build_png: Callable[..., bytes], tmp_path: Path
) -> None:
    samples = wide(5, 6, channels)
    data = build_png(6, 5, 16, colour, samples.astype(">u2").tobytes())
    if way == "image":
        picture = picture_from(Image.open(io.BytesIO(data)))
    elif way == "path":
        (tmp_path / "a.png").write_bytes(data)
        picture = read_picture(tmp_path / "a.png")
    else:
        picture = read_picture(data)
    assert picture.is_grey == (channels == 2)
    parts = [picture.pixels.reshape(5, 6, -1)]
    if picture.alpha is not None:
        parts.append(picture.alpha[..., None])
    np.testing.assert_array_equal(np.concatenate(parts, axis=2), reduced(samples))
    assert picture.notes == [NOTE]


ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
         (0, 1, 1, 2))  # fmt: skip


def interlaced(samples: np.ndarray, colour: int, key: bytes = b"") -> bytes:
    """A PNG of 16 bits in seven passes."""

    def chunk(kind: bytes, payload: bytes) -> bytes:
        crc = zlib.crc32(kind + payload)
        return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", crc)

    height, width = samples.shape[:2]
    rows = b""
    for x, y, step_x, step_y in ADAM7:
        part = samples[y::step_y, x::step_x]
        rows += b"".join(b"\0" + row.astype(">u2").tobytes() for row in part if row.size)
    head = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 1)
    transparent = chunk(b"tRNS", key) if key else b""
    data = transparent + chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + data + chunk(b"IEND", b"")


@pytest.mark.parametrize(("colour", "channels"), [(0, 1), (4, 2), (2, 3), (6, 4)])
def test_an_interlaced_png_of_16_bits(colour: int, channels: int) -> None:
    samples = wide(13, 17, channels)
    picture = read_picture(interlaced(samples, colour))
    parts = [picture.pixels.reshape(13, 17, -1)]
    if picture.alpha is not None:
        parts.append(picture.alpha[..., None])
    np.testing.assert_array_equal(np.concatenate(parts, axis=2), reduced(samples))
    if colour == 2:
        samples[5, 5] = samples[2, 3]
        key = samples[2, 3].astype(">u2").tobytes()
        alpha = read_picture(interlaced(samples, colour, key)).alpha
        assert alpha is not None and np.argwhere(alpha == 0).tolist() == [[2, 3], [5, 5]]


def test_a_colour_key_is_compared_at_16_bits(build_png: Callable[..., bytes]) -> None:
    picture = read_picture(CASES / "rgb16trns.png")
    assert picture.alpha is not None
    assert (picture.alpha[:, :32] == 0).all() and (picture.alpha[:, 32:] == 255).all()
    near = [(0x1234, 0x5678, 0x9ABC), (0x1234, 0x5678, 0x9ABD), (0x1200, 0x5600, 0x9A00)]
    rows = struct.pack(">9H", *(value for each in near for value in each))
    data = build_png(3, 1, 16, 2, rows, struct.pack(">3H", *near[0]))
    np.testing.assert_array_equal(read_picture(data).alpha, [[0, 255, 255]])
    opened = picture_from(Image.open(io.BytesIO(data)))
    np.testing.assert_array_equal(opened.alpha, [[0, 255, 255]])
    grey = build_png(3, 1, 16, 0, struct.pack(">3H", 700, 701, 2), struct.pack(">H", 701))
    np.testing.assert_array_equal(read_picture(grey).alpha, [[255, 0, 255]])


def test_a_loaded_image_keeps_the_upper_bits_of_its_key(build_png: Callable[..., bytes]) -> None:
    rows = struct.pack(">6H", 0x1234, 0x5678, 0x9ABC, 1, 2, 3)
    image = Image.open(io.BytesIO(build_png(2, 1, 16, 2, rows, rows[:6])))
    image.load()
    np.testing.assert_array_equal(picture_from(image).alpha, [[0, 255]])


def test_formats_whose_decoders_keep_8_bits_say_so() -> None:
    file = io.BytesIO()
    Image.fromarray(wide(8, 8)).save(file, "JPEG2000")
    assert read_picture(file.getvalue()).notes == [NOTE]
