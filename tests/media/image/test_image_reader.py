"""Reading pictures: every kind a user has comes in right or is refused with one clear line."""

import io
import struct
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from bsqcodec.errors import BsqError, LimitError, MediaError
from bsqcodec.media.image.image_reader import picture_from, read_picture, to_pil

RANDOM = np.random.default_rng(1)


def saved(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    """The picture as a file of that format."""
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def noise(*shape: int) -> np.ndarray:
    return RANDOM.integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize("shape", [(1, 1), (4000, 1), (1, 4000), (31, 17), (64, 64)])
@pytest.mark.parametrize("channels", [(), (2,), (3,), (4,)], ids=["L", "LA", "RGB", "RGBA"])
def test_png_of_any_shape_comes_in_as_it_is(
    shape: tuple[int, int], channels: tuple[int, ...]
) -> None:
    samples = noise(*shape, *channels)
    picture = read_picture(saved(Image.fromarray(samples)))
    grey, alpha = channels in [(), (2,)], channels in [(2,), (4,)]
    colour = samples if channels in [(), (3,)] else samples[:, :, :-1]
    np.testing.assert_array_equal(picture.pixels, colour[:, :, 0] if channels == (2,) else colour)
    assert picture.pixels.ndim == (2 if grey else 3)
    assert (picture.width, picture.height) == (shape[1], shape[0])
    if alpha:
        np.testing.assert_array_equal(picture.alpha, samples[:, :, -1])
    else:
        assert picture.alpha is None
    assert picture.notes == []
    assert picture.pixels.flags.writeable and picture.pixels.flags.c_contiguous
    np.testing.assert_array_equal(np.asarray(to_pil(picture)), samples)


def test_1_bit_becomes_grey_of_0_and_255() -> None:
    picture = read_picture(saved(Image.fromarray(np.array([[0, 255, 255]], np.uint8)).convert("1")))
    np.testing.assert_array_equal(picture.pixels, [[0, 255, 255]])
    assert picture.notes == []


def palette_image(**info: object) -> Image.Image:
    image = Image.new("P", (3, 1))
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    image.putdata([0, 1, 2])
    image.info.update(info)
    return image


def test_palette_becomes_rgb() -> None:
    picture = read_picture(saved(palette_image()))
    np.testing.assert_array_equal(picture.pixels, [[[10, 20, 30], [40, 50, 60], [70, 80, 90]]])
    assert picture.alpha is None
    assert picture.notes == ["converted from a palette to RGB"]


@pytest.mark.parametrize(
    ("transparency", "alpha"), [(1, [255, 0, 255]), (bytes([0, 128]), [0, 128, 255])]
)
@pytest.mark.parametrize("reread", [True, False], ids=["file", "image"])
def test_palette_transparency_becomes_alpha(
    transparency: object, alpha: list[int], reread: bool
) -> None:
    image = palette_image(transparency=transparency)
    picture = read_picture(saved(image)) if reread else picture_from(image)
    np.testing.assert_array_equal(picture.alpha, [alpha])
    np.testing.assert_array_equal(picture.pixels[0, 1], [40, 50, 60])
    assert picture.notes == ["converted from a palette to RGB with transparency"]


def test_palette_with_an_alpha_channel() -> None:
    image = palette_image().convert("PA")
    image.putalpha(Image.fromarray(np.array([[0, 128, 255]], np.uint8)))
    picture = picture_from(image)
    assert image.mode == "PA"
    np.testing.assert_array_equal(picture.alpha, [[0, 128, 255]])
    assert picture.notes == ["converted from a palette to RGB with transparency"]


def test_transparent_gif_of_one_frame() -> None:
    picture = read_picture(saved(palette_image(), "GIF", transparency=2))
    np.testing.assert_array_equal(picture.alpha, [[255, 255, 0]])


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_grey_png_with_one_transparent_value(depth: int, build_png: Callable[..., bytes]) -> None:
    most = 2**depth - 1
    values = [0, most]
    row = "".join(f"{value:0{depth}b}" for value in values)
    rows = int(row.ljust(-len(row) % 8 + len(row), "0"), 2).to_bytes(-(-len(row) // 8), "big")
    picture = read_picture(build_png(2, 1, depth, 0, rows, struct.pack(">H", most)))
    np.testing.assert_array_equal(picture.pixels, [[0, 255]])
    np.testing.assert_array_equal(picture.alpha, [[255, 0]])


@pytest.mark.parametrize(("depth", "letter"), [(8, "B"), (16, "H")])
def test_rgb_png_with_one_transparent_colour(
    depth: int, letter: str, build_png: Callable[..., bytes]
) -> None:
    one = 2 ** (depth - 8)
    colours = [9 * one, 8 * one, 7 * one, 9 * one, 8 * one, 6 * one]
    rows, key = struct.pack(f">6{letter}", *colours), struct.pack(">3H", *colours[:3])
    picture = read_picture(build_png(2, 1, depth, 2, rows, key))
    np.testing.assert_array_equal(picture.pixels, [[[9, 8, 7], [9, 8, 6]]])
    np.testing.assert_array_equal(picture.alpha, [[0, 255]])


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_16_bit_grey_is_rounded_with_a_note(format: str) -> None:
    wide = np.array([[0, 128, 129, 257, 32768, 65535]], np.uint16)
    picture = read_picture(saved(Image.fromarray(wide), format))
    np.testing.assert_array_equal(picture.pixels, [[0, 0, 1, 1, 128, 255]])
    assert picture.notes == ["16-bit samples were reduced to 8 bits"]


@pytest.mark.parametrize(("colour", "channels"), [(2, 3), (4, 2), (6, 4)])
def test_16_bit_colour_and_alpha_are_noted(
    colour: int, channels: int, build_png: Callable[..., bytes]
) -> None:
    wide = struct.pack(f">{channels}H", *(256 * value + 44 for value in range(1, channels + 1)))
    picture = read_picture(build_png(1, 1, 16, colour, wide))
    assert picture.notes == ["16-bit samples were reduced to 8 bits"]
    assert picture.pixels.flat[0] == 1


def test_16_bit_ppm_is_noted() -> None:
    picture = read_picture(b"P6 1 1 65535\n" + struct.pack(">3H", 65535, 0, 32768))
    np.testing.assert_array_equal(picture.pixels, [[[255, 0, 128]]])
    assert picture.notes == ["16-bit samples were reduced to 8 bits"]
    dark = read_picture(b"P5 2 1 65535\n" + struct.pack(">2H", 0, 200))
    np.testing.assert_array_equal(dark.pixels, [[0, 1]])


@pytest.mark.parametrize(
    ("values", "expected", "note"),
    [
        ([0, 7, 255], [0, 7, 255], "taken as 8 bits"),
        ([0, 257, 65535], [0, 1, 255], "taken as 16 bits"),
        ([-1000, 0, 1000], [0, 128, 255], "stretched"),
        ([0, 0, 2**31 - 1], [0, 0, 255], "stretched"),
    ],
)
def test_32_bit_integers(values: list[int], expected: list[int], note: str) -> None:
    picture = read_picture(saved(Image.fromarray(np.array([values], np.int32)), "TIFF"))
    np.testing.assert_array_equal(picture.pixels, [expected])
    assert note in picture.notes[0]


@pytest.mark.parametrize(
    ("values", "expected", "note"),
    [
        ([0.0, 0.5, 1.0], [0, 128, 255], "0 to 1"),
        ([0.0, 7.0, 255.0], [0, 7, 255], "taken as 8 bits"),
        ([-1.0, 0.0, 1.0], [0, 128, 255], "stretched"),
        ([np.nan, np.inf, 1.0], [0, 0, 255], "0 to 1"),
        ([300.0, 300.0, 300.0], [0, 0, 0], "stretched"),
    ],
)
def test_floats(values: list[float], expected: list[int], note: str) -> None:
    picture = read_picture(saved(Image.fromarray(np.array([values], np.float32)), "TIFF"))
    np.testing.assert_array_equal(picture.pixels, [expected])
    assert note in picture.notes[0]


def test_cmyk_without_a_profile() -> None:
    image = Image.new("CMYK", (2, 2), (0, 255, 255, 0))
    picture = read_picture(saved(image, "TIFF"))
    np.testing.assert_array_equal(picture.pixels[0, 0], [255, 0, 0])
    assert picture.notes == ["converted from CMYK to RGB without a colour profile"]


def test_cmyk_by_its_profile(grey_ink_icc: bytes) -> None:
    image = Image.new("CMYK", (2, 2), (0, 255, 255, 0))
    picture = read_picture(saved(image, "TIFF", icc_profile=grey_ink_icc))
    np.testing.assert_allclose(picture.pixels[0, 0], [119, 119, 119], atol=3)  # L* = 50 in sRGB
    assert picture.icc is None
    assert picture.notes == ["converted from CMYK to sRGB by its colour profile"]


def test_cmyk_with_a_useless_profile(build_icc: Callable[[str], bytes]) -> None:
    image = Image.new("CMYK", (1, 1), (0, 255, 255, 0))
    picture = read_picture(saved(image, "TIFF", icc_profile=build_icc("CMYK")))
    np.testing.assert_array_equal(picture.pixels, [[[255, 0, 0]]])
    assert picture.notes[0] == "the CMYK colour profile cannot be used"
    assert picture.icc is None


@pytest.mark.parametrize("mode", ["LAB", "HSV", "YCbCr"])
def test_other_colour_spaces_are_converted(mode: str) -> None:
    red = Image.new("RGB", (2, 1), (200, 30, 40)).convert(mode)
    picture = picture_from(red)
    np.testing.assert_allclose(picture.pixels[0, 0], [200, 30, 40], atol=4)
    assert picture.notes == [f"converted from {mode} to RGB"]


@pytest.mark.parametrize(("premultiplied", "mode"), [("RGBa", "RGBA"), ("La", "LA")])
def test_premultiplied_alpha(premultiplied: str, mode: str) -> None:
    image = Image.new(mode, (1, 1), (100,) * (len(mode) - 1) + (128,)).convert(premultiplied)
    picture = picture_from(image)
    assert picture.alpha is not None and picture.alpha[0, 0] == 128
    assert abs(int(picture.pixels.flat[0]) - 100) <= 1


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "AVIF"])
def test_animations_are_refused(format: str) -> None:
    frames = [Image.fromarray(noise(8, 8, 3)) for _ in range(2)]
    data = saved(frames[0], format, save_all=True, append_images=frames[1:])
    with pytest.raises(MediaError, match=rf"animation \({format}\)"):
        read_picture(data)


def test_of_several_pages_the_first_is_kept() -> None:
    pages = [Image.fromarray(noise(4, 4)) for _ in range(3)]
    picture = read_picture(saved(pages[0], "TIFF", save_all=True, append_images=pages[1:]))
    np.testing.assert_array_equal(picture.pixels, np.asarray(pages[0]))
    assert picture.notes == ["the file holds 3 pictures; only the first is kept"]


def test_a_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_picture(tmp_path / "none.png")


def test_a_folder(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=f"^{tmp_path}: a folder"):
        read_picture(tmp_path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file is empty"),
        (b"This is only text.\n", "not a picture"),
        (b"\x89PNG\r\n\x1a\n", "not a picture"),
        (b"GIF89a", "not a picture|damaged"),
        (b"\xff\xd8\xff\xe0", "not a picture|damaged"),
    ],
)
def test_what_is_no_picture_is_named_in_one_line(data: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "text.png"
    path.write_bytes(data)
    with pytest.raises(MediaError, match=message) as caught:
        read_picture(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "format", ["PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP", "AVIF", "JPEG2000", "ICO"]
)
def test_truncated_files_are_refused(format: str) -> None:
    data = saved(Image.fromarray(noise(64, 64, 3)), format)
    for length in (len(data) // 8, len(data) // 2):
        with pytest.raises(MediaError):
            read_picture(data[:length])


@pytest.mark.parametrize(
    "format", ["PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP", "AVIF", "JPEG2000", "ICO", "PPM"]
)
def test_damage_gives_a_picture_or_a_bsq_error(
    format: str, capfd: pytest.CaptureFixture[str]
) -> None:
    data = saved(Image.fromarray(noise(32, 32, 3)), format)
    refused = 0
    for _ in range(60):
        damaged = bytearray(data)
        for at in RANDOM.integers(0, min(len(data), 200), 3):
            damaged[at] = RANDOM.integers(0, 256)
        try:
            read_picture(bytes(damaged), max_pixels=2**20)
        except BsqError as error:
            assert "\n" not in str(error)
            refused += 1
    assert refused > 0
    assert capfd.readouterr().err == "", "a C library wrote to standard error"


def test_a_decompression_bomb_is_refused_before_it_is_decoded(
    build_png: Callable[..., bytes],
) -> None:
    bomb = build_png(60000, 60000, 8, 2, b"\0")
    with pytest.raises(LimitError, match="over the limit of 256000000 pixels"):
        read_picture(bomb)
    within_pillows_error_limit = build_png(20000, 20000, 8, 2, b"\0")
    with pytest.raises(LimitError, match="20000 x 20000 = 400000000 pixels, over the limit"):
        read_picture(within_pillows_error_limit)


def test_max_pixels_is_exact_and_may_exceed_pillows() -> None:
    data = saved(Image.new("L", (10, 10)))
    assert read_picture(data, max_pixels=100).width == 10
    with pytest.raises(LimitError, match="10 x 10 = 100 pixels, over the limit of 99"):
        read_picture(data, max_pixels=99)
    before = Image.MAX_IMAGE_PIXELS
    big = saved(Image.new("1", (100_000, 1000)))  # above Pillow's own limit
    assert read_picture(big).width == 100_000
    assert Image.MAX_IMAGE_PIXELS == before


class Pipe(io.RawIOBase):
    """A stream that cannot seek."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._data.readinto(buffer)


def test_streams_are_read_from_where_they_stand() -> None:
    samples = noise(5, 6, 3)
    data = saved(Image.fromarray(samples))
    stream = io.BytesIO(b"before" + data)
    stream.seek(6)
    np.testing.assert_array_equal(read_picture(stream).pixels, samples)
    assert not stream.closed
    pipe = io.BufferedReader(Pipe(data))
    np.testing.assert_array_equal(read_picture(pipe).pixels, samples)


def test_an_endless_pipe_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bsqcodec.media.image.image_reader._UNSEEKABLE_BYTES_MORE", 0)
    with pytest.raises(LimitError, match="more data than a picture of 1000 pixels has"):
        read_picture(io.BufferedReader(Pipe(bytes(2**20))), max_pixels=1000)


def test_animated_pillow_images_and_their_frames() -> None:
    frames = [Image.fromarray(noise(8, 8, 3)) for _ in range(2)]
    image = Image.open(io.BytesIO(saved(frames[0], "PNG", save_all=True, append_images=frames)))
    with pytest.raises(MediaError, match="animation"):
        picture_from(image)
    assert picture_from(image.copy()).width == 8


@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 1), (3, 4, 2), (3, 4, 3), (3, 4, 4)])
def test_arrays(shape: tuple[int, ...]) -> None:
    samples = noise(*shape)
    picture = picture_from(samples)
    np.testing.assert_array_equal(
        np.asarray(to_pil(picture)), samples[:, :, 0] if shape[2:] == (1,) else samples
    )
    samples[:] = 0
    assert picture.pixels.any(), "the picture must not share memory with the caller's array"


def test_arrays_of_other_types() -> None:
    assert picture_from(np.array([[True, False]])).pixels.tolist() == [[255, 0]]
    floats = picture_from(np.array([[0.0, 0.5, 1.0]]))
    assert (floats.pixels.tolist(), len(floats.notes)) == ([[0, 128, 255]], 1)
    wide = picture_from(np.array([[0, 257, 65535]], np.uint16))
    assert (wide.pixels.tolist(), len(wide.notes)) == ([[0, 1, 255]], 1)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(5, np.uint8),
        np.zeros((0, 5), np.uint8),
        np.zeros((2, 2, 5), np.uint8),
        np.zeros((2, 2), np.int64),
        np.full((2, 2), 1.5),
        np.full((2, 2), np.nan),
    ],
)
def test_arrays_that_are_no_picture(array: np.ndarray) -> None:
    with pytest.raises(MediaError):
        picture_from(array)


def test_array_over_the_limit() -> None:
    with pytest.raises(LimitError):
        picture_from(np.zeros((10, 10), np.uint8), max_pixels=99)


def test_pillow_warnings_stay_inside(tmp_path: Path) -> None:
    """Pictures that make Pillow warn are read by a Python that turns warnings into errors."""
    palette_image(transparency=bytes([0, 128])).save(tmp_path / "palette.png")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        Image.new("1", (100_000, 1000)).save(tmp_path / "large.png")
    text = PngImagePlugin.PngInfo()
    text.add_text("Raw profile type exif", "\nexif\n4\nzzzz")
    Image.new("L", (2, 2)).save(tmp_path / "exif.png", pnginfo=text)
    (tmp_path / "none.png").write_bytes(b"RIFF0000WEBPnone")
    program = (
        "import sys; from pathlib import Path\n"
        "from bsqcodec.errors import MediaError\n"
        "from bsqcodec.media.image.image_reader import read_picture\n"
        "for path in sorted(Path(sys.argv[1]).iterdir()):\n"
        "    try: print(path.name, read_picture(path).notes)\n"
        "    except MediaError: print(path.name, 'refused')\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "exif.png ['the EXIF data is damaged and was dropped']",
        "large.png []",
        "none.png refused",
        "palette.png ['converted from a palette to RGB with transparency']",
    ]
