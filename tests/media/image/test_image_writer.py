"""Writing pictures: samples and metadata come back, and what a format cannot hold is said."""

import io
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms

from bsqcodec.errors import MediaError
from bsqcodec.media.formats import OUTPUT_FORMATS, PICTURE_FORMAT_NAMES, output_format
from bsqcodec.media.image.exif import resolution, with_resolution
from bsqcodec.media.image.icc import build_profile, colour_of_code_points
from bsqcodec.media.image.image_reader import read_picture
from bsqcodec.media.image.image_writer import write_picture
from bsqcodec.media.image.picture import Picture

RANDOM = np.random.default_rng(3)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>'


def exif_bytes() -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = "somebody"
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ISOSpeedRatings] = 100
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] = "N"
    return exif.tobytes().removeprefix(b"Exif\0\0")


def a_picture(grey: bool, alpha: bool, *, metadata: bool = False) -> Picture:
    noise = RANDOM.integers(0, 256, (5, 7, 4), np.uint8)
    return Picture(
        noise[:, :, 0].copy() if grey else noise[:, :, :3].copy(),
        noise[:, :, 3].copy() if alpha else None,
        *((SRGB, exif_bytes(), XMP) if metadata else ()),
    )


@pytest.mark.parametrize("grey", [True, False], ids=["grey", "rgb"])
@pytest.mark.parametrize("alpha", [True, False], ids=["alpha", "opaque"])
@pytest.mark.parametrize(
    "suffix", [".png", ".webp", ".tif", ".jp2", ".bmp", ".tga", ".ppm", ".jxl"]
)
def test_lossless_formats_give_the_samples_back(
    grey: bool, alpha: bool, suffix: str, tmp_path: Path
) -> None:
    picture, path = a_picture(grey, alpha), tmp_path / f"picture{suffix}"
    if alpha and suffix in (".ppm", ".bmp"):
        with pytest.raises(MediaError, match="cannot hold this picture's transparency"):
            write_picture(picture, path)
        assert not path.exists()
        return
    assert write_picture(picture, path) == []
    back = read_picture(path)
    if back.pixels.ndim > picture.pixels.ndim:  # WebP has no grey, and others no grey with alpha
        assert (back.pixels == back.pixels[:, :, :1]).all()
        back.pixels = back.pixels[:, :, 0]
    np.testing.assert_array_equal(back.pixels, picture.pixels)
    if alpha:
        np.testing.assert_array_equal(back.alpha, picture.alpha)


@pytest.mark.parametrize("grey", [True, False], ids=["grey", "rgb"])
@pytest.mark.parametrize("suffix", [".jpg", ".avif", ".heic", ".heif"])
def test_lossy_formats_stay_close(grey: bool, suffix: str, tmp_path: Path) -> None:
    ramp = np.linspace(0, 255, 32 * 32).reshape(32, 32).astype(np.uint8)
    picture = Picture(ramp if grey else np.stack([ramp, ramp.T, 255 - ramp], axis=2))
    write_picture(picture, tmp_path / f"picture{suffix}")
    back = read_picture(tmp_path / f"picture{suffix}")
    error = back.pixels.astype(int) - (
        picture.pixels if back.pixels.ndim == picture.pixels.ndim else picture.pixels[..., None]
    )
    assert np.abs(error).max() <= 8


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".avif", ".tif", ".heic"])
def test_metadata_comes_back(suffix: str, tmp_path: Path) -> None:
    picture, path = a_picture(False, False, metadata=True), tmp_path / f"picture{suffix}"
    assert write_picture(picture, path) == []
    back = read_picture(path)
    assert (back.icc, back.xmp) == (SRGB, XMP)
    exif = Image.Exif()
    assert back.exif is not None
    exif.load(back.exif)
    assert exif[ExifTags.Base.Artist] == "somebody"
    assert exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ISOSpeedRatings] == 100
    assert exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] == "N"


def test_metadata_that_has_no_place_is_named(tmp_path: Path) -> None:
    picture = a_picture(False, False, metadata=True)
    assert write_picture(picture, tmp_path / "picture.bmp") == [
        "BMP cannot hold the colour profile: it was dropped",
        "BMP cannot hold the EXIF data: it was dropped",
        "BMP cannot hold the XMP data: it was dropped",
    ]
    picture.exif = b"II*\0" + bytes(70_000)
    picture.xmp = b"<" + b" " * 70_000 + b">"
    assert write_picture(picture, tmp_path / "picture.jpg") == [
        "JPEG cannot hold the EXIF data: it was dropped",
        "JPEG cannot hold the XMP data: it was dropped",
    ]
    assert read_picture(tmp_path / "picture.jpg").icc == SRGB
    picture.xmp = b"\xff\xfe"
    assert write_picture(picture, tmp_path / "picture.png") == [
        "PNG cannot hold the XMP data: it was dropped"
    ]


@pytest.mark.parametrize("alpha", [True, False], ids=["alpha", "opaque"])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".avif"])
def test_a_grey_profile_goes_where_grey_stays_grey(
    alpha: bool, suffix: str, build_icc: Callable[[str], bytes], tmp_path: Path
) -> None:
    picture, path = a_picture(True, alpha), tmp_path / f"picture{suffix}"
    picture.icc = build_icc("GRAY")
    notes = write_picture(picture, path)
    with Image.open(path) as image:
        profile = image.info.get("icc_profile")
    if suffix in (".png", ".tif"):
        assert (profile, notes) == (picture.icc, [])
    else:
        name = suffix[1:].upper()
        assert profile is None
        assert notes == [f"{name} cannot hold the grey colour profile: it was dropped"]


def test_exif_that_pillow_cannot_parse_still_goes_where_bytes_go(tmp_path: Path) -> None:
    picture = a_picture(False, False)
    picture.exif = b"II*\0\xff\xff\xff\xff"
    for suffix in (".png", ".jpg", ".webp", ".avif"):
        assert write_picture(picture, tmp_path / f"picture{suffix}") == []
        assert read_picture(tmp_path / f"picture{suffix}").exif == picture.exif


def test_tiff_takes_from_exif_only_what_describes_the_photograph(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "maker"
    exif[ExifTags.Base.ImageWidth] = 4000  # as phones write it; of another file than this one
    exif[ExifTags.Base.StripOffsets] = 3
    picture = a_picture(False, False)
    picture.exif = exif.tobytes().removeprefix(b"Exif\0\0")
    assert write_picture(picture, tmp_path / "picture.tif") == []
    back = read_picture(tmp_path / "picture.tif")
    np.testing.assert_array_equal(back.pixels, picture.pixels)
    assert back.exif is not None and b"maker" in back.exif
    picture.exif = b"II*\0\xff\xff\xff\xff"
    write_picture(picture, tmp_path / "picture.tif")
    np.testing.assert_array_equal(read_picture(tmp_path / "picture.tif").pixels, picture.pixels)


def test_transparency_in_jpeg() -> None:
    picture = a_picture(False, True)
    with pytest.raises(MediaError, match="JPEG cannot hold this picture's transparency"):
        write_picture(picture, io.BytesIO(), format="jpg")
    picture.alpha = np.full_like(picture.alpha, 255)
    file = io.BytesIO()
    write_picture(picture, file, format="jpg")
    assert read_picture(file.getvalue()).alpha is None


def test_too_long_a_side() -> None:
    picture = Picture(np.zeros((1, 16384), np.uint8))
    with pytest.raises(MediaError, match="WEBP cannot hold 16384 x 1 pixels: its limit is 16383"):
        write_picture(picture, io.BytesIO(), format="webp")


def test_format_follows_name_then_suffix_then_is_png() -> None:
    assert output_format("a.JPEG").name == "JPEG"
    assert output_format("a.png", "webp").name == "WEBP"
    assert output_format("a.png", "TIFF").name == "TIFF"
    assert output_format("a").name == output_format(None).name == "PNG"
    with pytest.raises(MediaError, match="cannot write pictures as 'gif'; choose one of png, jpg"):
        output_format("a.gif")


def test_every_suffix_is_one_that_pillow_knows() -> None:
    known = Image.registered_extensions()
    for entry in OUTPUT_FORMATS:
        for suffix in entry.suffixes:
            assert known.get(suffix, entry.name) == entry.name
            assert suffix in known or entry.name in ("HEIF", "JXL")


def test_names_are_the_suffixes_and_the_formats_own() -> None:
    for name in ("png", "jpg", "jpeg", "tif", "tiff", "heif", "heic", "jxl", "webp", "jpeg2000"):
        assert name in PICTURE_FORMAT_NAMES
    for name in PICTURE_FORMAT_NAMES:
        file = io.BytesIO()
        write_picture(a_picture(False, False), file, format=name)
        back = read_picture(file.getvalue())
        assert (back.width, back.height) == (7, 5)


@pytest.mark.parametrize(
    "suffix", [".png", ".jpg", ".tif", ".bmp", ".webp", ".avif", ".heic", ".jxl"]
)
@pytest.mark.parametrize(("across", "down"), [(300, 300), (300, 150), (72, 72), (1200, 1200)])
def test_a_resolution_comes_back(suffix: str, across: int, down: int, tmp_path: Path) -> None:
    picture = a_picture(False, False)
    picture.exif = with_resolution(None, Fraction(across), Fraction(down))
    path = tmp_path / f"picture{suffix}"
    assert write_picture(picture, path) == []
    back = read_picture(path)
    assert resolution(back.exif) == (across, down)
    if suffix in (".png", ".jpg", ".tif", ".bmp"):
        with Image.open(path) as image:
            dpi = [float(value) for value in image.info["dpi"]]
            np.testing.assert_allclose(dpi, (across, down), atol=0.02)
    if suffix in (".png", ".jpg"):
        with Image.open(path) as image:
            assert "exif" not in image.info, "a resolution alone needs no EXIF here"


def test_a_resolution_beside_a_photographs_tags(tmp_path: Path) -> None:
    picture = a_picture(False, False, metadata=True)
    picture.exif = with_resolution(picture.exif, Fraction(300), Fraction(300))
    for suffix in (".png", ".jpg", ".tif"):
        path = tmp_path / f"picture{suffix}"
        assert write_picture(picture, path) == []
        with Image.open(path) as image:
            dpi = [float(value) for value in image.info["dpi"]]
            np.testing.assert_allclose(dpi, (300, 300), atol=0.02)
            assert image.getexif()[ExifTags.Base.Artist] == "somebody"


@pytest.mark.parametrize("suffix", [".ppm", ".jp2"])
def test_a_resolution_without_a_place_is_named(suffix: str, tmp_path: Path) -> None:
    picture = a_picture(False, False)
    picture.exif = with_resolution(None, Fraction(300), Fraction(300))
    (note,) = write_picture(picture, tmp_path / f"a{suffix}")
    assert note.endswith("cannot hold the resolution: it was dropped")


def test_jpeg_xl_gets_srgb_samples() -> None:
    picture = a_picture(False, True)
    colour = colour_of_code_points(12, 13)
    assert colour is not None
    picture.icc = build_profile(colour, grey=False)
    picture.pixels[:] = (200, 100, 100)
    file = io.BytesIO()
    (note,) = write_picture(picture, file, format="jxl")
    assert note.startswith("converted to sRGB by the colour profile")
    back = read_picture(file.getvalue())
    assert back.icc is None
    assert back.pixels[0, 0, 0] > 208 and back.pixels[0, 0, 1] < 97
    np.testing.assert_array_equal(back.alpha, picture.alpha)


def test_jpeg_xl_holds_exif_as_its_box_begins() -> None:
    picture = a_picture(False, False)
    picture.exif, picture.xmp = exif_bytes(), XMP
    file = io.BytesIO()
    assert write_picture(picture, file, format="jxl") == []
    data = file.getvalue()
    at = data.index(b"Exif")
    assert data[at + 4 : at + 8] == bytes(4), "the offset of the TIFF structure"
    back = read_picture(data)
    assert (back.exif, back.xmp) == (picture.exif, XMP)


def test_stream_without_a_format_gets_png() -> None:
    file = io.BytesIO()
    write_picture(a_picture(True, True), file)
    assert file.getvalue().startswith(b"\x89PNG")
