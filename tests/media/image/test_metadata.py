"""ICC, EXIF and XMP come in as they are; the orientation is applied and its tag reset."""

import io
import struct
from collections.abc import Callable
from zlib import crc32

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms, ImageOps, PngImagePlugin

from bsqcodec.media.image.exif import orientation_of, resolution
from bsqcodec.media.image.image_reader import picture_from, read_picture, to_pil
from bsqcodec.media.image.orientation import oriented

RANDOM = np.random.default_rng(2)
SAMPLES = RANDOM.integers(0, 256, (6, 9, 3), np.uint8)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/" tiff:Orientation="6" note="3"/>'


def exif_bytes(orientation: int | None = None) -> bytes:
    """An EXIF block as a TIFF structure."""
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = "somebody"
    if orientation is not None:
        exif[ExifTags.Base.Orientation] = orientation
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.MakerNote] = b"\x01\x02secret"
    return exif.tobytes().removeprefix(b"Exif\0\0")


def saved(image: Image.Image, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "AVIF"])
def test_metadata_comes_in_byte_for_byte(format: str) -> None:
    exif = exif_bytes()
    options: dict[str, object] = {"icc_profile": SRGB, "exif": b"Exif\0\0" + exif}
    if format == "PNG":
        text = PngImagePlugin.PngInfo()
        text.add_itxt("XML:com.adobe.xmp", XMP.decode())
        options["pnginfo"] = text
    else:
        options["xmp"] = XMP
    picture = read_picture(saved(Image.fromarray(SAMPLES), format, **options))
    assert (picture.icc, picture.exif, picture.xmp) == (SRGB, exif, XMP)
    assert picture.notes == []


def test_tiff_tags_that_describe_the_photograph_become_exif() -> None:
    data = saved(Image.fromarray(SAMPLES), "TIFF", exif=exif_bytes(), icc_profile=SRGB)
    picture = read_picture(data)
    assert picture.icc == SRGB and picture.exif is not None
    kept = Image.Exif()
    kept.load(picture.exif)
    assert kept[ExifTags.Base.Artist] == "somebody"
    assert kept.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.MakerNote] == b"\x01\x02secret"
    assert ExifTags.Base.StripOffsets not in kept


def test_a_tiff_without_such_tags_has_no_exif() -> None:
    assert read_picture(saved(Image.fromarray(SAMPLES), "TIFF")).exif is None


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("format", "mode"), [("PNG", "RGB"), ("PNG", "LA"), ("TIFF", "RGBA")])
def test_orientation_is_applied_as_pillow_does(orientation: int, format: str, mode: str) -> None:
    samples = RANDOM.integers(0, 256, (6, 9, len(mode)), np.uint8)
    data = saved(Image.fromarray(samples), format, exif=exif_bytes(orientation))
    picture = read_picture(data)
    with Image.open(io.BytesIO(data)) as stored:
        upright = np.asarray(ImageOps.exif_transpose(stored))
    np.testing.assert_array_equal(np.asarray(to_pil(picture)), upright)
    assert upright.shape[:2] == ((6, 9) if orientation < 5 else (9, 6))
    assert picture.exif is not None
    assert orientation_of(picture.exif) == 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_avif_is_applied_once(orientation: int) -> None:
    ramp = np.zeros((48, 64), np.uint8)
    ramp[:24, :32] = 255  # one bright corner tells the eight apart, with the sides and a mark
    ramp[:24, 32:] = 128
    data = saved(Image.fromarray(ramp), "AVIF", exif=exif_bytes(orientation), quality=100)
    picture = read_picture(data)
    grey = picture.pixels if picture.is_grey else picture.pixels[:, :, 0]
    expected = oriented(ramp, orientation).astype(int)
    assert grey.shape == expected.shape
    assert np.abs(grey - expected).mean() < 4


def test_only_the_orientation_is_touched_in_exif_and_xmp() -> None:
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", XMP.decode())
    before = exif_bytes(6)
    picture = read_picture(saved(Image.fromarray(SAMPLES), "PNG", exif=before, pnginfo=text))
    assert picture.pixels.shape == (9, 6, 3)
    assert picture.exif is not None and len(picture.exif) == len(before)
    assert sum(a != b for a, b in zip(picture.exif, before, strict=True)) == 1
    assert picture.xmp == XMP.replace(b'Orientation="6"', b'Orientation="1"')


def test_xmp_alone_does_not_turn_a_picture() -> None:
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", XMP.decode())
    picture = read_picture(saved(Image.fromarray(SAMPLES), "PNG", pnginfo=text))
    np.testing.assert_array_equal(picture.pixels, SAMPLES)
    assert picture.xmp == XMP


def test_damaged_metadata_is_dropped_with_a_note() -> None:
    data = saved(Image.fromarray(SAMPLES), "PNG", icc_profile=b"no profile", exif=b"Exif\0\0junk")
    picture = read_picture(data)
    assert (picture.icc, picture.exif) == (None, None)
    assert picture.notes == [
        "the colour profile is damaged and was dropped",
        "the EXIF data is damaged and was dropped",
    ]


def test_exif_that_imagemagick_left_in_a_png() -> None:
    exif = exif_bytes()
    text = PngImagePlugin.PngInfo()
    text.add_text("Raw profile type exif", f"\nexif\n{len(exif):8}\n{exif.hex()}\n")
    assert read_picture(saved(Image.fromarray(SAMPLES), "PNG", pnginfo=text)).exif == exif


@pytest.mark.parametrize(
    ("mode", "space", "kept"),
    [
        ("L", "GRAY", True),
        ("L", "RGB", False),
        ("RGB", "RGB", True),
        ("RGB", "GRAY", False),
        ("LA", "GRAY", True),
        ("P", "RGB", True),
        ("RGB", "CMYK", False),
    ],
)
def test_a_profile_must_be_for_the_samples(
    mode: str, space: str, kept: bool, build_icc: Callable[[str], bytes]
) -> None:
    image = Image.new(mode, (2, 2))
    profile = build_icc(space)
    picture = read_picture(saved(image, "PNG", icc_profile=profile))
    assert picture.icc == (profile if kept else None)
    notes = [note for note in picture.notes if "profile" in note]
    assert len(notes) == (0 if kept else 1)
    assert kept or f"is for {space}" in notes[0]


@pytest.mark.parametrize(
    ("format", "options", "expected"),
    [
        ("JPEG", {"dpi": (300, 300)}, (300, 300)),
        ("JPEG", {"dpi": (300, 150)}, (300, 150)),
        ("PNG", {"dpi": (300, 300)}, (300, 300)),
        ("PNG", {"dpi": (72, 96)}, (72, 96)),
        ("TIFF", {"dpi": (600, 600)}, (600, 600)),
        (
            "TIFF",
            {"resolution_unit": "cm", "x_resolution": 100.0, "y_resolution": 50.0},
            (254, 127),
        ),
        ("BMP", {"dpi": (200, 200)}, (200, 200)),
    ],
)  # fmt: skip
def test_a_resolution_comes_in_as_exif(
    format: str, options: dict[str, object], expected: tuple[int, int]
) -> None:
    picture = read_picture(saved(Image.fromarray(SAMPLES), format, **options))
    assert resolution(picture.exif) == expected
    assert picture.notes == []


def test_a_resolution_in_centimetres_of_jpeg() -> None:
    data = bytearray(saved(Image.fromarray(SAMPLES), "JPEG", dpi=(100, 100)))
    at = data.index(b"JFIF\0") + 7
    assert data[at] == 1
    data[at] = 2
    assert resolution(read_picture(bytes(data)).exif) == (254, 254)


def test_a_files_own_resolution_counts_more_than_that_of_its_exif() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = "somebody"
    exif[ExifTags.Base.XResolution] = exif[ExifTags.Base.YResolution] = 72.0
    exif[ExifTags.Base.ResolutionUnit] = 2
    picture = read_picture(saved(Image.fromarray(SAMPLES), "JPEG", dpi=(300, 300), exif=exif))
    assert resolution(picture.exif) == (300, 300)
    assert picture.exif is not None and b"somebody" in picture.exif
    kept = read_picture(saved(Image.fromarray(SAMPLES), "WEBP", exif=exif))
    assert resolution(kept.exif) == (72, 72)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP", "GIF", "PPM", "TGA"])
def test_no_resolution_is_made_up(format: str) -> None:
    assert read_picture(saved(Image.fromarray(SAMPLES), format)).exif is None


def test_a_turned_picture_has_its_resolution_turned() -> None:
    data = saved(Image.fromarray(SAMPLES), "PNG", dpi=(300, 150), exif=exif_bytes(6))
    assert resolution(read_picture(data).exif) == (150, 300)


def test_a_resolution_of_the_callers_image() -> None:
    image = Image.fromarray(SAMPLES)
    assert picture_from(image).exif is None
    image.info["dpi"] = (300.0, 300.0)
    assert resolution(picture_from(image).exif) == (300, 300)
    for nonsense in ((0, 0), (-3, 4), ("a", "b"), 300, (1e300, 1e300), (float("nan"), 1.0)):
        image.info["dpi"] = nonsense
        assert picture_from(image).exif is None


@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_pixels_that_are_not_square_are_noted(format: str) -> None:
    if format == "PNG":
        chunk = b"pHYs" + bytes([0, 0, 0, 1, 0, 0, 0, 2, 0])
        png = saved(Image.fromarray(SAMPLES), "PNG")
        data = png[:33] + struct.pack(">I", 9) + chunk + struct.pack(">I", crc32(chunk)) + png[33:]
    else:
        whole = bytearray(saved(Image.fromarray(SAMPLES), "JPEG"))
        at = whole.index(b"JFIF\0") + 7
        whole[at : at + 5] = bytes([0, 0, 1, 0, 2])
        data = bytes(whole)
    picture = read_picture(data)
    assert picture.notes == ["its pixels are not square (2 : 1), which is not carried on"]
    assert picture.exif is None
