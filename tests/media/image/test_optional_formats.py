"""HEIF and JPEG XL: read and written where their packages are installed,
named where they are not."""

import io
import struct
from pathlib import Path

import numpy as np
import pillow_heif
import pillow_jxl
import pytest
from PIL import ExifTags, Image, ImageCms

from bsqcodec.errors import BsqError, LimitError, MediaError
from bsqcodec.media.formats import output_format
from bsqcodec.media.image.exif import orientation_of
from bsqcodec.media.image.icc import code_points_of
from bsqcodec.media.image.image_reader import picture_from, read_picture
from bsqcodec.media.image.jxl_header import read_jxl_header
from bsqcodec.media.image.optional_formats import save_heif, save_jxl
from bsqcodec.media.image.orientation import oriented

RANDOM = np.random.default_rng(6)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def smooth(width: int, height: int) -> np.ndarray:
    """RGB that lossy coders keep well, with one bright corner."""
    y, x = np.mgrid[0:height, 0:width]
    samples = np.stack([x * 255 // width, y * 255 // height, (x + y) * 100 // width], axis=2)
    samples[: height // 2, : width // 2] = 240
    return samples.astype(np.uint8)


def heic(samples: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    save_heif(Image.fromarray(samples), file, {"quality": 95, "chroma": 444, **options})
    return file.getvalue()


def jxl(samples: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    save_jxl(Image.fromarray(samples), file, dict(options))
    return file.getvalue()


def exif_bytes(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = "somebody"
    exif[ExifTags.Base.Orientation] = orientation
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ExifImageWidth] = 64
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ExifImageHeight] = 48
    return exif.tobytes().removeprefix(b"Exif\0\0")


@pytest.mark.parametrize("channels", [(), (3,), (4,)], ids=["L", "RGB", "RGBA"])
def test_heic(channels: tuple[int, ...]) -> None:
    samples = smooth(64, 48)
    if channels == ():
        samples = samples[:, :, 0].copy()
    elif channels == (4,):
        samples = np.dstack([samples, np.full((48, 64), 128, np.uint8)])
    picture = read_picture(heic(samples))
    assert picture.is_grey == (channels == ()) and picture.notes == []
    back = picture.pixels if picture.alpha is None else np.dstack([picture.pixels, picture.alpha])
    assert back.shape == samples.shape
    assert np.abs(back.astype(int) - samples).mean() < 3


@pytest.mark.parametrize("orientation", range(1, 9))
def test_heic_is_turned_once_and_its_exif_says_so(orientation: int) -> None:
    samples = smooth(64, 48)
    data = heic(samples, exif=b"Exif\0\0" + exif_bytes(orientation))
    picture = read_picture(data)
    expected = oriented(samples, orientation).astype(int)
    assert picture.pixels.shape == expected.shape
    assert np.abs(picture.pixels - expected).mean() < 3
    assert picture.exif is not None and orientation_of(picture.exif) == 1
    exif = Image.Exif()
    exif.load(picture.exif)
    inner = exif.get_ifd(ExifTags.IFD.Exif)
    assert exif[ExifTags.Base.Artist] == "somebody"
    size = inner[ExifTags.Base.ExifImageWidth], inner[ExifTags.Base.ExifImageHeight]
    assert size == (picture.width, picture.height)


def test_heic_of_10_bits_and_of_pq() -> None:
    wide = (RANDOM.integers(0, 2, (48, 64, 3)) * 65535).astype(np.uint16)
    file = io.BytesIO()
    pillow_heif.encode(
        "RGB;16", (64, 48), wide.tobytes(), file, quality=90, chroma=444,
        color_primaries=9, transfer_characteristics=16, matrix_coefficients=9, full_range_flag=1,
    )  # fmt: skip
    picture = read_picture(file.getvalue())
    assert picture.notes == [
        "10-bit samples were reduced to 8 bits",
        "HDR (PQ) is kept at 8 bits, which may show bands",
    ]
    assert picture.icc is not None


def test_of_several_heic_pictures_the_primary_one_is_kept() -> None:
    file = io.BytesIO()
    first = pillow_heif.from_pillow(Image.fromarray(smooth(64, 48)))
    first.add_from_pillow(Image.fromarray(255 - smooth(64, 48)))
    first.save(file, quality=95, primary_index=1)
    picture = read_picture(file.getvalue())
    assert picture.notes == ["the file holds 2 pictures; only the primary one is kept"]
    assert np.abs(picture.pixels.astype(int) - (255 - smooth(64, 48).astype(int))).mean() < 3


@pytest.mark.parametrize("channels", [(), (2,), (3,), (4,)], ids=["L", "LA", "RGB", "RGBA"])
def test_jpeg_xl_gives_samples_back(channels: tuple[int, ...]) -> None:
    samples = RANDOM.integers(0, 256, (20, 30, *channels), np.uint8)
    picture = read_picture(jxl(samples))
    back = picture.pixels if picture.alpha is None else np.dstack([picture.pixels, picture.alpha])
    np.testing.assert_array_equal(back, samples)
    assert (picture.icc, picture.notes) == (None, [])


def test_jpeg_xl_of_16_bits_is_noted() -> None:
    wide = RANDOM.integers(0, 65536, (20, 30), np.uint16)
    file = io.BytesIO()
    Image.fromarray(wide).save(file, "JXL", lossless=True)
    picture = read_picture(file.getvalue())
    np.testing.assert_array_equal(picture.pixels, np.rint(wide / 257).astype(np.uint8))
    assert picture.notes == ["16-bit samples were reduced to 8 bits"]


def test_jpeg_xl_made_of_a_jpeg_is_that_jpeg(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    exif = b"Exif\0\0" + exif_bytes(6)
    Image.fromarray(smooth(64, 48)).save(path, quality=90, exif=exif, icc_profile=SRGB)
    file = io.BytesIO()
    with Image.open(path) as image:
        image.save(file, "JXL", lossless_jpeg=True)
    expected, picture = read_picture(path), read_picture(file.getvalue())
    np.testing.assert_array_equal(picture.pixels, expected.pixels)
    assert (picture.exif, picture.icc) == (expected.exif, SRGB)
    assert (picture.width, picture.height) == (48, 64)


def test_exif_does_not_turn_a_jpeg_xl() -> None:
    """ISO/IEC 18181-2: the orientation of the codestream counts, that of EXIF does not."""
    samples = smooth(64, 48)
    picture = read_picture(jxl(samples, exif=exif_bytes(6)))
    np.testing.assert_array_equal(picture.pixels, samples)
    assert picture.exif is not None and orientation_of(picture.exif) == 1


def test_the_orientation_of_a_codestream() -> None:
    bits = (
        "0" + "00" + f"{29:09b}"[::-1] + "100" + "0" + "1" + f"{5:03b}"[::-1] + "000" + "0" + "00"
    )
    data = int(bits[::-1], 2).to_bytes(len(bits) // 8 + 1, "little")
    header = read_jxl_header(b"\xff\x0a" + data)
    assert (header.width, header.height, header.orientation) == (30, 30, 6)


def test_a_jpeg_xl_that_claims_to_be_huge_is_refused_before_it_is_decoded() -> None:
    file = io.BytesIO()
    Image.new("L", (4000, 4000)).save(file, "JXL", lossless=True, effort=1)
    with pytest.raises(LimitError, match="4000 x 4000 = 16000000 pixels, over the limit of 10"):
        read_picture(file.getvalue(), max_pixels=10)


@pytest.mark.parametrize(
    "size", [(1, 1), (8, 8), (256, 256), (257, 1), (640, 480), (1920, 1080), (3, 4000), (300, 200)]
)
@pytest.mark.parametrize("container", [False, True])
def test_the_head_of_a_jpeg_xl(size: tuple[int, int], container: bool) -> None:
    file = io.BytesIO()
    Image.new("RGB", size).save(file, "JXL", lossless=True, effort=1, use_container=container)
    header = read_jxl_header(file.getvalue())
    assert (header.width, header.height) == size
    assert (header.orientation, header.bits, header.is_animated) == (1, 8, False)


def test_an_animated_jpeg_xl_is_refused() -> None:
    bits = "0" + "00" + f"{29:09b}"[::-1] + "001"[::-1].ljust(3, "0")  # 30 x 30
    bits += "0" + "1" + "000" + "0" + "0" + "1" + "00" + "00" + "00" + "0" + "0" + "00"
    packed = int(bits[::-1], 2).to_bytes(len(bits) // 8 + 1, "little")
    data = b"\xff\x0a" + packed
    header = read_jxl_header(data)
    assert (header.width, header.height, header.is_animated) == (30, 30, True)
    with pytest.raises(MediaError, match="an animation"):
        read_picture(data)


@pytest.mark.parametrize("data", [b"\xff\x0a", b"\xff\x0a\x00\x00", b"\0\0\0\x0cJXL \r\n\x87\n"])
def test_a_cut_head(data: bytes) -> None:
    with pytest.raises(MediaError):
        read_picture(data)


@pytest.mark.parametrize("kind", ["heic", "jxl"])
def test_damage_gives_a_picture_or_a_bsq_error(kind: str) -> None:
    whole = heic(smooth(64, 48)) if kind == "heic" else jxl(smooth(64, 48))
    refused = 0
    for index in range(120):
        damaged = bytearray(whole)
        for at in RANDOM.integers(0, min(len(whole), 600), 3):
            damaged[at] = RANDOM.integers(0, 256)
        if index % 4 == 0:
            damaged = damaged[: index * len(damaged) // 120]
        try:
            read_picture(bytes(damaged), max_pixels=2**20)
        except BsqError as error:
            assert "\n" not in str(error)
            refused += 1
    assert refused > 20


@pytest.mark.parametrize(("suffix", "extra"), [("heic", "heif"), ("heif", "heif"), ("jxl", "jxl")])
def test_without_its_package_a_format_names_the_extra(
    suffix: str, extra: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    data = jxl(smooth(64, 48)) if extra == "jxl" else heic(smooth(64, 48))
    (tmp_path / f"a.{suffix}").write_bytes(data)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(
        MediaError, match=rf"needs the extra '{extra}': pip install .bsqcodec\[{extra}"
    ):
        read_picture(tmp_path / f"a.{suffix}")
    with pytest.raises(MediaError, match=rf"bsqcodec\[{extra}\]"):
        output_format(f"b.{suffix}")
    assert output_format("b.png").name == "PNG"


def test_nothing_is_registered_with_pillow() -> None:
    import subprocess
    import sys

    program = (
        "import io, sys\n"
        "from PIL import Image\n"
        "from bsqcodec.media.image.image_reader import read_picture\n"
        "assert read_picture(sys.stdin.buffer.read()).width == 64\n"
        "Image.init()\n"
        "assert 'HEIF' not in Image.OPEN, Image.OPEN\n"
    )
    subprocess.run([sys.executable, "-c", program], input=heic(smooth(64, 48)), check=True)


def test_images_of_a_plugin_that_the_caller_registered() -> None:
    assert pillow_jxl is not None
    image = Image.open(io.BytesIO(jxl(smooth(64, 48))))
    np.testing.assert_array_equal(picture_from(image).pixels, smooth(64, 48))
    turned = Image.open(io.BytesIO(jxl(smooth(64, 48), exif=exif_bytes(6))))
    np.testing.assert_array_equal(picture_from(turned).pixels, smooth(64, 48))
    opened = pillow_heif.HeifImageFile(io.BytesIO(heic(smooth(64, 48))))
    assert picture_from(opened).width == 64


def test_code_points_of_a_heic_that_the_caller_opened() -> None:
    file = io.BytesIO()
    pillow_heif.encode(
        "RGB", (64, 48), smooth(64, 48).tobytes(), file, quality=90, chroma=444,
        color_primaries=12, transfer_characteristics=13, matrix_coefficients=6, full_range_flag=1,
    )  # fmt: skip
    expected = read_picture(file.getvalue()).icc
    assert expected is not None and code_points_of(expected) == (12, 13)
    assert picture_from(pillow_heif.HeifImageFile(io.BytesIO(file.getvalue()))).icc == expected


def test_struct_of_boxes() -> None:
    """A mif1 file with AVIF among its brands is no HEIF."""
    from bsqcodec.media.image.optional_formats import optional_format

    def head(major: bytes, *brands: bytes) -> bytes:
        box = major + bytes(4) + b"".join(brands)
        return struct.pack(">I4s", 8 + len(box), b"ftyp") + box + bytes(40)

    assert optional_format(head(b"mif1", b"mif1", b"avif")) is None
    assert optional_format(head(b"mif1", b"mif1", b"heic")) == "HEIF"
    assert optional_format(head(b"heic")) == "HEIF"
    assert optional_format(head(b"avif", b"mif1")) is None
    assert optional_format(head(b"isom")) is None
