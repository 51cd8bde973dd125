"""EXIF data is changed in place: what a turned picture needs, and the resolution."""

import io
import struct
from fractions import Fraction

import numpy as np
import pytest
from PIL import ExifTags, Image

from bsqcodec.media.image.exif import (
    colour_of_exif,
    is_only_resolution,
    orientation_of,
    resolution,
    turned_exif,
    with_resolution,
)
from bsqcodec.media.image.image_reader import read_picture
from bsqcodec.media.image.orientation import oriented, turned_point

MAKER_NOTE = b"\x01\x02secret"
SUBJECT_AREA = 0x9214
THUMBNAIL_AT = 0x0201
THUMBNAIL_BYTES = 0x0202
ORDERS = pytest.mark.parametrize("order", ["<", ">"])


def four_corners(width: int, height: int) -> np.ndarray:
    """RGB whose corners differ: any turn shows."""
    samples = np.zeros((height, width, 3), np.uint8)
    samples[: height // 2, : width // 2] = (250, 20, 20)
    samples[: height // 2, width // 2 :] = (20, 250, 20)
    samples[height // 2 :, : width // 2] = (20, 20, 250)
    return samples


def jpeg(samples: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(samples).save(file, "JPEG", quality=95, subsampling=0)
    return file.getvalue()


def phone_exif(order: str, orientation: int, thumbnail: bytes | None = None) -> bytes:
    """EXIF as a phone writes it: sizes, a position, a maker note, a thumbnail as stored."""
    exif = Image.Exif()
    exif.endian = order
    exif[ExifTags.Base.Make] = "maker"
    exif[ExifTags.Base.Orientation] = orientation
    exif[ExifTags.Base.ImageWidth], exif[ExifTags.Base.ImageLength] = 80, 60
    exif[ExifTags.Base.XResolution], exif[ExifTags.Base.YResolution] = 300.0, 150.0
    exif[ExifTags.Base.ResolutionUnit] = 2
    inner = exif.get_ifd(ExifTags.IFD.Exif)
    inner[ExifTags.Base.ExifImageWidth], inner[ExifTags.Base.ExifImageHeight] = 80, 70_000
    inner[ExifTags.Base.FocalPlaneXResolution] = 11.5
    inner[ExifTags.Base.FocalPlaneYResolution] = 22.5
    inner[SUBJECT_AREA] = (10, 20, 7, 5)
    inner[ExifTags.Base.MakerNote] = MAKER_NOTE
    data = exif.tobytes().removeprefix(b"Exif\0\0")
    return data if thumbnail is None else with_thumbnail(data, thumbnail)


def with_thumbnail(exif: bytes, thumbnail: bytes) -> bytes:
    """The data with a second directory, which Pillow does not write."""
    order = "<" if exif[:2] == b"II" else ">"
    data = bytearray(exif)
    data += b"\0" * (len(data) % 2)
    (first,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, first)
    start = len(data)
    struct.pack_into(order + "I", data, first + 2 + 12 * count, start)
    entries = [
        (0x0100, 4, 40),
        (0x0101, 4, 30),
        (0x0103, 3, 6),
        (0x0112, 3, 6),
        (THUMBNAIL_AT, 4, start + 2 + 6 * 12 + 4),
        (THUMBNAIL_BYTES, 4, len(thumbnail)),
    ]
    data += struct.pack(order + "H", len(entries))
    for tag, kind, value in entries:
        packed = struct.pack(order + ("H" if kind == 3 else "I"), value).ljust(4, b"\0")
        data += struct.pack(order + "HHI", tag, kind, 1) + packed
    return bytes(data + bytes(4) + thumbnail)


def read(exif: bytes) -> Image.Exif:
    found = Image.Exif()
    found.load(exif)
    return found


def thumbnail_of(exif: bytes) -> np.ndarray | None:
    second = read(exif).get_ifd(ExifTags.IFD.IFD1)
    if THUMBNAIL_AT not in second:
        return None
    at = second[THUMBNAIL_AT]
    data = exif[at : at + second[THUMBNAIL_BYTES]]
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


@ORDERS
@pytest.mark.parametrize("orientation", range(2, 9))
def test_sizes_positions_and_the_thumbnail_turn_with_the_picture(
    order: str, orientation: int
) -> None:
    small = four_corners(40, 30)
    before = phone_exif(order, orientation, jpeg(small))
    after = turned_exif(before, orientation, (80, 60))
    exif, inner = read(after), read(after).get_ifd(ExifTags.IFD.Exif)
    swapped = orientation >= 5
    assert exif[ExifTags.Base.Orientation] == 1
    width, height = exif[ExifTags.Base.ImageWidth], exif[ExifTags.Base.ImageLength]
    assert (width, height) == ((60, 80) if swapped else (80, 60))
    sizes = inner[ExifTags.Base.ExifImageWidth], inner[ExifTags.Base.ExifImageHeight]
    assert sizes == ((70_000, 80) if swapped else (80, 70_000))
    assert resolution(after) == ((150, 300) if swapped else (300, 150))
    focal = inner[ExifTags.Base.FocalPlaneXResolution], inner[ExifTags.Base.FocalPlaneYResolution]
    assert focal == ((22.5, 11.5) if swapped else (11.5, 22.5))
    point = turned_point((10, 20), orientation, (80, 60))
    assert inner[SUBJECT_AREA] == (*point, *((5, 7) if swapped else (7, 5)))
    assert inner[ExifTags.Base.MakerNote] == MAKER_NOTE
    assert after.index(MAKER_NOTE) == before.index(MAKER_NOTE)
    thumbnail = thumbnail_of(after)
    assert thumbnail is not None
    expected = oriented(small, orientation).astype(int)
    assert thumbnail.shape == expected.shape
    assert np.abs(thumbnail - expected).mean() < 12
    second = exif.get_ifd(ExifTags.IFD.IFD1)
    assert second[ExifTags.Base.Orientation] == 1
    assert (second[0x0100], second[0x0101]) == ((30, 40) if swapped else (40, 30))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_points_go_where_samples_go(orientation: int) -> None:
    samples = np.arange(12).reshape(3, 4)
    turned = oriented(samples, orientation)
    for y in range(3):
        for x in range(4):
            column, row = turned_point((x, y), orientation, (4, 3))
            assert turned[row, column] == samples[y, x]


@pytest.mark.parametrize("thumbnail", [b"no JPEG", jpeg(four_corners(8, 8))[:100], b""])
def test_a_thumbnail_that_cannot_be_turned_is_dropped(thumbnail: bytes) -> None:
    after = turned_exif(phone_exif("<", 6, thumbnail), 6, (80, 60))
    assert thumbnail_of(after) is None
    assert read(after)[ExifTags.Base.Make] == "maker"


def test_a_turned_thumbnail_that_is_longer_finds_a_place() -> None:
    noise = np.random.default_rng(5).integers(0, 256, (30, 40, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "JPEG", quality=5)
    before = phone_exif(">", 8, file.getvalue())
    after = turned_exif(before, 8, (80, 60))
    thumbnail = thumbnail_of(after)
    assert thumbnail is not None and thumbnail.shape == (40, 30, 3)
    assert len(after) > len(before)


def test_a_phones_portrait_comes_in_whole() -> None:
    samples, small = four_corners(80, 60), four_corners(40, 30)
    file = io.BytesIO()
    exif = b"Exif\0\0" + phone_exif("<", 6, jpeg(small))
    Image.fromarray(samples).save(file, "JPEG", quality=95, subsampling=0, exif=exif)
    picture = read_picture(file.getvalue())
    assert (picture.width, picture.height) == (60, 80)
    assert picture.exif is not None and picture.notes == []
    assert read(picture.exif)[ExifTags.Base.ImageWidth] == 60
    thumbnail = thumbnail_of(picture.exif)
    assert thumbnail is not None
    assert np.abs(thumbnail - oriented(small, 6).astype(int)).mean() < 12


@ORDERS
@pytest.mark.parametrize(("kind", "letter"), [(1, "B"), (3, "H"), (4, "I")])
def test_orientation_of_any_integer_type(order: str, kind: int, letter: str) -> None:
    def block(orientation: int) -> bytes:
        head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, 1)
        value = struct.pack(order + letter, orientation).ljust(4, b"\0")
        return head + struct.pack(order + "HHI", 0x0112, kind, 1) + value + bytes(4)

    assert orientation_of(block(8)) == 8
    assert turned_exif(block(8), 8, (2, 2)) == block(1)
    assert orientation_of(block(9)) == orientation_of(block(0)) == 1


def test_damage_never_raises() -> None:
    whole = phone_exif("<", 6, jpeg(four_corners(40, 30)))
    random = np.random.default_rng(3)
    cases = [whole[:length] for length in range(0, len(whole), 7)]
    for _ in range(400):
        damaged = bytearray(whole)
        for at in random.integers(0, 400, 4):
            damaged[at] = random.integers(0, 256)
        cases.append(bytes(damaged))
    turned = 0
    for case in cases:
        assert 1 <= orientation_of(case) <= 8
        turned += orientation_of(turned_exif(case, 6, (80, 60))) == 1
        resolution(case)
        colour_of_exif(case)
        with_resolution(case, Fraction(300), Fraction(300))
        is_only_resolution(case)
    assert turned > 200


def test_a_resolution_alone_is_short() -> None:
    exif = with_resolution(None, Fraction(300), Fraction(300))
    assert len(exif) <= 66
    assert is_only_resolution(exif) and resolution(exif) == (300, 300)
    found = read(exif)
    assert (found[ExifTags.Base.XResolution], found[ExifTags.Base.ResolutionUnit]) == (300, 2)
    assert with_resolution(exif, Fraction(300), Fraction(300)) == exif
    assert resolution(with_resolution(exif, Fraction(72), Fraction(96))) == (72, 96)


@ORDERS
def test_a_resolution_beside_other_tags(order: str) -> None:
    before = phone_exif(order, 1, jpeg(four_corners(40, 30)))
    assert with_resolution(before, Fraction(300), Fraction(150)) == before
    after = with_resolution(before, Fraction(1181, 10), Fraction(96))
    assert resolution(after) == (Fraction(1181, 10), 96)
    assert not is_only_resolution(after)
    found = read(after)
    assert found[ExifTags.Base.Make] == "maker"
    assert found.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.MakerNote] == MAKER_NOTE
    assert after.index(MAKER_NOTE) == before.index(MAKER_NOTE)
    assert thumbnail_of(after) is not None
    (start,) = struct.unpack_from(order + "I", after, 4)
    (count,) = struct.unpack_from(order + "H", after, start)
    tags = [struct.unpack_from(order + "H", after, start + 2 + 12 * i)[0] for i in range(count)]
    assert tags == sorted(set(tags))


def test_a_resolution_in_centimetres() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.XResolution] = exif[ExifTags.Base.YResolution] = 100.0
    exif[ExifTags.Base.ResolutionUnit] = 3
    assert resolution(exif.tobytes().removeprefix(b"Exif\0\0")) == (254, 254)
    exif[ExifTags.Base.ResolutionUnit] = 1
    assert resolution(exif.tobytes().removeprefix(b"Exif\0\0")) is None
    assert resolution(None) is resolution(b"junk") is None
